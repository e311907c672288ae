"""The machine and container as a log's S Y S T E M section words them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parsers.hs_err.reader import size
from postmortem.model import Host

if TYPE_CHECKING:
    from parsers.hs_err import HsErrLog
    from parsers.hs_err.model import Setting

_LIMIT = ("memory_limit_in_bytes", "memory_limit")
_BUILT_FOR = re.compile(r"\bfor ([a-z]+-[\w-]+)")
_PAGE_FILE = re.compile(r"size (\d{1,12} ?[KMGT]?).{0,20}AvailPageFile size (\d{1,12} ?[KMGT]?)")
_FEATURE = re.compile(r"[A-Za-z][\w.+ -]{1,24}")
_DIGITS = 20
_DETAILS = 200
_USED = ("memory_usage_in_bytes", "memory_usage")


def host(told: HsErrLog) -> Host:
    """What is said of it; an unlimited or unsupported value is None."""
    system, summary = told.system, told.summary
    container = {setting.name: setting.value for setting in system.container}
    known = dict(system.meminfo)
    windows = _on_windows(told)
    page_files = _page_files(told) if windows else (None, None)
    limit, committed = known.get("CommitLimit"), known.get("Committed_AS")
    left = None if limit is None or committed is None else limit - committed
    return Host(
        operating_system=_named(system.os) or summary.os,
        platform=_platform(told),
        libc=system.libc,
        kernel=system.uname,
        cpu=summary.cpu or system.cpu,
        cpus=summary.cores or system.cpu_total,
        memory=known.get("MemTotal", system.physical_memory),  # the second is a container's where there is one
        memory_available=known.get("MemAvailable", system.physical_memory_free),
        swap=None if windows else known.get("SwapTotal", system.swap),
        swap_free=None if windows else known.get("SwapFree", system.swap_free),
        commit_limit=page_files[0] if windows else limit,
        commit_available=page_files[1] if windows else left,
        committed=committed,
        meminfo=known,
        parameters=_parameters(told),
        container_facts=container,
        tasks=_count(container, "current number of tasks"),
        tasks_limit=_count(container, "maximum number of tasks"),
        process_memory={setting.name: setting.value for setting in (*system.process_memory, *_of_process(told))},
        cpu_features=_features(told),
        details=_details(told),
        container=container.get("container_type"),
        memory_limit=_first(container, _LIMIT),
        memory_used=_first(container, _USED),
        cpu_limit=_processors(container),
        limits=dict(system.rlimits),
        load=system.load_average,
        virtualization=system.virtualization,
    )


def _named(text: str | None) -> str | None:
    """Debian's JDK 8 shows a line of /etc/os-release as it stands: PRETTY_NAME="Debian GNU/Linux 12"."""
    return None if text is None else text.removeprefix("PRETTY_NAME=").strip('"')


def _platform(told: HsErrLog) -> str | None:
    """From the head's "Java VM:" line, else from vm_info: "… for linux-amd64 JRE …"."""
    if told.header.vm is not None and told.header.vm.platform is not None:
        return told.header.vm.platform
    found = _BUILT_FOR.search(told.system.vm_info or "")
    return None if found is None else found[1]


def _on_windows(told: HsErrLog) -> bool:
    platform = _platform(told) or ""
    return platform.startswith("windows") or (not platform and "Windows" in (told.system.os or ""))


def _page_files(told: HsErrLog) -> tuple[int | None, int | None]:
    """What the system may commit, and what is left: physical memory with all page files (GlobalMemoryStatusEx).

    `TotalPageFile size 6140M (AvailPageFile size 5M)`; JDK 8 prints the same two as `swap`.
    """
    for setting in told.system.memory_details:
        if setting.name == "TotalPageFile":
            found = _PAGE_FILE.search(setting.value)
            if found:
                return size(found[1]), size(found[2])
    return told.system.swap, told.system.swap_free


def _of_process(told: HsErrLog) -> tuple[Setting, ...]:
    """Windows: `current process WorkingSet (physical memory assigned to process): 11M, peak: 11M`."""
    return tuple(setting for setting in told.system.memory_details if setting.name.startswith("current process"))


def _parameters(told: HsErrLog) -> dict[str, str]:
    """/proc/sys/vm/max_map_count (maximum number of …): 65530 → vm.max_map_count."""
    found = {}
    for setting in told.system.kernel:
        path = setting.name.partition(" (")[0]
        if path.startswith("/proc/sys/"):
            found[path.removeprefix("/proc/sys/").replace("/", ".")] = setting.value
    return found


def _count(container: dict[str, str], name: str) -> int | None:
    text = container.get(name, "")
    return int(text) if text.isdecimal() and len(text) < _DIGITS else None


def _details(told: HsErrLog) -> dict[str, str]:
    """By the log's names, the first of each: of several processors the first one's."""
    system = told.system
    found: dict[str, str] = {}
    for setting in (*system.huge_pages, *system.steal, *system.memory_details, *system.cpu_details)[:_DETAILS]:
        if setting.value and not setting.name.startswith("current process"):
            found.setdefault(setting.name, setting.value)
    return found | ({"OS uptime": system.uptime} if system.uptime else {})


def _features(told: HsErrLog) -> tuple[str, ...]:
    """`CPU: total 8 (…) family 6 model 85 stepping 4 microcode 0x1, cx8, cmov, fxsr, avx2, …`."""
    words = (told.system.cpu or "").split(",")[1:]
    return tuple(word.strip().lower() for word in words if _FEATURE.fullmatch(word.strip()))


def _first(container: dict[str, str], names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in container:
            return size(container[name])
    return None


def _processors(container: dict[str, str]) -> float | None:
    quota, period = container.get("cpu_quota", ""), container.get("cpu_period", "")
    if quota.isdecimal() and period.isdecimal() and len(quota) + len(period) < _DIGITS and int(period):
        return int(quota) / int(period)
    return None
