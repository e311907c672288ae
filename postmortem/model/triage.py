"""What a batch triage knows: a record of each crash, buckets of crashes with one cause, and triage.json."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from postmortem.model.report import Signature

TRIAGE_SCHEMA_VERSION = "1.0"

Status = Literal["new", "known", "fixed", "regressed"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A function on the crashing stack, as signatures name it; file: its base name."""

    name: str
    file: str | None = None
    line: int | None = None


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """What triage keeps of one report.

    id: of the input's content. path: where it was found; report: the stored report, relative to the output folder.
    kind: core or log. time: seconds since 1970, UTC; time_source: where it was read (log, name, xattr, mtime).
    program: the main class or executable. version: a package's or the VM's version, else the build-id's beginning.
    steps: the program's own functions, innermost first. attributed_by: how the host was found. content: identity of a
    core, decompressed. process: of a JVM what tells it from all others, as its core and its log have it. uptime: of a
    JVM, seconds.
    """

    id: str
    path: str
    report: str
    kind: Literal["core", "log"]
    size: int = 0
    pid: int | None = None
    content: str | None = None
    process: str | None = None
    host: str | None = None
    attributed_by: str | None = None
    time: float | None = None
    time_source: str | None = None
    uptime: float | None = None
    program: str | None = None
    version: str | None = None
    build_id: str | None = None
    package: str | None = None
    kernel: str | None = None
    cpu: str | None = None
    rule: str | None = None
    title: str = ""
    severity: str | None = None
    confidence: str | None = None
    signature: Signature
    steps: tuple[Step, ...] = ()
    others: tuple[str, ...] = ()
    """Faults of other threads at the same time, each as its signal and function."""
    partial: str | None = None
    """Why the report is partial: what killed the worker."""


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A period in the times of a bucket. seconds: its length; p: after correction for the trials; events: counted."""

    seconds: float
    p: float
    events: int
    test: Literal["rayleigh", "h-test"]


class Excess(msgspec.Struct, frozen=True, kw_only=True):
    """A host, CPU, kernel, version or package that has more of a bucket than chance would give it.

    inside of `bucket`, and `outside` of the other crashes, have the value; p: Fisher's exact test, corrected.
    """

    attribute: str
    value: str
    inside: int
    bucket: int
    outside: int
    others: int
    p: float


class Near(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket that may be the same; score: of FaST, 1 is equal."""

    id: str
    score: float
    text: str


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A crash of a bucket."""

    id: str
    path: str
    host: str | None = None
    time: float | None = None
    version: str | None = None
    report: str | None = None


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The report to read first. path: of the HTML, relative to the output folder."""

    path: str
    input: str


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """Crashes of one cause. id: that of its first signature. signature: its text.

    status: new in this run, known, fixed (in the version fixed_in), or regressed: came back after that. signatures:
    ids of all signatures in it. grew: members that this run added. similar: buckets that may be merged with it.
    members: the newest; members_left_out: how many more there are.
    """

    id: str
    title: str
    signature: str
    cause: str
    rule: str | None = None
    severity: str | None = None
    count: int
    grew: int = 0
    first_seen: float | None = None
    last_seen: float | None = None
    status: Status = "new"
    fixed_in: str | None = None
    ticket: str | None = None
    notes: str | None = None
    programs: dict[str, int] = {}
    hosts: dict[str, int] = {}
    versions: dict[str, int] = {}
    build_ids: dict[str, int] = {}
    other_faults: dict[str, int] = {}
    """Faults of other threads at the same time, with the number of crashes that had them."""
    packages: dict[str, int] = {}
    signatures: tuple[str, ...] = ()
    incomplete: str | None = None
    periodicity: Period | None = None
    over_represented: tuple[Excess, ...] = ()
    similar: tuple[Near, ...] = ()
    best: Best | None = None
    members: tuple[Member, ...] = ()
    members_left_out: int = 0
    steps: tuple[Step, ...] = ()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An input without a report, and why."""

    path: str
    what: str


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """found = analyzed + skipped + failed. known: of those analyzed, how many an earlier run had done."""

    found: int = 0
    analyzed: int = 0
    skipped: int = 0
    failed: int = 0
    known: int = 0


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A host that crashes in many unrelated ways: of `crashes`, `of` hosts' signatures `signatures` are its own."""

    host: str
    crashes: int
    of: int
    signatures: int
    p: float


class Triage(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer of a triage. skipped: inputs that are no crash, with why; the first ones."""

    schema_version: str = TRIAGE_SCHEMA_VERSION
    tool_version: str
    inputs: Inputs = Inputs()
    buckets: tuple[Bucket, ...] = ()
    failures: tuple[Failure, ...] = ()
    skipped: tuple[Failure, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    problems: tuple[str, ...] = ()
    stacks: dict[str, int] = {}
    """Crashing stacks, outermost function first, joined by ";", with their number: for a flame graph."""


def triage_json(triage: Triage) -> bytes:
    """triage.json, UTF-8."""
    return msgspec.json.format(msgspec.json.encode(triage), indent=1)


def triage_from_json(data: bytes) -> Triage:
    """A stored triage.json. Raises msgspec.ValidationError when it is not one."""
    return msgspec.json.decode(data, type=Triage)


def triage_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of triage.json."""
    return msgspec.json.schema(Triage)
