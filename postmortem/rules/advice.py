"""What to do, in the words of the system that the dead process ran on: each gets its own tools, or none.

A rule that names a tool takes it from here. What a rule says nevertheless that the system does not have, the engine
leaves out (`fits`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.systems import system

if TYPE_CHECKING:
    from postmortem.model import Report

_LINUX_ONLY = (
    r"vm\.overcommit|overcommit_memory|/proc/|\bcgroups?\b|control group|pids\.max|memory\.max|max_map_count"
    r"|threads-max|edac-util|mcelog|journalctl|systemd|auditctl|ausearch|/dev/shm|\btmpfs\b|rasdaemon|core_pattern"
    r"|coredump_filter|coredump\.conf|LD_PRELOAD|addr2line|GLIBC_TUNABLES|libc_malloc_debug|memtest86"
)
_UNIX_ONLY = r"\bulimit\b|RLIMIT_|\bdmesg\b|\bfuser\b|\blsof\b|\bsetrlimit\b|libasan|libjsig\.so|\bdf\b|\bgdb\b"
_GLIBC_ONLY = r"GLIBC_TUNABLES|libc_malloc_debug|MALLOC_ARENA_MAX|MALLOC_PERTURB_"
_FOREIGN = {
    "windows": Lazy(f"{_LINUX_ONLY}|{_UNIX_ONLY}"),
    "macos": Lazy(f"{_LINUX_ONLY}|libjsig\\.so"),
    "solaris": Lazy(_LINUX_ONLY.replace("|LD_PRELOAD", "")),
    "aix": Lazy(_LINUX_ONLY),
    "bsd": Lazy(_LINUX_ONLY.replace("|LD_PRELOAD|addr2line", "")),
}
_NOT_ON_MUSL = Lazy(_GLIBC_ONLY)


def fits(report: Report, text: str) -> bool:
    """Whether a piece of advice names nothing that the system lacks."""
    on = system(report)
    foreign = _FOREIGN.get(on.name or "")
    if foreign is not None and foreign.search(text):
        return False
    return not (on.musl and _NOT_ON_MUSL.search(text))


def limits(report: Report, known: bool) -> tuple[str, ...]:
    """Where to look for what bounds a process' memory. known: what was short is."""
    name = system(report).name
    if name == "windows":
        text = "Look in Task Manager (Performance, Memory) at 'Committed', and at the page file's size in the system's"
        return () if known else (f"{text} settings; a service or container may run in a job with a memory limit.",)
    if name == "macos":
        return () if known else ("Look at memory pressure in Activity Monitor, and at launchctl limit.",)
    if name == "solaris":
        return ("Compare swap -s, the zone's limits (prctl) and pmap of such a process.",)
    if name == "aix":
        return ("Compare lsps -s, ulimit -a and svmon of such a process.",)
    where = "Compare ulimit -v, vm.max_map_count, vm.overcommit_memory and the container's limit with what is mapped."
    return (where,)


def threads(report: Report) -> str:
    """Where to look for what bounds the number of threads."""
    name = system(report).name
    if name == "windows":
        return "Smaller stacks (-Xss) and a larger page file: each thread takes address space and commit for its stack."
    if name == "macos":
        return "Look at sysctl kern.num_taskthreads, and use smaller stacks (-Xss)."
    return (
        "Check the limits: ulimit -u (of all processes of that user), pids.max of the control group,"
        " kernel.threads-max and kernel.pid_max, ulimit -v; smaller stacks (-Xss) if address space is short."
    )


def memory_test(report: Report) -> str:
    """How to test a machine's memory."""
    on = system(report)
    if on.emulator is not None:
        return f"Run it without {on.emulator}, on a machine with the CPU that it was built for."
    tool = {
        "windows": " (mdsched.exe, Windows' memory diagnostic)",
        "macos": " (Apple Diagnostics)",
        "linux": " (memtest86+, edac-util, mcelog)",
    }.get(on.name or "", "")
    return f"If it happens on one machine only, test its memory{tool}."


def source_of(report: Report, library: str, offset: int | None) -> str:
    """ " (addr2line -Cfie libcart.so 0x1f30)": how to get from an offset to a line; "" where there is no one tool."""
    if offset is None or system(report).name not in ("linux", None):
        return ""
    return f" (addr2line -Cfie {library} {offset:#x})"


def sanitizer(report: Report, library: str, program: bool) -> str:
    """How to have a library's bad accesses found."""
    name = system(report).name
    if name == "windows":
        return f"Build {library} with /fsanitize=address, or use Application Verifier, to find the first bad access."
    if program:
        return f"Build {library} with -fsanitize=address to find the first bad access."
    if name == "macos":
        loader = "DYLD_INSERT_LIBRARIES of libclang_rt.asan_osx_dynamic.dylib"
    elif system(report).musl:
        return f"Build {library} with -fsanitize=address for a glibc system, to find the first bad access there."
    else:
        loader = "LD_PRELOAD of libasan.so"
    return f"Build {library} with -fsanitize=address and start java with {loader} to find the first bad access."


def chained_handlers(report: Report) -> tuple[str, ...]:
    """How to keep the JVM's signal handlers beside those of a library."""
    name = system(report).name
    if name == "windows":
        return ()
    if name == "macos":
        return (
            "Start with DYLD_INSERT_LIBRARIES=$JAVA_HOME/lib/libjsig.dylib: it chains handlers that are installed after"
            " the JVM's.",
        )
    return (
        "Start with LD_PRELOAD=$JAVA_HOME/lib/libjsig.so (JDK 8: jre/lib/amd64/libjsig.so): it chains handlers that"
        " are installed after the JVM's.",
    )


def file_watch(report: Report) -> tuple[str, ...]:
    """How to find who writes a file, and what else takes a page of it away."""
    name = system(report).name
    if name == "windows":
        return (
            "Find who writes the file: Process Monitor (procmon) with a filter on its path.",
            "Look in the event log for errors of the disk; a network share that drops the file does the same.",
        )
    if name == "macos":
        return (
            "Find who writes the file: fs_usage -w -f filesys.",
            "Look in the system log for errors of the disk; a network volume that drops the file does the same.",
        )
    if name == "linux" or name is None:
        return (
            "Find who writes the file: fuser -v FILE, auditctl -w FILE -p wa.",
            "Check dmesg for input/output errors and df for a full file system; network file systems raise the same"
            " signal when the server drops the file.",
        )
    return ("Find who writes the file: fuser FILE.",)
