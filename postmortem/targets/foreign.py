"""Inputs that no report can be made of, by what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsers.foreign import identify
from postmortem.errors import AnalysisError

if TYPE_CHECKING:
    from postmortem.targets.target import Target

_SHOWN = 60
"""Bytes."""


def refuse_foreign(target: Target) -> None:
    """Raises AnalysisError for what is neither a Linux core nor a HotSpot log: what it is, and what to give instead."""
    kind = identify(target.content)
    if kind is not None:
        what = f"{target.path}: is {kind.what}, not a core of Linux and not a log of HotSpot"
        raise AnalysisError(what, kind.instead)
    head = bytes(target.content[:_SHOWN])
    if head[:4] != b"\x7fELF":
        text = all(byte >= 0x20 or byte in b"\t\r\n" for byte in head)
        kind_of_bytes = "text of another kind" if text else f"data that begins with {head[:8].hex(' ')}"
        raise AnalysisError(
            f"{target.path}: not a core of Linux and not a log of HotSpot, but {kind_of_bytes}",
            "give the core (an ELF file, compressed or not), or the hs_err_pid*.log of a JVM, whole or in part",
        )
