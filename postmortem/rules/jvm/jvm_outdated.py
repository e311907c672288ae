"""Outdated JVM, and known crashes that an update mended.

What it finds: a release of the JDK with newer updates, or of a train that ended; and among the defects that later
updates mended, those that crash in a function of this stack or say what this JVM said.
Why it matters: the first answer to a report of a JVM crash is to try the newest update.
Evidence it needs: the JVM's version; for a known crash, a function of libjvm on the stack or the VM's message.
False alarms: a function may crash for other reasons than the one listed, so such a finding is a lead; vendors mend some
defects earlier than their upstream.
Rivals excluded: a current release: the version's age is counted from the dates of updates; a version that is not
known.
What to do: update, then see whether it crashes again.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import jdk
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_EIGHT = 8
_DATA = "jdk_releases.json"
_UPDATES_OF_SHORT_TRAIN = 2
_BEHIND = 2
"""Updates that make a release outdated: one is the time that a roll-out takes."""
_FRAMES = 8
"""Functions of the VM that are looked at: a defect is named by the place where it crashes, or close to it."""


class Quarters(msgspec.Struct, frozen=True):
    """Dates on which updates of all trains came out."""

    dates: tuple[str, ...]
    source: str


class Eight(msgspec.Struct, frozen=True):
    """JDK 8 counts its updates on its own: `first` came out on `first_date`, `step` more each quarter."""

    first: int
    first_date: str
    step: int
    source: str


class Train(msgspec.Struct, frozen=True):
    """A feature release and its updates."""

    major: int
    first: str
    lts: bool
    source: str
    first_update: str | None = None


class Fix(msgspec.Struct, frozen=True):
    """A defect. fixed, since: update by major version.

    Its evidence: `frames`, patterns of a function of the VM; `text`, of the VM's words; `java`, of the innermost Java
    method. All others must hold, too, where they are given: `also`, of one more function of the VM; `signal`;
    `machine`, how the name of the system and CPU begins.
    """

    id: str
    title: str
    frames: tuple[str, ...]
    text: tuple[str, ...]
    area: str
    fixed: dict[str, str]
    since: dict[str, str]
    source: str
    verified: str
    java: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    signal: str | None = None
    machine: str | None = None


class Releases(msgspec.Struct, frozen=True):
    """The data file."""

    about: str
    quarters: Quarters
    eight: Eight
    trains: tuple[Train, ...]
    fixes: tuple[Fix, ...]


class Release(NamedTuple):
    """A release by name and date (ISO)."""

    name: str
    date: str


@functools.cache
def releases() -> Releases:
    """The data file, read once."""
    data = resources.files("postmortem.rules.jvm").joinpath(_DATA).read_bytes()
    return msgspec.json.decode(data, type=Releases)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding for the age, and one for known defects."""
    version = jdk.release(report)
    if not version:
        return
    yield from _known(report, version)
    yield from _age(report, version)


def _known(report: Report, version: tuple[int, ...]) -> Iterator[Finding]:
    found = [(fix, where) for fix in releases().fixes if _open(fix, version) for where in _seen(report, fix)]
    if not found:
        return
    fix, where = found[0]
    update = fix.fixed[str(version[0])]
    more = "".join(f" {other.id} is another: {other.title}." for other, _ in found[1:3])
    yield Finding(
        rule=RULE.id,
        title=f"A crash like this one was mended in {update}: {fix.id}",
        severity="medium",
        confidence="possible",
        claim="cause",
        explanation=(
            f"{fix.title}: this is what {fix.id} describes, mended in {update}; this JVM is"
            f" {jdk.name(report)}. The place is the same; whether the cause is, an"
            f" update tells.{more}"
        ),
        evidence=proof(report, (where, "where that defect shows"), ("jvm.version", "this JVM")),
        remedies=(f"Update to {update} or newer, and see whether it crashes again.",),
        references=tuple(fix.source for fix, _ in found[:3]),
        specificity=18,
    )


def _open(fix: Fix, version: tuple[int, ...]) -> bool:
    """Whether a release has the defect, as far as is known."""
    major = str(version[0])
    if major not in fix.fixed or version >= jdk.numbers(fix.fixed[major]):
        return False
    return major not in fix.since or version >= jdk.numbers(fix.since[major])


def _seen(report: Report, fix: Fix) -> Iterator[str]:
    """Where the report shows the defect: a path of it."""
    platform = (report.host.platform if report.host is not None else None) or ""
    if fix.machine is not None and not platform.startswith(fix.machine):
        return
    if fix.signal is not None and jvm_views.fault_name(report) != fix.signal:
        return
    error = jvm_views.error(report)
    if error is not None and any(re.search(pattern, jvm_views.error_words(error)) for pattern in fix.text):
        yield "jvm.error.message" if error.message else "jvm.error.detail"
        return
    if fix.java and jvm_views.own_fault(report):
        top = jvm_frames.top(report)
        if top is not None and any(re.search(pattern, top.function or "") for pattern in fix.java):
            yield views.frame_path(report, views.crashing_frames(report).index(top))
        return
    names = [plain(frame.function) for _, frame in jvm_frames.vm_frames(report)[:_FRAMES] if frame.function is not None]
    if fix.also and not any(re.search(pattern, name) for pattern in fix.also for name in names):
        return
    if not fix.frames or not (jvm_views.own_fault(report) or jvm_views.internal_error(report) is not None):
        return
    for index, frame in jvm_frames.vm_frames(report)[:_FRAMES]:
        if frame.function is not None and any(re.search(pattern, plain(frame.function)) for pattern in fix.frames):
            yield views.frame_path(report, index)
            return


def _age(report: Report, version: tuple[int, ...]) -> Iterator[Finding]:
    if version[0] < _EIGHT:
        yield from _ended(report, version[0])
    train = next((train for train in releases().trains if train.major == version[0]), None)
    newest = _newest(train) if train is not None else None
    if train is None or newest is None:
        return
    behind = _behind(train, version)
    known = releases().quarters.dates[-1]
    if train.lts and behind < _BEHIND:
        return
    text = jdk.name(report)
    own = _released(train, version)
    came = f" of {own}" if own else ""
    if train.lts:
        least = "at least " if _number(train, version) == 0 else ""
        title = f"JDK {text} is outdated: {least}{behind} updates behind {newest.name}"
        says = f"It is {least}{behind} quarterly updates behind {newest.name} of {newest.date}"
    else:
        title = f"JDK {version[0]} has no more updates"
        says = f"JDK {version[0]} was a release of six months; its last update was {newest.name} of {newest.date}"
        if newest.date >= known:
            return
    yield Finding(
        rule=RULE.id,
        title=title,
        severity="low",
        confidence="certain",
        claim="observation",
        explanation=(
            f"This JVM is JDK {text}{came}. {says}, as far as releases are known here (to {known}). Each update mends"
            " crashes; a vendor looks at one in a current release only."
        ),
        evidence=proof(report, ("jvm.version", "this JVM"), ("jvm.build", "its build")),
        remedies=(
            f"Update to the newest release of JDK {version[0]}."
            if train.lts
            else "Move to a release with long-term support (17, 21, 25).",
        ),
        references=(train.source,) if train.source.startswith("http") else (),
    )


def _ended(report: Report, train: int) -> Iterator[Finding]:
    ended = {5: "2009", 6: "2013", 7: "2015"}.get(train)
    name = jdk.name(report)
    if ended is None:
        return
    yield Finding(
        rule=RULE.id,
        title=f"JDK {name} has no more updates",
        severity="low",
        confidence="certain",
        claim="observation",
        explanation=(
            f"This JVM is JDK {name}. The public updates of JDK {train} ended in {ended}; what later updates mended"
            " stays open in it, and a vendor looks at a crash in a current release only."
        ),
        evidence=proof(report, ("jvm.runtime", "this JDK"), ("jvm.version", "this JVM"), ("jvm.build", "its build")),
        remedies=("Move to a release with long-term support (17, 21, 25); JDK 8 runs most of the same programs.",),
        references=("https://www.oracle.com/java/technologies/java-se-support-roadmap.html",),
    )


def _updates(train: Train) -> tuple[str, ...]:
    """The dates of a train's updates, .0.1 (8: `first`) first."""
    start = releases().eight.first_date if train.major == _EIGHT else train.first_update
    if start is None:
        return ()
    dates = tuple(date for date in releases().quarters.dates if date >= start)
    return dates if train.lts else dates[:_UPDATES_OF_SHORT_TRAIN]


def _newest(train: Train) -> Release | None:
    dates = _updates(train)
    return Release(_name(train, len(dates)), dates[-1]) if dates else None


def _name(train: Train, number: int) -> str:
    eight = releases().eight
    return f"8u{eight.first + eight.step * (number - 1)}" if train.major == _EIGHT else f"{train.major}.0.{number}"


def _number(train: Train, version: tuple[int, ...]) -> int:
    """Which update a version is; 0 for the first release, or one from before the dates known."""
    eight = releases().eight
    if train.major == _EIGHT:
        # Oracle's number is the odd one below OpenJDK's.
        return max(0, (version[1] + 1 - eight.first) // eight.step + 1) if len(version) > 1 else 0
    return version[2] if len(version) > 2 else 0


def _behind(train: Train, version: tuple[int, ...]) -> int:
    return max(0, len(_updates(train)) - _number(train, version))


def _released(train: Train, version: tuple[int, ...]) -> str | None:
    number, dates = _number(train, version), _updates(train)
    if 0 < number <= len(dates):
        return dates[number - 1]
    return train.first if number == 0 and train.major != _EIGHT else None


RULE = Rule(id="jvm-outdated", group="jvm", specificity=4, check=check, documentation=__doc__ or "")
