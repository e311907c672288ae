"""What differs between machines in a core: here x86-64. Another machine fills in the same names."""

from __future__ import annotations
