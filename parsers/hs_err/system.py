"""S Y S T E M (os::print_os_info of os_linux.cpp, os_bsd.cpp, os_windows.cpp; print_cpu_info;
print_memory_info)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parsers.hs_err.model import Setting, System
from parsers.hs_err.reader import Draft, Section, first, rule, size, sized

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMINFO = re.compile(r"([A-Z]\w*(?:\(\w+\))?): +(\d{1,20})(?: (kB))?\b")
_KEY = re.compile(r"([A-Za-z][\w ()/.,\[\]+#-]{0,80}?)\s*:\s*(.*)$")
_MEMORY = re.compile(
    r"Memory: (\d{1,6})k page"
    r"(?:, (?:system-wide )?physical (\d{1,15})([kKMG])\s?\((\d{1,15})([kKMG]) free\))?"
    r"(?:, swap (\d{1,15})([kKMG])\s?\((\d{1,15})([kKMG]) free\))?(.*)"
)
_RELEASE = re.compile(r"\d|\w=|[Rr]elease|Linux|Copyright|Version|\(T2 libthread\)")
_LIMIT = re.compile(r"([A-Z]{2,12}) (\S+)")
_CPU_BLOCKS = (
    "Online cpus",
    "Offline cpus",
    "cache level",
    "cache type",
    "cache size",
    "cache coherency line size",
    "BIOS frequency limitation",
    "Frequency switch latency",
    "Available cpu frequencies",
    "Maximum cpu frequency",
    "Minimum cpu frequency",
    "Current cpu frequency",
    "Available governors",
    "Current governor",
    "Core performance/turbo boost",
    "CPU Model and flags",
    "machdep.",
    "hw.",
    "sysctl",
    "Processor Information",
    "Max Mhz",
    "HighestPerf",
    "Frequency",
    "Cpu",
)


class SystemSection(Section):
    """Operating system, container, processor and memory."""

    headings = (
        ("os", r"OS:"),
        ("line", r"uname:"),
        ("line", r"OS uptime:"),
        ("line", r"libc:"),
        ("line", r"pthread:"),
        ("rlimit", r"rlimit"),
        ("line", r"load average:"),
        ("meminfo", r"/proc/meminfo:"),
        ("sys", r"/sys/"),
        ("sys", r"/proc/sys/"),
        ("process", r"Process Memory:"),
        ("process", r"Process memory usage|Open File Descriptors:"),
        ("container", r"container \(cgroup\) information"),
        ("container", r"container information not found|container_type:"),
        ("line", r".{1,40} virtualization detected"),
        ("line", r"(?:Hyper-?V|VMWare|VMware|KVM|Xen|HyperV) "),
        ("steal", r"Steal ticks"),
        ("cpu", r"CPU:"),
        ("cpuinfo", r"/proc/cpuinfo:"),
        ("cpuinfo", r"processor\s*: \d"),
        ("cpu", "|".join(re.escape(b) for b in _CPU_BLOCKS[:16])),
        ("memory", r"Memory: "),
        ("memory", r"Page Sizes:|TotalPageFile|current process "),
        ("line", r"vm_info:"),
        ("end", r"END\.?\s*$"),
    )

    def __init__(self) -> None:
        self.facts = Draft(System)
        self.end = False
        self._key = ""
        self._empty = False
        put = self.facts.put

        def one(name: str) -> Callable[[re.Match[str]], bool]:
            return lambda m: put(**{name: m[1].strip()})

        self._rules = (
            rule(r"uname: ?(.+)", one("uname")),
            rule(r"OS uptime: ?(.+)", one("uptime")),
            rule(r"(?:libc|pthread): ?(.+)", one("libc")),
            rule(r"vm_info: ?(.+)", one("vm_info")),
            rule(r"rlimit(?: \(soft/hard\))?: ?(.+)", self._limits),
            rule(r"load average: ?(.+)", self._load),
            rule(r"OS: *(\S.*)", one("os")),
            rule(r"OS:\s*$", lambda m: True),
            rule(_MEMORY.pattern, self._memory),
            rule(r"CPU: ?(.+)", self._cpu),
            rule(r"(.{1,40} virtualization.*|(?:Hyper-?V|VM[Ww]are|KVM|Xen|HyperV) .*)", one("virtualization")),
            rule(r"(Steal ticks [\w ]{1,60}): +(\S+)", lambda m: self._add("steal", m[1], m[2])),
            rule(r"(/(?:sys|proc/sys)/[^:]{1,300}): *(.*)", self._kernel),
            rule(r"(Page Sizes): *(.*)", lambda m: self._add("memory_details", m[1], m[2])),
            rule(r"(TotalPageFile) (.*)", lambda m: self._add("memory_details", m[1], m[2])),
            rule(r"(current process [^:]{1,120}): *(.*)", lambda m: self._add("memory_details", m[1], m[2])),
            rule(r"(container information not found\.?)", lambda m: self._add("container", m[1], "")),
            rule(r"(container_type): *(.+)", lambda m: self._add("container", m[1], m[2])),
        )

    def open(self, name: str, text: str) -> bool:
        """Most lines are headings of their own."""
        self._key, self._empty = "", False
        if name == "end":
            self.end = True
            return True
        if first(self._rules, text):
            return True
        if name == "process" and text.startswith("Open"):
            return self._pair("process_memory", text)
        if name == "cpuinfo" and not text.startswith("/proc"):
            return self._pair("cpu_details", text)
        if name == "cpu":
            return text.startswith("CPU Model and flags") or self._processor(text)
        return name in ("meminfo", "process", "container", "cpuinfo")

    def feed(self, name: str, text: str) -> bool:
        """By section."""
        if name == "meminfo":
            return self._meminfo(text)
        if name == "os":
            return self._release(text)
        if name == "sys":
            return self._waiting(text)
        if name in ("process", "container"):
            into = "process_memory" if name == "process" else "container"
            return self._pair(into, text) or text.startswith("Could not open ")
        if name in ("cpu", "cpuinfo", "steal"):
            return self._processor(text)
        if name == "memory":
            return self._pair("memory_details", text)
        if name == "line":
            return bool(self.facts.values.get("uname")) and text.startswith("  (") and self._release(text)
        return False

    def any(self, text: str) -> bool:
        """meminfo rows tell themselves."""
        return text.rstrip().endswith(" kB") and self._meminfo(text)

    def _add(self, into: str, name: str, value: str) -> bool:
        return self.facts.add(into, Setting(name=name.strip(), value=value.strip()))

    def _pair(self, into: str, text: str) -> bool:
        m = _KEY.match(text.strip())
        return m is not None and self._add(into, m[1], m[2])

    def _meminfo(self, text: str) -> bool:
        m = _MEMINFO.match(text)
        return m is not None and self.facts.add("meminfo", (m[1], int(m[2]) << (10 if m[3] else 0)))

    def _release(self, text: str) -> bool:
        if "uname" not in self.facts.values:
            self.facts.put(os=text.strip().removeprefix("PRETTY_NAME=").strip('"'))
        known = len(text) < 1024 and _RELEASE.search(text) is not None
        return known and self.facts.add("os_release", text.strip())

    def _limits(self, m: re.Match[str]) -> bool:
        found = [(name, value.rstrip(",")) for name, value in _LIMIT.findall(m[1])]
        return bool(found) and self.facts.add("rlimits", *found)

    def _load(self, m: re.Match[str]) -> bool:
        numbers = re.findall(r"\d{1,9}\.\d{1,4}", m[1])
        return bool(numbers) and self.facts.put(load_average=tuple(float(n) for n in numbers))

    def _kernel(self, m: re.Match[str]) -> bool:
        name, value = m[1], m[2].strip()
        if not value:
            self._key = name
            return True
        return self._add("huge_pages" if "hugepage" in name else "kernel", name, value)

    def _waiting(self, text: str) -> bool:
        """JDK 11 prints the value of a file below its name."""
        if not self._key:
            return False
        name, self._key = self._key, ""
        return self._add("huge_pages" if "hugepage" in name else "kernel", name, text)

    def _cpu(self, m: re.Match[str]) -> bool:
        total = re.search(r"total (\d{1,6})", m[1])
        return self.facts.put(cpu=m[1].strip(), cpu_total=int(total[1]) if total else None)

    def _processor(self, text: str) -> bool:
        """`name : value`, or the value below its name (JDK 11)."""
        if self._key:
            name, self._key = self._key, ""
            return self._add("cpu_details", name, text)
        m = _KEY.match(text.strip())
        if not m:
            return False
        if not m[2] and m[1].startswith(_CPU_BLOCKS):
            self._key = m[1]
            return True
        return self._add("cpu_details", m[1], m[2])

    def _memory(self, m: re.Match[str]) -> bool:
        def number(i: int) -> int | None:
            return sized(m[i], m[i + 1]) if m[i] else None

        return self.facts.put(
            memory=m.string[8:].strip(),
            page_size=size(m[1] + "K"),
            physical_memory=number(2),
            physical_memory_free=number(4),
            swap=number(6),
            swap_free=number(8),
        )

    def blank(self) -> None:
        """A value missing below its name stays missing."""
        self._key = ""

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut
