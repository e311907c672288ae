"""The fault: signal in words, instruction decoded, operands evaluated, values described."""

from __future__ import annotations
