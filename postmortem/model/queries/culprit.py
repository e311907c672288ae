"""The function to name in a title: the first frame that is not a runtime's own machinery."""

from __future__ import annotations

import functools
import re
from importlib import resources
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postmortem.model import Frame


_PLUMBING = re.compile(
    r"code cache, unused part|call_stub|nep_invoker\w*|.*\b[Aa]dapters?\b.*|.*[Ss]ignature handlers?.*|.*upcall_stub.*"
)
"""Stubs of a JVM that belong to no function: a hole of the code cache, and the ways between Java and native code."""


@functools.cache
def _patterns(name: str) -> re.Pattern[str]:
    text = resources.files("postmortem.model.queries").joinpath("lists", name).read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return re.compile("|".join(f"(?:{line})" for line in lines if line and not line.startswith("#")))


@functools.lru_cache(maxsize=1 << 14)
def skipped_function(function: str) -> bool:
    """True for the functions of triage/lists/skip_functions.txt, by their plain name."""
    return _patterns("skip_functions.txt").fullmatch(plain(function)) is not None


@functools.lru_cache(maxsize=1 << 12)
def skipped_module(path: str) -> bool:
    """True for the modules of triage/lists/skip_modules.txt, by their file name."""
    name = file_name(path)
    return _patterns("skip_modules.txt").fullmatch(name) is not None


def machinery(frame: Frame) -> bool:
    """True when a frame only reports or passes on what its caller caused."""
    if frame.kind == "signal" or (frame.kind == "stub" and _PLUMBING.fullmatch(frame.function or "")):
        return True
    if frame.module is not None and skipped_module(frame.module):
        return True
    return frame.function is not None and skipped_function(frame.function)


def first(frames: Iterable[Frame]) -> tuple[int, Frame] | None:
    """Index and frame of the function to name; None when every frame is machinery, unnamed, or found by scanning.

    A word that a scan of the stack took for a return address may be a leftover of an earlier call: it names nobody.
    """
    every = tuple(frames)
    for index, frame in enumerate(every):
        if machinery(frame) or frame.trust == "scan" or (frame.function is None and frame.module is None):
            continue
        if frame.function is None and _is_within_machinery(every, index):
            continue
        return index, frame
    return None


def _is_within_machinery(frames: tuple[Frame, ...], index: int) -> bool:
    """An unnamed frame whose nearest named caller in the same module is machinery: a static function of that."""
    for frame in frames[index + 1 :]:
        if frame.module != frames[index].module:
            return False
        if frame.function is not None:
            return skipped_function(frame.function)
    return False


def label(frame: Frame) -> str:
    """ "Cart::total(), checkout.cpp:42" as far as it is known, else "libcart.so+0x1f30"."""
    if frame.function is None:
        module = PurePosixPath(frame.module).name if frame.module else None
        if module is None or frame.module_offset is None:
            return module or (hex(frame.pc) if frame.pc is not None else "a frame that is not known")
        return f"{module}+{frame.module_offset:#x}"
    name = frame.function if frame.kind.startswith("java") else plain(frame.function)
    text = f"{name}()"
    if frame.file is None:
        return text
    file = PurePosixPath(frame.file).name
    return f"{text}, {file}:{frame.line}" if frame.line else f"{text}, {file}"
