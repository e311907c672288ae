"""Which release of the JDK a JVM belongs to.

Up to JDK 8 the VM counts its own versions ("HotSpot Express"): 25.x is JDK 8's, 21 to 24 JDK 7's, 10 to 20 JDK 6's. Its
builds read `-b02`, those of JDK 9 and newer `+2`. https://wiki.openjdk.org/display/HotSpot/Releases
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmortem.model import Report

_EXPRESS = re.compile(r"(\d{2})\.(\d{1,4})-b\d")
_OLD = re.compile(r"(?:1\.)?([5-8])(?:\.0)?(?:\.\d)?(?:[_u](\d{1,4}))?(?=$|[-+_ ])")
_NEW = re.compile(r"\d{1,3}(?:\.\d{1,4}){0,4}")
_LAST_COUNTED_BY_U = 8
_UPDATE_BY_VM = {6: 43, 7: 45, 8: 5}
"""The update from which the VM's second number is the JDK's."""


def release(report: Report) -> tuple[int, ...]:
    """(17, 0, 15), (8, 392), (7, 80), (6,) where no more is known; () without a version."""
    if report.jvm is None:
        return ()
    return numbers(report.jvm.runtime or "") or numbers(report.jvm.version or "")


def name(report: Report) -> str | None:
    """ "17.0.15", "8u392", "7u80", "6"."""
    major, *updates = release(report) or (0,)
    if not major:
        return None
    if major <= _LAST_COUNTED_BY_U:
        return f"{major}u{updates[0]}" if updates and updates[0] else str(major)
    return ".".join(map(str, (major, *updates)))


def numbers(version: str) -> tuple[int, ...]:
    """Of a version as the JDK or its VM words it: "17.0.15+6-Debian", "25.504-b01", "1.8.0_504-b01", "8.0_392-b08",
    "8u504", "24.80-b11"; () if it is none."""
    if express := _EXPRESS.match(version):
        vm, second = int(express[1]), int(express[2])
        jdk = 8 if vm >= 25 else 7 if vm >= 21 else 6
        # The last VMs of each train took the JDK's update as their second number.
        counted = vm in (20, 24, 25) and second >= _UPDATE_BY_VM[jdk]
        return (jdk, second) if counted else (jdk, 0) if vm == 25 else (jdk,)
    if old := _OLD.match(version):
        return (int(old[1]), int(old[2] or 0))
    match = _NEW.match(version)
    return () if match is None else tuple(int(part) for part in match[0].split("."))
