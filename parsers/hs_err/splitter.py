"""The log's lines to the readers of their sections, and the readers' facts to one HsErrLog."""

from __future__ import annotations

import re

from parsers.errors import ParseError
from parsers.hs_err import header
from parsers.hs_err.console import ConsoleSection
from parsers.hs_err.events import EventsSection
from parsers.hs_err.header import HeaderSection, SummarySection
from parsers.hs_err.heap import CodeCacheSection, HeapSection, MetaspaceSection
from parsers.hs_err.maps import LibrariesSection
from parsers.hs_err.model import Coverage, HsErrLog, Line, ReportError
from parsers.hs_err.process import PointersSection, ProcessSection
from parsers.hs_err.reader import HEX, Section
from parsers.hs_err.system import SystemSection
from parsers.hs_err.text import Text, normalised
from parsers.hs_err.thread import ThreadSection
from parsers.hs_err.vm import NativeMemorySection, VmSection
from parsers.limits import LIMITS

SNIFF = 4096
MAX_UNKNOWN = LIMITS.splitter_unknown
_LARGEST_EXCERPT = LIMITS.splitter_largest_excerpt
"""Bytes of a text that may be part of a log by its lines alone."""
_LEAST_WITH_SECTIONS, _LEAST_OF_LINES = 0.3, 0.5

_BANNER = re.compile(r"-{5,40} {1,4}(S U M M A R Y|T H R E A D|P R O C E S S|S Y S T E M|A S A N)\s*-*\s*$")
_REPORT_ERROR = re.compile(
    rf"\[?(?:error occurred during error reporting|timeout occurred during error reporting)(?: in step)? ?"
    rf"(?:\(([^()]{{0,200}}(?:\([^()]{{0,100}}\))?[^()]{{0,100}})\)|\"([^\"]{{0,200}})\")?(?:, id ({HEX}))?"
)
_TELLS_ITSELF = re.compile(
    r"[VCvJjAM][ \t]|\||[0-9a-f]{4,16}-|0x|=>|Event: |_java_thread_list|[ \t]*(?:SIG|AC |"
    r"\(?(?:Small|Medium|Large)[ \t]|bounds \[|"
    r"total[ _]blobs=)|.{0,300}(?:JavaThread|\[0x|committed|\}[ \t]*$)|.{0,80} kB[ \t]*$"
)
"""What every line has that a reader knows without its section (Section.any): a first look, for speed."""
_HINT = "hand over the whole hs_err_pid*.log, with its first lines, as text"


def looks_like(data: bytes) -> bool:
    """Whether this is the start of an hs_err log, from its first 4 KiB."""
    head = data[:SNIFF]
    if header.FATAL.encode() in head or header.INSUFFICIENT.encode() in head:
        return True
    return (
        re.search(rb"(?m)^-{5,40} {1,4}(?:S U M M A R Y|T H R E A D|P R O C E S S|S Y S T E M) {1,4}-", head)
        is not None
    )


class _Readers:
    """All section readers, and one pattern of all their headings."""

    def __init__(self) -> None:
        self.header, self.summary, self.thread = HeaderSection(), SummarySection(), ThreadSection()
        self.process, self.pointers, self.heap = ProcessSection(), PointersSection(), HeapSection()
        self.metaspace, self.code, self.events = MetaspaceSection(), CodeCacheSection(), EventsSection()
        self.libraries, self.nmt, self.vm = LibrariesSection(), NativeMemorySection(), VmSection()
        self.system, self.console = SystemSection(), ConsoleSection()
        self.all: tuple[Section, ...] = (
            self.header,
            self.summary,
            self.thread,
            self.process,
            self.pointers,
            self.events,
            self.code,
            self.metaspace,
            self.heap,
            self.libraries,
            self.nmt,
            self.vm,
            self.system,
            self.console,
        )


class _Splitter:
    """State of one pass over a log."""

    def __init__(self) -> None:
        self.readers = _Readers()
        self.total = self.understood = self.sections = 0
        self.unknown: list[Line] = []
        self.errors: list[ReportError] = []
        self.last = ""
        self._section: Section | None = None
        self._name = ""

    def line(self, line: Line) -> None:
        """Count it, and let its section have it."""
        text = line.text
        if not text.strip():
            for reader in self.readers.all:
                reader.blank()
            return
        self.total += 1
        self.last = text
        if self._take(text):
            self.understood += 1
        elif len(self.unknown) < MAX_UNKNOWN:
            self.unknown.append(line)

    def _take(self, text: str) -> bool:
        if self._report_error(text):
            return True
        if text[0] == "-" and _BANNER.match(text):
            self._section, self._name = None, ""
            self.sections += 1
            return True
        opened = self._heading(text)
        if opened is not None:
            reader, name = opened
            self._section, self._name = reader, name
            known = reader.open(name, text)
            self.sections += known and text[0] != "#"
            return known
        if self._section is not None and self._section.feed(self._name, text):
            return True
        return _TELLS_ITSELF.match(text) is not None and any(reader.any(text) for reader in self.readers.all)

    def _heading(self, text: str) -> tuple[Section, str] | None:
        if text[0] in " \t|0" or text.startswith("Event: ") or self._continues(text):
            return None
        found = _HEADINGS.match(text)
        if not found or not found.lastgroup:
            return None
        index, name = _PLACES[found.lastgroup]
        reader = self.readers.all[index]
        if name == "code" and reader is self._section is self.readers.thread and reader.inside(self._name):
            return None
        return reader, name

    def _continues(self, text: str) -> bool:
        """The heap dumped inside of an event, and values that begin like a heading."""
        if self._section is self.readers.events:
            return text[:1] in "{}" or (
                text.startswith(("Heap before", "Heap after", "Metaspace:", "ZHeap", "Shenandoah Heap"))
                and "History" in str(self.readers.events.rings[-1].values.get("name"))
            )
        return (
            self._section is self.readers.vm
            and self._name in ("environment", "release")
            and re.match(r"[A-Za-z_]\w*=", text) is not None
        )

    def _report_error(self, text: str) -> bool:
        found = _REPORT_ERROR.match(text)
        if not found or len(self.errors) >= 1000:
            return False
        step = found[1] or found[2]
        self.errors.append(
            ReportError(text=text, step=step.strip() if step else None, id=int(found[3], 16) if found[3] else None)
        )
        return True

    def make(self, text: Text) -> HsErrLog:
        """The facts."""
        r = self.readers
        limits = set().union(*(reader.cut() for reader in r.all))
        if text.cut:
            limits.add("bytes")
        if self.total - self.understood > len(self.unknown):
            limits.add("unknown")
        ended = r.system.end or self.last.startswith("elapsed time:")
        return HsErrLog(
            header=r.header.make(),
            console=r.console.facts.make(),
            summary=r.summary.facts.make(),
            thread=r.thread.facts.make(),
            process=r.process.facts.make(),
            pointers=r.pointers.facts.make(),
            heap=r.heap.facts.make(),
            metaspace=r.metaspace.facts.make(),
            code_cache=r.code.facts.make(),
            events=r.events.make(),
            libraries=r.libraries.facts.make(),
            native_memory=r.nmt.facts.make(),
            vm=r.vm.facts.make(),
            system=r.system.facts.make(),
            report_errors=tuple(self.errors),
            complete=r.system.end,
            ended=ended,
            coverage=Coverage(total=self.total, understood=self.understood),
            unknown=tuple(self.unknown),
            limits_reached=tuple(sorted(limits)),
            normalised=text.changes,
            logs=text.logs,
            others=text.others,
        )


def _headings() -> tuple[re.Pattern[str], dict[str, tuple[int, str]]]:
    """All headings as one pattern; its group's name tells reader and section."""
    parts, places = [], {}
    for index, reader in enumerate(_Readers().all):
        for number, (name, pattern) in enumerate(reader.headings):
            group = f"g{index}_{number}"
            parts.append(f"(?P<{group}>{pattern})")
            places[group] = (index, name)
    return re.compile("|".join(parts)), places


_HEADINGS, _PLACES = _headings()


def _likely(sections: int, log: HsErrLog) -> bool:
    """Whether a text without HotSpot's own words is part of a log: by sections, or lines of a stack or of a head."""
    head, ratio = log.header, log.coverage.ratio
    if sections and log.coverage.understood and ratio >= _LEAST_WITH_SECTIONS:
        return True
    if head.allocation is not None and ratio >= _LEAST_OF_LINES:
        return True
    lines = len(log.thread.native_frames) + sum(fact is not None for fact in (head.kind, head.vm, head.runtime))
    return ratio >= _LEAST_OF_LINES and (lines > 1 or head.problematic_frame is not None)


def parse(data: bytes, *, excerpt: bool = True) -> HsErrLog:
    """All facts of a log, whole, cut, damaged or pasted. ParseError if it is no such log at all.

    excerpt: parts without any words that HotSpot alone uses (a list of processors, a memory map) will do.
    """
    text = normalised(data)
    if not text.told and (not excerpt or len(data) > _LARGEST_EXCERPT):
        raise ParseError("hs_err log", 0, f"no words of HotSpot in {len(data)} bytes", hint=_HINT)
    splitter = _Splitter()
    for line in text.lines:
        splitter.line(line)
    log = splitter.make(text)
    if not text.told and not _likely(splitter.sections, log):
        raise ParseError(
            "hs_err log",
            0,
            f"no heading of a fatal error log in {len(data)} bytes, "
            f"{log.coverage.understood} of {log.coverage.total} lines like one",
            hint=_HINT,
        )
    return log
