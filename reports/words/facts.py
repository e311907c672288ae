"""What HTML, Markdown and the terminal say in words: one wording, several layouts.

Strings here are not yet made safe: each layout escapes for its own format, through `reports.text.visible`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.text import base_name, number, plural, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.model import Crash, Cycle, Evidence, Finding, Frame, Module, Problem, Report, Signal, Thread

ENDED = {
    "bottom": "the thread's first function",
    "no-progress": "the next frame would not have been above this one",
    "unreadable": "the stack can't be read further",
    "no-rule": "no way to find the caller is known here",
    "limit": "the limit of frames was reached",
    "no-registers": "the thread's registers are not in the core",
}
TRUST = {
    "context": "from the thread's registers",
    "cfi": "by call frame information",
    "frame-pointer": "by the frame pointer",
    "hotspot": "by HotSpot's frame layout",
    "scan": "found by scanning the stack: may be stale",
}
KIND = {
    "native": "",
    "java-interpreted": "interpreted",
    "java-compiled": "compiled",
    "stub": "stub",
    "signal": "signal handler called",
    "unknown": "unknown code",
}
MODULE_STATUS = {
    "matched": "file found, build-id equal",
    "mismatched": "a file was found, but its build-id differs",
    "missing": "no file found",
    "deleted": "deleted or replaced while the process ran",
}
CONFIDENCE = {"certain": "Certain", "likely": "Likely", "possible": "Possible"}
SEVERITIES = ("critical", "high", "medium", "low", "info")


@dataclass(frozen=True, slots=True)
class FrameRow:
    """A frame to show; `index` is its place in the thread's frames."""

    index: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class CycleRow:
    """A folded recursion: `rows` are one turn of it, `hidden` the frames of the other turns."""

    first: int
    last: int
    count: int
    rows: tuple[FrameRow, ...]
    hidden: int

    @property
    def text(self) -> str:
        what = plural(len(self.rows), "frame")
        return f"{what} repeated {number(self.count)} times (frames {self.first} to {self.last})"


@dataclass(frozen=True, slots=True)
class CutRow:
    """Frames left out of a long stack: [first, last]."""

    first: int
    last: int

    @property
    def text(self) -> str:
        return f"{plural(self.last - self.first + 1, 'frame')} not shown ({self.first} to {self.last})"


Row = FrameRow | CycleRow | CutRow


@dataclass(frozen=True, slots=True)
class Group:
    """Threads with the same stack, state and wait; `indices` are their places in the report."""

    indices: tuple[int, ...]
    threads: tuple[Thread, ...]
    rows: tuple[Row, ...]
    state: str
    wait: str

    @property
    def crashed(self) -> bool:
        return any(thread.crashed for thread in self.threads)


@dataclass(frozen=True, slots=True)
class Fact:
    """A named value; `where` is its path in the report."""

    label: str
    value: str
    where: str = ""


# ---------------------------------------------------------------------------------------- stacks


def _same(one: Frame, other: Frame) -> bool:
    return one.function == other.function if one.function else one.pc == other.pc


def _valid_cycles(frames: Sequence[Frame], cycles: Sequence[Cycle]) -> list[tuple[Cycle, int]]:
    """Cycles that lie in the frames and don't overlap, each with the frames that it covers there."""
    valid: list[tuple[Cycle, int]] = []
    free = 0
    for cycle in sorted(cycles, key=lambda cycle: cycle.start):
        start, period = cycle.start, cycle.period
        if start < free or period < 1 or cycle.count < 2 or start + period > len(frames):
            continue
        # The frames of all turns may be stored, or those of one turn alone.
        turn, following = frames[start : start + period], frames[start + period : start + 2 * period]
        stored = len(following) == period and all(map(_same, turn, following))
        covered = min(period * cycle.count, len(frames) - start) if stored else period
        valid.append((cycle, covered))
        free = start + covered
    return valid


def fold(frames: Sequence[Frame], cycles: Sequence[Cycle] = (), limit: int = 200) -> tuple[Row, ...]:
    """Rows for a stack: recursion folded, and beyond `limit` rows the middle left out."""
    rows: list[Row] = []
    position = 0
    for cycle, covered in _valid_cycles(frames, cycles):
        rows += [FrameRow(index, frames[index]) for index in range(position, cycle.start)]
        shown = min(cycle.period, limit)
        turn = tuple(FrameRow(index, frames[index]) for index in range(cycle.start, cycle.start + shown))
        last = cycle.start + cycle.period * cycle.count - 1
        rows.append(CycleRow(cycle.start, last, cycle.count, turn, covered - shown))
        position = cycle.start + covered
    rows += [FrameRow(index, frames[index]) for index in range(position, len(frames))]
    if len(rows) > limit:
        head = max(1, limit * 3 // 4)
        tail = max(0, limit - head)
        first = _last_of(rows[head - 1]) + 1
        after = _first_of(rows[len(rows) - tail]) if tail else len(frames)
        rows = [*rows[:head], CutRow(first, after - 1), *rows[len(rows) - tail :]]
    return tuple(rows)


def _first_of(row: Row) -> int:
    return row.index if isinstance(row, FrameRow) else row.first


def _last_of(row: Row) -> int:
    return row.index if isinstance(row, FrameRow) else row.last


def function_text(frame: Frame) -> str:
    """The function, or where the code lies when it has no name."""
    if frame.function:
        return frame.function
    if frame.kind == "signal":
        return "<signal handler called>"
    if frame.module:
        offset = "" if frame.module_offset is None else f"+{frame.module_offset}"
        return f"{base_name(frame.module)}{offset}"
    return f"{frame.pc} (no module)" if frame.pc is not None else "a frame that is not known"


def source_text(frame: Frame, full: bool = False) -> str:
    """file:line, or "" when the line isn't known."""
    if not frame.file:
        return ""
    name = frame.file if full else base_name(frame.file)
    return name if frame.line is None else f"{name}:{frame.line}"


def brief_source(frame: Frame) -> str:
    """As `source_text`; of Java's Foo.java:12 in pkg.Foo.run only ":12", since the function says the rest."""
    text = source_text(frame)
    stem, java, line = text.partition(".java:")
    return f":{line}" if java and frame.function and f".{stem}." in f".{frame.function}" else text


def module_text(frame: Frame) -> str:
    """module+offset, or ""."""
    if not frame.module:
        return ""
    offset = "" if frame.module_offset is None else f"+{frame.module_offset}"
    return f"{base_name(frame.module)}{offset}"


def frame_details(frame: Frame) -> tuple[str, ...]:
    """Where a frame is, as far as it is known: ("libcart.so+0x1f30", "pc 0x…", "sp 0x…", "bci 7", its note)."""
    return (
        *((module_text(frame),) if frame.function and frame.module else ()),
        *(f"{name} {value}" for name in ("pc", "sp", "bci") if (value := getattr(frame, name)) is not None),
        *((frame.note,) if frame.note else ()),
    )


def frame_tags(frame: Frame) -> tuple[str, ...]:
    """How the frame runs and whether it can be believed: ("compiled, level 4", "inlined")."""
    tags = []
    kind = KIND.get(frame.kind, frame.kind)
    if kind and not (frame.kind == "signal" and not frame.function):
        level = f", level {frame.compile_level}" if frame.compile_level is not None else ""
        tags.append(kind + level)
    if frame.inlined:
        tags.append("inlined")
    if frame.trust == "scan":
        tags.append("scanned")
    return tuple(tags)


def frame_line(row: FrameRow) -> str:
    """One frame as one line of text."""
    frame = row.frame
    parts = [f"#{row.index:<3}", function_text(frame)]
    if source := source_text(frame):
        parts.append(f"at {source}")
    if frame.function and (module := module_text(frame)):
        parts.append(f"in {module}")
    if tags := frame_tags(frame):
        parts.append(f"[{', '.join(tags)}]")
    if frame.note:
        parts.append(f"({frame.note})")
    return " ".join(parts)


def stack_lines(rows: Sequence[Row]) -> list[str]:
    """A folded stack as lines of text."""
    lines = []
    for row in rows:
        if isinstance(row, CycleRow):
            lines.append(f"     ┌ {row.text}")
            lines += [f"     │ {frame_line(inner)}" for inner in row.rows]
            lines.append("     └")
        elif isinstance(row, CutRow):
            lines.append(f"     … {row.text}")
        else:
            lines.append(frame_line(row))
    return lines


def ended_text(thread: Thread) -> str:
    """Why the stack ends where it does; "" at the thread's first function."""
    if thread.ended == "bottom":
        return ""
    detail = f" ({thread.ended_detail})" if thread.ended_detail else ""
    return f"The stack ends here: {ENDED.get(thread.ended, thread.ended)}{detail}."


# ---------------------------------------------------------------------------------------- threads


def thread_name(thread: Thread) -> str:
    """The Java name, else the kernel's, else the thread id."""
    if thread.java is not None and thread.java.name:
        return thread.java.name
    return thread.name or f"thread {thread.tid}"


def thread_title(thread: Thread) -> str:
    """ "worker-1, thread 4712", or "thread 4712" without a name; with the virtual thread that it carries."""
    name = thread_name(thread)
    number_only = f"thread {thread.tid}"
    title = number_only if name == number_only else f"{name}, {number_only}"
    carried = virtual_text(thread)
    return f"{title}, {carried}" if carried else title


def virtual_text(thread: Thread) -> str:
    """ "carrying virtual thread #31 order-7", or nothing."""
    if thread.java is None or thread.java.virtual_tid is None:
        return ""
    name = f" {thread.java.virtual_name}" if thread.java.virtual_name else ""
    return f"carrying virtual thread #{thread.java.virtual_tid}{name}"


def thread_state(thread: Thread) -> str:
    """The Java state, else what the thread does as far as the core tells."""
    if thread.crashed:
        return "crashed"
    if thread.java is not None and (thread.java.state or thread.java.thread_state):
        return thread.java.state or thread.java.thread_state or ""
    if thread.wait is not None:
        return "blocked in a system call" if thread.wait.kind == "syscall" else "waiting"
    return "unknown" if thread.ended == "no-registers" else "running"


def wait_text(thread: Thread) -> str:
    """What the thread waits for: "mutex 0x… held by thread 12"."""
    parts = []
    if (wait := thread.wait) is not None:
        what = wait.syscall if wait.kind == "syscall" else wait.kind
        where = "" if wait.address is None or wait.kind == "syscall" else f" {wait.address}"
        owner = ""
        if wait.owner is not None:
            gone = " (not in the core)" if wait.owner_in_core is False else ""
            owner = f" held by thread {wait.owner}{gone}"
        parts.append(f"{what}{where}{owner}")
    if (java := thread.java) is not None and java.blocked_on:
        held = f" held by “{java.blocked_by}”" if java.blocked_by else ""
        parts.append(f"{java.blocked_on}{held}")
    return ", ".join(parts)


def _wait_kind(thread: Thread) -> str:
    return "" if thread.wait is None else f"{thread.wait.kind}:{thread.wait.syscall}"


def _place(row: Row) -> tuple[object, ...]:
    if isinstance(row, CycleRow):
        return (row.count, *(_place(inner) for inner in row.rows))
    if isinstance(row, CutRow):
        return (row.first, row.last)
    frame = row.frame
    where = frame.line if frame.function else (frame.module_offset if frame.module else frame.pc)
    return (frame.function, frame.module, frame.file, where, frame.inlined, frame.kind)


def group_threads(threads: Sequence[Thread], limit: int = 200) -> tuple[Group, ...]:
    """Threads grouped by stack, state and wait: the crashing one first, then the report's order."""
    groups: dict[tuple[object, ...], tuple[list[int], list[Thread], tuple[Row, ...]]] = {}
    for index, thread in enumerate(threads):
        rows = fold(thread.frames, thread.cycles, limit)
        key: tuple[object, ...] = (thread_state(thread), _wait_kind(thread), thread.ended, *map(_place, rows))
        if thread.crashed:
            key = ("crashed", thread.tid, index)
        indices, members, _ = groups.setdefault(key, ([], [], rows))
        indices.append(index)
        members.append(thread)
    made = [
        Group(tuple(indices), tuple(members), rows, thread_state(members[0]), wait_text(members[0]))
        for indices, members, rows in groups.values()
    ]
    return tuple(sorted(made, key=lambda group: not group.crashed))


_SYSTEM = re.compile(r"(libc|libpthread|ld-linux[\w-]*|libstdc\+\+|libgcc_s|linux-vdso|libjvm)[.-]")


def is_system(frame: Frame) -> bool:
    """Whether the frame is the C library's or the VM's, and may stand back behind the program's own."""
    return frame.module is not None and bool(_SYSTEM.match(base_name(frame.module)))


def telling_function(group: Group) -> str:
    """The first function of the stack that is the program's own, else the first; "" without frames."""
    frames = [row.frame for row in group.rows if isinstance(row, FrameRow)]
    own = next((frame for frame in frames if frame.function and not is_system(frame)), None)
    chosen = own or (frames[0] if frames else None)
    return "" if chosen is None else function_text(chosen)


def group_title(group: Group, names: int = 3) -> str:
    """ "GC Thread#0, GC Thread#1 and 6 more"."""
    shown = [thread_name(thread) for thread in group.threads[:names]]
    rest = len(group.threads) - len(shown)
    if rest == 1:
        shown, rest = shown[:-1], 2
    return ", ".join(shown) + (f" and {number(rest)} more" if rest else "")


def problem_text(problem: Problem) -> str:
    """ "hs_err.log: it is of another process; give the right one"."""
    where = f"{problem.where}: " if problem.where else ""
    return f"{where}{problem.what}{f'; {problem.hint}' if problem.hint else ''}"


def was_sent(report: Report) -> bool:
    """Whether another process sent the signal: then the thread that took it is no more telling than the others."""
    signal = report.crash.signal
    return signal is not None and signal.sender_pid is not None and signal.sender_pid != report.process.pid


def stack_heading(report: Report) -> str:
    """What the stack shown first is."""
    return "Stack of the thread that took the signal" if was_sent(report) else "Crashing stack"


def telling_groups(report: Report) -> list[Group]:
    """Groups of the other threads that stand in the program's own code, else all: the waiting first, then by size."""
    groups = [group for group in group_threads(report.threads, 40) if not group.crashed]
    own = [group for group in groups if any(_is_programs(row.frame) for row in _shown(group))]
    return sorted(own or groups, key=lambda group: (not group.wait, -len(group.threads)))


def telling_rows(group: Group) -> tuple[Row, ...]:
    """The stack from its first Java frame to its last, or the whole of it: what lies around is the same everywhere."""
    java = [number for number, row in enumerate(group.rows) if _is_java(row)]
    return group.rows[java[0] : java[-1] + 1] if java else group.rows


def _is_java(row: Row) -> bool:
    return isinstance(row, FrameRow) and row.frame.kind.startswith("java")


def _shown(group: Group) -> list[FrameRow]:
    return [row for row in group.rows if isinstance(row, FrameRow)]


_JDK = ("java.", "javax.", "jdk.", "sun.", "com.sun.")


def _is_programs(frame: Frame) -> bool:
    if frame.kind.startswith("java"):
        return not (frame.function or "java.").startswith(_JDK)
    return frame.kind == "native" and frame.function is not None and not is_system(frame)


def crashing_thread(report: Report) -> tuple[int, Thread] | None:
    """The thread that crashed and its place in the report."""
    for index, thread in enumerate(report.threads):
        if thread.crashed:
            return index, thread
    for index, thread in enumerate(report.threads):
        if report.crash.tid is not None and thread.tid == report.crash.tid:
            return index, thread
    return None


# ---------------------------------------------------------------------------------------- the answer


def signal_text(signal: Signal, pid: int | None) -> str:
    """ "SIGSEGV (11), SEGV_MAPERR: address not mapped". pid: of the process that died."""
    text = f"{signal.name} ({signal.number})"
    if signal.code_name:
        text += f", {signal.code_name}"
    elif signal.code is not None:
        text += f", code {signal.code}"
    if signal.sender_pid is not None and signal.sender_pid == pid:
        return f"{text}: sent by the process itself"
    if signal.meaning:
        text += f": {signal.meaning}"
    if signal.sender_pid is not None:
        text += f", sent by process {signal.sender_pid}"
        if signal.sender_uid is not None:
            text += f" of user {signal.sender_uid}"
    if signal.syscall is not None:
        text += f", system call {signal.syscall_name or signal.syscall}"
    return text


def _touched(crash: Crash) -> int | None:
    """The address of a memory fault. si_addr is the instruction's own for other signals, and 0 with SI_KERNEL."""
    signal = crash.signal
    if crash.fault_address is not None or signal is None:
        return crash.fault_address
    of_memory = signal.name in ("SIGSEGV", "SIGBUS") and signal.code_name != "SI_KERNEL"
    return signal.fault_address if of_memory else None


def fault_text(crash: Crash) -> str:
    """What failed: "Writing address 0x10 (page zero) at pc 0x4011d6 in thread 7"; "" if unknown."""
    address = _touched(crash)
    parts = []
    if address is not None:
        doing = {"read": "Reading", "write": "Writing", "execute": "Executing"}.get(
            crash.access or "", "Touching"
        )
        text = f"{doing} address {address}"
        if crash.fault_address_text and address:
            text += f" ({crash.fault_address_text})"
        parts.append(text)
    if crash.pc is not None:
        at = f"at pc {crash.pc}"
        parts.append(at if parts else at[0].upper() + at[1:])
    if crash.tid is not None:
        parts.append(f"in thread {crash.tid}" if parts else f"No signal is known; the thread is {crash.tid}")
    return " ".join(parts)


def handler_text(report: Report) -> str:
    """How the fault shown relates to the signal that the core names and its thread; "" when it is the same."""
    crash = report.crash
    if not crash.unwrapped:
        if crash.handler_tid is None:
            return ""
        return f"This thread reported an error; thread {crash.handler_tid} ended the process while it did."
    signal = crash.handler_signal
    own = f" The core itself names {signal_text(signal, report.process.pid)}." if signal else ""
    if crash.handler_tid is not None:
        return (
            "This is the original fault: a signal handler ran after it, and while that was at work thread "
            f"{crash.handler_tid} ended the process.{own}"
        )
    return f"This is the original fault: a signal handler ran after it and ended the process.{own}"


def title_text(report: Report) -> str:
    """The answer in a line."""
    if report.verdict is not None:
        return report.verdict.title
    if report.crash.signal is not None:
        return f"{report.crash.signal.name}, cause not determined"
    return "Cause not determined"


def summary_text(report: Report) -> str:
    """The answer in a paragraph."""
    if report.verdict is not None:
        return report.verdict.summary
    if report.problems:
        return (
            "No rule explains this crash with what could be read. What was missing is listed under Problems."
        )
    return "No rule explains this crash."


def confidence_text(report: Report) -> str:
    """ "critical, certain"; "" without a verdict."""
    verdict = report.verdict
    return f"{verdict.severity} severity, {verdict.confidence}" if verdict is not None else ""


def verdict_finding(report: Report) -> Finding | None:
    """The finding that the verdict was taken from."""
    if report.verdict is None:
        return None
    for finding in report.findings:
        if finding.rule == report.verdict.rule and finding.title == report.verdict.title:
            return finding
    return next((finding for finding in report.findings if finding.rule == report.verdict.rule), None)


def why(report: Report) -> tuple[Evidence, ...]:
    """Evidence for the verdict."""
    finding = verdict_finding(report)
    return () if finding is None else finding.evidence


def next_steps(report: Report) -> tuple[str, ...]:
    """What to do: the verdict's steps, else what would mend the analysis."""
    if report.verdict is not None and report.verdict.next_steps:
        return report.verdict.next_steps
    if (finding := verdict_finding(report)) is not None and finding.remedies:
        return finding.remedies
    return tuple(dict.fromkeys(problem.hint for problem in report.problems if problem.hint))[:4]


def findings_in_order(report: Report) -> tuple[Finding, ...]:
    """Findings with the verdict's first, the others as the engine ranked them."""
    first = verdict_finding(report)
    return tuple(sorted(report.findings, key=lambda finding: finding is not first))


def unmatched_modules(report: Report) -> tuple[tuple[int, Module], ...]:
    """Modules whose file wasn't found as it was, with their place in the report."""
    return tuple((index, module) for index, module in enumerate(report.modules) if module.status != "matched")


def module_advice(module: Module) -> str:
    """What would mend a module without its file."""
    known = f"build-id {module.build_id}" if module.build_id else "no build-id in the core"
    return {
        "mismatched": f"Give the file that ran ({known}) with --sysroot or --exe.",
        "missing": f"Give the file ({known}) with --sysroot, --debug-dir or --debuginfod.",
        "deleted": f"Find the file of before the upgrade ({known}) and give it with --debug-dir.",
    }.get(module.status, "")


# ---------------------------------------------------------------------------------------- facts


def _facts(*rows: tuple[str, object, str]) -> tuple[Fact, ...]:
    return tuple(
        Fact(label, str(value), where) for label, value, where in rows if value not in (None, "", ())
    )


def _sized(count: int | None) -> str | None:
    return None if count is None else size(count)


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else ("yes" if value else "no")


def core_facts(report: Report) -> tuple[Fact, ...]:
    """The input and the process."""
    core, process = report.core, report.process
    truncated = f"yes, {size(core.lost)} lost" if core.truncated else None
    return _facts(
        ("Input", core.path, "core.path"),
        ("Size", size(core.size), "core.size"),
        ("Format", core.format, "core.format"),
        ("Machine", core.machine, "core.machine"),
        ("Truncated", truncated, "core.truncated"),
        ("Executable", process.executable, "process.executable"),
        ("Command", process.command, "process.command"),
        ("Arguments", " ".join(process.arguments), "process.arguments"),
        ("Process", process.pid, "process.pid"),
        ("Parent", process.ppid, "process.ppid"),
        ("User", process.uid, "process.uid"),
        ("Threads", number(len(report.threads)) if report.threads else None, "threads"),
        ("Signature", report.signature.id if report.signature else None, "signature.id"),
    )


def native_facts(report: Report) -> tuple[Fact, ...]:
    """What the C and C++ runtimes left behind; addresses of little use alone come last."""
    native = report.native
    rows: list[tuple[str, object, str]] = [
        ("Abort message", native.abort_message, "native.abort_message"),
        ("Assertion", native.assertion, "native.assertion"),
        ("Runtime", native.runtime, "native.runtime"),
        ("errno", native.errno, "native.errno"),
    ]
    for index, exception in enumerate(native.exceptions):
        thread = f" in thread {exception.tid}" if exception.tid is not None else ""
        what = f": {exception.what}" if exception.what else ""
        if exception.base_text and not what:
            what = f" (text of its base class: {exception.base_text})"
        rows.append(
            (
                "C++ exception",
                f"{exception.type}{what} at {exception.address}{thread}",
                f"native.exceptions[{index}]",
            )
        )
    if native.arenas:
        total = sum(arena.size for arena in native.arenas)
        rows.append(
            ("malloc arenas", f"{plural(len(native.arenas), 'arena')}, {size(total)}", "native.arenas")
        )
    rows += [
        ("Anonymous memory", size(native.anonymous) if native.anonymous else None, "native.anonymous"),
        ("Stack canary", native.stack_canary, "native.stack_canary"),
        ("HWCAP", native.hwcap, "native.hwcap"),
        ("HWCAP2", native.hwcap2, "native.hwcap2"),
    ]
    return _facts(*rows)


def jvm_facts(report: Report) -> tuple[Fact, ...]:
    """The VM in general."""
    jvm = report.jvm
    if jvm is None:
        return ()
    point = jvm.safepoint
    waiting = f", {point.waiting_to_block} threads still to stop" if point and point.waiting_to_block else ""
    return _facts(
        ("Version", jvm.version, "jvm.version"),
        ("VM", jvm.name, "jvm.name"),
        ("Vendor", jvm.vendor, "jvm.vendor"),
        ("Read through", jvm.tier, "jvm.tier"),
        ("Java command", jvm.java_command, "jvm.java_command"),
        ("Safepoint", f"{point.state}{waiting}" if point and point.state else None, "jvm.safepoint"),
        ("VM operation", jvm.vm_operation, "jvm.vm_operation"),
        ("Ran for", None if jvm.uptime is None else f"{jvm.uptime:,.1f} s", "jvm.uptime"),
        ("Build", jvm.build, "jvm.build"),
    )


def error_facts(report: Report) -> tuple[Fact, ...]:
    """What the VM's own error reporter recorded."""
    error = report.jvm.error if report.jvm else None
    if error is None:
        return ()
    place = error.file if error.line is None else f"{error.file}:{error.line}"
    return _facts(
        ("Id", hex(error.id) if error.id is not None and error.id > 255 else error.id, "jvm.error.id"),
        ("Message", error.message, "jvm.error.message"),
        ("Detail", error.detail, "jvm.error.detail"),
        ("At", place if error.file else None, "jvm.error.file"),
        ("Bytes asked for", _sized(error.size), "jvm.error.size"),
    )


def direct_memory_facts(report: Report) -> tuple[Fact, ...]:
    """Direct buffers, which lie outside the Java heap."""
    direct = report.jvm.direct_memory if report.jvm else None
    if direct is None:
        return ()
    return _facts(
        ("Reserved", _sized(direct.used), "jvm.direct_memory.used"),
        ("Maximum", _sized(direct.maximum), "jvm.direct_memory.maximum"),
        ("Buffers", None if direct.buffers is None else number(direct.buffers), "jvm.direct_memory.buffers"),
    )


def host_facts(report: Report) -> tuple[Fact, ...]:
    """The machine or container."""
    host = report.host
    if host is None:
        return ()
    load = ", ".join(f"{value:g}" for value in host.load)
    limits = "; ".join(f"{name} {value}" for name, value in host.limits.items())
    return _facts(
        ("System", host.operating_system, "host.operating_system"),
        ("Kernel", host.kernel, "host.kernel"),
        ("CPU", host.cpu, "host.cpu"),
        ("Processors", host.cpus, "host.cpus"),
        ("Memory", _sized(host.memory), "host.memory"),
        ("Memory available", _sized(host.memory_available), "host.memory_available"),
        ("Swap", _sized(host.swap), "host.swap"),
        ("Swap free", _sized(host.swap_free), "host.swap_free"),
        ("Container", host.container, "host.container"),
        ("Container's memory limit", _sized(host.memory_limit), "host.memory_limit"),
        ("Container's memory used", _sized(host.memory_used), "host.memory_used"),
        ("Container's processors", host.cpu_limit, "host.cpu_limit"),
        ("Limits", limits or None, "host.limits"),
        ("Load", load or None, "host.load"),
        ("Virtualization", host.virtualization, "host.virtualization"),
    )


def heap_facts(report: Report) -> tuple[Fact, ...]:
    """The Java heap as a whole."""
    heap = report.jvm.heap if report.jvm else None
    if heap is None:
        return ()
    return _facts(
        ("Collector", heap.collector, "jvm.heap.collector"),
        ("Used", _sized(heap.used), "jvm.heap.used"),
        ("Capacity", _sized(heap.capacity), "jvm.heap.capacity"),
        ("Maximum", _sized(heap.maximum), "jvm.heap.maximum"),
        ("Collections", heap.collections, "jvm.heap.collections"),
        ("Collecting at the crash", _yes_no(heap.gc_active), "jvm.heap.gc_active"),
    )


def code_cache_facts(report: Report) -> tuple[Fact, ...]:
    """The code cache as a whole."""
    cache = report.jvm.code_cache if report.jvm else None
    if cache is None:
        return ()
    return _facts(
        ("Used", _sized(cache.used), "jvm.code_cache.used"),
        ("Reserved", _sized(cache.reserved), "jvm.code_cache.reserved"),
        ("Compiled methods", cache.nmethods, "jvm.code_cache.nmethods"),
    )


def metaspace_facts(report: Report) -> tuple[Fact, ...]:
    """Metaspace and the compressed class space."""
    space = report.jvm.metaspace if report.jvm else None
    if space is None:
        return ()
    return _facts(
        ("Used", _sized(space.used), "jvm.metaspace.used"),
        ("Committed", _sized(space.committed), "jvm.metaspace.committed"),
        ("Maximum", _sized(space.maximum), "jvm.metaspace.maximum"),
        ("Class space used", _sized(space.class_used), "jvm.metaspace.class_used"),
        ("Class space committed", _sized(space.class_committed), "jvm.metaspace.class_committed"),
        ("Class space maximum", _sized(space.class_maximum), "jvm.metaspace.class_maximum"),
        ("Class loaders", space.loaders, "jvm.metaspace.loaders"),
        ("Classes", space.classes, "jvm.metaspace.classes"),
    )


def share(part: int | None, whole: int | None) -> float | None:
    """part / whole in percent, 0..100; None when either isn't known."""
    if part is None or not whole or whole < 0:
        return None
    return min(100.0, max(0.0, 100.0 * part / whole))


@functools.cache
def format_share(value: float) -> str:
    """ "42 %", "0.3 %"."""
    if 0 < value < 0.1:
        return "< 0.1 %"
    return f"{value:.0f} %" if value >= 1 or value == 0 else f"{value:.1f} %"


def crash_facts(report: Report) -> tuple[Fact, ...]:
    """The fault as the kernel, the CPU and the instruction tell it."""
    crash = report.crash
    signal = crash.signal
    address = _touched(crash)
    about = f" ({crash.fault_address_text})" if crash.fault_address_text else ""
    rows: list[tuple[str, object, str]] = [
        ("Signal", signal_text(signal, report.process.pid) if signal else None, "crash.signal"),
        ("Fault address", None if address is None else f"{address}{about}", "crash.fault_address"),
        ("Known from", crash.fault_address_source, "crash.fault_address_source"),
        ("Access", crash.access, "crash.access"),
        ("pc", crash.pc, "crash.pc"),
        ("Instruction", crash.instruction, "crash.instruction"),
        ("Its bytes", crash.instruction_bytes, "crash.instruction_bytes"),
        ("Called from", crash.call_site, "crash.call_site"),
        ("Thread", crash.tid, "crash.tid"),
        ("Trap number", crash.trap_number, "crash.trap_number"),
        ("CPU error code", None if crash.error_code is None else hex(crash.error_code), "crash.error_code"),
        (
            "Signal of the core",
            signal_text(crash.handler_signal, report.process.pid) if crash.handler_signal else None,
            "crash.handler_signal",
        ),
        ("Taken by thread", crash.handler_tid, "crash.handler_tid"),
    ]
    rows += [
        (f"Value of {name}", hex(value), f"crash.operand_values.{name}")
        for name, value in crash.operand_values.items()
    ]
    return _facts(*rows)


def register_rows(report: Report) -> tuple[tuple[str, str, str, str], ...]:
    """(register, value, what it points at, path) of the crashing thread."""
    rows = [
        (note.register, str(note.value), note.text, f"crash.registers[{at}]")
        for at, note in enumerate(report.crash.registers)
    ]
    named = {name for name, _, _, _ in rows}
    if (found := crashing_thread(report)) is not None:
        index, thread = found
        rows += [
            (name, str(value), "", f"threads[{index}].registers.{name}")
            for name, value in thread.registers.items()
            if name not in named
        ]
    return tuple(rows)
