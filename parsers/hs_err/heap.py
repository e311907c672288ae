"""Heap, metaspace and code cache (CollectedHeap::print_heap_on and print_gc_on of each collector,
GCLogPrecious, MetaspaceUtils::print_on, print_basic_report, CodeCache::print_summary)."""

from __future__ import annotations

import re

from parsers.hs_err.model import (
    CodeCache,
    CodeHeap,
    Heap,
    HeapRegion,
    HeapSpace,
    Metaspace,
    MetaspaceRow,
    Range,
    Setting,
)
from parsers.hs_err.reader import HEX, Draft, Section, address, first, rule, sized

_BOUNDS = re.compile(rf"\[({HEX}(?:, ?{HEX}){{1,3}})\)?\]?")
_SIZED = re.compile(r"(total reserved|max capacity|soft max|\b\w{1,20}) (\d{1,15})([BKMGT])\b")
_NUMBERS = re.compile(
    r"(\d{1,15}(?:\.\d{1,4})?) ?(bytes|[KMGT]B|[BKMGT])\b(?: ?\( ?[<>]?\d{1,3}% ?\))? ?([A-Za-z][\w+]*)?"
)
_NAMES = {
    "g1": ("garbage-first",),
    "parallel": ("PSYoungGen", "ParOldGen"),
    "cms": ("concurrent mark-sweep",),
    "serial": ("def new", "DefNew", "tenured generation", "Tenured"),
    "z": ("ZHeap", "ZGC"),
    "shenandoah": ("Shenandoah",),
    "epsilon": ("Epsilon",),
}


def space(text: str) -> HeapSpace | None:
    """`garbage-first heap   total 262144K, used 948K [0x…, 0x…)`, `  eden space 196608K,  73% used [0x…,
    0x…, 0x…)`."""
    bounds = _BOUNDS.search(text)
    limits = tuple(int(a, 16) for a in re.findall(HEX, bounds[1])) if bounds else ()
    m = re.match(r"\s*(\w[\w -]{0,40}?)? {0,3}\bspace (\d{1,15})([BKMGT]), {1,4}(\d{1,3})% used", text)
    if m:
        return HeapSpace(name=(m[1] or "space").strip(), capacity=sized(m[2], m[3]), percent=int(m[4]), bounds=limits)
    m = re.match(r"\s*([A-Za-z][\w -]{0,40}?)\s+(?=(?:total|used|capacity|reserved|max) (?:reserved )?\d)", text)
    if not m:
        return None
    sizes = {name: sized(number, unit) for name, number, unit in _SIZED.findall(text[m.end() :])}
    capacity = sizes.get("total", sizes.get("capacity"))
    return HeapSpace(
        name=m[1].strip(),
        capacity=capacity if capacity is not None else sizes.get("committed"),
        used=sizes.get("used"),
        committed=sizes.get("committed"),
        reserved=sizes.get("reserved", sizes.get("total reserved", sizes.get("max capacity"))),
        bounds=limits,
    )


_G1 = re.compile(rf"\| {{0,6}}(\d{{1,9}})\|({HEX}), ({HEX}), ({HEX})\| {{0,3}}(\d{{1,3}})%\| ?(\w{{0,3}}) ?\|(.*)")
_G1_OLD = re.compile(
    rf"\s*AC {{1,9}}\d{{1,9}}\s+(\w[\w ]{{0,30}}?)\s+TS\b(.{{0,200}}?), {{1,4}}(\d{{1,3}})% used "
    rf"\[({HEX}), ({HEX})\)"
)
_SHENANDOAH = re.compile(
    r"\| {0,9}(\d{1,9})\|(\w{1,3}) *\|(?:[YOF]\w* *\|)?"
    r"BTE {1,9}([0-9a-f]{1,16}), {1,9}([0-9a-f]{1,16}), {1,9}([0-9a-f]{1,16})\|(.*)"
)
_ZPAGE = re.compile(rf"\s*\(?(Small|Medium|Large)\s+\[?({HEX})[ ,]+({HEX})[ ,]+({HEX})\]?(.*)")


def region(text: str) -> HeapRegion | None:
    """A row of a region or page table."""
    m = _G1.match(text)
    if m:
        return HeapRegion(
            index=int(m[1]),
            bottom=address(m[2]),
            top=address(m[3]),
            end=address(m[4]),
            percent=int(m[5]),
            type=m[6] or None,
            rest=m[7].strip() or None,
        )
    m = _SHENANDOAH.match(text)
    if m:
        return HeapRegion(
            index=int(m[1]),
            type=m[2],
            bottom=address(m[3]),
            top=address(m[4]),
            end=address(m[5]),
            rest=m[6].strip() or None,
        )
    m = _ZPAGE.match(text)
    if m:
        return HeapRegion(
            index=None,
            type=m[1],
            bottom=address(m[2]),
            top=address(m[3]),
            end=address(m[4]),
            rest=m[5].strip() or None,
        )
    m = _G1_OLD.match(text)
    if m:
        return HeapRegion(
            index=None,
            type=m[1],
            bottom=address(m[4]),
            end=address(m[5]),
            percent=int(m[3]),
            rest=m[2].strip() or None,
        )
    return None


class HeapSection(Section):
    """GC precious log, heap, regions, and what the collector says of itself."""

    headings = (
        ("precious", r"GC Precious Log:"),
        ("none", r"<Empty>"),
        ("heap", r"Heap:"),
        ("heap", r"Shenandoah Heap"),
        ("regions", r"Heap Regions:"),
        ("heap", r"Collection set:|Reserved region:|Status: |\w{0,30}BarrierSet"),
        ("heap", r"(?:Heap )?Z(?:GC|Heap|Page)\b.*:?\s*$"),
        ("heap", r"(?:Card|Object start) table|Card table byte_map"),
        (
            "heap",
            r"Marking Bits|Mod Union Table|Polling page|Block offset table|Remembered set|Live Bitmap|"
            r"Mark Bitmap",
        ),
    )

    def __init__(self) -> None:
        self.facts = Draft(Heap)
        self._group: str | None = None
        put, setting = self.facts.put, self._setting
        self._rules = (
            rule(
                rf"\s*Card table byte_map: \[({HEX}), ?({HEX})[\])](.*)",
                lambda m: put(card_table=Range(start=address(m[1]), end=address(m[2]))),
            ),
            rule(rf"Polling page: ({HEX})", lambda m: put(polling_page=address(m[1]))),
            rule(
                r"\s*region size (\d{1,12})([KMG])(.*)",
                lambda m: put(region_size=sized(m[1], m[2])) and setting("region size", m.string.strip()[12:]),
            ),
            rule(
                r"\s*(\d{1,9}) x (\d{1,9}) ?([KMG])B? regions",
                lambda m: put(region_size=sized(m[2], m[3])) and setting("regions", m[1]),
            ),
            rule(r"\s*(\d{1,9})([KMGB]) (?:max|total), (.*)", self._shenandoah),
            rule(rf"\s*(\w[\w ]{{0,40}}): \(\w+\*\) ?({HEX})", lambda m: setting(m[1], m[2])),
            rule(rf"\s*(\w[\w ]{{0,40}}) \(Prev, Next\): (.*{HEX}.*)", lambda m: setting(m[1], m[2])),
            rule(rf"\s*-? ?\[({HEX}, ?{HEX})[\])]", lambda m: setting(self._group or "range", f"[{m[1]})")),
            rule(r"\s*-? ?([A-Za-z][\w ()/,#%.-]{0,80}?) ?[:=] +(\S.*)", lambda m: setting(m[1].strip(), m[2])),
            rule(r"\s*([A-Za-z][\w ]{1,40}):\s*$", self._subheading),
            rule(r"\s*(Address Space|Heap|Metadata Bits|Partition \d{1,4})\s*$", self._subheading),
            rule(r"\s*-{5,40}\s*$", lambda m: True),
            rule(rf"\s*({HEX} {HEX}) (\d{{1,12}}[BKMGT])\s*$", lambda m: setting(m[1], m[2])),
            rule(r"\s*(size classes) +(.+)", lambda m: setting(m[1], m[2])),
            rule(
                rf"\s*([A-Z][\w ]{{1,40}}?) {{2,30}}((?:{HEX}|\d{{1,12}}[BKMG%]?|\S+)(?: .*)?)$",
                lambda m: setting(m[1], m[2]),
            ),
        )

    def open(self, name: str, text: str) -> bool:
        """A heading that has values is read as a line too; the legend below `Heap Regions:` is fixed."""
        self._collector(text)
        if text.rstrip().endswith(":"):
            self._group = text.strip().rstrip(":")
        if name == "heap" and ":" in text.rstrip().rstrip(":"):
            return self.feed(name, text)
        if name == "heap" and text.startswith("ZHeap"):
            return self.feed(name, text)
        return True

    def feed(self, name: str, text: str) -> bool:
        """By section."""
        if name == "precious":
            key, colon, value = text.strip().partition(":")
            if colon and key:
                return self.facts.add("precious_log", Setting(name=key, value=value.strip()))
            said = text.startswith((" ", "<")) and len(text) < 1024
            return said and self.facts.add("precious_log", Setting(name="", value=text.strip()))
        if text[:1] == "|" or name == "regions" or text.lstrip()[:5] in ("Small", "Mediu", "Large"):
            found = region(text)
            if found:
                return self.facts.add("regions", found)
            if name == "regions" and re.match(r"\s*(?:[A-Z]{1,5}=[\w-]|\d+: )", text):
                return True
        return self._line(text)

    def any(self, text: str) -> bool:
        """Rows of region tables tell themselves."""
        found = region(text)
        if found:
            return self.facts.add("regions", found)
        found_space = space(text) if "[0x" in text or "committed" in text else None
        return found_space is not None and self.facts.add("spaces", found_space)

    def _line(self, text: str) -> bool:
        self._collector(text)
        found = space(text)
        if found:
            return self.facts.add("spaces", found)
        return first(self._rules, text) or text.strip() in (
            "Epsilon Heap",
            "Shenandoah Heap",
            "Generational Shenandoah Heap",
        )

    def _setting(self, name: str, value: str) -> bool:
        return self.facts.add("settings", Setting(name=name, value=value.strip(), group=self._group))

    def _subheading(self, m: re.Match[str]) -> bool:
        self._group = m[1]
        return True

    def _shenandoah(self, m: re.Match[str]) -> bool:
        sizes = {
            name: sized(number, unit)
            for number, unit, name in re.findall(r"(\d{1,12})([BKMG]) ([a-z ]{1,20})", m.string)
        }
        return self.facts.add(
            "spaces",
            HeapSpace(
                name="heap",
                capacity=sizes.get("max", sizes.get("total")),
                used=sizes.get("used"),
                committed=sizes.get("committed"),
                reserved=sizes.get("max"),
            ),
        )

    def _collector(self, text: str) -> None:
        words = text.strip()
        for collector, names in _NAMES.items():
            if words.startswith(names):
                self.facts.put(collector=collector)

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut


class MetaspaceSection(Section):
    """Metaspace."""

    headings = (("metaspace", r"Metaspace:\s*$"), ("metaspace", r"Internal statistics:"))

    def __init__(self) -> None:
        self.facts = Draft(Metaspace)
        self._part: str | None = None

    def open(self, name: str, text: str) -> bool:
        """Starts a part of its own."""
        self._part = None if text.startswith("Metaspace") else "Internal statistics"
        return True

    def feed(self, name: str, text: str) -> bool:
        """Rows with sizes, settings, and the headings of parts."""
        words = text.strip()
        if words in (
            "Usage:",
            "Virtual space:",
            "Chunk freelists:",
            "Chunk freelists",
            "Waste:",
            "Settings:",
        ):
            self._part = words.rstrip(":")
            return True
        m = re.match(r"((?:Non-)?[Cc]lass(?: space)?|Both|Total):\s+(.*)", words)
        if m:
            sizes = tuple((label or "free", sized(number, unit)) for number, unit, label in _NUMBERS.findall(m[2]))
            return bool(sizes) and self.facts.add("rows", MetaspaceRow(part=self._part, name=m[1], sizes=sizes))
        m = re.match(r"-? ?([A-Za-z_][\w ]{1,60}): (.+)", words)
        if m:
            return self.facts.add("settings", Setting(name=m[1], value=m[2].strip().rstrip("."), group=self._group()))
        m = re.match(r"(Metaspace|class space)\s+(?=(?:used|total) \d)", words)
        if m:
            sizes = tuple((label, sized(number, unit)) for label, number, unit in _SIZED.findall(words))
            return self.facts.add("rows", MetaspaceRow(part=None, name=m[1], sizes=sizes))
        sizes = tuple((label or "free", sized(number, unit)) for number, unit, label in _NUMBERS.findall(words))
        if sizes and words[0].isdecimal():
            return self.facts.add("rows", MetaspaceRow(part=self._part, name="Non-class", sizes=sizes))
        return words in ("(none)", "no metaspace", "No class space")

    def _group(self) -> str | None:
        return self._part if self._part == "Internal statistics" else None

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut


class CodeCacheSection(Section):
    """Code heaps and the state of compilation."""

    headings = (
        ("code", r"CodeHeap '"),
        ("code", r"CodeCache: "),
        ("code", r"Compilation: "),
        ("code", r"CodeCache:?\s*$"),
        ("code", r"Sweeper|Compilation policy"),
    )
    _SIZES = re.compile(
        r"(?:CodeHeap '([^']{1,80})'|CodeCache): size=(\d{1,15})Kb,? used=(\d{1,15})Kb,? "
        r"max_used=(\d{1,15})Kb,? free=(\d{1,15})Kb"
    )

    def __init__(self) -> None:
        self.facts = Draft(CodeCache)
        self._open: Draft[CodeHeap] | None = None
        put = self.facts.put
        self._rules = (
            rule(self._SIZES.pattern, self._sizes),
            rule(rf" ?bounds \[({HEX}), ({HEX}), ({HEX})\]", self._bounds),
            rule(
                r"\s*total[_ ]blobs=(\d{1,12}),? nmethods=(\d{1,12}),? adapters=(\d{1,12})"
                r"(?:,? full_count=(\d{1,12}))?",
                lambda m: put(
                    total_blobs=int(m[1]),
                    nmethods=int(m[2]),
                    adapters=int(m[3]),
                    full_count=int(m[4]) if m[4] else None,
                ),
            ),
            rule(
                r"\s*[Cc]ompilation: ([^,]{1,200})"
                r"(?:, stopped_count=(\d{1,12}), restarted_count=(\d{1,12}))?",
                lambda m: put(
                    compilation=m[1].strip(),
                    stopped_count=int(m[2]) if m[2] else None,
                    restarted_count=int(m[3]) if m[3] else None,
                ),
            ),
            rule(
                r"\s*stopped_count=(\d{1,12}), restarted_count=(\d{1,12})",
                lambda m: put(stopped_count=int(m[1]), restarted_count=int(m[2])),
            ),
            rule(
                r" ?blobs=(\d{1,12}), nmethods=(\d{1,12}), adapters=(\d{1,12}), full_count=(\d{1,12})",
                self._blobs,
            ),
            rule(r"\s*full_count=(\d{1,12})", lambda m: put(full_count=int(m[1]))),
            rule(
                r"\s*(?:[Ss]weep|hotness|nmethods? |policy|threshold)",
                lambda m: self.facts.add("policy", m.string.strip()),
            ),
        )

    def open(self, name: str, text: str) -> bool:
        """Headings are facts."""
        return first(self._rules, text) or text.strip() in ("CodeCache", "CodeCache:")

    def feed(self, name: str, text: str) -> bool:
        """The lines below."""
        return first(self._rules, text)

    def any(self, text: str) -> bool:
        """Some tell themselves."""
        return text.lstrip().startswith(("bounds [", "total_blobs=", "total blobs=")) and first(self._rules, text)

    def _sizes(self, m: re.Match[str]) -> bool:
        heap = Draft(CodeHeap)
        heap.put(
            name=m[1] or "CodeCache",
            size=int(m[2]) * 1024,
            used=int(m[3]) * 1024,
            max_used=int(m[4]) * 1024,
            free=int(m[5]) * 1024,
        )
        self._open = heap
        return self.facts.add("heaps", heap) if m[1] else self.facts.put(total=heap)

    def _blobs(self, m: re.Match[str]) -> bool:
        if self._open is None:
            return False
        return self._open.put(blobs=int(m[1]), nmethods=int(m[2]), adapters=int(m[3]), full_count=int(m[4]))

    def _bounds(self, m: re.Match[str]) -> bool:
        return self._open is not None and self._open.put(bounds=(address(m[1]), address(m[2]), address(m[3])))

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut
