"""The modules' facts put against what is mapped: needed and not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from postmortem.forensics.facts import facts
from postmortem.model.queries.crash import mapping_at
from postmortem.model.queries.files import file_name
from postmortem.model.queries.systems import system

if TYPE_CHECKING:
    from collections.abc import Collection

    from postmortem.forensics.facts import Facts
    from postmortem.model import Module, Report

_TRIGGERS = frozenset(("mixed-libraries", "stack-smashing"))
"""Rules whose findings the modules' own files say more of."""

_OF_MUSL = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\..*")
"""Libraries in whose place musl puts itself, of whatever version (ldso/dynlink.c, load_library)."""


def with_forensics(report: Report, everything: bool) -> Report:
    """The report with what the files of the modules that matter say; everything: of all modules."""
    return examined(report, wanted(report, everything))


def wanted(report: Report, everything: bool) -> set[int]:
    """The modules to examine: all, or those that matter to the findings, as their evidence or the stack names them."""
    if everything:
        return set(range(len(report.modules)))
    rules = [finding for finding in report.findings if finding.rule in _TRIGGERS]
    if not rules and not _loading(report) and not _unbound(report):
        return set()
    stack = {frame.module for thread in report.threads[:1] for frame in thread.frames[:30]}
    named = {evidence.value for finding in rules for evidence in finding.evidence}
    return {index for index, module in enumerate(report.modules) if module.path in stack or module.path in named}


def _loading(report: Report) -> bool:
    """Whether the dynamic linker was at work, or ended the process."""
    frames = report.threads[0].frames[:30] if report.threads else ()
    return any(file_name(frame.module or "").startswith(("ld-linux", "ld-musl")) for frame in frames[:12])


def _unbound(report: Report) -> bool:
    """Whether musl may have left a function unbound: it ignores versions and binds lazily what it does not find."""
    pc = report.crash.pc
    return pc is not None and mapping_at(report, pc) is None and system(report).musl


def examined(report: Report, indices: Collection[int]) -> Report:
    """The report with facts of these modules, as far as their files are here."""
    found = {index: known for index in sorted(indices) if (known := _of(report.modules[index])) is not None}
    if not found:
        return report
    by_name: dict[str, list[int]] = {}
    for index, module in enumerate(report.modules):
        for name in {module.soname or "", file_name(module.path)} - {""}:
            by_name.setdefault(name, []).append(index)
    musl = system(report).musl
    provided: dict[int, frozenset[str] | None] = {}

    def provides(index: int) -> frozenset[str] | None:
        if index not in provided:
            known = found.get(index) or _of(report.modules[index])
            provided[index] = None if known is None else frozenset(known.provides)
        return provided[index]

    modules = list(report.modules)
    for index, known in found.items():
        missing = tuple(
            name for name in known.needed if name not in by_name and not (musl and _OF_MUSL.fullmatch(name))
        )
        lacking = tuple(
            f"{version} of {library}"
            for library, version in known.versions
            if (library in by_name and _lacks([provides(at) for at in by_name[library]], version))
            or (library not in by_name and musl and _OF_MUSL.fullmatch(library))
        )
        modules[index] = msgspec.structs.replace(
            modules[index],
            needed=known.needed,
            missing_libraries=missing,
            missing_versions=lacking,
            interpreter=known.interpreter,
            libc=_libc(known, musl),
            compilers=known.compilers,
            build_flags=known.flags,
            hardening=known.hardening,
        )
    return msgspec.structs.replace(report, modules=tuple(modules))


def _of(module: Module) -> Facts | None:
    return facts(Path(module.file)) if module.file is not None and module.status == "matched" else None


def _lacks(provided: list[frozenset[str] | None], version: str) -> bool:
    """Whether no mapped build of a library defines a version; one whose file is not here may."""
    return all(known is not None and version not in known for known in provided)


def _libc(known: Facts, musl: bool) -> str | None:
    """The libc that a module was built for, by what it needs. libc.so is musl's own soname, and that of others."""
    names = (*known.needed, known.interpreter or "")
    if any("musl" in name for name in names) or (musl and "libc.so" in names):
        return "musl"
    if any(name == "libc.so.6" or "ld-linux" in name for name in names):
        return "glibc"
    return None
