"""Every upper bound on a number read from the input, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what an input may ask for. Reaching one is reported, never a silent cut."""

    program_headers: int = 1 << 18
    """Segments; vm.max_map_count allows 65,530 mappings, where it was raised seldom more than these."""
    section_headers: int = 1 << 16
    note_bytes: int = 1 << 28
    """Of all note segments together."""
    notes: int = 1 << 18
    threads: int = 20_000
    mapped_files: int = 1 << 17
    auxiliary_bytes: int = 1 << 14
    """Of NT_AUXV; Linux writes some 24 entries of 16 bytes."""
    path_bytes: int = 1 << 24
    """Of the paths of all mapped files."""
    symbols: int = 1 << 23
    string: int = 4096
    frames_per_thread: int = 200_000
    frames: int = 400_000
    """Of all threads together; a thread that comes later has `frames_at_least`."""
    frames_at_least: int = 8
    named_frames: int = 400_000
    """Functions that were inlined into frames, of all threads together."""
    frame_text: int = 1 << 26
    """Characters of functions, files and modules of all frames, counted each time they appear."""
    modules: int = 4096
    file_lookups: int = 40_000
    """Candidates for files of modules that are looked for on this machine, each once for 4 parts of its path."""
    file_pieces: int = 1 << 17
    """Ranges of memory that are read from files."""
    tls_words: int = 1 << 24
    """Of the TLS of all threads, that are searched for a caught exception."""
    mappings: int = 70_000
    """That the report lists."""
    text: int = 1 << 23
    """Bytes of strings read from memory that may go into the report."""
    argument: int = 1 << 17
    """Bytes of one argument or environment variable: the kernel's MAX_ARG_STRLEN."""
    arguments: int = 1 << 20
    """Bytes of all arguments, and of the whole environment."""
    argument_count: int = 4096
    search_hits: int = 1 << 18
    """Places that searches of memory may find, whatever comes of them."""
    dynamic_symbols: int = 1 << 19
    """Of all modules whose symbols come from the core."""
    dynamic_names: int = 1 << 25
    """Bytes of their names."""
    displaced_headers: int = 1 << 18
    """Objects of a Java heap whose header lies in a monitor: each is looked at by itself."""
    list_items: int = 1 << 22
    """Items of linked lists of a runtime."""
    named_frames_per_thread: int = 300_000
    cfa_instructions: int = 4096
    cfa_bytes: int = 1 << 24
    """Of the CFA programs of all places that frames of a run stop at."""
    expression_bytes: int = 1 << 22
    """Of DWARF expressions, counted each time one is evaluated for a frame."""
    frame_descriptions: int = 1 << 20
    """FDEs of a section that has no search table."""
    expression_operations: int = 1024
    link_map_entries: int = 65_536
    section_bytes: int = 1 << 28
    decompressed_bytes: int = 1 << 40
    """Zeros included, which take no room."""
    disk_reserve: int = 1 << 26
    """Bytes of the folder for temporary files that decompression leaves free."""
    ranges_listed: int = 1 << 20
    package_note: int = 1 << 16
    forensic_names: int = 4096
    forensic_file: int = 1 << 29
    const_method_words: int = 1 << 20
    source_files: int = 64
    source_bytes: int = 1 << 22
    frames_with_registers: int = 64
    java_frames_with_registers: int = 256
    frames_with_values: int = 30
    debug_section_bytes: int = 1 << 27
    units: int = 1 << 17
    dies: int = 1 << 21
    die_depth: int = 64
    die_scopes: int = 64
    die_ranges: int = 4096
    variables: int = 200
    types_per_frame: int = 4000
    members_per_frame: int = 20_000
    enumerators: int = 2000
    type_name: int = 300
    value_text: int = 400
    value_characters: int = 80
    value_elements: int = 10
    value_fields: int = 30
    value_bytes: int = 1 << 16
    value_parts: int = 4000
    values_cached: int = 1 << 22
    places_cached: int = 256
    log_bytes: int = 1 << 23
    """Of a text that is or holds a log; each line counts for 40 bytes at least."""
    map_bytes: int = 1 << 26
    """Of a perf map."""
    map_functions: int = 1 << 19
    open_files: int = 256
    """Descriptors of files that are held open at a time; others are opened again when they are read."""
    blocks_kept: int = 4096
    """Blocks of 4 KiB of one file that are kept in memory."""
    losses_listed: int = 64
    """Ranges of one file that could not be read, of which the offsets are kept."""


LIMITS = Limits()
