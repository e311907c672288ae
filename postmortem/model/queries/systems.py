"""Which system the dead process ran on: asked wherever advice depends on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from postmortem.model import Report

Name = Literal["linux", "macos", "windows", "solaris", "aix", "bsd"]

_PLATFORMS: tuple[tuple[str, Name], ...] = (
    ("linux", "linux"),
    ("windows", "windows"),
    ("macos", "macos"),
    ("bsd", "macos"),  # what HotSpot calls its port to macOS since JDK 7
    ("solaris", "solaris"),
    ("aix", "aix"),
)
_WORDS: tuple[tuple[str, Name], ...] = (
    (r"\bwindows\b", "windows"),
    (r"\b(?:darwin|macos|mac os x|bsduname)\b", "macos"),
    (r"\b(?:solaris|sunos)\b", "solaris"),
    (r"\baix\b", "aix"),
    (r"\b(?:freebsd|netbsd|openbsd)\b", "bsd"),
    (r"\blinux\b", "linux"),
)
_SUFFIXES: tuple[tuple[str, Name], ...] = (
    (".dll", "windows"),
    (".exe", "windows"),
    (".dylib", "macos"),
    (".so", "linux"),
)
_NARROW = re.compile(r"-(?:x86|i386|i486|i586|i686|arm|ppc|sparc|s390|mips)(?:-|$)")
_MUSL = re.compile(r"ld-musl-|libc\.musl-|-linux-musl/libc\.so$")
_GLIBC = re.compile(r"/libc\.so\.6$|/libc-2\.\d+\.so$")
_APPLE_SILICON = re.compile(r"MacBookAir10,1|MacBookPro1[78],\d|Macmini9,1|iMac21,\d|\bMac1[3-9],\d")
"""Apple's model names with its own CPUs; the log's Host: line has them."""
_EMULATORS = (("qemu", "qemu"), ("rosetta", "Rosetta"), ("fex-emu", "FEX"), ("box64", "box64"))
_MODULES_SEEN = 4096


class System(NamedTuple):
    """name: None where nothing tells. glibc, musl: which C library, where that is known. bits: of an address.
    emulator: what translates the CPU's instructions."""

    name: Name | None = None
    glibc: bool = False
    musl: bool = False
    bits: int | None = None
    container: bool = False
    emulator: str | None = None


def system(report: Report) -> System:
    """As far as the report tells."""
    host = report.host
    platform = (host.platform if host is not None else None) or ""
    paths = [module.path for module in report.modules[:_MODULES_SEEN]]
    paths += [mapping.path for mapping in report.mappings[:_MODULES_SEEN] if mapping.path is not None]
    libc = (host.libc if host is not None else None) or ""
    cpu = (host.cpu if host is not None else None) or ""
    emulator = next((name for word, name in _EMULATORS for path in paths if word in path.lower()), None)
    return System(
        name=_name(report, platform, paths),
        glibc=libc.startswith("glibc") or any(_GLIBC.search(path) for path in paths),
        musl=_links_musl(report)
        or "musl" in platform
        or libc.startswith("musl")
        or any(_MUSL.search(path) for path in paths),
        bits=_bits(report, platform),
        container=report.process.pid == 1 or (host is not None and host.memory_limit is not None),
        emulator=emulator or _by_cpu(cpu, platform),
    )


def _by_cpu(cpu: str, platform: str) -> str | None:
    """The emulator that the CPU's name gives away."""
    if "VirtualApple" in cpu or (platform in ("bsd-amd64", "bsd-x64") and _APPLE_SILICON.search(cpu)):
        return "Rosetta"
    return "qemu" if "QEMU TCG" in cpu else None


def _links_musl(report: Report) -> bool:
    """musl is linked into the executable: some frame of the first thread is its."""
    return any(frame.linked_library == "musl" for thread in report.threads[:1] for frame in thread.frames)


def _name(report: Report, platform: str, paths: list[str]) -> Name | None:
    for start, name in _PLATFORMS:
        if platform.startswith(start):
            return name
    if report.core.format.startswith("elf-core"):
        return "linux"
    host = report.host
    words = " ".join(text for text in ((host.operating_system, host.kernel) if host is not None else ()) if text)
    for pattern, found in _WORDS:
        if re.search(pattern, words, re.IGNORECASE):
            return found
    signal = report.crash.signal
    if signal is not None and signal.name.startswith("EXCEPTION_"):
        return "windows"
    paths = [*paths, *(frame.module for thread in report.threads[:1] for frame in thread.frames if frame.module)]
    for suffix, found in _SUFFIXES:
        if any(path.lower().endswith(suffix) or (suffix == ".so" and ".so." in path) for path in paths):
            return found
    return None


def _bits(report: Report, platform: str) -> int | None:
    name = (report.jvm.name if report.jvm is not None else None) or ""
    if "64-Bit" in name or report.core.machine in ("x86_64", "aarch64"):
        return 64
    if platform:
        return 32 if _NARROW.search(platform) else 64
    return 32 if name.endswith(("Server VM", "Client VM")) else None
