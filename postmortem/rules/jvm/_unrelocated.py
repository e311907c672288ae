"""A jump to an address as it stands in a library's file, before the loader has added where the library lies.

Two things leave one in a slot of a library. musl goes on where it could not bind a function (a library that was built
for glibc). And glibc's relocated pages are the process's own copies of pages of the file: truncating the file drops
them, so where it was overwritten in place they are read anew, not relocated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.suspects import foreign_libraries
from postmortem.model.queries.systems import system
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 256 << 20
"""Bytes above which an address is none of a library's file."""
_LOADER = Lazy(r"ld-musl-[\w.-]+|ld-linux[\w.-]*|ld-2\.\d+\.so|libc\.musl-[\w.-]+")
_LOADS = Lazy(r"dlopen\w*|_?_?dl_open\w*|os::(?:Linux::)?(?:dlopen_helper|dll_load)\w*|JVM_LoadLibrary")
_EXITS = Lazy(r"exit|__run_exit_handlers|_dl_fini|dlclose|vm_exit|vm_direct_exit|VM_Exit::\w+")


class Call(NamedTuple):
    """caller: the frame that jumped there. library: whose address it is, where that is known. at: what the loader was
    at, where it was the loader."""

    caller: int
    library: str | None
    at: str | None


def call(report: Report) -> Call | None:
    """The jump, where the pc is such an address."""
    pc = report.crash.pc
    if pc is None or not views.FIRST_PAGE <= pc < _LARGEST or not (views.pc_is_fault(report) or _by_head(report)):
        return None
    if views.mapping_at(report, pc) is not None or jvm_views.foreign_handler(report) is not None:
        return None
    on = system(report)
    if on.name not in ("linux", None) or jvm_views.internal_error(report) is not None:
        return None
    found = _caller(report, pc)
    if found is None:
        return None
    index, frame = found
    assert frame.module is not None
    name = file_name(frame.module)
    glibc = on.glibc and not on.musl
    if _LOADER.fullmatch(name):
        at = _at(report)
        return Call(index, _candidate(report, pc), at) if at is not None else None
    if jvm_frames.is_system(frame.module) or jvm_frames.is_vm(frame):
        return None
    if frame.module_offset is None or (pc - frame.module_offset) % views.FIRST_PAGE == 0:
        return None  # The offset is that of pc: a library lies at whole pages, of 32 bits also so low.
    if glibc and not any(pc < size for size in _extents(report, frame.module)):
        return None  # glibc binds or ends: the address must be one of the file at least
    return Call(index, name, None)


def _by_head(report: Report) -> bool:
    """A log without siginfo has the pc in its head alone."""
    return views.is_log(report) and views.code(report) is None


def _caller(report: Report, pc: int) -> tuple[int, Frame] | None:
    """The innermost frame with a module: of older VMs the one that the head names."""
    for index, frame in jvm_frames.site(report).native:
        if frame.module is not None:
            return (index, frame) if frame.trust != "scan" else None
        if frame.pc is not None and frame.pc != pc:
            return None
    return None


def _at(report: Report) -> str | None:
    """Whether the loader ran a library's constructors or its destructors."""
    names = [plain(frame.function) for frame in views.crashing_frames(report) if frame.function is not None]
    if any(_LOADS.fullmatch(name) for name in names):
        return "constructor"
    return "destructor" if any(_EXITS.fullmatch(name) for name in names) else None


def _extents(report: Report, path: str) -> Iterator[int]:
    name = file_name(path)
    for module in report.modules:
        if file_name(module.path) == name:
            yield module.end - module.start


def _candidate(report: Report, pc: int) -> str | None:
    """The only library besides the JDK's and the system's whose file is that long."""
    names = foreign_libraries(report)
    found = [name for name in names if any(pc < size for size in _extents(report, name))]
    return found[0] if len(found) == 1 else None


def finding(report: Report, raw: Call, rule: str) -> Finding:
    """The finding, under the id of the rule that asks."""
    pc = report.crash.pc or 0
    frame = views.crashing_frames(report)[raw.caller]
    on = system(report)
    glibc = on.glibc and not on.musl
    name = raw.library or "A library"
    offset = f" (the frame shown is at its offset {frame.module_offset:#x})" if frame.module_offset is not None else ""
    if raw.at is not None:
        title = f"{name}: the loader jumped to {pc:#x} as its {raw.at}, an address that was never relocated"
        words = f"The pc {pc:#x} lies in no mapping: the loader took it for a {raw.at} of {name[0].lower()}{name[1:]}"
    else:
        title = f"{name} called a symbol that was never relocated: {culprit.label(frame)} jumped to {pc:#x}"
        words = f"The pc {pc:#x} lies in no mapping and is not in {name} either{offset}"
    if glibc:
        title = title.replace("that was never relocated", "that is not relocated")
    return Finding(
        rule=rule,
        title=title,
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"{words}: it is an address as it stands in the file, before the loader has added where the library lies."
            + (_OVERWRITTEN if glibc else f"{_UNBOUND}{', which this one is' if on.musl else ''}.")
        ),
        rivals=(
            "A function pointer that was overwritten, or taken from a table of offsets.",
            *(("A page of the process that the system lost: memory, a disk or the kernel.",) if glibc else ()),
        ),
        evidence=proof(
            report,
            ("crash.pc", "where execution went"),
            (views.frame_path(report, raw.caller), "the caller"),
            (views.frame_path(report, raw.caller, "module"), "its library"),
            (views.frame_path(report, raw.caller, "module_offset"), "and the offset in it"),
            ("host.libc", "the system's libc"),
        ),
        remedies=_to_overwrite(name) if glibc else _to_bind(name),
    )


_UNBOUND = (
    " The slot of a function that the loader could not bind keeps such an address. glibc ends with a message then; musl"
    " goes on, so this is what a library that was built for glibc does in an image with musl (Alpine)"
)
_OVERWRITTEN = (
    " glibc relocates every slot as it loads a library, in pages that are the process's own. Truncating the file drops"
    " those pages, and they are read from the file anew: the library was overwritten in place while this process had it"
    " loaded (cp, a build, an unpacking to the same path)."
)


def _to_bind(library: str) -> tuple[str, ...]:
    which = library if library != "A library" else "the library"
    return (
        f"Use a build of {which} for musl, or an image with glibc (Debian, UBI, -slim instead of -alpine).",
        "gcompat (apk add gcompat) supplies many of glibc's functions; not all.",
        f"readelf -d {which} shows ld-linux or libc.so.6 among what it needs; ldd in the image names the symbols that"
        " are not found.",
    )


def _to_overwrite(library: str) -> tuple[str, ...]:
    which = library if library != "A library" else "the library"
    return (
        f"Look for what wrote {which} at that time: compare its modification time with the start of the process.",
        "Replace files of running programs by rename (install, mv of a new file), never by writing into them.",
        "Give each process a directory of its own where libraries are unpacked at run time.",
    )
