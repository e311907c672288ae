"""Words that HotSpot alone begins a line with, wherever in a line a logger, a chat or a shell has put them.

They are looked for as plain strings, so that a large text costs one pass for each, not one per line.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADS = (
    "A fatal error has been detected by the Java Runtime Environment",
    "There is insufficient memory for the Java Runtime Environment to continue",
    "An unexpected error has been detected by ",
)
"""Each log begins with one of these (the third: JDK 5 and 6)."""

_SIGNALS = tuple(
    f"{name} (0x{number})"
    for name, numbers in (
        ("SIGSEGV", ("b",)), ("SIGBUS", ("7", "a")), ("SIGILL", ("4",)), ("SIGFPE", ("8",)), ("SIGTRAP", ("5",)),
        ("SIGABRT", ("6",)), ("SIGSYS", ("1f", "c")), ("EXCEPTION_ACCESS_VIOLATION", ("c0000005",)),
        ("EXCEPTION_STACK_OVERFLOW", ("c00000fd",)), ("EXCEPTION_IN_PAGE_ERROR", ("c0000006",)),
        ("EXCEPTION_ILLEGAL_INSTRUCTION", ("c000001d",)), ("EXCEPTION_UNCAUGHT_CXX_EXCEPTION", ("e06d7363",)),
    )
    for number in numbers
)  # fmt: skip

_RANKED = (
    HEADS,
    ("Native memory allocation (",),
    (*_SIGNALS, "Internal Error (", "Out of Memory Error ("),
    ("JRE version: ",),
    ("Java VM: ",),
    ("Problematic frame:",),
    ("Core dump will be written.", "Failed to write core dump.", "No core dump will be written."),
    ("An error report file with more information is saved as",),
    ("If you would like to submit a bug report",),
    ("The crash happened outside the Java Virtual Machine",),
    ("---------------  S U M M A R Y ", "--------------- S U M M A R Y "),
    ("Command Line: ",),
    ("---------------  T H R E A D  ", "--------------- T H R E A D "),
    ("Current thread (0x", "Current thread is native thread"),
    ("Stack: [0x",),
    ("Native frames: (", "Java frames: ("),
    ("V  [libjvm.", "V [libjvm.", "V  [jvm.dll+", "V [jvm.dll+", "C  [", "C [lib", "v  ~", "J  ", "j  "),
    ("siginfo:", "siginfo: si_signo", "siginfo:si_signo", "siginfo: ExceptionCode"),
    ("Registers:",),
    ("Register to memory mapping:",),
    ("Top of Stack: (sp=",),
    ("Instructions: (pc=",),
    ("---------------  P R O C E S S  ", "--------------- P R O C E S S "),
    ("Java Threads: (",),
    ("Other Threads:",),
    ("VM state:",),
    ("VM Mutex/Monitor currently owned",),
    ("CodeCache: size=", "CodeHeap '"),
    ("Internal exceptions (", "VM Operations (", "Event: "),
    ("Dynamic libraries:",),
    ("VM Arguments:", "jvm_args: ", "java_command: "),
    ("[Global flags]",),
    ("Environment Variables:",),
    ("Signal Handlers:",),
    ("---------------  S Y S T E M  ", "--------------- S Y S T E M "),
    ("/proc/meminfo:",),
    ("vm_info: ",),
)
_RANK = {word: rank for rank, words in enumerate(_RANKED) for word in words}
_AMBIGUOUS = frozenset(("C  [", "C [lib", "J  ", "j  ", "Event: ", "Registers:", "siginfo:", "Command Line: "))
"""Text of another kind may have these, too."""
_ENOUGH = 3
WHOLE = (
    f"{HEADS[0]}:",
    f"{HEADS[1]}.",
    "Problematic frame:",
    "An error report file with more information is saved as:",
    "If you would like to submit a bug report, please visit:",
    "The crash happened outside the Java Virtual Machine in native code.",
    "Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)",
    "Registers:",
    "Register to memory mapping:",
    "Dynamic libraries:",
    "Environment Variables:",
)
"""Lines that end where these words do."""
_HASH = re.compile(r"\\?#[ \t\xa0]{0,8}$")
_MOST = LIMITS.anchors_hits


class Hit(NamedTuple):
    """A line of the log begins at `column` of the line with this index; rank: its place in a log's order."""

    line: int
    column: int
    rank: int
    word: str
    end: int
    """Column behind the word."""


class Located:
    """Lines as one text, so that searching is a search of a string."""

    def __init__(self, lines: list[str]) -> None:
        self.text = "\n".join(lines)
        self._starts = list(itertools.accumulate((len(line) + 1 for line in lines), initial=0))

    def find(self, word: str, most: int = _MOST) -> list[tuple[int, int]]:
        """(line, column) of each occurrence, the first `most`."""
        found: list[tuple[int, int]] = []
        at = self.text.find(word)
        while at >= 0 and len(found) < most:
            line = bisect_right(self._starts, at) - 1
            found.append((line, at - self._starts[line]))
            at = self.text.find(word, at + len(word))
        return found


def hits(lines: list[str], words: Iterable[str] = _RANK) -> list[Hit]:
    """In the order of lines and columns, one of each line and word; `#` before the words belongs to the log."""
    located = Located(lines)
    found: list[Hit] = []
    for word in words:
        rank = _RANK[word]
        last = -1
        for line, column in located.find(word):
            if line == last:
                continue
            if word in _AMBIGUOUS and column and lines[line][column - 1].isalnum():
                continue
            last = line
            before = _HASH.search(lines[line][max(0, column - 12) : column])
            start = column if before is None else column - len(before[0])
            found.append(Hit(line, start, rank, word, column + len(word)))
    found.sort(key=lambda hit: (hit.line, hit.column))
    return found


def telling(found: list[Hit]) -> bool:
    """Whether a text with these hits is a log or part of one."""
    words = {hit.word for hit in found}
    own = words - _AMBIGUOUS
    return bool(own.intersection(HEADS)) or len(own) > 1 or (bool(own) and len(words) >= _ENOUGH)
