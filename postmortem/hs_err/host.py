"""The machine and container as a log's S Y S T E M section words them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parsers.hs_err.reader import size
from postmortem.model import Host

if TYPE_CHECKING:
    from parsers.hs_err import HsErrLog

_LIMIT = ("memory_limit_in_bytes", "memory_limit")
_BUILT_FOR = re.compile(r"\bfor ([a-z]+-[\w-]+)")
_PAGE_FILE = re.compile(r"TotalPageFile size (\d{1,12})M \(AvailPageFile size (\d{1,12})M\)")
_PARAMETER = re.compile(r"/proc/sys/(vm|kernel)/([\w-]+)")
_USED = ("memory_usage_in_bytes", "memory_usage")


def host(told: HsErrLog) -> Host:
    """What is said of it; an unlimited or unsupported value is None."""
    system, summary = told.system, told.summary
    container = {setting.name: setting.value for setting in system.container}
    known = dict(system.meminfo)
    windows = (_platform(told) or system.os or "").lower().startswith("windows")
    limit, left = _page_file(told) if windows else _commit(known)
    return Host(
        operating_system=_named(system.os) or summary.os,
        platform=_platform(told),
        libc=system.libc,
        kernel=system.uname,
        cpu=summary.cpu or system.cpu,
        cpus=summary.cores or system.cpu_total,
        memory=system.physical_memory,
        memory_available=known.get("MemAvailable", system.physical_memory_free),
        swap=None if windows else system.swap,
        swap_free=None if windows else system.swap_free,
        commit_limit=limit,
        commit_available=left,
        committed=known.get("Committed_AS"),
        parameters=_parameters(told),
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


def _commit(known: dict[str, int]) -> tuple[int | None, int | None]:
    limit, committed = known.get("CommitLimit"), known.get("Committed_AS")
    return limit, None if limit is None or committed is None else limit - committed


def _page_file(told: HsErrLog) -> tuple[int | None, int | None]:
    """Windows: what memory and page files together may hold, and how much of it was promised.

    Since JDK 11 it has a line of its own; before, it stood where other systems have their swap (os_windows.cpp,
    print_memory_info: ullTotalPageFile and ullAvailPageFile).
    """
    for setting in told.system.memory_details:
        found = _PAGE_FILE.search(f"{setting.name} {setting.value}")
        if found is not None:
            return int(found[1]) << 20, int(found[2]) << 20
    return told.system.swap, told.system.swap_free


def _parameters(told: HsErrLog) -> dict[str, str]:
    found = ((_PARAMETER.match(setting.name), setting.value) for setting in told.system.kernel)
    return {f"{name[1]}.{name[2]}": value for name, value in found if name is not None}


def _first(container: dict[str, str], names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in container:
            return size(container[name])
    return None


def _processors(container: dict[str, str]) -> float | None:
    quota, period = container.get("cpu_quota", ""), container.get("cpu_period", "")
    if quota.isdecimal() and period.isdecimal() and int(period):
        return int(quota) / int(period)
    return None
