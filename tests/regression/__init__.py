"""Equal reports before and after a change that must not change them."""

from __future__ import annotations
