"""Secrets masked: what has a secret's name, a secret's shape or a secret's place, and its repetitions.

Below the pipeline, so that the library, the command line and `render` share it. The policy stands in tables: `tokens.py`
(forms of known tokens), `names.py` (names of secrets), `text.py` (places in running text), `lines.py` (lines of files and
protocols), `programs.py` (command lines), `values.py` and `gibberish.py` (what a value looks like). A secret met anywhere
is masked wherever running text repeats it. What names code, files and modules is masked by unmistakable forms alone.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from parsers.limits import LIMITS
from postmortem.model import Problem
from postmortem.model.strings import OF_TYPE, map_strings
from postmortem.redaction import names
from postmortem.redaction.masker import Masker
from postmortem.redaction.names import secret_name
from postmortem.redaction.values import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postmortem.model import Report
    from postmortem.redaction.masker import Context

__all__ = ["MASK", "mask_shapes", "mask_text", "redact", "secret_name"]

# Fields that name files and places: masked by unmistakable forms alone.
_CODE = frozenset("module file path soname where executable call_site".split())
# Fields that the machine or the program's own code fills: nothing is looked for there but the user's patterns.
_MACHINE = frozenset(
    """
    function rule mnemonic instruction instruction_bytes permissions kind register text_kind syscall id schema_version
    build_id file_build_id disassembly base index trust status severity confidence claim ended
    """.split()
)
_THREADS = frozenset(
    [("Thread", "name"), ("JavaThread", "name"), ("Event", "thread"), ("Process", "command"), ("VirtualThread", "name")]
)
_SHORT = 256
_CODE_OF = frozenset(["Operand", "Cycle", "Tool"])


def redact(report: Report, masks: Iterable[str] = ()) -> Report:
    """The report with secrets masked, and how many of each kind. Doing it twice changes nothing more.

    masks: regular expressions of what is to be masked besides. Raises re.error for one that is none. Long: what is done
    with each text shares what was masked before.
    """
    masks = tuple(masks)
    masker = Masker([re.compile(mask) for mask in masks])
    texts: dict[tuple[Context, str], str] = {}

    def passed_over(owner: str, field: str) -> bool:
        return not masks and (field in _MACHINE or (owner == "Flag" and field == "name"))

    def note(owner: str, field: str, value: str) -> str:
        texts.setdefault((_context(owner, field), value), value)
        return value

    map_strings(report, note, passed_over)
    masker.expect([value for _, value in texts])
    counts: dict[tuple[Context, str], Counter[str]] = {}
    process, jvm = report.process, report.jvm
    total: Counter[str] = Counter(report.redacted)
    room = _Room()
    arguments, found = masker.arguments(room.shown(process.arguments))
    total += found
    process = msgspec.structs.replace(process, arguments=arguments)
    if jvm is not None:
        arguments, found = masker.arguments(room.shown(jvm.arguments), of_jvm=True)
        total += found
        jvm = msgspec.structs.replace(jvm, arguments=arguments)
    changed = arguments_changed = process.arguments != report.process.arguments or (
        jvm is not None and report.jvm is not None and jvm.arguments != report.jvm.arguments
    )
    for context, value in texts:
        if context in ("code", "text") and masker.is_plain(value):
            continue
        made, found = masker.value(value, context) if context == "code" or room.has(value) else (MASK, Counter())
        if made != value:
            texts[context, value] = made
            counts[context, value] = found
            changed = True
    if room.left_out:
        total["not searched"] += room.left_out
    if not changed:
        return report
    elsewhere = masker.elsewhere(_other_words(report))
    if elsewhere is not None:
        for key, made in texts.items():
            again, found = elsewhere(made, key[0])
            if again != made:
                texts[key] = again
                counts[key] = counts.get(key, Counter()) + found
    if arguments_changed:
        report = msgspec.structs.replace(report, process=process, jvm=jvm)

    def change(owner: str, field: str, value: str) -> str:
        key = _context(owner, field), value
        made = texts.get(key)
        if made is None:  # an argument that is new
            return value
        if made != value:
            total.update(counts[key])
        return made

    report = map_strings(report, change, passed_over)
    if room.left_out:
        report = msgspec.structs.replace(report, problems=(*report.problems, room.problem()))
    return msgspec.structs.replace(report, redacted=dict(sorted(total.items())))


class _Room:
    """How much text a run searches for secrets. Long texts beyond that are not shown, since nobody has looked at them."""

    def __init__(self) -> None:
        self._left = LIMITS.searched_text
        self.left_out = 0

    def has(self, text: str) -> bool:
        """Take the room for a text; short ones always have it."""
        if len(text) > max(self._left, _SHORT):
            self.left_out += 1
            return False
        self._left -= len(text)
        return True

    def shown(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        """The texts, or the mask in place of one that has no room."""
        return tuple(text if self.has(text) else MASK for text in texts)

    def problem(self) -> Problem:
        """That the limit was reached."""
        return Problem(
            stage="redaction",
            where="searched_text",
            what=f"{self.left_out} texts are masked as a whole: {LIMITS.searched_text} characters are searched for secrets",
            hint="no ordinary process has so much; --no-redact shows them",
        )


@functools.lru_cache(maxsize=8192)
def _context(owner: str, field: str) -> Context:
    if (owner, field) in _THREADS:
        return "thread"
    name, colon, label = field.partition(":")
    label, _, type_ = label.partition(OF_TYPE)
    if colon and label and names.HINT.search(label) is not None:
        strength = names.strength(label)
        if strength is not None:
            return label, strength, type_
    if colon and label and names.USERS_HINT.search(label) is not None and names.holds_user(label):
        return label, "user", type_
    if owner == "Process" and name == "environment" and names.is_vendor(label):
        return label, "user", type_
    if owner == "SourceLine" and name == "text":
        return "source"
    if type_ and names.HINT.search(type_) is not None and names.secret_type(type_):
        return "typed"
    if (
        name in _CODE
        or name in _MACHINE
        or owner in _CODE_OF
        or (colon and not label)
        or (owner == "Crash" and name != "fault_address_text")
    ):
        return "code"
    return "text"


def _other_words(report: Report) -> set[str]:
    """Words that name something else in the report: a password that is one of them is not looked for elsewhere."""
    process = report.process
    words = {process.command or "", *(process.executable or "").split("/")}
    for module in report.modules:
        words.update(module.path.split("/"))
        words.add(module.soname or "")
    for name in ("USER", "LOGNAME", "HOME", "HOSTNAME", "SHELL", "LANG", "TERM", "PATH"):
        words.update(re.split("[/:]", process.environment.get(name, "")))
    words.update(process.environment)
    for thread in report.threads[:1000]:
        words.add(thread.name or "")
    return words


def mask_text(text: str) -> str:
    """Running text by itself, masked."""
    masker = Masker()
    masker.expect([text])
    return masker.value(text, "text")[0]


def mask_shapes(text: str) -> str:
    """A text of which nothing is known but its form: known tokens, addresses, credentials of HTTP."""
    masker = Masker()
    masker.expect([text])
    made, _ = masker.value(text, "code")
    from postmortem.redaction.text import mask_headers

    return mask_headers(made, lambda kind, value: MASK)
