"""What a core lacks, and what its modules lack, as problems of the report."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from parsers.limits import LIMITS
from postmortem.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from parsers.elf.core import Core
    from postmortem.model import Frame, Module
    from postmortem.program.program import Program
    from postmortem.targets.target import Target

_LISTED = 5
"""Damaged headers that are named."""


def core_losses(core: Core, path: str) -> Iterator[Problem]:
    """What the core at `path` lacks that every core should have."""
    if core.lost or core.segments_lost:
        cut = sum(1 for segment in core.segments if segment.claimed > segment.dumped)
        yield Problem(
            stage="core",
            where=path,
            what=f"the core is cut: {core.lost} bytes of {cut} segments lie beyond its end"
            + (f", and {core.segments_lost} segment headers are lost" if core.segments_lost else ""),
            hint="raise ulimit -c or systemd-coredump's ExternalSizeMax, or free the disk, and dump again",
        )
    if core.notes_lost:
        yield Problem(
            stage="core",
            where="PT_NOTE",
            what="the notes are cut: threads, signal or mapped files may be missing",
            hint="the file was cut near its beginning; get the whole core",
        )
    if core.damage:
        more = len(core.damage) - _LISTED
        yield Problem(
            stage="core",
            where=path,
            what="headers are damaged: " + "; ".join(core.damage[:_LISTED]) + (f"; {more} more" if more > 0 else ""),
            hint="get the file again; facts near them may be missing or wrong",
        )


def without_siginfo(core: Core) -> Iterator[Problem]:
    """What stands for NT_SIGINFO in a core without one."""
    if core.siginfo or not core.threads:
        return
    signal = core.signal
    if signal is None:
        what = "no siginfo and no current signal: which signal ended the process, if any, is not known"
    elif signal.code is None:
        what = f"no siginfo: signal {signal.number} is NT_PRSTATUS's; its code and the fault address are not known"
    else:
        what = (
            f"no siginfo: signal {signal.number} is NT_PRSTATUS's; its code and the fault address are derived from the"
            " instruction at pc"
        )
    yield Problem(
        stage="core", where="NT_SIGINFO", what=what, hint="kernels before 3.7, gcore and converters leave it out"
    )


def module_losses(modules: Iterable[Module], frames: Iterable[Frame]) -> Iterator[Problem]:
    """Modules of the crashing stack's `frames` whose file is not the one that crashed, and frames without any."""
    crashing = list(frames)
    wanted = {frame.module for frame in crashing}
    every = list(modules)
    elsewhere = list(_of_another_machine(every))
    yield from elsewhere
    for module in every:
        if module.path in wanted and module.status != "matched" and not elsewhere:
            yield Problem(
                stage="modules",
                where=module.path,
                what=f"its file is {module.status}; wanted is build-id {module.build_id or '(not in the core)'}"
                + (f", found {module.file_build_id}" if module.file_build_id else ""),
                hint="give it with --exe, --sysroot or --debug-dir; until then its frames have few names and lines",
            )
    unnamed = [frame for frame in crashing if frame.module is None and frame.function is None]
    generated = [frame for frame in unnamed if frame.kind == "native"]
    if generated:
        yield Problem(
            stage="symbols",
            where=str(generated[0].pc),
            what=f"{len(generated)} frames of the crashing thread lie in code generated at run time and have no names",
            hint="HotSpot's own tables name such code, or a /tmp/perf-PID.map that the runtime wrote",
        )


def _of_another_machine(modules: Sequence[Module]) -> Iterator[Problem]:
    """Said once where the C library and most other files here are not those of the core."""
    files = [module for module in modules if module.path.startswith("/")]
    others = [module for module in files if module.status in ("mismatched", "missing")]
    libc = [module for module in files if module.path.rpartition("/")[2].startswith(("libc.so", "libc-", "ld-"))]
    if len(others) < 3 or 2 * len(others) <= len(files) or any(module.status == "matched" for module in libc):
        return
    yield Problem(
        stage="modules",
        where=others[0].path,
        what=f"{len(others)} of {len(files)} files of the process are missing or other builds here: the core is of"
        f" another machine; the first wanted is build-id {others[0].build_id or '(not in the core)'}",
        hint="give the files of that machine with --sysroot; until then frames have few names and lines",
    )


def wrong_executable(program: Program) -> Iterator[Problem]:
    """The file that was given with --exe is not the program of the core."""
    given = program.search.executable
    if given is None:
        return
    path = str(given.absolute())
    tried = [found for module in program.modules.modules for found in module.candidates if found.path == path]
    if any(found.outcome.startswith("matched") for found in tried):
        return
    executable = program.modules.executable
    wanted = executable.build_id if executable is not None else None
    yield Problem(
        stage="options",
        where=path,
        what="the file that was given with --exe is not the program of this core and is not used"
        + (f"; wanted is {executable.path}, build-id {wanted}" if executable is not None and wanted else ""),
        hint="give the very file that crashed: file and readelf -n show its build-id",
    )


def unreadable(program: Program, target: Target) -> Iterator[Problem]:
    """Bytes of files that were there when they were opened and could not be read: one Problem a file."""
    files = [(str(target.path), target.content)]
    files += [(str(module.file), module.content) for module in program.modules.modules if module.content is not None]
    for path, content in files:
        if not content.lost:
            continue
        first = content.lost[0]
        why = os.strerror(first.errno) if first.errno else "the file was cut meanwhile"
        if first.errno == errno.EFBIG:
            why = f"its analysis reads more than the {LIMITS.fetched_bytes} bytes that may be fetched of it"
        yield Problem(
            stage="read",
            where=path,
            what=f"{len(content.lost)} ranges can't be read and are absent, the first at offset {first.offset}: {why}",
            hint="look at the disk or the free space of its tmpfs, copy the file and analyze it again",
        )
