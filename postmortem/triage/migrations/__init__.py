"""Every schema that the store had, as steps from one to the next."""

from __future__ import annotations
