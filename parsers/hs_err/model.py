"""The facts of a HotSpot fatal error log (hs_err), one frozen class per kind of fact.

The log is written by VMError::report (src/hotspot/share/utilities/vmError.cpp) as a list of steps, each of
which may fail, be left out, or be cut: every fact is optional. None: the log does not have it. Tuples keep
the log's order. Addresses, register values and sizes are integers; sizes are bytes unless the name says
otherwise.
"""

from __future__ import annotations

import msgspec


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log, without what was put around it. `number` counts the file's lines from 1."""

    number: int
    text: str


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Non-blank lines of the log, and how many of them became a fact, a heading or a fixed banner."""

    total: int
    understood: int

    @property
    def ratio(self) -> float:
        """Between 0 and 1; 1 for an empty log."""
        return self.understood / self.total if self.total else 1.0


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """[start, end), addresses."""

    start: int
    end: int


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A named value that HotSpot prints in words of its own; `group` is the heading it stands under."""

    name: str
    value: str
    group: str | None = None


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a stack (frame::print_on_error, os::print_C_frame of runtime/frame.cpp).

    kind: V VM code, C native, j interpreted, J compiled, A ahead-of-time compiled, v generated VM code, M
    Zero. offset: pc minus start of `function` (native), or minus start of the compiled code. bci:
    interpreted frames. code_start: start of the compiled code's instructions. level: the compiler as printed
    (c1, c2, jvmci).
    """

    kind: str
    text: str
    address: int | None = None
    function: str | None = None
    offset: int | None = None
    module: str | None = None
    module_offset: int | None = None
    compile_id: int | None = None
    level: str | None = None
    osr: bool = False
    method: str | None = None
    signature: str | None = None
    bytecode_size: int | None = None
    bci: int | None = None
    code_start: int | None = None
    java_module: str | None = None
    source_file: str | None = None
    source_line: int | None = None


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """The native allocation that failed: `function` is malloc, mmap or mprotect; `size` in bytes; `detail`
    its purpose."""

    function: str
    size: int | None = None
    detail: str | None = None


class RuntimeVersion(msgspec.Struct, frozen=True, kw_only=True):
    """`# JRE version:`. vendor_version: what the vendor put between name and version (18.9,
    Temurin-21.0.2+13, …)."""

    text: str
    name: str | None = None
    vendor_version: str | None = None
    version: str | None = None
    build: str | None = None


class VmVersion(msgspec.Struct, frozen=True, kw_only=True):
    """`# Java VM:`. options are the words of the last parenthesis but for the version and the platform."""

    text: str
    name: str | None = None
    vendor_version: str | None = None
    version: str | None = None
    mode: str | None = None
    options: tuple[str, ...] = ()
    collector: str | None = None
    compressed_oops: bool | None = None
    platform: str | None = None


class CoreDump(msgspec.Struct, frozen=True, kw_only=True):
    """The line on the core or minidump. written: None when the line does not say."""

    text: str
    written: bool | None = None
    location: str | None = None


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The `#` block (steps "printing type of error" to "printing bug submit message").

    kind: "signal", "internal-error" or "out-of-memory". error_id: the number in parenthesis after the name
    (signal number, Windows exception code, VMError's own 0xe… codes). source_file, source_line: of an
    internal error. message: the `Error: …` or `assert(…) failed: …` text; detail: what follows its first ":
    ".
    """

    kind: str | None = None
    insufficient_memory: bool = False
    signal_name: str | None = None
    error_id: int | None = None
    sent_by: str | None = None
    pc: int | None = None
    pid: int | None = None
    tid: int | None = None
    source_file: str | None = None
    source_line: int | None = None
    message: str | None = None
    detail: str | None = None
    allocation: Allocation | None = None
    reasons: tuple[str, ...] = ()
    solutions: tuple[str, ...] = ()
    runtime: RuntimeVersion | None = None
    vm: VmVersion | None = None
    problematic_frame: Frame | None = None
    core: CoreDump | None = None
    saved_as: tuple[str, ...] = ()
    replay_file: str | None = None
    jfr: tuple[str, ...] = ()
    bug_url: str | None = None
    outside_vm: bool = False
    notes: tuple[str, ...] = ()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """S U M M A R Y (JDK 11 and newer), and `time:` and `elapsed time:` at the end of older logs. elapsed:
    seconds."""

    command_line: str | None = None
    host: str | None = None
    cpu: str | None = None
    cores: int | None = None
    memory: str | None = None
    os: str | None = None
    time: str | None = None
    timezone: str | None = None
    elapsed: float | None = None


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """A thread as Thread::print_on_error writes it (runtime/thread.cpp, javaThread.cpp). id: the OS thread
    id."""

    text: str
    address: int | None = None
    kind: str | None = None
    name: str | None = None
    daemon: bool = False
    state: str | None = None
    id: int | None = None
    stack: Range | None = None
    current: bool = False
    exited: bool = False
    notes: str | None = None


class CompileTask(msgspec.Struct, frozen=True, kw_only=True):
    """CompileTask::print_line_on_error (compiler/compileTask.cpp). time: milliseconds since the VM
    started."""

    text: str
    compiler: str | None = None
    thread: str | None = None
    time: int | None = None
    id: int | None = None
    flags: str | None = None
    level: int | None = None
    method: str | None = None
    bci: int | None = None
    bytecode_size: int | None = None


class VmOperation(msgspec.Struct, frozen=True, kw_only=True):
    """`VM_Operation (0x…): name, mode: …, requested by thread 0x…`."""

    text: str
    address: int | None = None
    name: str | None = None
    mode: str | None = None
    requested_by: int | None = None


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """`Stack: [low,high],  sp=…,  free space=…k`. free: bytes. outside: sp lies outside the bounds."""

    low: int | None = None
    high: int | None = None
    sp: int | None = None
    free: int | None = None
    outside: bool = False


class SignalInfo(msgspec.Struct, frozen=True, kw_only=True):
    """siginfo. Unix: number, name, code, code_name, address or sender. Windows: exception, access and
    address."""

    text: str
    number: int | None = None
    name: str | None = None
    code: int | None = None
    code_name: str | None = None
    address: int | None = None
    sender_pid: int | None = None
    sender_uid: int | None = None
    status: int | None = None
    exception: int | None = None
    access: str | None = None


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """A general or special register; `words` has the parts of a vector register, in the log's order."""

    name: str
    value: int
    words: tuple[int, ...] = ()


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What a register or stack slot points at (os::print_location).

    where: the register's name, or the slot's number. kind: null, unknown, thread, stack, object, metadata,
    method, code, symbol, memory or other. symbol and offset with `module` at `module_base`; thread: whose
    stack it is. details: the further lines, as HotSpot dumps the thing found.
    """

    where: str
    kind: str
    text: str
    value: int | None = None
    symbol: str | None = None
    offset: int | None = None
    module: str | None = None
    module_base: int | None = None
    thread: int | None = None
    details: tuple[str, ...] = ()


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a memory dump at `address`; `unit` bytes per value; None for an unreadable one."""

    address: int
    unit: int
    values: tuple[int | None, ...]


class ReportError(msgspec.Struct, frozen=True, kw_only=True):
    """A failure of the error reporter itself. step: what it was printing."""

    text: str
    step: str | None = None
    id: int | None = None


class CrashedThread(msgspec.Struct, frozen=True, kw_only=True):
    """T H R E A D. `native_frames_cut`: `...<more frames>...` was printed. stack_top and instructions:
    memory dumps."""

    thread: Thread | None = None
    is_native: bool = False
    compile_task: CompileTask | None = None
    vm_operation: VmOperation | None = None
    stack: Stack | None = None
    native_frames: tuple[Frame, ...] = ()
    native_frames_cut: bool = False
    java_frames: tuple[Frame, ...] = ()
    java_frames_cut: bool = False
    processed_thread: Thread | None = None
    siginfo: SignalInfo | None = None
    registers: tuple[Register, ...] = ()
    register_locations: tuple[Location, ...] = ()
    stack_top: tuple[Words, ...] = ()
    stack_top_address: int | None = None
    instructions: tuple[Words, ...] = ()
    instructions_pc: int | None = None
    slot_locations: tuple[Location, ...] = ()
    lock_stack: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Mutex(msgspec.Struct, frozen=True, kw_only=True):
    """A VM mutex with its owner; address of the Mutex object and of the owning Thread."""

    name: str
    address: int | None = None
    owner: int | None = None


class ExceptionCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many were thrown since the VM started (Exceptions::print_exception_counts_on_error)."""

    name: str
    count: int


class CompressedPointers(msgspec.Struct, frozen=True, kw_only=True):
    """Compressed oops, class space and archive lines; addresses, sizes in bytes. `settings` has the further
    ones."""

    heap_address: int | None = None
    heap_size: int | None = None
    oops_mode: str | None = None
    archive: Range | None = None
    archive_text: str | None = None
    class_space: Range | None = None
    class_space_size: int | None = None
    narrow_klass_base: int | None = None
    narrow_klass_shift: int | None = None
    settings: tuple[Setting, ...] = ()


class HeapSpace(msgspec.Struct, frozen=True, kw_only=True):
    """A generation, space or the whole heap. Sizes in bytes; bounds as printed between brackets."""

    name: str
    capacity: int | None = None
    used: int | None = None
    committed: int | None = None
    reserved: int | None = None
    percent: int | None = None
    bounds: tuple[int, ...] = ()


class HeapRegion(msgspec.Struct, frozen=True, kw_only=True):
    """A region of G1 or Shenandoah, or a page of ZGC. `type` as the log's legend has it; `rest` the other
    columns."""

    index: int | None
    bottom: int
    end: int
    top: int | None = None
    percent: int | None = None
    type: str | None = None
    rest: str | None = None


class Heap(msgspec.Struct, frozen=True, kw_only=True):
    """Heap, its regions and the collector's own data. collector: g1, parallel, serial, cms, z, shenandoah,
    epsilon."""

    collector: str | None = None
    precious_log: tuple[Setting, ...] = ()
    spaces: tuple[HeapSpace, ...] = ()
    region_size: int | None = None
    regions: tuple[HeapRegion, ...] = ()
    settings: tuple[Setting, ...] = ()
    card_table: Range | None = None
    polling_page: int | None = None


class MetaspaceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row, e.g. part "Virtual space", name "Both", sizes (("reserved", n), ("committed", n)) in bytes."""

    part: str | None
    name: str
    sizes: tuple[tuple[str, int], ...]


class Metaspace(msgspec.Struct, frozen=True, kw_only=True):
    """MetaspaceUtils::print_on and print_basic_report."""

    rows: tuple[MetaspaceRow, ...] = ()
    settings: tuple[Setting, ...] = ()


class CodeHeap(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes; bounds: low, committed high, reserved high."""

    name: str
    size: int | None = None
    used: int | None = None
    max_used: int | None = None
    free: int | None = None
    bounds: tuple[int, ...] = ()
    blobs: int | None = None
    nmethods: int | None = None
    adapters: int | None = None
    full_count: int | None = None


class CodeCache(msgspec.Struct, frozen=True, kw_only=True):
    """CodeCache::print_summary. compilation: "enabled" or why not."""

    heaps: tuple[CodeHeap, ...] = ()
    total: CodeHeap | None = None
    total_blobs: int | None = None
    nmethods: int | None = None
    adapters: int | None = None
    full_count: int | None = None
    compilation: str | None = None
    stopped_count: int | None = None
    restarted_count: int | None = None
    policy: tuple[str, ...] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """time: seconds since the VM started. details: the further lines of the entry (heap before and after
    GC)."""

    time: float | None
    text: str
    thread: int | None = None
    details: tuple[str, ...] = ()


class EventRing(msgspec.Struct, frozen=True, kw_only=True):
    """One ring buffer (utilities/events.cpp). count: as the heading says."""

    name: str
    count: int | None
    events: tuple[Event, ...] = ()


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the memory map or of the list of libraries. end: None where the system prints the base
    alone."""

    start: int
    end: int | None = None
    permissions: str | None = None
    offset: int | None = None
    device: str | None = None
    inode: int | None = None
    path: str | None = None


class Libraries(msgspec.Struct, frozen=True, kw_only=True):
    """os::print_dll_info. total: `Total number of mappings`. notes: state of the symbol engine, missing
    map."""

    mappings: tuple[Mapping, ...] = ()
    total: int | None = None
    agents: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class MemoryTag(msgspec.Struct, frozen=True, kw_only=True):
    """One category of native memory tracking; bytes. `details`: its further lines."""

    name: str
    reserved: int | None = None
    committed: int | None = None
    details: tuple[str, ...] = ()


class NativeMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Native memory tracking (nmt/memTracker.cpp). state: when it is off, or why there is nothing."""

    state: str | None = None
    reserved: int | None = None
    committed: int | None = None
    tags: tuple[MemoryTag, ...] = ()
    details: tuple[str, ...] = ()


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """A VM flag that differs from its default. kind: {product}, …; origin: {command line}, {ergonomic}, …."""

    type: str
    name: str
    value: str
    kind: str | None = None
    origin: str | None = None


class SignalHandler(msgspec.Struct, frozen=True, kw_only=True):
    """A row of Signal Handlers. handler: function and library, or [library+offset], SIG_DFL, SIG_IGN."""

    signal: str
    handler: str
    mask: str | None = None
    flags: str | None = None
    blocked: bool | None = None
    notes: tuple[str, ...] = ()


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """VM Arguments (Arguments::print_on). jvm_args as one text: the VM does not quote it."""

    jvm_args: str | None = None
    jvm_flags: str | None = None
    java_command: str | None = None
    class_path: str | None = None
    launcher: str | None = None


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """P R O C E S S, but for heap, code, events and libraries, which have fields of their own in HsErrLog."""

    java_thread_list: int | None = None
    thread_list_length: int | None = None
    thread_list: tuple[int, ...] = ()
    smr: tuple[Setting, ...] = ()
    java_threads: tuple[Thread, ...] = ()
    java_thread_total: int | None = None
    other_threads: tuple[Thread, ...] = ()
    other_thread_total: int | None = None
    threads_shown: bool = False
    compile_tasks: tuple[CompileTask, ...] = ()
    vm_state: str | None = None
    mutexes: tuple[Mutex, ...] = ()
    exception_counts: tuple[ExceptionCount, ...] = ()
    user: tuple[Setting, ...] = ()
    jni_references: tuple[Setting, ...] = ()
    loaders: tuple[Setting, ...] = ()
    """Memory of class loaders, and classes that several loaded."""


class Vm(msgspec.Struct, frozen=True, kw_only=True):
    """What the VM was told: arguments, flags, logging, environment, locale, signal handlers, release file."""

    arguments: Arguments = Arguments()
    flags: tuple[Flag, ...] = ()
    logging: tuple[str, ...] = ()
    release: tuple[Setting, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    locale: tuple[tuple[str, str], ...] = ()
    signal_handlers: tuple[SignalHandler, ...] = ()
    native_trim: tuple[str, ...] = ()
    compiler_memory: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class System(msgspec.Struct, frozen=True, kw_only=True):
    """S Y S T E M (os::print_os_info, print_cpu_info, print_memory_info). meminfo: bytes, or counts without
    a unit."""

    os: str | None = None
    os_release: tuple[str, ...] = ()
    uname: str | None = None
    uptime: str | None = None
    libc: str | None = None
    rlimits: tuple[tuple[str, str], ...] = ()
    load_average: tuple[float, ...] = ()
    meminfo: tuple[tuple[str, int], ...] = ()
    huge_pages: tuple[Setting, ...] = ()
    kernel: tuple[Setting, ...] = ()
    process_memory: tuple[Setting, ...] = ()
    container: tuple[Setting, ...] = ()
    virtualization: str | None = None
    steal: tuple[Setting, ...] = ()
    cpu: str | None = None
    cpu_total: int | None = None
    cpu_details: tuple[Setting, ...] = ()
    memory: str | None = None
    page_size: int | None = None
    physical_memory: int | None = None
    physical_memory_free: int | None = None
    swap: int | None = None
    swap_free: int | None = None
    memory_details: tuple[Setting, ...] = ()
    vm_info: str | None = None


class FailedThread(msgspec.Struct, frozen=True, kw_only=True):
    """`Failed to start thread "name" - pthread_create failed (EAGAIN) for attributes: …` (os_linux.cpp,
    os_windows.cpp). error: errno's name."""

    text: str
    name: str | None = None
    error: str | None = None


class FailedCommit(msgspec.Struct, frozen=True, kw_only=True):
    """`os::commit_memory(0x…, size, exec) failed; error='…' (errno=12)` (os_linux.cpp,
    warn_fail_commit_memory). size: bytes."""

    text: str
    address: int
    size: int
    error: str | None = None
    errno: int | None = None


class Console(msgspec.Struct, frozen=True, kw_only=True):
    """What the VM wrote to the console around its head. warnings: all of it, the failures among them."""

    warnings: tuple[str, ...] = ()
    failed_threads: tuple[FailedThread, ...] = ()
    failed_commits: tuple[FailedCommit, ...] = ()


class HsErrLog(msgspec.Struct, frozen=True, kw_only=True):
    """All of one log. complete: the `END.` marker is there. unknown: the lines that became no fact.

    ended: the log closes as its own version closes a whole log (JDK 8 has no END. and ends with `elapsed
    time:`). limits_reached: names of the lists that were cut at the reader's bound. normalised: what was undone of
    the text's way here, in words (a logger's prefix, quotes, markup). logs: first lines of the logs in the file, where
    there are several; these facts are the first one's.
    """

    header: Header = msgspec.field(default_factory=Header)
    console: Console = msgspec.field(default_factory=Console)
    summary: Summary = msgspec.field(default_factory=Summary)
    thread: CrashedThread = msgspec.field(default_factory=CrashedThread)
    process: Process = msgspec.field(default_factory=Process)
    pointers: CompressedPointers = msgspec.field(default_factory=CompressedPointers)
    heap: Heap = msgspec.field(default_factory=Heap)
    metaspace: Metaspace = msgspec.field(default_factory=Metaspace)
    code_cache: CodeCache = msgspec.field(default_factory=CodeCache)
    events: tuple[EventRing, ...] = ()
    libraries: Libraries = msgspec.field(default_factory=Libraries)
    native_memory: NativeMemory = msgspec.field(default_factory=NativeMemory)
    vm: Vm = msgspec.field(default_factory=Vm)
    system: System = msgspec.field(default_factory=System)
    report_errors: tuple[ReportError, ...] = ()
    complete: bool = False
    ended: bool = False
    coverage: Coverage = msgspec.field(default_factory=lambda: Coverage(total=0, understood=0))
    unknown: tuple[Line, ...] = ()
    limits_reached: tuple[str, ...] = ()
    normalised: tuple[str, ...] = ()
    logs: tuple[int, ...] = ()
    others: int = 0
