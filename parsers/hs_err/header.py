"""The `#` block and S U M M A R Y (vmError.cpp, steps "printing type of error" to "printing date and
time")."""

from __future__ import annotations

import re

from parsers.hs_err import frames
from parsers.hs_err.model import Allocation, CoreDump, Header, RuntimeVersion, Summary, VmVersion
from parsers.hs_err.reader import HEX, Draft, Section, address, first, rule

FATAL = "A fatal error has been detected by the Java Runtime Environment"
UNEXPECTED = "An unexpected error has been detected by "
"""JDK 5 and 6: "… HotSpot Virtual Machine:", "… Java Runtime Environment:"."""
INSUFFICIENT = "There is insufficient memory for the Java Runtime Environment to continue"

_COLLECTORS = {
    "g1 gc": "g1",
    "parallel gc": "parallel",
    "serial gc": "serial",
    "concurrent mark sweep gc": "cms",
    "z gc": "z",
    "shenandoah gc": "shenandoah",
    "epsilon gc": "epsilon",
}
_MODES = ("mixed mode", "interpreted mode", "compiled mode", "mixed mode, emulated-client")
_WHO = r",? *pid=(\d{1,12}), tid=(0x[0-9a-fA-F]{1,16}|-?\d{1,20})"
_PARENS = re.compile(r"\(([^()]*)\)")
_BANNERS = (
    FATAL,
    UNEXPECTED,
    INSUFFICIENT,
    "This output file may be truncated or incomplete",
    "Problematic frame:",
    "If you would like to submit a bug report, please visit",
    "See problematic frame for where to report",
    "Possible reasons",
    "Possible solutions",
    "An error report file with more information is saved as",
    "Compiler replay data is saved as",
)


class HeaderSection(Section):
    """The `#` lines, wherever they stand."""

    headings = (("head", r"#"),)

    def __init__(self) -> None:
        self.facts = Draft(Header)
        self._next = ""
        self._rules = (
            rule(
                rf"(\S.{{0,120}}?) \(({HEX})\) at pc=({HEX})(?: \((sent by [^)]{{1,80}})\))?{_WHO}",
                self._signal,
            ),
            rule(
                r"(Internal Error|Out of Memory Error|Error) "
                rf"\((?:(.{{1,512}}):(\d{{1,9}})|({HEX})|[0-9A-F]{{16,80}})\){_WHO}",
                self._internal,
            ),
            rule(rf"(Internal Error) at (.{{1,512}}):(\d{{1,9}})(){_WHO}", self._internal),
            rule(
                r"java\.lang\.OutOfMemoryError: requested (\d{1,20}) bytes(?: for (.{1,300}?))?\."
                r" Out of swap space\?",
                self._swap,
            ),
            rule(
                r"Native memory allocation(?: \((\w{1,20})\))? failed to \w{1,20} (\d{1,20}) bytes"
                r"(?:\. Error detail: | for )?(.*)",
                self._allocation,
            ),
            rule(r"JRE version: *(.*)", self._runtime),
            rule(r"Java VM: *(.*)", self._vm),
            rule(
                r"(?:Core dump|No core dump|Failed to write core|Minidump|CreateCoredumpOnCrash|Core dumps|"
                r"CreateMinidumpOnCrash)",
                lambda m: self._core(m.string),
            ),
            rule(r"JFR recording", lambda m: self.facts.add("jfr", m.string)),
            rule(
                r"(?:(?:An error report|Compiler replay|Problematic frame|If you would like|Possible reasons|"
                r"Possible solutions)[^:]*):\s*$",
                self._expect,
            ),
            rule(r"The crash happened outside", lambda m: self.facts.put(outside_vm=True)),
        )

    def open(self, name: str, text: str) -> bool:
        """Every `#` line is a heading of its own."""
        indent = len(text) - len(text[1:].lstrip()) - 1
        content = text[1:].strip()
        if not content:
            if self._next in ("Possible reasons", "Possible solutions"):
                self._next = ""
            return True
        if content.startswith((FATAL, UNEXPECTED)):
            return True
        if content.startswith(INSUFFICIENT):
            return self.facts.put(insufficient_memory=True)
        if first(self._rules, content):
            return True
        return self._follow(content, indent)

    def feed(self, name: str, text: str) -> bool:
        """A message of several lines (the second and further lines of an assertion's detail)."""
        values = self.facts.values
        if "message" in values and "runtime" not in values and len(values["message"]) < 8192:
            values["message"] += "\n" + text
            values["detail"] = (values.get("detail") or "") + "\n" + text
            return True
        return False

    def _follow(self, content: str, indent: int) -> bool:
        expected, facts = self._next, self.facts
        if content.startswith(_BANNERS):
            return True
        if expected == "Possible reasons":
            return facts.add("reasons", content)
        if expected == "Possible solutions":
            return facts.add("solutions", content)
        if expected:
            self._next = ""
        if expected == "Problematic frame":
            frame = frames.parse(content)
            return facts.put(problematic_frame=frame) if frame else self._note(content)
        if expected.startswith("If you would like"):
            return facts.put(bug_url=content)
        if expected.startswith("An error report"):
            return facts.add("saved_as", content)
        if expected.startswith("Compiler replay"):
            return facts.put(replay_file=content)
        frame = frames.parse(content)
        if frame:
            return facts.put(problematic_frame=frame)
        if facts.values.get("kind") == "internal-error" and "runtime" not in facts.values and indent >= 1:
            return self._message(content)
        values = facts.values
        if values.get("insufficient_memory") and not {"runtime", "allocation", "detail", "kind"} & values.keys():
            return facts.put(detail=content.rstrip("."))  # "Cannot create worker GC thread. Out of system resources."
        return self._note(content)

    def make(self) -> Header:
        """The facts. A head on the console may end before the line that names the kind of error."""
        if self.facts.values.get("insufficient_memory"):
            self.facts.put(kind="out-of-memory")
        return self.facts.make()

    def _swap(self, m: re.Match[str]) -> bool:
        """JDK 5 and 6 (vm_exit_out_of_memory of utilities/debug.cpp)."""
        allocation = Allocation(function="malloc", size=int(m[1]), detail=m[2])
        return self.facts.put(kind="out-of-memory", insufficient_memory=True, allocation=allocation)

    def _note(self, content: str) -> bool:
        self.facts.add("notes", content)
        return False

    def _expect(self, m: re.Match[str]) -> bool:
        self._next = m.string.split(":")[0]
        return True

    def _signal(self, m: re.Match[str]) -> bool:
        code = address(m[2])
        kind = "internal-error" if code >> 28 == 0xE and not m[1].startswith("EXCEPTION") else "signal"
        return self.facts.put(
            kind=kind,
            signal_name=m[1],
            error_id=code,
            pc=address(m[3]),
            sent_by=m[4],
            pid=int(m[5]),
            tid=_thread_id(m[6]),
        )

    def _internal(self, m: re.Match[str]) -> bool:
        return self.facts.put(
            kind="out-of-memory" if m[1].startswith("Out") else "internal-error",
            source_file=m[2],
            source_line=int(m[3]) if m[3] else None,
            error_id=address(m[4]) if m[4] else None,
            pid=int(m[5]),
            tid=_thread_id(m[6]),
        )

    def _message(self, content: str) -> bool:
        values = self.facts.values
        if "message" in values:
            values["message"] += "\n" + content
            return True
        _, colon, tail = content.partition(": ")
        return self.facts.put(message=content, detail=tail if colon else None)

    def _allocation(self, m: re.Match[str]) -> bool:
        detail = m[3].strip().rstrip(".") if m[3] else None
        allocation = Allocation(function=m[1] or "malloc", size=int(m[2]), detail=detail or None)
        return self.facts.put(insufficient_memory=True, allocation=allocation)

    def _core(self, text: str) -> bool:
        text = text[:4096]
        written = (
            None if "may be" in text.split(".")[0] else not text.startswith(("No ", "Failed", "Create", "Core dumps"))
        )
        _, found, location = text.partition("Default location: ")
        if not found:
            _, found, location = text.partition("Location: ")
        dumped = re.search(r"\(or dumping to (.*)\)\s*$", location)
        location = dumped[1] if dumped else re.split(r" or core\.\d| \(max size ", location, maxsplit=1)[0]
        return self.facts.put(core=CoreDump(text=text, written=written, location=location.strip() or None))

    def _runtime(self, m: re.Match[str]) -> bool:
        self._next = ""
        return self.facts.put(runtime=runtime_version(m[1].strip()))

    def _vm(self, m: re.Match[str]) -> bool:
        return self.facts.put(vm=vm_version(m[1].strip()))

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut


def _thread_id(text: str) -> int:
    return int(text, 16) if text.startswith("0x") else int(text)


def runtime_version(text: str) -> RuntimeVersion:
    """`OpenJDK Runtime Environment Temurin-21.0.2+13 (21.0.2+13) (build 21.0.2+13-LTS)`
    (report_vm_version)."""
    if re.match(r"\d[\w.+-]*$", text):
        return RuntimeVersion(text=text, version=text)  # JDK 5 to 7: 7.0_80-b15
    name = "" if text.startswith("(") else text.split("(build")[0]
    parens = [p for p in _PARENS.findall(text.replace("Java(TM)", "Java[TM]")) if p]
    build = next((p[5:].strip() for p in parens if p.startswith("build")), None)
    plain = [p for p in parens if not p.startswith("build")]
    head, vendor = _name_and_vendor(re.split(r" ?\((?!TM\))", name, maxsplit=1)[0].strip())
    if len(plain) > 1:
        vendor = vendor or plain[0]
    return RuntimeVersion(
        text=text, name=head, vendor_version=vendor, version=plain[-1] if plain else None, build=build or None
    )


def _name_and_vendor(text: str) -> tuple[str | None, str | None]:
    """`OpenJDK Runtime Environment Temurin-17.0.9+9` has its vendor's version as last word."""
    head, _, last = text.rpartition(" ")
    if head and any(c.isdecimal() for c in last):
        return head.strip(), last
    return text or None, None


def vm_version(text: str) -> VmVersion:
    """`OpenJDK 64-Bit Server VM 18.9 (11.0.9+11-LTS, mixed mode, …, g1 gc, linux-amd64)`; JDK 8 has no
    commas."""
    parens = list(_PARENS.finditer(text.replace("HotSpot(TM)", "HotSpot[TM]")))
    if not parens:
        return VmVersion(text=text, name=text or None)
    inner = parens[-1][1].strip()
    name, vendor = _name_and_vendor(re.split(r" \(", text, maxsplit=1)[0].strip())
    if len(parens) > 1:
        vendor = vendor or parens[0][1]
    if "," in inner:
        words = [w.strip() for w in inner.split(",")]
        version, _, old = words[0].partition(" ")  # 1.5.0_22-b03 mixed mode, sharing
        options = [*([old] if old else ()), *words[1:]]
    else:
        version, _, rest = inner.partition(" ")
        options = _old_options(rest)
    platform = next((o for o in options if re.fullmatch(r"[a-z]+-[\w.-]+", o)), None)
    rest_options = tuple(o for o in options if o != platform)
    collector = next((_COLLECTORS[o] for o in rest_options if o in _COLLECTORS), None)
    mode = next((o for o in rest_options if o.endswith("mode")), None)
    oops = any(o.startswith("compressed oops") for o in rest_options) if platform else None
    return VmVersion(
        text=text,
        name=name,
        vendor_version=vendor,
        version=version or None,
        mode=mode,
        options=rest_options,
        collector=collector,
        compressed_oops=oops,
        platform=platform,
    )


def _old_options(rest: str) -> list[str]:
    """`mixed mode linux-amd64 compressed oops` of JDK 8."""
    options = []
    mode = re.match(r"(\w+ mode)(?: (sharing))?", rest)
    if mode:
        options += [o for o in mode.groups() if o]
        rest = rest[mode.end() :].strip()
    platform, _, more = rest.strip().partition(" ")
    return [*options, *(o for o in (platform, more.strip()) if o)]


class SummarySection(Section):
    """S U M M A R Y, and the time lines at the end of JDK 8 logs."""

    headings = (
        ("command", r"Command Line:"),
        ("line", r"Host:"),
        ("line", r"Time:"),
        ("line", r"elapsed time:"),
        ("line", r"time: "),
        ("line", r"timezone:"),
    )

    def __init__(self) -> None:
        self.facts = Draft(Summary)
        self._rules = (
            rule(r"Command Line: ?(.*)", lambda m: self.facts.put(command_line=m[1].strip())),
            rule(r"Host: ?(.*)", lambda m: self._host(m[1])),
            rule(r"Time: (.{1,80}?) elapsed time: (\d{1,12}(?:\.\d{1,9})?) seconds", self._time),
            rule(r"time: +(.*)", lambda m: self.facts.put(time=m[1].strip())),
            rule(r"Time: +(.*)", lambda m: self.facts.put(time=m[1].strip())),
            rule(r"timezone: +(.*)", lambda m: self.facts.put(timezone=m[1].strip())),
            rule(
                r"elapsed time: (\d{1,12}(?:\.\d{1,9})?) seconds",
                lambda m: self.facts.put(elapsed=float(m[1])),
            ),
        )

    def open(self, name: str, text: str) -> bool:
        """Each line is its own heading."""
        return first(self._rules, text)

    def feed(self, name: str, text: str) -> bool:
        """An argument with a newline goes on here."""
        line = self.facts.values.get("command_line")
        if name == "command" and line is not None and len(line) < 65536:
            self.facts.values["command_line"] = line + "\n" + text
            return True
        return False

    def _host(self, text: str) -> bool:
        """`cpu model, N cores, 15G, OS`; or `name, cpu…` (os::print_summary_info prints the host name in
        debug VMs)."""
        m = re.match(r"(.*?),? ?(\d{1,6}) cores?, (\d{1,9}[KMGT]?)(?:,\s*(.*))?$", text)
        if not m:
            return self.facts.put(host=text.strip())
        return self.facts.put(
            host=text.strip(),
            cpu=m[1].strip() or None,
            cores=int(m[2]),
            memory=m[3],
            os=(m[4] or "").strip() or None,
        )

    def _time(self, m: re.Match[str]) -> bool:
        return self.facts.put(time=m[1], elapsed=float(m[2]))
