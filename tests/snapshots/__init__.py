"""Words that users read, kept in files so that a change of them is seen in review.

Renew them with `python -m tests.snapshots`, look at the difference, and commit it with what caused it.
"""

from __future__ import annotations
