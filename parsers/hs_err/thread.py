"""T H R E A D (vmError.cpp, steps "printing thread" to "printing registered callbacks")."""

from __future__ import annotations

import re

from parsers.hs_err import frames, memory
from parsers.hs_err.model import (
    CompileTask,
    CrashedThread,
    Range,
    Register,
    SignalInfo,
    Stack,
    Thread,
    VmOperation,
)
from parsers.hs_err.reader import HEX, Draft, Section, address, first, rule

_THREAD = re.compile(rf"(=>)?\s*({HEX})\s+(\(exited\) )?(\w+)(.*)$")
_STATE = re.compile(r"\[(_thread_\w+)")
_ID = re.compile(r"\bid=(\d{1,20}|0x[0-9a-fA-F]{1,16})")
_STACK = re.compile(rf"\[?stack(?::\s*|\()({HEX}),\s*({HEX})")
_TASK = re.compile(
    r"(?:(\w[\w .#-]{0,30}?)(?:: {0,30}| {1,30}(?=\d))|\s{0,30})(?:(\d{1,12}) {1,30})?(\d{1,9}) {1,30}"
    r"((?:[%s!bn*M] {0,3}){0,6}) {0,30}(?:([0-4]) {1,30})?"
    r"(?<= )([^\s(@]{1,4096})(?: @ (-?\d{1,9}))?(?:\s+\((\d{1,9}) bytes\)| \(native\)| \(intrinsic\))"
)
_GLUED = re.compile(r"^(C[12] CompilerThread\d)(\d{6,12} )")  # a VM up for hours: the time fills its column (JDK 11)
_CODE = re.compile(r"\s|\[|;|#|-|=|\{|\w{1,40}:|[\w ]{0,60}0x|Compiled |Decoding |ImmutableOopMap|BFD|Argument ")
_REGISTER = re.compile(rf"\s*([A-Za-z][\w()]{{0,14}}?)\s?=\s?({HEX})\s*,?")
_VECTOR = re.compile(rf"\s*([A-Za-z]+\[?\d{{1,2}}\]?)\s?=\s?({HEX}(?: {HEX}){{1,7}})\s*$")
_STACK_LINE = re.compile(rf"Stack: \[({HEX}),({HEX})\](?:,\s+sp=({HEX}))?(?:,\s+free space=(\d{{1,12}})k)?(.*)")


def thread_line(text: str) -> Thread | None:
    """`=>0x… JavaThread "main" daemon [_thread_in_vm, id=2374, stack(0x…,0x…) (1024K)]` and its other
    forms."""
    m = _THREAD.match(text)
    return (
        describe(m[5], address=address(m[2]), kind=m[4], current=bool(m[1]), exited=bool(m[3]), text=text)
        if m
        else None
    )


def describe(rest: str, *, address: int | None, kind: str, current: bool, exited: bool, text: str) -> Thread | None:
    """The part behind the kind: "name" daemon [state, id=…, stack(…)]; the name may have quotes and brackets
    in it."""
    bracket = max(rest.rfind(" [_thread"), rest.rfind("[id="), rest.rfind("[stack"))
    older = rest.find(" [stack: ")
    bracket = older if older >= 0 and rest.rfind("[_thread") < 0 else bracket
    head = rest if bracket < 0 else rest[:bracket]
    tail = "" if bracket < 0 else rest[bracket:]
    opening, closing = head.find('"'), head.rfind('"')
    name = head[opening + 1 : closing] if closing > opening >= 0 else None
    state, number, stack = _STATE.search(tail), _ID.search(tail), _STACK.search(tail)
    if name is None and not tail and head.strip():
        return None
    return Thread(
        text=text,
        address=address,
        kind=kind,
        name=name,
        current=current,
        exited=exited,
        daemon="daemon" in head[closing + 1 :] if name is not None else "daemon" in head,
        state=state[1] if state else None,
        id=_number(number[1]) if number else None,
        stack=Range(start=int(stack[1], 16), end=int(stack[2], 16)) if stack else None,
        notes=tail[tail.rfind("]") + 1 :].strip() or None,
    )


def _number(text: str) -> int:
    return address(text) if text.startswith("0x") else int(text)


def compile_task(text: str) -> CompileTask | None:
    """`C2:   1301 41032   !   4       pkg.Class::method @ 5 (10 bytes)`, with thread names as JDK 11 and
    newer list them."""
    m = _TASK.match(_GLUED.sub(r"\1 \2", text, count=1))
    if not m:
        return None
    who = (m[1] or "").strip() or None
    compiler = next((c for c in ("C1", "C2", "JVMCI") if who and who.startswith(c)), None)
    return CompileTask(
        text=text,
        compiler=compiler,
        thread=who if who != compiler else None,
        time=int(m[2]) if m[2] else None,
        id=int(m[3]),
        flags="".join(m[4].split()) or None,
        level=int(m[5]) if m[5] else None,
        method=m[6],
        bci=int(m[7]) if m[7] else None,
        bytecode_size=int(m[8]) if m[8] else None,
    )


def registers(text: str) -> tuple[Register, ...]:
    """All registers of a line, () if there is anything else on it."""
    vector = _VECTOR.match(text)
    if vector:
        words = tuple(address(w) for w in vector[2].split())
        return (Register(name=vector[1], value=words[0], words=words),)
    found: list[Register] = []
    position = 0
    while position < len(text) and len(found) < 64:
        m = _REGISTER.match(text, position)
        if not m:
            return () if text[position:].strip() else tuple(found)
        found.append(Register(name=m[1], value=address(m[2])))
        position = m.end()
    return tuple(found)


def signal_info(text: str) -> SignalInfo:
    """`siginfo:` of posix (os_posix.cpp os::print_siginfo), JDK 8, and Windows."""

    def find(pattern: str) -> re.Match[str] | None:
        return re.search(pattern, text)

    number = find(r"si_signo[:=] ?(?:(\d{1,9})(?: \((\w+)\))?|(\w+))")
    code = find(r"si_code[:=] ?(?:(-?\d{1,9})(?: \(([^)]*)\))?|(\w+))")
    at = find(rf"si_addr[:=] ?({HEX})")
    pid = find(r"(?:si_pid[:=]|sent from pid:) ?(\d{1,12})")
    uid = find(r"(?:si_uid[:=]|\(uid:) ?(\d{1,12})")
    status = find(r"si_status[:=] ?(-?\d{1,12})")
    exception = find(rf"(?:ExceptionCode=({HEX})|(EXCEPTION_\w+) \(({HEX})\))")
    access = find(
        rf"(reading|writing to|writing|execution|data execution prevention violation at) "
        rf"?(?:address|at address)? ?({HEX})"
    )
    # JDK 8 has no words for an access other than a read or a write: the second word is the address.
    # Other exceptions have parameters of their own there: a C++ exception those of its object.
    raw = find(rf"ExceptionInformation=({HEX}) ({HEX})") if access is None else None
    code_of = address(exception[1] or exception[3]) if exception else None
    accessed = raw if code_of in _OF_ACCESS else None
    return SignalInfo(
        text=text,
        number=int(number[1]) if number and number[1] else None,
        name=(number[2] or number[3]) if number else (exception[2] if exception else None),
        code=int(code[1]) if code and code[1] else None,
        code_name=(code[2] or code[3]) if code else None,
        address=address(at[1]) if at else address(access[2]) if access else address(accessed[2]) if accessed else None,
        sender_pid=int(pid[1]) if pid else None,
        sender_uid=int(uid[1]) if uid else None,
        status=int(status[1]) if status else None,
        exception=code_of,
        access=_access(access[1]) if access else _ACCESSES.get(address(accessed[1])) if accessed else None,
    )


_OF_ACCESS = (0xC0000005, 0xC0000006, 0xC00000FD, 0x80000001)
_ACCESSES = {0: "reading", 1: "writing", 8: "execution"}
"""The first of an access violation's ExceptionInformation (EXCEPTION_RECORD of winnt.h)."""


def _access(words: str) -> str:
    """The first word; a "data execution prevention violation" is of an execution."""
    return words.removeprefix("data ").split()[0]


class ThreadSection(Section):
    """Everything on the thread that crashed."""

    headings = (
        ("current", r"Current thread\b"),
        ("task", r"Current CompileTask:"),
        ("stack", r"Stack: "),
        ("native", r"Native frames:"),
        ("native", r"Retrying call stack printing"),
        ("java", r"Java frames:"),
        ("processed", rf"JavaThread {HEX} \(nid"),
        ("siginfo", r"siginfo:"),
        ("registers", r"Registers:"),
        ("locations", r"Register to memory mapping:"),
        ("top", r"Top of Stack:"),
        ("instructions", r"Instructions: "),
        ("slots", r"Stack slot to memory mapping:"),
        ("locks", r"Lock stack of current Java thread"),
        ("operation", r"VM_Operation \("),
        ("callback", r"VMErrorCallback \d"),
        ("note", r"The last pc belongs to |Error accessing |>> Please see below"),
        ("pending", r"Pending compilation failure"),
        ("code", r"\[CodeBlob \(|Compiled method \(|-{10,} *$|={20,} C\d|Decoding |Loading hsdis library "),
    )

    def __init__(self) -> None:
        self.facts = Draft(CrashedThread)
        self._locations = {
            "locations": memory.Locations(self.facts, "register_locations"),
            "slots": memory.Locations(self.facts, "slot_locations"),
        }
        self._rules = (
            rule(rf"Current thread \(({HEX})\):\s+(\w+)(.*)", self._current),
            rule(r"Current thread is native thread", lambda m: self.facts.put(is_native=True)),
            rule(r"Current thread(?: is|:) ?(.*)", lambda m: self.facts.add("notes", m.string)),
            rule(_STACK_LINE.pattern, self._stack),
            rule(rf"Top of Stack: \(sp=({HEX})", lambda m: self.facts.put(stack_top_address=address(m[1]))),
            rule(rf"Instructions: \(pc=({HEX})", lambda m: self.facts.put(instructions_pc=address(m[1]))),
            rule(rf"JavaThread ({HEX}) \(nid = (\d{{1,12}})\) was being processed", self._processed),
            rule(
                rf"VM_Operation \(({HEX})\): ([^,]{{1,200}})(?:, mode: ([^,]{{1,80}}))?"
                rf"(?:, requested by thread ({HEX}))?",
                self._operation,
            ),
            rule(r"siginfo: ?(.*)", self._siginfo),
        )

    def open(self, name: str, text: str) -> bool:
        """Some headings are facts themselves."""
        if first(self._rules, text):
            return True
        if name in ("note", "callback", "pending"):
            return self.facts.add("notes", text)
        if name == "code":
            return self.facts.add("code", text)
        return name not in ("current", "stack", "operation", "processed")

    def inside(self, name: str) -> bool:
        """A register or slot may be followed by the dump of the code blob that it points into."""
        reader = self._locations.get(name)
        return reader is not None and not (name == "slots" and reader.blanks)

    def feed(self, name: str, text: str) -> bool:
        """By section."""
        if name in ("native", "java"):
            return self._frame(f"{name}_frames", text)
        if name in ("processed", "stack", "current", "siginfo"):
            return False
        if name == "registers":
            found = registers(text)
            return bool(found) and self.facts.add("registers", *found)
        if name in self._locations:
            return self._locations[name].feed(text)
        if name in ("top", "instructions"):
            return self._dump("stack_top" if name == "top" else "instructions", text)
        if name == "task":
            task = compile_task(text)
            return task is not None and self.facts.put(compile_task=task)
        if name == "locks":
            return self.facts.add("lock_stack", text.strip())
        if name == "code":
            return _CODE.match(text) is not None and self.facts.add("code", text)
        return name in ("callback", "pending") and self.facts.add("notes", text)

    def any(self, text: str) -> bool:
        """Frames, memory rows and register rows tell themselves."""
        if "native_frames" not in self.facts.values and self._frame("native_frames", text):
            return True
        return (
            self.facts.last("native_frames") is not None
            and "java_frames" not in self.facts.values
            and text[:1] in "VCjJv"
            and self._frame("native_frames", text)
        )

    def _frame(self, into: str, text: str) -> bool:
        if text.startswith("...<more frames>..."):
            return self.facts.put(**{f"{into}_cut": True})
        frame = frames.parse(text)
        if frame:
            return self.facts.add(into, frame)
        note = text.startswith(("[error occurred", "[timeout", "(no source", "<error", "Java frames"))
        return note and self.facts.add("notes", text)

    def _dump(self, into: str, text: str) -> bool:
        row = memory.words(text)
        return row is not None and self.facts.add(into, row)

    def _current(self, m: re.Match[str]) -> bool:
        thread = describe(m[3], address=address(m[1]), kind=m[2], current=True, exited=False, text=m.string)
        if thread is None or (thread.name is None and not m[3].strip() and not m[2].endswith("Thread")):
            return False  # the line ends within the kind: "GCT"
        return self.facts.put(thread=thread)

    def _stack(self, m: re.Match[str]) -> bool:
        return self.facts.put(
            stack=Stack(
                low=address(m[1]),
                high=address(m[2]),
                sp=address(m[3]) if m[3] else None,
                free=int(m[4]) * 1024 if m[4] else None,
                outside="OUTSIDE STACK" in m[5],
            )
        )

    def _processed(self, m: re.Match[str]) -> bool:
        return self.facts.put(
            processed_thread=Thread(text=m.string, address=address(m[1]), kind="JavaThread", id=int(m[2]))
        )

    def _operation(self, m: re.Match[str]) -> bool:
        return self.facts.put(
            vm_operation=VmOperation(
                text=m.string,
                address=address(m[1]),
                name=m[2].strip(),
                mode=m[3],
                requested_by=address(m[4]) if m[4] else None,
            )
        )

    def _siginfo(self, m: re.Match[str]) -> bool:
        info = signal_info(m[1])
        return info != SignalInfo(text=m[1]) and self.facts.put(siginfo=info)

    def blank(self) -> None:
        """Ends a location's further lines."""
        for reader in self._locations.values():
            reader.blank()

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut
