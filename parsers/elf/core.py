"""A Linux ELF core: threads, segments, mapped files, as dumped (kernel fs/binfmt_elf.c elf_core_dump)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from parsers.elf import header as elf
from parsers.elf import notes
from parsers.elf.foreign import foreign
from parsers.elf.x86_64.prstatus import ThreadStatus, thread_status
from parsers.errors import ParseError, Unsupported
from parsers.limits import LIMITS, Limits


class Segment(NamedTuple):
    """A PT_LOAD. [start, end) in memory; `dumped` bytes of it lie at `offset` in the core.

    `claimed` is p_filesz: what the header says was dumped; `dumped` what the file really holds.
    """

    start: int
    end: int
    flags: int
    offset: int
    dumped: int
    claimed: int

    @property
    def permissions(self) -> str:
        """Three letters, as in /proc/PID/maps."""
        flags = self.flags
        return ("r" if flags & 4 else "-") + ("w" if flags & 2 else "-") + ("x" if flags & 1 else "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The facts of a core, clipped to the bytes there are.

    lost: bytes that segments claim beyond the end of the file. segments_lost: program headers that the
    file no longer holds. notes_lost: True when the note segment was cut. threads: in the core's order,
    the one that took the signal first. siginfo: by thread; the kernel writes one, gdb's gcore one a thread.
    """

    machine: str
    size: int
    segments: tuple[Segment, ...]
    threads: tuple[ThreadStatus, ...]
    process: notes.ProcessInfo | None
    signal: notes.SignalInfo | None
    siginfo: dict[int, notes.SignalInfo]
    auxv: dict[int, int]
    files: tuple[notes.MappedFile, ...]
    lost: int
    segments_lost: int
    notes_lost: bool
    left_out: dict[str, int]
    """By name of a limit: how many were left out when it was reached."""

    @property
    def truncated(self) -> bool:
        """The file ends before its segments do."""
        return bool(self.lost or self.segments_lost or self.notes_lost)


def parse(data: elf.Buffer, limits: Limits = LIMITS) -> Core:
    """Read a core from `data`. Raises ParseError, Truncated or Unsupported when no report is possible."""
    other = foreign(data)
    if other is not None:
        raise Unsupported("ELF header", 4, other.what, hint=other.hint)
    header = elf.read_header(data)
    if header.type != elf.ET_CORE:
        kinds = {1: "a relocatable object", 2: "an executable", 3: "a shared object or executable"}
        raise ParseError(
            "e_type",
            16,
            f"is {header.type}, {kinds.get(header.type, 'unknown')}, not a core (4)",
            hint="give the core file; the executable goes with --exe",
        )
    headers, claimed_headers = elf.read_program_headers(data, header, limits)
    left_out: Counter[str] = Counter()
    if claimed_headers > limits.program_headers:
        left_out["program_headers"] = claimed_headers - limits.program_headers
        claimed_headers = limits.program_headers
    left_notes, left_bytes = limits.notes, limits.note_bytes
    size = len(data)
    segments = []
    lost = 0
    notes_lost = False
    threads: list[ThreadStatus] = []
    process = signal = None
    siginfo: dict[int, notes.SignalInfo] = {}
    auxv: dict[int, int] = {}
    files: list[notes.MappedFile] = []
    for entry in headers:
        if entry.type == elf.PT_LOAD:
            dumped = max(0, min(entry.filesz, entry.memsz, size - entry.offset))
            lost += max(0, min(entry.filesz, 1 << 47) - dumped)
            end = min(entry.vaddr + entry.memsz, 1 << 64)
            if end > entry.vaddr:
                segments.append(Segment(entry.vaddr, end, entry.flags, entry.offset, dumped, entry.filesz))
        elif entry.type == elf.PT_NOTE:
            notes_lost |= entry.offset + entry.filesz > size
            claimed = max(0, min(entry.filesz, size - entry.offset))
            allowed = min(claimed, left_bytes)
            left_bytes -= allowed
            if claimed > allowed:
                left_out["note_bytes"] += claimed - allowed
            for note in notes.iterate(data, entry.offset, allowed, 4):
                left_notes -= 1
                if left_notes < 0:
                    left_out["notes"] += 1
                    break
                if note.type == notes.NT_PRSTATUS and note.name == b"CORE":
                    status = thread_status(note.descriptor)
                    if status is not None and len(threads) < limits.threads:
                        threads.append(status)
                    elif status is not None:
                        left_out["threads"] += 1
                elif note.type == notes.NT_PRPSINFO and note.name == b"CORE" and process is None:
                    process = notes.process_info(note.descriptor)
                elif note.type == notes.NT_SIGINFO and note.name == b"CORE":
                    told = notes.signal_info(note.descriptor)
                    if told is not None:
                        signal = signal or told
                        if threads:
                            siginfo.setdefault(threads[-1].tid, told)
                elif note.type == notes.NT_AUXV and note.name == b"CORE" and not auxv:
                    auxv = notes.auxiliary_vector(note.descriptor)
                elif note.type == notes.NT_FILE and note.name == b"CORE" and not files:
                    files, missing = notes.mapped_files(note.descriptor, limits)
                    left_out.update(missing)
    segments.sort()
    files.sort()
    return Core(
        machine=header.machine_name,
        size=size,
        segments=tuple(segments),
        threads=tuple(threads),
        process=process,
        signal=signal,
        siginfo=siginfo,
        auxv=auxv,
        files=tuple(files),
        lost=min(lost, 1 << 62),
        segments_lost=max(0, claimed_headers - len(headers)),
        notes_lost=notes_lost,
        left_out=dict(left_out),
    )
