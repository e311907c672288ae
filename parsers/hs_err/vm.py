"""What the VM was told (Arguments::print_on, JVMFlag::printFlags,
LogConfiguration::describe_current_configuration, os::print_environment_variables, print_active_locale,
print_signal_handlers), and native memory tracking."""

from __future__ import annotations

import re

from parsers.hs_err.model import Arguments, Flag, MemoryTag, NativeMemory, Setting, SignalHandler, Vm
from parsers.hs_err.reader import HEX, Draft, Section, sized

_FLAG = re.compile(r"\s*(\w{2,16}) +(\w{1,80}) +(:?=) ?(.*)$")
_FLAG_END = re.compile(r"\s*\{([^{}]{1,80})\}(?: \{([^{}]{1,40})\})?\s*$")
_VARIABLE = re.compile(r"([A-Za-z_][\w.()]{0,63})=(.*)$")
_HANDLER = re.compile(
    r"\s{0,30}(SIG\w{1,10}): (.{1,300}?)(?:, (?:sa_)?mask(?:\[0\])?=([01A-F]{1,128}))?"
    r"(?:, (?:sa_)?flags=([\w|]{1,200}))?(?:, (un)?blocked)?\s{0,8}$"
)
_ARGUMENTS = (
    ("jvm_args:", "jvm_args"),
    ("jvm_flags:", "jvm_flags"),
    ("java_command:", "java_command"),
    ("java_class_path (initial):", "class_path"),
    ("Launcher Type:", "launcher"),
)


class VmSection(Section):
    """Arguments to signal handlers."""

    headings = (
        ("arguments", r"VM Arguments:"),
        ("arguments", r"(?:jvm_args|jvm_flags|java_command|Launcher Type):"),
        ("arguments", r"java_class_path \(initial\):"),
        ("flags", r"\[Global flags\]"),
        ("logging", r"Logging:\s*$"),
        ("release", r"Release file:"),
        ("environment", r"Environment Variables:"),
        ("locale", r"Active Locale:"),
        ("handlers", r"Signal Handlers:"),
        ("trim", r"Periodic native trim"),
        ("compiler", r"Compil(?:er|ation) [Mm]emory [Ss]tatistic"),
        ("note", r"Unsupported internal testing APIs|MGM was here"),
    )

    def __init__(self) -> None:
        self.facts = Draft(Vm)
        self._arguments = Draft(Arguments)
        self.facts.values["arguments"] = self._arguments
        self._argument: str | None = None
        self._more = 0

    def open(self, name: str, text: str) -> bool:
        """The argument lines, and statements of one line."""
        if name == "arguments":
            return text.startswith("VM Arguments:") or self._argument_line(text)
        if name == "trim":
            return self.facts.add("native_trim", text)
        if name == "compiler":
            return self.facts.add("compiler_memory", text)
        return name != "note" or self.facts.add("notes", text)

    def feed(self, name: str, text: str) -> bool:
        """By section."""
        if name == "arguments":
            return self._argument_line(text)
        if name == "flags":
            return self._flag(text)
        if name == "logging":
            known = re.match(r"(?:Log output configuration:|\s*#\d+: |\s*\(?[Nn]o |Log \w)", text)
            return known is not None and (text.startswith("Log ") or self.facts.add("logging", text.strip()))
        if name == "release":
            return self._release(text)
        if name in ("environment", "locale"):
            return self._variable(name, text)
        if name == "handlers":
            return self._handler(text)
        if name == "trim":
            return self.facts.add("native_trim", text.strip())
        return name == "compiler" and self._compiler(text)

    def any(self, text: str) -> bool:
        """Flags and handlers tell themselves."""
        return (
            self._handler(text)
            if text.lstrip().startswith("SIG")
            else "{" in text and " = " in text and self._flag(text)
        )

    def _argument_line(self, text: str) -> bool:
        for prefix, name in _ARGUMENTS:
            if text.startswith(prefix):
                self._argument = name
                return self._arguments.put(**{name: text[len(prefix) :].strip()})
        value = self._arguments.values.get(self._argument or "")
        if value is None or self._argument == "launcher" or self._more > 1000:
            return False
        self._more += 1
        self._arguments.values[self._argument or ""] = f"{value}\n{text}"
        return True

    def _flag(self, text: str) -> bool:
        m = _FLAG.match(text)
        if not m:
            return False
        end = _FLAG_END.search(m[4][-200:])
        value = m[4][: len(m[4]) - len(end[0])] if end else m[4]
        return self.facts.add(
            "flags",
            Flag(
                type=m[1],
                name=m[2],
                value=value.strip(),
                kind=end[1] if end else None,
                origin=end[2] if end else None,
            ),
        )

    def _release(self, text: str) -> bool:
        if text.startswith("<"):
            return self.facts.add("release", Setting(name="", value=text))
        m = _VARIABLE.match(text)
        return m is not None and self.facts.add("release", Setting(name=m[1], value=m[2].strip('"')))

    def _variable(self, into: str, text: str) -> bool:
        m = _VARIABLE.match(text)
        return m is not None and self.facts.add(into, (m[1], m[2]))

    def _handler(self, text: str) -> bool:
        last: Draft[SignalHandler] | None = self.facts.last("signal_handlers")
        note = text.lstrip()
        if note.startswith(("*", "chained to:")) or "Handler was modified" in text or "expected:" in text.lower():
            return last is not None and last.add("notes", text.strip())
        m = _HANDLER.match(text)
        if not m or not (m[3] or m[4] or re.match(r"\[|SIG_|\w+ in ", m[2])):
            return False
        handler = Draft(SignalHandler)
        blocked = None if not text.rstrip().endswith("blocked") else not text.rstrip().endswith("unblocked")
        handler.put(signal=m[1], handler=m[2].strip(), mask=m[3], flags=m[4], blocked=blocked)
        return self.facts.add("signal_handlers", handler)

    def _compiler(self, text: str) -> bool:
        return self.facts.add("compiler_memory", text)

    def blank(self) -> None:
        """Ends an argument of several lines."""
        self._argument = None

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut | self._arguments.cut


_TAG = re.compile(r"-\s{1,60}(\S.{0,60}?) \(reserved=(\d{1,20})([KMG]?B), committed=(\d{1,20})([KMG]?B)")
_TOTAL = re.compile(r"Total: {1,4}reserved=(\d{1,20})([KMG]?B), committed=(\d{1,20})([KMG]?B)")
_NMT_LINE = re.compile(
    rf"\s*(?:\( *\w|\[?\(?{HEX}|"
    r"\(?(?:malloc|mmap|arena|tracking|instance|thread|stack|class|Metadata|Class space|readonly)\b|"
    r"Preinit|pre-init|Virtual memory map|entries:|\(Omitting|MallocLimit|Details:|Memory |Baseline|"
    r"reserved|committed|live |peak|from\b|\.\.\.|"
    r"\w[\w #-]{0,60}[:=] ?[\d(<]|-? ?\w[\w .()-]{0,60}: +\d)",
    re.IGNORECASE,
)


class NativeMemorySection(Section):
    """Native Memory Tracking."""

    headings = (("nmt", r"Native Memory Tracking"), ("nmt", r"NMT |Virtual memory map:"))

    def __init__(self) -> None:
        self.facts = Draft(NativeMemory)

    def open(self, name: str, text: str) -> bool:
        """One line where it is off."""
        state = text.partition(":")[2].strip() if text.startswith("Native") else text
        return self.facts.put(state=state or None)

    def feed(self, name: str, text: str) -> bool:
        """Totals, categories, and their lines."""
        m = _TOTAL.match(text)
        if m:
            return self.facts.put(reserved=sized(m[1], m[2]), committed=sized(m[3], m[4]))
        m = _TAG.match(text)
        if m:
            tag = Draft(MemoryTag)
            tag.put(name=m[1].strip(), reserved=sized(m[2], m[3]), committed=sized(m[4], m[5]))
            return self.facts.add("tags", tag)
        if not _NMT_LINE.match(text):
            return False
        last: Draft[MemoryTag] | None = self.facts.last("tags")
        if last is not None and text.startswith("  "):
            return last.add("details", text.strip())
        return self.facts.add("details", text.strip())

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut
