"""A Linux ELF core: threads, segments, mapped files, as dumped (kernel fs/binfmt_elf.c elf_core_dump)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from parsers.elf import header as elf
from parsers.elf import notes, recovery
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
    damage: tuple[str, ...] = ()
    """Headers that were wrong and set right, in words."""

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
    headers, claimed_headers, damage = recovery.program_headers(data, header, limits)
    left_out: Counter[str] = Counter()
    if claimed_headers > limits.program_headers:
        left_out["program_headers"] = claimed_headers - limits.program_headers
        claimed_headers = limits.program_headers
    size = len(data)
    segments = []
    lost = 0
    notes_lost = False
    found = _Notes(limits, left_out)
    for entry in headers:
        if entry.type == elf.PT_LOAD:
            dumped = max(0, min(entry.filesz, entry.memsz, size - entry.offset))
            lost += max(0, min(entry.filesz, 1 << 47) - dumped)
            end = min(entry.vaddr + entry.memsz, 1 << 64)
            if end > entry.vaddr:
                segments.append(Segment(entry.vaddr, end, entry.flags, entry.offset, dumped, entry.filesz))
        elif entry.type == elf.PT_NOTE:
            notes_lost |= entry.offset + entry.filesz > size
            found.segment(data, entry.offset, max(0, min(entry.filesz, size - entry.offset)))
    if not found.threads:
        start, room = recovery.lost_notes(data, header.phoff, headers, limits)
        again = _Notes(limits, left_out)
        again.segment(data, start, room)
        if again.threads:
            found, notes_lost = again, False
            damage.append(f"no program header leads to the notes, which lie at offset {start:#x}")
    damage.extend(found.damage)
    segments.sort()
    return Core(
        machine=header.machine_name,
        size=size,
        segments=tuple(segments),
        threads=tuple(found.threads),
        process=found.process,
        signal=found.signal,
        siginfo=found.siginfo,
        auxv=found.auxv,
        files=tuple(sorted(found.files)),
        lost=min(lost, 1 << 62),
        segments_lost=max(0, claimed_headers - len(headers)),
        notes_lost=notes_lost,
        left_out=dict(left_out),
        damage=tuple(damage),
    )


class _Notes:
    """What the notes of a core say. left_out: counts by name of a limit, to be added to."""

    def __init__(self, limits: Limits, left_out: Counter[str]) -> None:
        self._limits, self._left_out = limits, left_out
        self._left_notes, self._left_bytes = limits.notes, limits.note_bytes
        self.threads: list[ThreadStatus] = []
        self.process: notes.ProcessInfo | None = None
        self.signal: notes.SignalInfo | None = None
        self.siginfo: dict[int, notes.SignalInfo] = {}
        self.auxv: dict[int, int] = {}
        self.files: list[notes.MappedFile] = []
        self.damage: list[str] = []

    def segment(self, data: elf.Buffer, offset: int, size: int) -> None:
        """Take the notes of a segment of `size` bytes that the file holds."""
        allowed = min(size, self._left_bytes)
        self._left_bytes -= allowed
        if size > allowed:
            self._left_out["note_bytes"] += size - allowed
        before: notes.Note | None = None
        for note in recovery.iterate(data, offset, allowed, self.damage, self._limits):
            self._left_notes -= 1
            if self._left_notes < 0:
                self._left_out["notes"] += 1
                break
            if note.type != notes.NT_PRSTATUS and recovery.is_status(note, before):
                self.damage.append(f"the type of the note at offset {note.offset:#x}")
                note = note._replace(type=notes.NT_PRSTATUS)
            if note.name == b"CORE":
                self._take(note)
            before = note
        if len(self.damage) >= self._limits.damaged_notes:
            self._left_out["damaged_notes"] += 1

    def _take(self, note: notes.Note) -> None:
        if note.type == notes.NT_PRSTATUS:
            status = thread_status(note.descriptor)
            if status is not None and len(self.threads) < self._limits.threads:
                self.threads.append(status)
            elif status is not None:
                self._left_out["threads"] += 1
        elif note.type == notes.NT_PRPSINFO and self.process is None:
            self.process = notes.process_info(note.descriptor)
        elif note.type == notes.NT_SIGINFO:
            told = notes.signal_info(note.descriptor)
            if told is not None:
                self.signal = self.signal or told
                if self.threads:
                    self.siginfo.setdefault(self.threads[-1].tid, told)
        elif note.type == notes.NT_AUXV and not self.auxv:
            self.auxv = notes.auxiliary_vector(note.descriptor)
        elif note.type == notes.NT_FILE and not self.files:
            self.files, missing = notes.mapped_files(note.descriptor, self._limits)
            self._left_out.update(missing)
