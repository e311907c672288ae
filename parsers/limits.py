"""Every upper bound on a number read from the input, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what an input may ask for. Reaching one is reported, never a silent cut."""

    program_headers: int = 1 << 20
    section_headers: int = 1 << 16
    note_bytes: int = 1 << 28
    threads: int = 100_000
    mapped_files: int = 1 << 20
    symbols: int = 1 << 23
    string: int = 4096
    frames_per_thread: int = 200_000
    named_frames_per_thread: int = 300_000
    cfa_instructions: int = 4096
    expression_operations: int = 1024
    link_map_entries: int = 65_536
    section_bytes: int = 1 << 28
    decompressed_bytes: int = 1 << 42
    ranges_listed: int = 1 << 20
    log_bytes: int = 1 << 23
    """Of a text that is or holds a log; each line counts for 40 bytes at least."""
    open_files: int = 256
    """Descriptors of files that are held open at a time; others are opened again when they are read."""
    blocks_kept: int = 4096
    """Blocks of 4 KiB of one file that are kept in memory."""
    losses_listed: int = 64
    """Ranges of one file that could not be read, of which the offsets are kept."""


LIMITS = Limits()
