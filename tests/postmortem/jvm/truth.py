"""What the JVM says about itself: hs_err logs, and the answers of `jcmd` just before a core.

The parsers here are the yardstick, so they are independent of `parsers.hs_err` and of the model: small
regular expressions over text whose shape HotSpot's own source gives (vmError.cpp, frame.cpp
print_on_error, javaThread.cpp print_on, deadlock printing of threadService.cpp, jvmFlag.cpp, heapInspection.cpp).
Sizes are bytes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

# --- hs_err -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LogFrame:
    """A line of 'Native frames' or 'Java frames'.

    kind: `j` interpreted, `J` compiled, `v` stub, `V` libjvm, `C` other native. bci of interpreted frames
    only; `compiler` c1 or c2, None for a native method's wrapper; module and offset of native frames.
    """

    kind: str
    name: str | None = None
    bci: int | None = None
    compiler: str | None = None
    pc: int | None = None
    module: str | None = None
    offset: int | None = None


@dataclass(frozen=True)
class LogThread:
    """A line of the log's thread lists; `state` is the VM's own, of JavaThreads only. 8 to 17 don't name all."""

    tid: int
    name: str | None
    java: bool
    daemon: bool
    state: str | None
    current: bool


@dataclass(frozen=True)
class HsErr:
    """`java` is None without a 'Java frames' section; `processed`: it is of that JavaThread*, not the current one."""

    signal: str | None
    pc: int | None
    tid: int | None
    thread: str | None
    native: tuple[LogFrame, ...]
    java: tuple[LogFrame, ...] | None
    native_cut: bool
    java_cut: bool
    processed: int | None
    threads: tuple[LogThread, ...]
    internal: bool
    """The VM ended itself (guarantee, out of memory, fatal error) without a signal."""
    sent: bool = False
    """Somebody sent the signal, at any instruction: the log's walker has no such frame to rely on."""


_PID_MAX = 1 << 22
_SIGNAL = re.compile(
    r"^#  (SIG\w+) \(0x[0-9a-f]+\) at pc=(0x[0-9a-f]+)(?: \(sent by kill\))?, pid=\d+, tid=(\w+)", re.MULTILINE
)
_SENT = re.compile(r"^siginfo: .*si_code: (?:0|-6) ", re.MULTILINE)
_INTERNAL = re.compile(r"^#  (?:Internal Error|Out of Memory Error) \(.*?\), pid=\d+, tid=(\w+)", re.MULTILINE)
_CURRENT = re.compile(r"^Current thread \((0x[0-9a-f]+)\):\s+(.*)$", re.MULTILINE)
_PROCESSED = re.compile(r"^JavaThread (0x[0-9a-f]+) \(nid = \d+\) was being processed$", re.MULTILINE)
_INTERPRETED = re.compile(r"^j  (\S+?)\(\S*\)\S*?\+(-?\d+)")
_COMPILED = re.compile(r"^J \d+%? +(?:(c1|c2|jvmci)\s+)?(\S+?)\(\S*\)\S* .*?@ (0x[0-9a-f]+)", re.IGNORECASE)
_NATIVE = re.compile(r"^([VC])  \[([^]+]+)\+(0x[0-9a-f]+)\](?:  (.*))?$")
_NOWHERE = re.compile(r"^([VC])  (0x[0-9a-f]+)")
_STUB = re.compile(r"^v  (~.*?)(?: 0x[0-9a-f]+)?$")
_THREAD = re.compile(
    r"^(=>|  )0x[0-9a-f]+ (?:\(exited\) )?(\w+)(?: \"(.*?)\")?(?:\s+(daemon))?\s+\[(?:(_thread_\w+), )?.*?id=(\d+)[,\]]"
)
_OTHER_THREAD = re.compile(r"^(=>|  )0x[0-9a-f]+ (\w+)(?: \"(.*?)\")? \[stack: .*?\] \[id=(\d+)\]")


def _number(text: str) -> int:
    return int(text, 0)


def _log_frame(line: str) -> LogFrame | None:
    if match := _INTERPRETED.match(line):
        return LogFrame("j", match[1], bci=int(match[2]))
    if match := _COMPILED.match(line):
        return LogFrame("J", match[2], compiler=match[1].lower() if match[1] else None, pc=_number(match[3]))
    if match := _NATIVE.match(line):
        return LogFrame(match[1], match[4], module=match[2], offset=_number(match[3]))
    if match := _NOWHERE.match(line):
        return LogFrame(match[1], pc=_number(match[2]))
    if match := _STUB.match(line):
        return LogFrame("v", match[1])
    return None


def _section(text: str, heading: str) -> tuple[tuple[LogFrame, ...], bool] | None:
    """(frames, cut short) of a section of frames; None when the log has no such section."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(heading):
            break
    else:
        return None
    frames: list[LogFrame] = []
    for line in lines:
        if line.startswith("...<more frames>"):
            return tuple(frames), True
        frame = _log_frame(line)
        if frame is None:
            if line[:3] in ("V  ", "C  ", "j  ", "v  ", "J  ") or re.match(r"^[JA] \d", line):
                raise ValueError(f"a frame that the parser does not know: {line!r}")
            break
        frames.append(frame)
    return tuple(frames), False


def _threads(text: str) -> tuple[LogThread, ...]:
    found = []
    for line in text.splitlines():
        match = _THREAD.match(line)
        if match is not None:
            found.append(
                LogThread(int(match[6]), match[3], match[5] is not None, bool(match[4]), match[5],
                          match[1] == "=>")
            )  # fmt: skip
        elif match := _OTHER_THREAD.match(line):
            found.append(LogThread(int(match[4]), match[3], False, False, None, match[1] == "=>"))
    return tuple(found)


def hs_err(text: str) -> HsErr:
    """A fatal error log."""
    signal = _SIGNAL.search(text)
    internal = _INTERNAL.search(text)
    current = _CURRENT.search(text)
    native, java = _section(text, "Native frames:"), _section(text, "Java frames:")
    processed = _PROCESSED.search(text)
    threads = _threads(text)
    # The headline's tid is a pthread_t on 8; the thread list always has the kernel's.
    listed = next((thread.tid for thread in threads if thread.current), None)
    headline = signal[3] if signal else internal[1] if internal else None
    tid = listed or (None if headline is None else _number(headline))
    return HsErr(
        signal=signal[1] if signal else None,
        pc=_number(signal[2]) if signal else None,
        tid=tid if tid is not None and tid <= _PID_MAX else None,
        thread=current[2] if current else None,
        native=native[0] if native else (),
        java=java[0] if java else None,
        native_cut=bool(native and native[1]),
        java_cut=bool(java and java[1]),
        processed=_number(processed[1]) if processed else None,
        threads=threads,
        internal=internal is not None,
        sent=_SENT.search(text) is not None,
    )


# --- jcmd Thread.print --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StackLine:
    """`at pkg.Class.method(File.java:12)`; file and line are None for 'Native Method' and 'Unknown Source'."""

    method: str
    file: str | None
    line: int | None


@dataclass
class DumpedThread:
    """A thread of a dump. `java`: it has a java.lang.Thread; `carries`: id of the virtual thread mounted on it.

    mounted: frames of that virtual thread, from 25 on; `frames` are the carrier's own below them.
    locks: (what, address of the object, its class) from the stack's lock lines, innermost first; what is
    "waiting to lock", "waiting on", "parking to wait for", "locked", …
    """

    name: str
    address: int
    tid: int | None
    java: bool
    daemon: bool
    state: str | None = None
    carries: int | None = None
    frames: list[StackLine] = field(default_factory=list)
    mounted: list[StackLine] = field(default_factory=list)
    locks: list[tuple[str, int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Waiter:
    """A member of a deadlock as the dump words it."""

    name: str
    object: int
    class_name: str
    held_by: str


@dataclass(frozen=True)
class ThreadDump:
    """Threads in the order printed; deadlocks as cycles (the dump of 8 lists waiters outside of the cycle, too)."""

    threads: tuple[DumpedThread, ...]
    deadlocks: tuple[tuple[Waiter, ...], ...]


_HEADER = re.compile(
    r'^"(?P<name>.*?)"(?P<id> #\d+)?(?: \[(?P<tid>\d+)\])?(?P<daemon> daemon)?(?: prio=\d+)? os_prio=-?\d+ '
    r"(?:cpu=\S+ elapsed=\S+ )?(?:allocated=\S+ )?(?:defined_classes=\S+ )?tid=(?P<address>0x[0-9a-f]+)"
    r"(?: nid=(?P<nid>0x[0-9a-f]+|\d+))?"
)
_AT = re.compile(r"^\tat ([^(]+)\((?:[^()/]*/)?([^()]*)\)$")
_STATE = re.compile(r"^   java\.lang\.Thread\.State: (\S+)")
_CARRYING = re.compile(r"^   Carrying virtual thread #(\d+)")
_MOUNTED = re.compile(r"^   Mounted virtual thread #\d+")
_LOCK = re.compile(r"^\t- ([a-z][a-z -]*?(?: in wait\(\))?)\s+<(0x[0-9a-f]+)> \(an? (.*)\)$")
_MEMBER = re.compile(
    r'^"(?P<name>.*)":\n'
    r"  waiting (?:to lock monitor 0x[0-9a-f]+ \(object (?P<monitor>0x[0-9a-f]+), an? (?P<class1>[^)]*)\)"
    r"|for ownable synchronizer (?P<lock>0x[0-9a-f]+), \(an? (?P<class2>[^)]*)\)),\n"
    r'  which is held by "(?P<holder>.*)"$',
    re.MULTILINE,
)


def stack_line(method: str, source: str) -> StackLine:
    """From 'pkg.Class.method' and 'File.java:12', 'Native Method' or 'Unknown Source'."""
    file, separator, line = source.rpartition(":")
    if separator and line.isdigit():
        return StackLine(method, file, int(line))
    return StackLine(method, None, None)


def _cycle(members: list[Waiter]) -> tuple[Waiter, ...]:
    """The members that wait for each other, without those that only wait behind them."""
    by_name = {member.name: member for member in members}
    name, seen = members[0].name, []
    while name not in seen:
        seen.append(name)
        name = by_name[name].held_by
    return tuple(by_name[member] for member in seen[seen.index(name) :])


def _deadlocks(text: str) -> tuple[tuple[Waiter, ...], ...]:
    found = []
    for part in re.split(r"^Found one Java-level deadlock:\n=+\n", text, flags=re.MULTILINE)[1:]:
        part = part.split("Java stack information", 1)[0]
        members = [
            Waiter(
                match["name"],
                _number(match["monitor"] or match["lock"]),
                match["class1"] or match["class2"],
                match["holder"],
            )
            for match in _MEMBER.finditer(part)
        ]
        found.append(_cycle(members))
    return tuple(found)


def thread_print(text: str) -> ThreadDump:
    """`jcmd PID Thread.print -l`."""
    threads: list[DumpedThread] = []
    mounted = False
    body = re.split(r"^Found (?:one|\d+) .*deadlock", text, maxsplit=1, flags=re.MULTILINE)[0]
    for line in body.splitlines():
        if line.startswith('"'):
            match = _HEADER.match(line)
            if match is None:
                raise ValueError(f"a thread that the parser does not know: {line!r}")
            tid = match["nid"] or match["tid"]
            mounted = False
            threads.append(
                DumpedThread(
                    name=match["name"],
                    address=_number(match["address"]),
                    tid=_number(tid) if tid else None,
                    java=match["id"] is not None,
                    daemon=match["daemon"] is not None,
                )
            )
        elif not threads:
            continue
        elif match := _STATE.match(line):
            threads[-1].state = match[1]
        elif match := _CARRYING.match(line):
            threads[-1].carries = int(match[1])
        elif _MOUNTED.match(line):
            mounted = True
        elif match := _AT.match(line):
            (threads[-1].mounted if mounted else threads[-1].frames).append(stack_line(match[1], match[2]))
        elif match := _LOCK.match(line):
            threads[-1].locks.append((match[1], _number(match[2]), match[3]))
        elif line.startswith("\tat "):
            raise ValueError(f"a frame that the parser does not know: {line!r}")
    return ThreadDump(tuple(threads), _deadlocks(text))


# --- jcmd Thread.dump_to_file -------------------------------------------------------------------------------


@dataclass(frozen=True)
class VirtualThread:
    """A virtual thread; its dump leaves out the frames of methods marked as hidden."""

    id: int
    name: str
    frames: tuple[StackLine, ...]


_DUMPED = re.compile(r"^(?:[^()/]*/)?([^(]+)\((.*)\)$")


def virtual_threads(text: str) -> tuple[VirtualThread, ...]:
    """`jcmd PID Thread.dump_to_file -format=json`: the virtual ones among its threads."""
    found = []
    for container in json.loads(text)["threadDump"]["threadContainers"]:
        for thread in container["threads"]:
            frames = []
            for line in thread["stack"]:
                match = _DUMPED.match(line)
                if match is None:
                    raise ValueError(f"a frame that the parser does not know: {line!r}")
                frames.append(stack_line(match[1], match[2]))
            if frames and frames[-1].method == "java.lang.VirtualThread.run":
                found.append(VirtualThread(int(thread["tid"]), thread["name"], tuple(frames)))
    return tuple(found)


# --- jcmd VM.flags, VM.system_properties, GC.* --------------------------------------------------------------


@dataclass(frozen=True)
class FlagLine:
    """`origin` is None where the dump of 8 prints none; `set`: it differs from the VM's own default."""

    type: str
    value: str
    origin: str | None
    set: bool


_FLAG = re.compile(r"^\s*(\w+) (\w+)\s+(:?=) (.*?)\s*(\{[^{}]*\})(?: \{([^{}]*)\})?\s*$")


def flags(text: str) -> dict[str, FlagLine]:
    """`jcmd PID VM.flags -all`."""
    found = {}
    for line in text.splitlines():
        match = _FLAG.match(line)
        if match is not None:
            origin = match[6]
            changed = match[3] == ":=" if origin is None else origin != "default"
            found[match[2]] = FlagLine(match[1], match[4].strip(), origin, changed)
    return found


_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        return _ESCAPES.get(match[2], match[2])

    return re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", one, text)


def properties(text: str) -> dict[str, str]:
    """`jcmd PID VM.system_properties`, which prints as java.util.Properties.store does."""
    found = {}
    for line in text.splitlines()[1:]:
        if line.startswith("#") or "=" not in line:
            continue
        match = re.match(r"^((?:[^\\=]|\\.)*)=(.*)$", line)
        if match is not None:
            found[_unescaped(match[1])] = _unescaped(match[2])
    return found


@dataclass(frozen=True)
class HeapInfo:
    """Of the whole heap. `unit`: what the figures are rounded down to; spaces by name where printed exactly."""

    capacity: int
    used: int
    unit: int
    metaspace_used: int | None
    spaces: dict[str, tuple[int, int, int]]
    """Space → (bottom, top, end) addresses."""


_GENERATION = re.compile(
    r"^ ?(?:def new generation|DefNew|PSYoungGen|ParOldGen|Tenured|tenured generation|par new generation"
    r"|concurrent mark-sweep generation|garbage-first heap|PSOldGen)\s+total (?:reserved \d+K, committed )?"
    r"(\d+)K, used (\d+)K",
    re.MULTILINE,
)
_Z = re.compile(r"^ ?ZHeap\s+used (\d+)M, capacity (\d+)M", re.MULTILINE)
_SHENANDOAH = re.compile(r"^\s+\d+K max, \d+K soft max, (\d+)K committed, (\d+)K used", re.MULTILINE)
_SPACE = re.compile(
    r"^\s+(eden|from|to|object|the)\s+space \d+K,\s+\d+% used "
    r"\[(0x[0-9a-f]+), ?(0x[0-9a-f]+), ?(?:0x[0-9a-f]+, ?)?(0x[0-9a-f]+)\)",
    re.MULTILINE,
)
_METASPACE = re.compile(r"^ ?Metaspace\s+used (\d+)K", re.MULTILINE)
_SIZES = {"B": 1, "K": 1 << 10, "M": 1 << 20}


def heap_info(text: str) -> HeapInfo | None:
    """`jcmd PID GC.heap_info`; None for a collector's wording that says no totals."""
    metaspace = _METASPACE.search(text)
    metaspace_used = int(metaspace[1]) << 10 if metaspace else None
    spaces = {match[1]: (_number(match[2]), _number(match[3]), _number(match[4])) for match in _SPACE.finditer(text)}
    if match := _Z.search(text):
        return HeapInfo(int(match[2]) << 20, int(match[1]) << 20, 1 << 20, metaspace_used, spaces)
    if match := _SHENANDOAH.search(text):
        return HeapInfo(int(match[1]) << 10, int(match[2]) << 10, 1 << 10, metaspace_used, spaces)
    if "Generational Shenandoah" in text:
        committed = re.search(r"(\d+)([BKM]) committed", text)
        used = re.findall(r"(\d+)([BKM]) used", text)
        if committed and used:
            total = sum(int(amount) * _SIZES[unit] for amount, unit in used)
            return HeapInfo(int(committed[1]) * _SIZES[committed[2]], total, 1 << 10, metaspace_used, spaces)
    generations = _GENERATION.findall(text)
    if not generations:
        return None
    capacity = sum(int(size) for size, _ in generations) << 10
    return HeapInfo(capacity, sum(int(used) for _, used in generations) << 10, 1 << 10, metaspace_used, spaces)


_ROW = re.compile(r"^\s*\d+:\s+(\d+)\s+(\d+)  (\S.*?)(?: \([^()]*@[^()]*\))?$")


def histogram(text: str) -> dict[str, tuple[int, int]]:
    """`jcmd PID GC.class_histogram`: class → (instances, bytes); classes of one name are added up."""
    found: dict[str, tuple[int, int]] = {}
    for line in text.splitlines():
        match = _ROW.match(line)
        if match is not None:
            instances, size = found.get(match[3], (0, 0))
            found[match[3]] = (instances + int(match[1]), size + int(match[2]))
    return found
