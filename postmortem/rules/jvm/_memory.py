"""What was short when the system refused the JVM memory: each explanation with how far the report proves it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Host
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.systems import system
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.jvm import _threads as jvm_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Confidence, Report

OOM_MMAP = 0xE0000002
"""VMError's number where mmap, or what stands for it, was refused."""
_NEAR = 0.95
_LITTLE = 0.03
"""The part of a machine's memory below which it is out of memory: the kernel keeps some, and pages of files count."""
_LOW, _NO_SWAP = 0.1, 0.01
"""With its swap used up a machine refuses memory earlier."""
_MANY_THREADS = 2000
_MAX_MAPPINGS = 65_530
"""vm.max_map_count's default."""
_PROMISED = 0.005
"""The part of Windows' commit limit that may be free again when the log is written: the request had failed before."""
_DEFAULT_RATIO, _RATIO_ERROR = 0.5, 0.03
"""vm.overcommit_ratio's default, and by how much huge pages and rounding may move the limit."""
_RESERVED = 128 << 20
"""What vm.user_reserve_kbytes and admin_reserve_kbytes keep back at most under strict overcommit."""
_RUNAWAY = 16 << 20
"""Bytes of one request that no healthy compilation makes: its arenas grow by chunks of at most a few MiB."""
_BREAK_GAP = 256 << 20
_NARROW_SPACE = 4 << 30
_GUARDED = Lazy(r"guard(?:ing)? stack pages|protect stack guard pages failed|stack guard pages")
_STEM = Lazy(r"[\W\d_]+$|\d+.*$")

ELSEWHERE = (
    "Windows: look in Task Manager (Performance, Memory) at 'Committed', and enlarge the page file; macOS: look at"
    " memory pressure in Activity Monitor."
)
LESS = "Lower -Xmx (or -XX:MaxRAMPercentage), or give the machine or container more memory."
START = "Lower -Xms and -Xmx to what the machine has to spare, or free memory before the start."


class Cause(NamedTuple):
    """Something that was short: in a few words, in a sentence, the place in the report that tells, what to do."""

    brief: str
    text: str
    where: str
    what: str
    remedy: str
    sure: Confidence = "likely"
    rivals: tuple[str, ...] = ()
    culprit: bool = False


def causes(report: Report, asked: int, by_malloc: bool) -> Iterator[Cause]:
    """Those that the report speaks for, the best founded first. asked: bytes, 0 when it is not known."""
    found = list(_causes(report, asked, by_malloc))
    rank = {"certain": 0, "likely": 1, "possible": 2}
    # A request that is itself the outsized one comes first, however short the machine was.
    yield from sorted(found, key=lambda cause: (not cause.culprit, rank[cause.sure]))


def _causes(report: Report, asked: int, by_malloc: bool) -> Iterator[Cause]:
    host = report.host or Host()
    if (forbidden := forbidden_code(report)) is not None:
        yield forbidden
        return
    yield from _compiler(report, asked)
    yield from _narrow(report, by_malloc)
    if system(report).name == "windows":
        yield from _commit_of_windows(host, asked)
    else:
        yield from _container(host, asked)
        yield from _address_space(report, asked)
        yield from _mappings(report)
        yield from _guard(report)
        short = tuple(_machine(host, asked))
        yield from short
        yield from _overcommit(host, asked, bool(short))
        yield from _break(report, by_malloc)
    yield from _threads(report)


_FORBIDDEN = Lazy(r"os::commit_memory\(0x[0-9a-f]+, \d+, (?:1|true)\) failed; error='.{0,200}' \(errno=(1|13)\)")


def forbidden_code(report: Report) -> Cause | None:
    """EPERM or EACCES as the VM asked for memory that may be executed: a policy, no shortage."""
    for index, warning in enumerate(report.jvm.warnings if report.jvm is not None else ()):
        found = _FORBIDDEN.search(warning)
        if found is None:
            continue
        answer = "EPERM" if found[1] == "1" else "EACCES"
        return Cause(
            "executable memory is forbidden",
            f"The system answered {answer}, which is no answer of want: the memory was to be executable, and a policy"
            " forbids that (PaX or grsecurity of the host's kernel, SELinux' execmem, a filter for system calls)."
            " Memory and its limits have no part in it.",
            f"jvm.warnings[{index}]",
            "what was asked, and the system's answer",
            "Allow the JVM to make memory executable: with PaX, paxctl-ng -m or setfattr -n user.pax.flags -v m on the"
            " java program (in a container the host's kernel counts); with SELinux, the boolean or label for execmem;"
            " else look at the container's seccomp profile. The kernel's log (dmesg, audit) names who refused.",
            "likely",
            ("A file system mounted noexec, where the memory is of a file there.",),
            culprit=True,
        )
    return None


def excluded(report: Report, asked: int) -> str:
    """A sentence on what was not short, as far as the report tells; "" if it tells nothing."""
    host = report.host or Host()
    amount = jvm_exhaustion.amount
    parts = []
    if host.memory is not None and host.memory_available is not None:
        swap = f" and {amount(host.swap_free)} of swap" if host.swap else ""
        if host.memory_available + (host.swap_free or 0) > max(asked, _LITTLE * host.memory):
            of = f"of the machine's {amount(host.memory)} memory"
            parts.append(f"{of} {amount(host.memory_available)} were left{swap}")
    if host.commit_limit is not None and host.committed is not None and system(report).name == "linux":
        if host.committed > host.commit_limit:
            parts.append("more is promised than strict overcommit would allow, so that is not in force")
        elif host.committed + asked < _NEAR * host.commit_limit:
            parts.append("the commit limit is not reached")
    if _unlimited(host):
        parts.append("the address space of the process is not limited")
    return f"Not short, as far as the log tells: {'; '.join(parts)}." if parts else ""


def open_rivals(report: Report, asked: int) -> tuple[str, ...]:
    """What may have been at its limit where nothing tells."""
    name = system(report).name
    if name == "windows":
        return (
            "The commit limit (memory and page files): the log does not say what was left of it.",
            "A job object's memory limit, or address space.",
        )
    if name == "macos":
        return ("The machine's memory and swap.", "A limit of the process (launchd, setrlimit).")
    if name in ("solaris", "aix"):
        return (
            "Swap reservation: this system promises no memory that swap could not hold.",
            "A Java heap that lies where malloc's heap would have to grow.",
            "A limit of the process or of its zone or partition.",
        )
    if name is None and not_of_linux(report):
        return (
            "Windows: the commit limit (memory and page files); the words are not those that the JVM has on Linux.",
            "macOS: the machine's memory and swap, or a limit of the process.",
        )
    host = report.host or Host()
    left = host.memory_available + (host.swap_free or 0) if host.memory_available is not None else None
    address_space = "" if _unlimited(host) else "address space, "
    found = [f"A limit of the process or its container: {address_space}mappings (vm.max_map_count), a control group."]
    if host.commit_available is None or 0 <= host.commit_available < asked + _RESERVED:
        found.append("Strict overcommit (vm.overcommit_memory=2).")
    if left is None or left < asked + _RESERVED:
        found.append("The machine's memory and swap.")
    return tuple(found)


def not_of_linux(report: Report) -> bool:
    """On Linux a mapping that got no memory is always "committing reserved memory" (os_linux.cpp, ENOMEM); elsewhere
    the words are those of who asked ("Failed to commit area", "G1 virtual space")."""
    error = report.jvm.error if report.jvm is not None else None
    said = (error.detail or "") if error is not None else ""
    return error is not None and error.id == OOM_MMAP and bool(said) and not said.startswith("committing reserved")


def _unlimited(host: Host) -> bool:
    return host.limits.get("AS", "").partition("/")[0] in ("infinity", "unlimited")


def _compiler(report: Report, asked: int) -> Iterator[Cause]:
    """The compiler's own request is the outsized one."""
    if asked < _RUNAWAY or jvm_threads.role(report) != "compiler":
        return
    tasks = report.jvm.compilations if report.jvm is not None else ()
    name = jvm_threads.crashing_name(report)
    index = next((number for number, task in enumerate(tasks) if task.thread == name), 0 if len(tasks) == 1 else None)
    method = tasks[index].method if index is not None else None
    of = f" while it compiled {method}" if method else ""
    command = method.split("(", 1)[0].strip() if method else "pkg.Class::method"
    yield Cause(
        f"the JIT compiler's own request{of}",
        f"The thread is a JIT compiler's, and it asked for {jvm_exhaustion.amount(asked)} in one piece{of}: a"
        " compilation that grows without bound is itself what took the memory.",
        f"jvm.compilations[{index}].method" if index is not None else "jvm.error.size",
        "the method being compiled",
        f"Way round, today: -XX:CompileCommand=exclude,{command} leaves the method to the interpreter; an update of the"
        " JDK may mend the compilation.",
        "likely",
        ("A machine so short of memory that any large request failed: then the method differs from crash to crash.",),
        culprit=True,
    )


def _narrow(report: Report, by_malloc: bool) -> Iterator[Cause]:
    if system(report).bits != 32:
        return
    mapped = sum(mapping.end - mapping.start for mapping in report.mappings)
    seen = f" {jvm_exhaustion.amount(mapped)} are in the memory map." if mapped else ""
    yield Cause(
        "the address space of 32 bits is full",
        "The JVM is a 32-bit program: heap, stacks, code and libraries share 2 to 4 GiB of address space, whatever"
        f" memory the machine has.{seen}",
        "host.platform",
        "what the JVM was built for",
        "Run a 64-bit JVM; or lower -Xmx, -XX:MaxMetaspaceSize, -Xss and -XX:ReservedCodeCacheSize so that all fit.",
        "likely",
        ("The memory of the machine, where that was short, too.",),
    )


def _commit_of_windows(host: Host, asked: int) -> Iterator[Cause]:
    left = host.commit_available
    if host.commit_limit is None or left is None:
        return
    amount = jvm_exhaustion.amount
    if left > max(asked, _PROMISED * host.commit_limit):
        return
    physical = ""
    if host.memory_available is not None:
        physical = f" The {amount(host.memory_available)} of free memory do not help: what is promised counts."
    yield Cause(
        "Windows' commit limit is reached",
        f"Windows promises no more memory than memory and page files can hold, {amount(host.commit_limit)} for all"
        f" programs together; {amount(left)} of it were left.{physical}",
        "host.commit_available",
        "what was left of the commit limit",
        "Enlarge the page file (or let Windows manage its size), or end other programs; Task Manager shows"
        " 'Committed'. Lower -Xms and -Xmx, so that the JVM asks for less.",
        "certain",
    )


def _container(host: Host, asked: int) -> Iterator[Cause]:
    if not host.memory_limit or host.memory_used is None or host.memory_used + asked < _NEAR * host.memory_limit:
        return
    amount = jvm_exhaustion.amount
    yield Cause(
        "the container was at its limit",
        f"The container had used {amount(host.memory_used)} of the {amount(host.memory_limit)} that it may.",
        "host.memory_limit",
        "the container's limit",
        LESS,
        "likely",
        ("Strict overcommit or a limit of the process: a control group mostly ends a process instead of refusing.",),
    )


def _address_space(report: Report, asked: int) -> Iterator[Cause]:
    host = report.host or Host()
    limit = host.limits.get("AS", "infinity").partition("/")[0]
    if limit in ("infinity", "unlimited", ""):
        return
    found = re.fullmatch(r"(\d{1,15})k?", limit)
    allowed = int(found[1]) << 10 if found else None
    mapped = sum(mapping.end - mapping.start for mapping in report.mappings)
    full = allowed is not None and mapped + asked >= _NEAR * allowed
    if allowed is not None and mapped and not full and mapped + asked < allowed / 2:
        return
    yield Cause(
        "its address space is limited",
        f"The address space of the process is limited to {limit} (ulimit -v); what is reserved counts, too."
        + (f" {jvm_exhaustion.amount(mapped)} of it are mapped." if full else ""),
        "host.limits.AS",
        "the limit on the address space",
        "Start the JVM without ulimit -v: it reserves much more than it uses.",
        "certain" if full else "likely",
        () if full else ("The machine's memory: how much address space was in use is not known.",),
    )


def _mappings(report: Report) -> Iterator[Cause]:
    text = (report.host or Host()).parameters.get("vm.max_map_count", "")
    allowed = int(text) if text.isdecimal() and text.isascii() else None
    most = allowed or _MAX_MAPPINGS
    if report.memory.mappings < _NEAR * most:
        return
    yield Cause(
        "it had no mappings left",
        f"The process has {report.memory.mappings:,} mappings; the kernel allows {most:,}"
        f"{'' if allowed else ' by default'}.",
        "memory.mappings",
        "mappings of the process",
        "Raise vm.max_map_count, or find what maps so much (threads, mapped files, ZGC on a large heap).",
        "certain" if allowed is not None else "likely",
        () if allowed is not None else ("Another limit, if vm.max_map_count was raised.",),
    )


def _guard(report: Report) -> Iterator[Cause]:
    """A stack's guard pages could not be protected: that splits a mapping in two and takes no memory."""
    if report.jvm is None or report.memory.mappings >= _NEAR * _MAX_MAPPINGS:
        return
    error = report.jvm.error
    places = [(f"jvm.warnings[{index}]", text) for index, text in enumerate(report.jvm.warnings)]
    if error is not None:
        places += [("jvm.error.detail", error.detail or ""), ("jvm.error.message", error.message or "")]
    found = next((where for where, text in places if _GUARDED.search(text)), None)
    if found is None:
        return
    yield Cause(
        "guard pages of a stack could not be set up: the process has no mappings left",
        "Protecting the guard pages of a stack splits a mapping in two; it takes no memory, so what ran out is the"
        " number"
        " of mappings that a process may have (vm.max_map_count), not memory.",
        found,
        "what the VM said",
        "Raise vm.max_map_count, or find what maps so much: threads by the thousands, mapped files, ZGC.",
        "likely",
        ("Memory of the kernel's own, which mprotect may need.",),
    )


_CONTAINER = "A container's limit that the JVM took for the machine's memory: it refuses no mapping."


def _machine(host: Host, asked: int) -> Iterator[Cause]:
    """Whether the machine itself was short of memory."""
    amount = jvm_exhaustion.amount
    if host.memory is None or host.memory_available is None:
        return
    left = host.memory_available + (host.swap_free or 0)
    swap = ""
    if host.swap is not None:
        swap = f", {amount(host.swap_free)} of swap" if host.swap else ", no swap"
    free = f"Of the machine's {amount(host.memory)} memory {amount(host.memory_available)} were left{swap}"
    swapped_out = bool(host.swap) and (host.swap_free or 0) < _NO_SWAP * (host.swap or 0)
    tight = swapped_out and host.memory_available < _LOW * host.memory
    if not tight and left >= max(asked, _LITTLE * host.memory):
        return
    own = host.memory_used
    others = ""
    if own is not None and own < host.memory / 4 and asked < host.memory / 4:
        others = f" The control group of this JVM held {amount(own)} of it: others took the rest."
    large = asked >= _LITTLE * host.memory
    # A kernel keeps some memory to itself, so a machine's total is no whole MiB; a container's limit is.
    limit = (host.platform or "").startswith("linux") and not host.meminfo and host.memory % (1 << 20) == 0
    short = asked > left or tight
    yield Cause(
        f"the machine had {amount(left)} left" if large else "the machine was out of memory",
        f"{free}: too little for {amount(asked)} more.{others}" if large else f"{free}: it was out of memory.{others}",
        "host.memory_available",
        "what was left of the machine's memory",
        START
        if asked > host.memory / 4
        else LESS
        if large and not others
        else "See what else took the machine's memory at that time; the JVM is the one that asked last, which need not"
        " be the one that holds most.",
        "certain" if (short or host.memory_available < _LITTLE * host.memory / 3) and not limit else "likely",
        (
            *((_CONTAINER,) if limit else ()),
            *(() if short else ("Strict overcommit or a limit of the process.",)),
        ),
    )


def _overcommit(host: Host, asked: int, short: bool) -> Iterator[Cause]:
    """Strict overcommit, where the limit was set apart from its default or nothing else was short."""
    limit, committed = host.commit_limit, host.committed
    if limit is None or committed is None or committed > limit or host.memory is None:
        return
    if committed + max(asked, _RESERVED) < limit:
        return
    usual = abs(limit - (host.swap or 0) - _DEFAULT_RATIO * host.memory) <= _RATIO_ERROR * host.memory
    if usual and short:
        return
    amount = jvm_exhaustion.amount
    set_ = "" if usual else " The limit is not the default of half the memory plus swap: somebody has set it."
    yield Cause(
        "the commit limit of strict overcommit is reached",
        f"Of the {amount(limit)} that the kernel promises under strict overcommit {amount(committed)} were promised"
        f" already (CommitLimit, Committed_AS).{set_}",
        "host.committed",
        "what was promised of the commit limit",
        "Look at vm.overcommit_memory and vm.overcommit_ratio: 2 refuses what is promised beyond the limit, used or"
        " not; add swap, raise the ratio, or lower -Xms and -Xmx.",
        "likely",
        ("vm.overcommit_memory itself is not in the log: with 0 or 1 the limit is not enforced.",),
    )


def _break(report: Report, by_malloc: bool) -> Iterator[Cause]:
    """malloc's heap grows up from the program; a Java heap in the first 32 GiB may stand in its way.

    Only where malloc takes its memory from there alone (Solaris, AIX): glibc goes on with mmap.
    """
    if not by_malloc or system(report).name not in ("solaris", "aix") or report.jvm is None:
        return
    spaces = report.jvm.heap.spaces if report.jvm.heap is not None else ()
    base = min((space.start for space in spaces if space.start), default=None)
    highest = max(
        (
            (thread.java.address, index)
            for index, thread in enumerate(report.threads)
            if thread.java is not None
            and thread.java.address is not None
            and base is not None
            and thread.java.address < base
        ),
        default=None,
    )
    if base is None or highest is None or base - highest[0] > _BREAK_GAP:
        return
    yield Cause(
        "the Java heap blocks malloc's heap",
        f"malloc's heap grows upwards from the program and has come to {highest[0]:#x} (the VM's data of a thread);"
        f" the Java heap begins at {base:#x} and stands in its way.",
        f"threads[{highest[1]}].java.address",
        "what malloc gave last, as far as is known",
        "Move the Java heap up: -XX:HeapBaseMinAddress=8g or more, or -XX:-UseCompressedOops; then look for what fills"
        " malloc's heap.",
        "likely",
        ("Swap reservation or a limit of the process.",),
    )


def _threads(report: Report) -> Iterator[Cause]:
    count = len(report.threads)
    if count < _MANY_THREADS:
        return
    stems = Counter(_STEM.sub("", jvm_threads.thread_name(thread) or "") for thread in report.threads)
    stem, alike = stems.most_common(1)[0]
    named = f", {alike:,} of them named {stem}…" if stem and alike > count / 4 else ""
    yield Cause(
        f"it had {count:,} threads{named}",
        f"The process has {count:,} threads{named}: the stack of each takes address space and what of it was used, and"
        " the VM keeps data for each.",
        "threads",
        "threads of the process",
        "Find out who starts threads without end (a pool made for each request and never shut down); bound the pools.",
        "likely",
        ("Many threads by design, where something else was short.",),
    )
