"""Our JSON report against what the JVM said (truth.py).

Every check returns its differences as lines; an empty list is success.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.postmortem.jvm.truth import (
        DumpedThread,
        FlagLine,
        HeapInfo,
        HsErr,
        LogFrame,
        ThreadDump,
        VirtualThread,
        Waiter,
    )

Json = dict[str, Any]

JAVA = ("java-interpreted", "java-compiled")
COMPILERS: dict[str | None, set[int | None]] = {"c1": {1, 2, 3}, "c2": {4}, None: {None, 0}}

MOVING = {"running": "crash.Quiet.crunch", "number-cruncher": "crash.Busy.lambda$stall$0"}
"""Threads that compute all the time, and the method below which their stack stands still."""

AGE = 1 << 20
"""Bytes that may be allocated between `GC.heap_info` and the core: the answers of the last two commands."""


def plain(method: str) -> str:
    """Without the number of a hidden class, which 8 takes from an identity hash: Quiet$$Lambda$19/885284298."""
    return re.sub(r"[/+](?:0x)?[0-9a-f]+(?=\.[^.]+$|$)", "", method)


def _shown(items: Iterable[Any], limit: int = 40) -> str:
    items = list(items)
    return " · ".join(map(str, items[:limit])) + (f" … ({len(items)})" if len(items) > limit else "")


def _apart(what: str, ours: Sequence[Any], theirs: Sequence[Any]) -> list[str]:
    """How two sequences differ, at their first difference."""
    if list(ours) == list(theirs):
        return []
    at = next(
        (n for n, (left, right) in enumerate(zip(ours, theirs, strict=False)) if left != right),
        min(len(ours), len(theirs)),
    )
    return [
        f"{what}: differs at {at} of {len(ours)}/{len(theirs)}: "
        f"ours {_shown(ours[at : at + 3]) or 'ends'} | JVM {_shown(theirs[at : at + 3]) or 'ends'}"
    ]


# --- frames of a crash --------------------------------------------------------------------------------------


def _activations(frames: Sequence[Json]) -> list[Json]:
    """One frame per activation: the inlined functions are beyond what a log shows."""
    return [frame for frame in frames if not frame["inlined"]]


def _on_stack(thread: Json) -> list[Json]:
    """The activations that the log's walker sees: not those of a virtual thread that still lie in the heap."""
    start, end = (int(thread["stack"][edge], 16) for edge in ("start", "end"))
    return [
        frame
        for frame in _activations(thread["frames"])
        if start <= int(frame["sp"], 16) < end and frame["function"] != "continuation return barrier"
    ]


def _our_java(frame: Json) -> tuple[Any, ...]:
    name = plain(frame["function"] or "?")
    if frame["kind"] == "java-interpreted":
        # A native method has no bytecodes; the log says +0.
        return ("j", name, 0 if frame["bci"] is None and frame["line"] is None else frame["bci"])
    if frame["kind"] == "stub":
        return ("v",)
    level = frame["compile_level"]
    return ("J", name, next((name for name, levels in COMPILERS.items() if level in levels), level))


def _their_java(frame: LogFrame) -> tuple[Any, ...]:
    if frame.kind == "j":
        return ("j", plain(frame.name or "?"), frame.bci)
    if frame.kind == "v":
        return ("v",)
    return ("J", plain(frame.name or "?"), frame.compiler)


def _is_same(ours: Json, theirs: LogFrame) -> bool:
    if theirs.kind in ("j", "J"):
        return ours["kind"] in JAVA and _our_java(ours) == _their_java(theirs)
    if theirs.kind == "v":
        return bool(ours["kind"] == "stub")
    if theirs.offset is None:
        return theirs.pc is not None and int(ours["pc"], 16) == theirs.pc
    if ours["module"] is None or ours["module_offset"] is None:
        return False
    return (
        # The log has the name that was asked for (libz.so.1), the core what the link led to (libz.so.1.3.2).
        f"{ours['module'].rpartition('/')[2]}.".startswith(f"{theirs.module}.")
        and int(ours["module_offset"], 16) == theirs.offset
    )


def crash_identity(report: Json, log: HsErr) -> list[str]:
    """The signal, its pc and the thread."""
    found = []
    crash = report["crash"]
    if log.tid is not None and crash["tid"] != log.tid:
        found.append(f"tid: ours {crash['tid']} | log {log.tid}")
    if log.signal is not None:
        if crash["signal"] is None or crash["signal"]["name"] != log.signal:
            found.append(f"signal: ours {crash['signal'] and crash['signal']['name']} | log {log.signal}")
        if crash["pc"] is None or int(crash["pc"], 16) != log.pc:
            found.append(f"pc: ours {crash['pc']} | log {log.pc and hex(log.pc)}")
    return found


def crash_java_frames(report: Json, log: HsErr) -> list[str]:
    """Method, bci, interpreted or compiled and by which compiler: all equal, in order, with the stubs between."""
    thread = report["threads"][0]
    expected = log.java
    cut = log.java_cut
    if log.processed is not None:
        by_address = {
            int(other["java"]["address"], 16): other
            for other in report["threads"]
            if other["java"] is not None and other["java"]["address"] is not None
        }
        if log.processed not in by_address:
            return [f"no thread is the JavaThread {log.processed:#x} that was being processed"]
        thread = by_address[log.processed]
    elif expected is None:
        expected = tuple(frame for frame in log.native if frame.kind in "jJv")
        # The log's own walk may have given up among Java frames; then only these are known.
        cut = log.native_cut or bool(log.native and log.native[-1].kind in "jJ")
    assert expected is not None
    theirs = [_their_java(frame) for frame in expected]
    ours = [_our_java(frame) for frame in _on_stack(thread) if frame["kind"] in (*JAVA, "stub")]
    if expected is log.java and theirs and theirs[0] != ("v",) and ours and ours[0] == ("v",):
        # The log's Java frames begin at the last Java frame, ours at the fault: a stub may lie above.
        ours = ours[1:]
    if log.sent and ours and theirs and ours[0][0] == "j" and ours[0][:2] == theirs[0][:2]:
        # The log takes the bytecode where the method last called something; ours is in the bytecode pointer's register.
        ours, theirs = ours[1:], theirs[1:]
    return _apart("Java frames", ours[: len(theirs)] if cut or log.sent else ours, theirs)


def crash_native_frames(report: Json, log: HsErr) -> list[str]:
    """Every frame of the log's 'Native frames' is one of ours, in that order.

    Not the other way round: the log's walker follows frame pointers and skips or ends where there are
    none. Where the VM ended itself, the error reporter's own first frames were at another pc then.
    """
    ours = [*(report["threads"][0]["handler_frames"] or ()), *report["threads"][0]["frames"]]
    ours = _activations(ours)
    at = 0
    missing = []
    for number, frame in enumerate(log.native):
        hit = next((n for n in range(at, len(ours)) if _is_same(ours[n], frame)), None)
        if hit is not None:
            at = hit + 1
        elif frame.offset is None and frame.kind == "C" and number:
            continue  # the log's walker took a word of the stack for a pc
        elif log.sent and frame.kind == "j" and not number:
            continue  # at another bytecode: compared with the Java frames
        elif not (log.internal and number < 2 and frame.kind == "V"):
            missing.append(frame)
    return [
        f"native frame of the log not among ours: {frame.module or frame.name or ''}"
        f"{'' if frame.offset is None else hex(frame.offset)} {frame.name or ''}"
        for frame in missing[:3]
    ]


def walks(report: Json) -> list[str]:
    """Every thread's walk reaches the bottom, and no frame was guessed but the one that a bad jump left."""
    found = []
    for thread in report["threads"]:
        what = f"thread {thread['tid']} {thread['name']!r}"
        if thread["ended"] != "bottom":
            found.append(f"{what}: the walk ended: {thread['ended']} {thread['ended_detail']}")
        found.extend(
            f"{what}: frame {n} at {frame['pc']} is {frame['kind']} by {frame['trust']}"
            for n, frame in enumerate(thread["frames"])
            if (frame["kind"] == "unknown" and n) or frame["trust"] == "scan"
        )
    return found


def native_method_frames(report: Json, expected: Sequence[LogFrame]) -> list[str]:
    """Of a crash without a log: the crashing thread's Java frames are those of another crash in the same method."""
    frames = _activations(report["threads"][0]["frames"])
    ours = [_our_java(frame) for frame in frames if frame["kind"] in (*JAVA, "stub")]
    return _apart("Java frames", ours, [_their_java(frame) for frame in expected])


def log_threads(report: Json, log: HsErr) -> list[str]:
    """Names, tids, daemon of the log's thread lists; the VM's state of the crashing thread only: others run on."""
    found = []
    ours = {thread["tid"]: thread for thread in report["threads"]}
    for thread in log.threads:
        mine = ours.get(thread.tid)
        if mine is None:
            # It may have ended while the log was being written.
            continue
        java = mine["java"] or {}
        if thread.name is not None and mine["name"] != thread.name:
            found.append(f"thread {thread.tid}: ours {mine['name']!r} | log {thread.name!r}")
        if thread.java and java.get("daemon") is not None and java["daemon"] != thread.daemon:
            found.append(f"thread {thread.tid} {thread.name!r}: daemon ours {java['daemon']} | log {thread.daemon}")
        if thread.java and mine["java"] is None:
            found.append(f"thread {thread.tid} {thread.name!r}: not a Java thread in the report")
        # Where a signal was sent, it came in the middle of anything, and the reporter has changed states since.
        changed = java.get("thread_state") != thread.state and not log.sent
        if thread.current and thread.state is not None and changed:
            found.append(f"crashing thread's state: ours {java.get('thread_state')} | log {thread.state}")
    return found


# --- threads of a quiescent JVM -----------------------------------------------------------------------------


def _tid_of(thread: DumpedThread, report: Json) -> int | None:
    """21 prints no nid for a carrier of a virtual thread; the JavaThread's address tells it."""
    if thread.tid is not None:
        return thread.tid
    for mine in report["threads"]:
        java = mine["java"]
        if java is not None and java["address"] is not None and int(java["address"], 16) == thread.address:
            return int(mine["tid"])
    return None


def _lines(thread: Json) -> list[tuple[str, str | None, int | None]]:
    return [
        (plain(frame["function"] or "?"), frame["file"] if frame["line"] is not None else None, frame["line"])
        for frame in thread["frames"]
        if frame["kind"] in JAVA
    ]


def dumped_frames(report: Json, dump: ThreadDump) -> list[str]:
    """Every thread's Java frames: method, file and line, inlined ones among them."""
    found = []
    ours = {thread["tid"]: thread for thread in report["threads"]}
    for thread in dump.threads:
        if not thread.java:
            continue
        mine = ours.get(_tid_of(thread, report) or 0)
        if mine is None:
            found.append(f"thread {thread.name!r} ({thread.tid}) is not in the core")
            continue
        left = _lines(mine)
        right = [(plain(line.method), line.file, line.line) for line in [*thread.mounted, *thread.frames]]
        if thread.carries is not None:
            # Dumps leave the frame out that joins a virtual thread's to its carrier's; 21 prints the carrier's only.
            left = [frame for frame in left if frame[0] != "jdk.internal.vm.Continuation.enterSpecial"]
            if not thread.mounted:
                bottom = [n for n, frame in enumerate(left) if frame[0] == "jdk.internal.vm.Continuation.run"]
                left = left[bottom[-1] :] if bottom else left
        if thread.name in MOVING:
            left, right = (_below(lines, MOVING[thread.name]) for lines in (left, right))
        found.extend(_apart(f"frames of {thread.name!r} ({mine['tid']})", left, right))
    return found


def _below(lines: list[tuple[str, str | None, int | None]], method: str) -> list[Any]:
    """From `method`, without its own line, outwards."""
    for n, line in enumerate(lines):
        if line[0] == method:
            return [method, *lines[n + 1 :]]
    return list(lines)


_HIDDEN = re.compile(
    r"\$\$Lambda|^jdk\.internal\.vm\.Continuation\.|^java\.lang\.VirtualThread[.$]|^java\.lang\.Thread\.runWith$"
)
"""Methods whose frames a dump to file leaves out; of java.lang.VirtualThread, some."""


def virtual_threads(report: Json, dumped: Sequence[VirtualThread], dump: ThreadDump) -> list[str]:
    """Every unmounted virtual thread is there, and so are its frames; of more than the dump's, only hidden ones."""
    mounted = {thread.carries for thread in dump.threads}
    expected = [thread for thread in dumped if thread.id not in mounted]
    groups = report["jvm"]["virtual_threads"]
    found = []
    count = sum(group["count"] for group in groups)
    if count != len(expected):
        found.append(f"unmounted virtual threads: ours {count} | dump {len(expected)}")
    stacks = [_lines(group) for group in groups]
    for thread in expected:
        theirs = [(line.method, line.file, line.line) for line in thread.frames]
        if not any(_is_but_for_hidden(ours, theirs) for ours in stacks):
            found.append(f"virtual thread {thread.id} {thread.name!r}: none of ours has the stack {_shown(theirs)}")
    return found


def _is_but_for_hidden(ours: Sequence[tuple[str, str | None, int | None]], theirs: Sequence[Any]) -> bool:
    at = 0
    for frame in ours:
        if at < len(theirs) and frame == theirs[at]:
            at += 1
        elif not _HIDDEN.search(frame[0]):
            return False
    return at == len(theirs)


def dumped_threads(report: Json, dump: ThreadDump) -> list[str]:
    """Count, names, daemon, states. A dump has all threads of the VM but the one that created it."""
    found = []
    ours = {thread["tid"]: thread for thread in report["threads"]}
    expected = {_tid_of(thread, report) for thread in dump.threads if thread.java}
    java = {tid for tid, thread in ours.items() if (thread["java"] or {}).get("thread_state") is not None}
    if java != expected:
        more = [f"{tid} {ours[tid]['name']!r}" for tid in sorted(java - expected)]
        less = [str(tid) for tid in expected - java]
        found.append(f"Java threads: {len(java)} ours, {len(expected)} dumped; only ours {more}, only dumped {less}")
    for thread in dump.threads:
        mine = ours.get(_tid_of(thread, report) or 0)
        if mine is None:
            found.append(f"thread {thread.name!r} ({thread.tid}) is not in the core")
            continue
        described = mine["java"]
        if described is None:
            found.append(f"thread {thread.name!r} ({thread.tid}) has no description")
            continue
        left: list[Any] = [mine["name"], described["name"]]
        right: list[Any] = [thread.name, thread.name]
        if thread.java:
            left += [described["daemon"], int(described["address"] or "0", 16), described["virtual_tid"]]
            right += [thread.daemon, thread.address, thread.carries]
            if thread.carries is None and thread.name not in MOVING:
                left.append((described["state"] or "").split(" ")[0])
                right.append(thread.state)
        found.extend(_apart(f"thread {thread.name!r} ({thread.tid})", left, right))
    return found


WAITS = ("waiting to lock", "waiting on", "parking to wait for", "waiting to re-lock in wait()")


def dumped_locks(report: Json, dump: ThreadDump) -> list[str]:
    """What each thread waits for, by address and class, and who holds it where another thread's dump says so."""
    found = []
    ours = {thread["tid"]: thread for thread in report["threads"]}
    holders: dict[int, str] = {}
    for thread in dump.threads:
        for what, address, _ in thread.locks:
            waits_on_it = any(other == address for kind, other, _ in thread.locks if kind in WAITS)
            if what == "locked" and not waits_on_it:
                holders[address] = thread.name
    for thread in dump.threads:
        mine = ours.get(_tid_of(thread, report) or 0)
        if mine is None or mine["java"] is None or not thread.java:
            continue
        waits = [(address, name) for what, address, name in thread.locks if what in WAITS]
        expected = f"{waits[0][1]}@{waits[0][0]:#x}" if waits else None
        said = mine["java"]["blocked_on"]
        if expected is not None and (said is None or plain(said) != plain(expected)) and said != expected:
            found.append(f"{thread.name!r} waits for: ours {said} | dump {expected}")
        if expected is None and said is not None and thread.carries is None and thread.name not in MOVING:
            found.append(f"{thread.name!r} waits for nothing by the dump | ours {said}")
        if thread.state == "BLOCKED" and waits:
            holder = holders.get(waits[0][0])
            if holder is not None and mine["java"]["blocked_by"] != holder:
                found.append(f"{thread.name!r} is blocked by: ours {mine['java']['blocked_by']} | dump {holder}")
    return found


def _turned(cycle: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """A cycle, begun at its smallest member."""
    if not cycle:
        return cycle
    first = cycle.index(min(cycle))
    return cycle[first:] + cycle[:first]


def deadlocks(report: Json, dump: ThreadDump) -> list[str]:
    """Cycles as sets: who waits for which object, and who holds it."""
    ours = sorted(
        _turned([(member["name"], member["waiting_for"], member["held_by"]) for member in deadlock["threads"]])
        for deadlock in report["jvm"]["deadlocks"]
    )

    def told(member: Waiter) -> tuple[str, str, str]:
        return member.name, f"{member.class_name}@{member.object:#x}", member.held_by

    theirs = sorted(_turned([told(member) for member in cycle]) for cycle in dump.deadlocks)
    return _apart("deadlocks", ours, theirs)


# --- state --------------------------------------------------------------------------------------------------


def _value(flag: FlagLine, value: str) -> str:
    if flag.type == "double":
        return f"{float(value):.6f}"
    return value.strip()


AT_RUN_TIME = {
    # C2's loop optimizer raises it to what vector instructions can use, without a note of it.
    "LoopMaxUnroll",
}
ON_DEMAND = {
    # Set when the first date is printed: by the answer to VM.system_properties itself, below its own heading.
    "user.timezone",
}


def flags(report: Json, expected: dict[str, FlagLine]) -> list[str]:
    """Values of all flags that both name; every flag that was set is ours, with its origin."""
    found = []
    ours = {flag["name"]: flag for flag in report["jvm"]["flags"]}
    for name, flag in expected.items():
        mine = ours.get(name)
        if mine is None:
            if flag.set:
                found.append(f"flag {name} = {flag.value} {{{flag.origin}}} is not in the report")
            continue
        if _value(flag, mine["value"]) != _value(flag, flag.value) and name not in AT_RUN_TIME:
            found.append(f"flag {name}: ours {mine['value']!r} | JVM {flag.value!r}")
        if flag.origin is not None and mine["origin"] != flag.origin:
            found.append(f"flag {name}: origin ours {mine['origin']} | JVM {flag.origin}")
        if flag.origin is None and flag.set == (mine["origin"] == "default"):
            found.append(f"flag {name}: origin ours {mine['origin']} | JVM {'set' if flag.set else 'default'}")
    return found


def properties(report: Json, expected: dict[str, str]) -> list[str]:
    """Equal, name by name."""
    ours = report["jvm"]["properties"]
    found = []
    for name, value in expected.items():
        if name not in ours:
            found.append(f"property {name}={value!r} is not in the report")
        elif ours[name] != value and name not in ON_DEMAND:
            found.append(f"property {name}: ours {ours[name]!r} | JVM {value!r}")
    return found + [
        f"property {name}={ours[name]!r} is only ours"
        for name in ours
        if name not in expected and name not in ON_DEMAND
    ]


def heap(report: Json, expected: HeapInfo) -> list[str]:
    """Capacity exactly; use, no less than before, within what was allocated since. Spaces begin and end alike."""
    ours = report["jvm"]["heap"]
    if ours is None or ours["used"] is None or ours["capacity"] is None:
        return [f"no heap: {ours}"]
    found = []
    unit = expected.unit
    if ours["capacity"] // unit * unit != expected.capacity:
        found.append(f"heap capacity: ours {ours['capacity']} | JVM {expected.capacity} ± {unit}")
    if not expected.used - unit <= ours["used"] <= expected.used + 2 * unit + AGE:
        found.append(f"heap used: ours {ours['used']} | JVM {expected.used} ± {unit}")
    bounds = {(space["start"], space["end"]) for space in ours["spaces"]}
    for name, (start, _, end) in expected.spaces.items():
        if start != end and (hex(start), hex(end)) not in bounds:
            found.append(f"space {name} [{start:#x}, {end:#x}) is not among ours")
    metaspace = report["jvm"]["metaspace"]
    if expected.metaspace_used is not None and metaspace is not None and metaspace["used"] is not None:
        difference = metaspace["used"] - expected.metaspace_used
        # Without libjvm's symbols there are only counters, which the report must then call old.
        is_old = any(problem["where"] == "Metaspace" for problem in report["problems"])
        if difference > 64 << 10 or (difference <= -unit and not is_old):
            found.append(f"metaspace used: ours {metaspace['used']} | JVM {expected.metaspace_used}")
    return found


def _counted(report: Json) -> dict[str, tuple[int, int]] | None:
    if report["jvm"]["histogram"] is None:
        return None
    return _by_plain_name((row["class"], row["instances"], row["bytes"]) for row in report["jvm"]["histogram"])


def _by_plain_name(rows: Iterable[tuple[str, int, int]]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for name, instances, size in rows:
        before = found.get(plain(name), (0, 0))
        found[plain(name)] = (before[0] + instances, before[1] + size)
    return found


FILLERS = ("[I", "[Ljdk.internal.vm.FillerElement;")
"""What the VM puts into the unused rest of threads' allocation buffers, before 19 and since."""


def histogram_exact(report: Json, expected: dict[str, tuple[int, int]]) -> list[str]:
    """Instances and bytes of every class, and that they fill the heap up to what the report calls used.

    To walk the heap, the VM first put a filler array into the free rest of every thread's allocation
    buffer, and counted it; threads go on to allocate over it, so it is no object in the core.
    """
    ours = _counted(report)
    if ours is None:
        return ["no histogram"]
    found = []
    expected = _by_plain_name((name, *row) for name, row in expected.items())
    filled = 0
    for name in sorted(ours.keys() | expected.keys()):
        left, right = ours.get(name, (0, 0)), expected.get(name, (0, 0))
        more, size = right[0] - left[0], right[1] - left[1]
        if name in FILLERS and 0 <= more <= len(report["threads"]) and 16 * more <= size:
            filled += size
        elif left != right:
            found.append(f"{name}: ours {left} | JVM {right}")
    used = report["jvm"]["heap"]["used"]
    whole = sum(size for _, size in ours.values()) + filled
    # G1 counts what its own allocation regions have left as used.
    slack = 1 << 16 if report["jvm"]["heap"]["collector"] == "G1" else 0
    if not whole <= used <= whole + slack:
        found.append(f"objects fill {whole} bytes, and {used} are used")
    return found


def histogram_floor(report: Json, expected: dict[str, tuple[int, int]]) -> list[str]:
    """Against an older count of live objects: nothing that lived then is gone."""
    ours = _counted(report)
    if ours is None:
        return ["no histogram"]
    expected = _by_plain_name((name, *row) for name, row in expected.items())
    return [
        f"{name}: ours {ours.get(name, (0, 0))} | JVM had {rows}"
        for name, rows in expected.items()
        if ours.get(name, (0, 0))[0] < rows[0]
    ]


def kinds(report: Json) -> Counter[str]:
    """How many frames there are of each kind, of all threads."""
    return Counter(frame["kind"] for thread in report["threads"] for frame in thread["frames"])
