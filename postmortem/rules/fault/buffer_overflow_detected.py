"""A fortified function refused to overrun its destination.

What it finds: libc's text "buffer overflow detected", written by the checked variants of strcpy, memcpy, …, and what
other checked functions refuse: a descriptor too large for an fd_set, a longjmp to a frame that is gone, %n in a
writable format.
Why it matters: nothing was overwritten yet: the call that would have done it is on the stack.
Evidence it needs: that text, or __chk_fail on the crashing stack.
False alarms: none known.
Rivals excluded: another abort of libc: the checked function, or its own words, are on the stack.
What to do: look at the size of the destination, or at the argument, in the caller.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import aborts, culprit
from postmortem.model.queries import crash as views
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Check(NamedTuple):
    """What a fortified function refused. text: what libc says; function: the checking function, by its plain name.

    title, explanation: with {what}, the function that is checked, and {by}, its caller.
    """

    text: Lazy
    function: Lazy
    title: str
    explanation: str
    remedies: tuple[str, ...]


_CHECKS = (
    _Check(
        Lazy(r"FD_SETSIZE on fd_set"),
        Lazy(r"__fdelt_(?:chk|warn)"),
        "A file descriptor of 1024 or more, or a negative one, was put into an fd_set by {by}",
        "FD_SET, FD_CLR and FD_ISSET take descriptors from 0 to 1023 (FD_SETSIZE); {by} used one beyond, and libc"
        " (_FORTIFY_SOURCE) aborted before memory behind the set was overwritten.",
        (
            "Use poll() or epoll instead of select() in {by}: they have no such limit.",
            "Look for leaked descriptors (ls -l /proc/PID/fd), and whether ulimit -n was raised above 1024; a negative"
            " descriptor is a failed open() or socket() that was not checked.",
        ),
    ),
    _Check(
        Lazy(r"longjmp causes uninitialized stack frame"),
        Lazy(r"_*longjmp_chk"),
        "longjmp() into a function that has returned, by {by}",
        "{by} called longjmp with a jmp_buf whose setjmp was called by a function that has returned since, or on"
        " another stack; libc (_FORTIFY_SOURCE) aborted before the jump.",
        (
            "Call longjmp only while the function that called setjmp is still running, on the same thread and stack.",
            "Coroutines that switch stacks with longjmp need swapcontext, or a build of that file without"
            " _FORTIFY_SOURCE.",
        ),
    ),
    _Check(
        Lazy(r"%n in writable segment"),
        Lazy(r"__v?\w*printf_chk"),
        "Format string with %n in writable memory, printed by {by}",
        "{by} printed with a format string that has %n and lies in writable memory: a format string that came from"
        " input is how such bugs are attacked. libc (_FORTIFY_SOURCE=2) aborted before it was obeyed.",
        (
            'Print input with a constant format: printf("%s", text) in {by}.',
            "If %n is meant, make the format a string literal; build with -Wformat-security.",
        ),
    ),
    _Check(
        Lazy(r"invalid %N\$ use detected"),
        Lazy(r"__v?\w*printf_chk"),
        "Format string whose numbered arguments leave gaps, printed by {by}",
        "{by} printed with a format string that uses some of its arguments by number (%2$s) and not all before them;"
        " libc (_FORTIFY_SOURCE=2) refuses that, as attacks on format strings do so.",
        (
            'Print input with a constant format: printf("%s", text) in {by}.',
            "Use every argument up to the highest number in translated formats.",
        ),
    ),
    _Check(
        Lazy(r"buffer overflow detected"),
        Lazy(r"\w+_chk(_\w+)?|__chk_fail"),
        "{what} would have overrun its destination in {by}",
        "The program is built with _FORTIFY_SOURCE: libc knew the size of the destination, saw that the call would"
        " write past it, and aborted before writing. The call is in {by}.",
        (
            "Compare the destination's size in {by} with the length of the input; use a bounded call and check for"
            " truncation.",
        ),
    ),
)
_HEADER = Lazy(
    r"(?:(?:stdio|socket|poll|wchar|select|fcntl|setjmp|mqueue|unistd|syslog)2?|strings?_fortified|stdlib|error)\.h"
)
_READING = Lazy(r"__(p?read(64)?|recv(from)?|fgets(_unlocked)?|fread(_unlocked)?|getcwd|readlink(at)?|getgroups)_chk")
RIVALS = ("Another abort of libc from the same function.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not aborts.aborted(report):
        return
    text = aborts.message(report)
    told = next((item for item in _CHECKS if item.text.search(text)), None)
    # libc's words are of this abort: other words are another end, whatever checked functions the stack has.
    kinds = () if text and told is None else _CHECKS[:2] + _CHECKS[-1:]
    frame = views.last_named(
        report, lambda name: re.fullmatch(r"\w+_chk(_\w+)?|__chk_fail|__fdelt_warn", name) is not None
    )
    by_name = next((item for item in kinds if frame and item.function.fullmatch(plain(frame[1].function or ""))), None)
    # libc before 2.41 says "buffer overflow detected" of a descriptor, too.
    found = by_name if by_name in _CHECKS[:2] else told or by_name
    if found is None or (by_name is _CHECKS[-1] and told is None and not _is_checking(report)):
        return
    caller = _caller(report, frame[0]) if frame else views.blamed(report)
    by = culprit.label(caller[1]) if caller else "a function that could not be named"
    function = plain(frame[1].function or "") if frame else ""
    checked = re.match(r"_*([a-z]\w*?)_chk", function)
    what = checked[1] if checked else "A checked libc call"
    if _READING.fullmatch(function):
        what = f"{what} was told to read more than its buffer holds: it"
    words = {"what": what, "by": by}
    yield Finding(
        rule=RULE.id,
        title=found.title.format_map(words),
        severity="critical",
        confidence="certain" if told else "likely",
        claim="cause",
        rivals=RIVALS,
        explanation=found.explanation.format_map(words),
        evidence=proof(
            report,
            ("native.abort_message", "what libc said"),
            (views.frame_path(report, frame[0]) if frame else "", "the checked function"),
            (
                (views.frame_path(report, caller[0], "function" if caller[1].function else "pc") if caller else ""),
                "its caller",
            ),
        ),
        remedies=tuple(remedy.format_map(words) for remedy in found.remedies),
    )


def _caller(report: Report, checking: int) -> tuple[int, Frame] | None:
    """The program's function that made the call, not the inline function of libc's header in it."""
    index = checking
    while (found := views.caller_of(report, index)) is not None:
        if not found[1].inlined or not _HEADER.fullmatch((found[1].file or "").rpartition("/")[2]):
            return found
        index = found[0]
    return None


def _is_checking(report: Report) -> bool:
    """The end of the check is on the stack: a checked function alone may have met another abort, in a handler, say."""
    return views.first_named(report, lambda name: name in ("__chk_fail", "__fortify_fail")) is not None


RULE = Rule(id="buffer-overflow-detected", group="fault", specificity=90, check=check, documentation=__doc__ or "")
