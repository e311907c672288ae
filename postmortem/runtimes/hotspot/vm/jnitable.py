"""Names for JNI's functions in a libjvm without symbols, by the table that every JNIEnv points at.

The JNIEnv lies within its JavaThread (jni_environment); its first word is the address of a JNINativeInterface_ (jni.h):
four reserved words, then the functions in an order that never changes. Where a function begins is told by the CFI.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from postmortem.program.memory import AddressSpace

_RESERVED = 4
_OF_JDK_8 = 229
_IN_STUBS = 16
"""Most functions that may lie elsewhere: GetIntField and its like are replaced by stubs (JNI_FastGetField)."""
_WORD = 8
_SEARCHED = 4096
"""Bytes of a JavaThread in which its JNIEnv is looked for."""
_THREADS = 4
_INVOCATION = (
    "DestroyJavaVM",
    "AttachCurrentThread",
    "DetachCurrentThread",
    "GetEnv",
    "AttachCurrentThreadAsDaemon",
)
_ADDRESS = re.compile(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d](....)", re.DOTALL)
"""lea of an address relative to the instruction's end."""
_LONGEST = 512
"""Bytes of GetJavaVM that are looked at."""


@functools.cache
def _functions() -> tuple[str, ...]:
    text = resources.files("postmortem.runtimes.hotspot.vm").joinpath("jni_functions.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def functions(
    memory: AddressSpace, threads: Iterable[int], within: Callable[[int], bool], checked: bool
) -> dict[int, str]:
    """Address of each function → "jni_FatalError", or "checked_jni_…" under -Xcheck:jni; {} where no table is found.

    threads: addresses of JavaThreads. within: whether an address lies in libjvm.
    """
    prefix = "checked_jni_" if checked else "jni_"
    for _, thread in zip(range(_THREADS), threads, strict=False):
        seen: set[int] = set()
        for position in range(0, _SEARCHED, _WORD):
            table = memory.word(thread + position)
            if table is None or table in seen or not within(table):
                continue
            seen.add(table)
            found = _entries(memory, table, within)
            if found:
                named = {address: prefix + name for address, name in zip(found, _functions(), strict=False)}
                return named | _invocation(memory, found[_functions().index("GetJavaVM")], within)
    return {}


def _invocation(memory: AddressSpace, get: int, within: Callable[[int], bool]) -> dict[int, str]:
    """The functions of JavaVM: GetJavaVM hands out its address, and its first word is that of their table (jni.h:
    three reserved words, then these)."""
    code = memory.read_some(get, _LONGEST)
    for match in _ADDRESS.finditer(code):
        machine = get + match.end() + int.from_bytes(match[1], "little", signed=True)
        table = memory.word(machine) if within(machine) else None
        words = memory.words(table, 3 + len(_INVOCATION)) if table is not None and within(table) else None
        if words is not None and not any(words[:3]) and all(within(word) for word in words[3:]):
            return {address: f"jni_{name}" for address, name in zip(words[3:], _INVOCATION, strict=True)}
    return {}


def _entries(memory: AddressSpace, table: int, within: Callable[[int], bool]) -> list[int]:
    """The functions of a table; [] when it is none."""
    data = memory.read(table, _WORD * (_RESERVED + _OF_JDK_8))
    if data is None or any(data[: _WORD * _RESERVED]):
        return []
    words = memoryview(data).cast("Q")[_RESERVED:].tolist()
    return words if all(words) and sum(not within(word) for word in words) <= _IN_STUBS else []
