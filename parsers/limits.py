"""Every upper bound on a number read from the input, in one place."""

from __future__ import annotations


class Limits:
    """Bounds on what an input may ask for. Reaching one is reported, never a silent cut.

    Limits(threads=10) has the others as they stand here. Neither a dataclass nor a tuple: to make one of so many fields
    takes several milliseconds of every run.
    """

    def __init__(self, **changed: int) -> None:
        for name, value in changed.items():
            if name not in Limits.__annotations__:
                raise TypeError(f"{name} is no limit")
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"limits do not change: {name}")

    program_headers: int = 1 << 18
    """Segments; vm.max_map_count allows 65,530 mappings, where it was raised seldom more than these."""
    section_headers: int = 1 << 16
    note_bytes: int = 1 << 28
    """Of all note segments together."""
    notes: int = 1 << 18
    damaged_notes: int = 4096
    """Notes of a core whose header is wrong and behind which the next one is looked for."""
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
    recursion_frames: int = 2048
    """That stay at either end of a deep recursion, of which the turns between are counted and left out."""
    named_frames: int = 400_000
    """Functions that were inlined into frames, of all threads together."""
    frame_text: int = 1 << 26
    """Characters of functions, files and modules of all frames, counted each time they appear."""
    modules: int = 4096
    file_lookups: int = 40_000
    """Candidates for files of modules that are looked for on this machine, each once for 4 parts of its path."""
    path_parts: int = 128
    """Of a path that is looked for."""
    path_steps: int = 1024
    """Parts of a path with those of the symbolic links on its way."""
    debug_files: int = 50_000
    """Files of the named debug directories that are looked at for their build-id."""
    debug_directory_depth: int = 12
    file_pieces: int = 1 << 17
    """Ranges of memory that are read from files."""
    tls_words: int = 1 << 24
    """Of the TLS of all threads, that are searched for a caught exception."""
    mappings: int = 70_000
    """That the report lists."""
    text: int = 1 << 23
    """Bytes of strings read from memory that may go into the report."""
    read_bytes: int = 1 << 27
    """Of one read of memory: what asks for more than this has taken a wild number for a size."""
    reads: int = 1 << 21
    """Of memory beside the block that was read last; an analysis of a JVM of 40 threads makes some 2,000."""
    searched_text: int = 1 << 21
    """Characters of texts that are searched for secrets, each text once."""
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
    inflation: int = 1100
    """How many times as large as its stream a compressed section of DWARF can be: zlib's most is 1032."""
    decompressed_bytes: int = 1 << 40
    """Zeros included, which take no room."""
    fetched_bytes: int = 1 << 30
    """Of one remote core, of which only what is read is fetched."""
    disk_reserve: int = 1 << 26
    """Bytes of the folder for temporary files that decompression leaves free."""
    tarball_members: int = 1 << 17
    tarball_bytes_passed: int = 1 << 34
    """Of members that are no crash, which have to be decompressed to get past them."""
    zip_directory_bytes: int = 1 << 26
    """The directory of a zip archive, which is read whole."""
    tarball_header_bytes: int = 1 << 20
    """Of a member's header with its long names, attributes and map of holes."""
    ranges_listed: int = 1 << 20
    package_note: int = 1 << 16
    forensic_names: int = 4096
    forensic_file: int = 1 << 29
    forensic_section: int = 1 << 24
    """Bytes of a compressed section of debug information that is read for the compiler's options."""
    forensic_units: int = 64
    const_method_words: int = 1 << 20
    source_files: int = 64
    source_bytes: int = 1 << 22
    frames_with_registers: int = 64
    java_frames_with_registers: int = 256
    frames_with_values: int = 30
    debug_section_bytes: int = 1 << 27
    section_kept: int = 1 << 20
    """Bytes of a compressed section of DWARF from which on a run that had no time for it keeps it decompressed."""
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
    other_faults: int = 16
    """Threads that had a fault of their own, beside that of the report."""
    open_files: int = 256
    """Descriptors of files that are held open at a time; others are opened again when they are read."""
    blocks_kept: int = 4096
    """Blocks of 4 KiB of one file that are kept in memory."""
    losses_listed: int = 64
    """Ranges of one file that could not be read, of which the offsets are kept."""

    # parsers.dwarf.cfi
    cfi_record: int = 1 << 20
    """Bytes of a CIE or FDE."""
    cfi_remembered_states: int = 256
    """Rows that DW_CFA_remember_state keeps at a time."""

    # parsers.dwarf.dwp
    dwp_columns: int = 64
    """Sections of a package, by its index."""

    # parsers.elf.foreign
    foreign_headers: int = 1 << 16
    """Program headers of a core of another system or machine in which notes are looked for."""
    foreign_notes: int = 4096
    """Notes of it whose owners are looked at."""
    foreign_owner: int = 64
    """Bytes of a note's owner."""

    # parsers.elf.module, postmortem.program.modules
    module_headers: int = 1024
    """Program headers of an ELF image in memory; more make it none."""
    module_note_segments: int = 16
    """PT_NOTE segments of it that are read."""
    module_notes: int = 1 << 16
    """Bytes of one PT_NOTE segment of an image or its file."""
    module_dynamic: int = 1 << 16
    """Bytes of the dynamic section."""
    module_soname: int = 256
    """Bytes of DT_SONAME's string."""

    # parsers.elf.symbols
    symbols_mini_limit: int = 1 << 26
    symbols_names_limit: int = 1 << 29

    # parsers.hs_err.console
    console_most: int = 1000

    # parsers.hs_err.frames
    frames_longest: int = 20_000

    # parsers.hs_err.reader
    reader_items: int = 1 << 17

    # parsers.hs_err.splitter
    splitter_unknown: int = 10_000
    splitter_largest_excerpt: int = 1 << 20

    # parsers.hs_err.text
    affix_line: int = 400
    """Characters of a line's prefix, or of a line above, that are matched with the prefixes of others."""
    affix_shapes: int = 16
    """Shapes of prefixes that are tried on each line, the most frequent first."""
    anchors_hits: int = 4000
    """Hits of one word that are looked at: a prefix is known by then."""
    markup_json: int = 1 << 23
    """Characters of a text that is parsed as JSON or as a literal of Python."""
    markup_depth: int = 12
    """Levels of objects and lists in which a log's text is looked for."""
    streams_prefix: int = 400
    """Characters of a prefix that are compared to tell writers apart."""
    streams_writers: int = 8
    """Writers whose lines lie between one another."""
    wrapped_pieces: int = 12
    """Lines that are joined to the one before them."""
    wrapped_line: int = 4000
    """Characters of a joined line from which on nothing is joined to it."""

    # parsers.perfmap
    perfmap_longest_line: int = 8192

    # postmortem.cli.output
    output_older_report: int = 1 << 26
    """Bytes of a report already there, of which is asked whether it is of the same core."""

    # postmortem.fault.nowhere
    nowhere_largest_table: int = 1 << 16
    nowhere_largest_gap: int = 1 << 26
    """Bytes between two mappings that one library or region of generated code can have left."""
    nowhere_stack: int = 1 << 14
    """Bytes of the stack in which addresses of that gap are looked for."""
    nowhere_references: int = 16
    """Words that are told as such addresses."""

    # postmortem.machines.x86_64.constants
    constants_longest_function: int = 1 << 17

    # postmortem.fault.holders
    pointer_holders: int = 16
    """Of one bad pointer, and arguments that are looked at for them."""
    dead_stack: int = 1 << 20
    """Bytes below a stack pointer that calls before may have used."""
    static_object: int = 1 << 16
    """Bytes of an object of which is told whether any is set."""
    # postmortem.values.layouts
    layout_frames: int = 8
    """Innermost functions whose variables are compared."""
    layout_variables: int = 64
    """Of each of them."""
    layout_members: int = 32
    """Members that are told of a type."""
    # postmortem.fault.exitlist
    exit_list_search: int = 1 << 25
    """Bytes of writable memory that are searched for the destructor of a static object."""
    exit_list_head: int = 1 << 20
    """Of each mapping: libc's variables, and the beginning of the heap."""
    # postmortem.fault.brokenframe
    broken_frames: int = 8
    """Innermost frames among which the one that leads nowhere is looked for."""
    jump_buffer_search: int = 1 << 26
    """Bytes of writable memory that are searched for a jmp_buf."""
    # postmortem.runtimes.native.heapblocks
    heap_chunks: int = 20_000
    """Chunks from the start of a heap on to the one that holds an address."""
    # postmortem.machines.x86_64.dataflow
    dataflow_largest: int = 1 << 16

    # postmortem.machines.x86_64.instruction
    instruction_function: int = 1 << 16
    """Bytes from a function's first instruction to the pc that are disassembled for the listing."""

    # postmortem.machines.x86_64.prologue
    prologue_longest: int = 1 << 15
    prologue_instructions: int = 4096

    # postmortem.program.identity
    identity_search: int = 1 << 17

    # postmortem.redaction.masker
    masker_secrets: int = 512
    """Secrets of a report that are looked for in all of its texts, the longest first."""
    masker_lines: int = 64
    """Lines of a secret of several lines that are looked for by themselves."""
    masker_piece: int = 1 << 16
    """Characters of a text that are searched at a time, each piece by itself."""

    # postmortem.runtimes.go.panic
    panic_longest: int = 1024

    # postmortem.runtimes.hotspot.attach
    polls_searched: int = 256
    critical_sections: int = 1 << 10

    # postmortem.runtimes.hotspot.code.codecache
    codecache_hops: int = 1 << 16

    # postmortem.runtimes.hotspot.code.codeheap
    codeheap_heaps: int = 16
    codeheap_blocks: int = 1 << 18
    codeheap_segments: int = 1 << 26

    # postmortem.runtimes.hotspot.code.method
    method_line_bytes: int = 1 << 18

    # postmortem.runtimes.hotspot.code.nmethod
    nmethod_scopes_data: int = 1 << 24
    nmethod_pcs: int = 1 << 24
    nmethod_listed: int = 4096
    nmethod_depth: int = 512

    # postmortem.runtimes.hotspot.code.stubs
    stubs_codelets: int = 4096
    stubs_longest_stub: int = 1 << 15

    # postmortem.runtimes.hotspot.heap.heap
    heap_regions: int = 1 << 17
    heap_granules: int = 1 << 24
    heap_numa: int = 64

    # postmortem.runtimes.hotspot.heap.histogram
    histogram_classes: int = 1 << 17
    histogram_resyncs: int = 10_000

    # postmortem.runtimes.hotspot.heap.metaspace
    metaspace_loaders: int = 1 << 18

    # postmortem.runtimes.hotspot.heap.uses
    uses_nodes: int = 4096
    uses_stack: int = 1 << 34

    # postmortem.runtimes.hotspot.layout.archive
    archive_header_search: int = 64

    # postmortem.runtimes.hotspot.layout.oops
    object_fields: int = 1 << 14
    object_supers: int = 256
    object_string: int = 1 << 20
    object_neighbour: int = 1 << 16
    """Bytes before an object with a damaged header in which the array that ends there may begin."""
    object_neighbours: int = 16
    """Objects whose neighbour is looked for; the crashing thread's come first."""
    object_symbol: int = 1 << 16
    pool_entries: int = 1 << 12
    """Constants of a class that are looked through for the names of others."""

    # postmortem.runtimes.hotspot.layout.reading
    reading_chunks_kept: int = 1 << 14

    # postmortem.runtimes.hotspot.layout.relocation
    relocation_entries: int = 1 << 19

    # postmortem.runtimes.hotspot.layout.vmstructs
    vmstructs_entries: int = 1 << 15
    vmstructs_stride: int = 256

    # postmortem.runtimes.hotspot.stack.continuation
    continuation_chunks: int = 256
    continuation_frames: int = 16_384
    continuation_chunk_words: int = 1 << 24
    continuation_locks: int = 64
    continuation_shapes: int = 64

    # postmortem.runtimes.hotspot.threads.classinit
    classinit_mirror: int = 1024

    # postmortem.runtimes.hotspot.threads.list
    list_threads: int = 1 << 15

    # postmortem.runtimes.hotspot.threads.monitors
    monitors_lock_stack: int = 4096

    # postmortem.runtimes.hotspot.threads.pools
    pools_workers: int = 1 << 17

    # postmortem.runtimes.hotspot.threads.threads
    threads_threads: int = 1 << 15
    threads_name: int = 4096
    threads_stack: int = 1 << 34
    threads_mark_searched: int = 1 << 16

    # postmortem.runtimes.hotspot.threads.virtualthreads
    virtualthreads_listed: int = 1 << 20
    virtualthreads_walked: int = 20_000
    virtualthreads_chain: int = 4096
    virtualthreads_object: int = 4096

    # postmortem.runtimes.hotspot.vm.arguments
    arguments_arguments: int = 1 << 14
    arguments_text: int = 1 << 20
    arguments_properties: int = 1 << 14
    arguments_buckets: int = 1 << 16

    # postmortem.runtimes.hotspot.vm.events
    events_logs: int = 64
    events_records: int = 1 << 16
    events_record: int = 1 << 14
    events_ring: int = 1 << 24
    """Bytes of all records of a ring."""
    events: int = 1 << 15
    """Of all rings together."""

    # postmortem.runtimes.hotspot.vm.flags
    flags_flags: int = 8192
    flags_text: int = 1 << 16
    flags_entry: int = 1 << 10

    # postmortem.runtimes.hotspot.vm.perfdata
    perfdata_bytes: int = 1 << 24
    perfdata_entries: int = 1 << 14

    # postmortem.runtimes.hotspot.vm.vmerror
    vmerror_text: int = 2000
    vmerror_stack_searched: int = 1 << 17
    vmerror_allocator_searched: int = 1 << 16
    vmerror_object: int = 1 << 40

    # postmortem.runtimes.hotspot.x86_64.continuationentry
    continuationentry_arguments: int = 256
    continuationentry_code: int = 1 << 16

    # postmortem.runtimes.hotspot.x86_64.frames
    frames_stack: int = 1 << 24
    frames_anchors: int = 4096

    # postmortem.runtimes.hotspot.x86_64.loops
    lobject_longest: int = 1 << 20

    # postmortem.runtimes.native.arenas
    arenas_limit: int = 65_536

    # parsers.elf.gopclntab
    go_pc_table_rows: int = 1 << 16

    # postmortem.runtimes.go.goroutines
    goroutines: int = 10_000
    goroutine_groups: int = 64

    # postmortem.runtimes.native.freed
    freed_cache_head: int = 1 << 20
    freed_cache_total: int = 1 << 24
    freed_cache_candidates: int = 256

    # postmortem.runtimes.native.jvmtext
    jvmtext_stack: int = 1 << 16
    jvmtext_data: int = 8 << 20

    # postmortem.runtimes.native.messages
    messages_longest: int = 4096
    messages_words: int = 1 << 16
    messages_mapping: int = 1 << 20
    """Bytes of the mapping that glibc's abort message is in, as its first word tells."""

    # postmortem.runtimes.native.onstack
    onstack_lines: int = 1 << 20

    # postmortem.runtimes.native.places
    places_pointers: int = 4096

    # postmortem.runtimes.native.reporters
    reporters_lines: int = 1 << 24

    # postmortem.runtimes.native.rust
    rust_text: int = 4096
    """Bytes of a panic's message."""
    rust_capacity: int = 1 << 20
    """Bytes that a String of the message may have room for."""
    rust_frame: int = 1 << 13
    """Bytes of the frames of the panic handler, in which the payload is looked for."""
    rust_file: int = 512
    """Bytes of the path of a Location."""
    rust_stack: int = 1 << 16
    """Bytes of the stack in which the exception of a former panic is looked for."""

    # postmortem.targets.target
    target_log: int = 1 << 26
    """Bytes of a file that is no core, in which a log is looked for."""

    # postmortem.symbols.cache
    cache_longest_key: int = 128

    # postmortem.symbols.demangle
    demangle_largest: int = 1 << 24

    # postmortem.symbols.mergedinlines
    mergedinlines_largest_unit: int = 1 << 17
    mergedinlines_largest_file: int = 1 << 24
    mergedinlines_deepest: int = 64

    # postmortem.symbols.table
    table_nesting: int = 4096

    # postmortem.unwind.walker
    walker_damaged: int = 100
    """Places with damaged CFI whose damage is kept in words."""
    walker_scan_near: int = 40
    walker_scan_far: int = 160
    """Words of the stack that are scanned for a return address: more when the callee was reached by a sound rule
    (rust-minidump's experience)."""


LIMITS = Limits()
