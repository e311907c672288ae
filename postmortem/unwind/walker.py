"""Walk a thread's stack: for each pc find the rule, execute it, until a named end.

Order of trust: signal frame, the runtime's own unwinder, CFI, a call to nowhere (return address at rsp), the function's
own instructions where there is no CFI, frame pointer, scan. A caller's stack pointer is higher than its callee's (but
across a signal frame, since handlers may run on an alternate stack) and its pc lies in an executable mapping.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsers.dwarf import cfi
from parsers.errors import ParseError
from parsers.limits import LIMITS
from postmortem.model import Problem
from postmortem.unwind.frame import RawFrame, SignalFrame, Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.machines.machine import Machine, Registers
    from postmortem.model.thread import Ended, Kind, Trust
    from postmortem.options import Mode
    from postmortem.program.memory import AddressSpace
    from postmortem.unwind.frame import ForeignUnwinder
    from postmortem.unwind.goframes import GoFrames

_MASK = 0xFFFFFFFFFFFFFFFF
_LONGEST_PLAN = 15 * 8
_MOST_DAMAGED = LIMITS.walker_damaged
_BLANK = 256
"""Bytes of zeros at a stack pointer that no running thread has: gdb's gcore writes them for what it can't read."""
_SCAN_NEAR, _SCAN_FAR = LIMITS.walker_scan_near, LIMITS.walker_scan_far


class Walker:
    """Unwinds threads of one process; rules are kept by pc."""

    def __init__(
        self,
        space: AddressSpace,
        tables: Callable[[int], Sequence[cfi.FrameTable | GoFrames]],
        is_code: Callable[[int], bool],
        machine: Machine,
        foreign: ForeignUnwinder | None = None,
        mode: Mode = "auto",
        max_frames: int = LIMITS.frames_per_thread,
    ) -> None:
        """tables: CFI that may cover a pc, best first. is_code: whether a pc lies in executable memory."""
        self._space = space
        self._tables = tables
        self._is_code = is_code
        self._machine = machine
        self._pc, self._sp, self._fp = machine.pc, machine.sp, machine.fp
        self._foreign = foreign
        self._generated: Trust = "scan" if foreign is None else foreign.trust
        self._mode = mode
        self.function: Callable[[int], tuple[int, int] | None] = lambda pc: None
        """Start and size of the function that holds a pc, by its symbol; asked only where there is no CFI."""
        self.module: Callable[[int], object | None] = lambda pc: None
        """The module that holds an address."""
        self.injected: Sequence[tuple[int, int]] = ()
        """Where functions lie that nobody called: a signal's handler put them in place of an instruction."""
        self.max_frames = max_frames
        self._rules: dict[int, cfi.Rule | None] = {}
        self._states: dict[tuple[int, bool], Callable[[Registers], Registers | None] | None] = {}
        self._places: dict[int, _Place] = {}
        self._code: dict[int, bool] = {}
        self.damaged: dict[int, str] = {}
        """pc → what was wrong with its CFI."""

    def registers(self, status: dict[str, int]) -> Registers:
        """Where a walk begins: the registers of a thread's NT_PRSTATUS."""
        return self._machine.registers(status)

    def place(self, status: dict[str, int]) -> tuple[int | None, int | None]:
        """pc and sp of a thread's NT_PRSTATUS."""
        return status.get(self._machine.pc_name), status.get(self._machine.sp_name)

    def thread_pointer(self, status: dict[str, int]) -> int:
        """Of a thread's NT_PRSTATUS; 0 where there is none."""
        return status.get(self._machine.thread_pointer, 0)

    def problems(self) -> list[Problem]:
        """Damaged CFI that was met on the way."""
        return [
            Problem(stage="unwind", where=hex(pc), what=f"damaged call frame information: {what}")
            for pc, what in list(self.damaged.items())[:20]
        ]

    def _rule(self, pc: int) -> cfi.Rule | None:
        try:
            return self._rules[pc]
        except KeyError:
            rule = None
            budget = self._space.budget
            for table in self._tables(pc) if budget.left("cfa_bytes") else ():
                before = table.work
                try:
                    rule = table.rule(pc)
                except ParseError as damage:
                    if len(self.damaged) < _MOST_DAMAGED:
                        self.damaged[pc] = str(damage)
                budget.take("cfa_bytes", table.work - before)
                if rule is not None:
                    break
            self._rules[pc] = rule
            return rule

    def _executable(self, pc: int) -> bool:
        page = pc >> 12
        known = self._code.get(page)
        if known is None:
            known = self._code[page] = self._is_code(pc)
        return known

    def _place(self, pc: int, interrupted: bool) -> _Place:
        """What is known of a pc, whatever the thread."""
        lookup = pc if interrupted else pc - 1
        executable = self._executable(lookup)
        rule = self._rule(lookup) if executable and self._mode != "fp" else None
        place = _Place(
            executable,
            rule,
            None if rule is None else _planned(rule, self._machine),
            self._is_trampoline(pc),
            0 if rule is None else _expression_bytes(rule),
        )
        self._places[pc << 1 | interrupted] = place
        return place

    def walk(
        self,
        registers: Registers,
        max_frames: int | None = None,
        switch: Callable[[int], Registers | None] | None = None,
    ) -> Walk:
        """All activations from these registers outwards, at most `max_frames`.

        switch: registers on the stack that a function with that pc has left for the thread's own; None where the pc is
        of no such function. Long: one loop over the state of a walk, which runs for every frame of every thread.
        """
        most = self.max_frames if max_frames is None else min(max_frames, self.max_frames)
        frames: list[RawFrame] = []
        signal_frames: list[SignalFrame] = []
        trust: Trust = "context"
        interrupted = True
        covers = self._foreign.covers if self._foreign is not None else None
        word, words = self._space.word, self._space.words
        machine, pc_at, sp_at, fp_at = self._machine, self._pc, self._sp, self._fp
        places = self._places
        use_other = self._mode != "cfi"
        seen_signal_contexts: set[int] = set()
        stalled = False
        keep = LIMITS.frames_with_registers
        switched = False

        def end(why: Ended, detail: str | None = None) -> Walk:
            return Walk(frames, why, detail, signal_frames)

        while True:
            pc, sp = registers[pc_at], registers[sp_at]
            if pc is None or sp is None:
                return end("no-registers", "the program counter or stack pointer is not known")
            if len(frames) >= most:
                return end("limit", f"stopped after {most} frames")
            if pc == 0 and frames and trust != "context":
                return end("bottom", "the return address is 0")
            if covers is not None and covers(pc):
                stepped = self._foreign_step(frames, registers, trust, interrupted)
                if isinstance(stepped, str):
                    anchored = self._resume(sp)
                    if anchored is None:
                        return end("unreadable", stepped)
                    stepped = anchored
                trust = self._generated
                interrupted = False
                # A return barrier takes no stack; two such steps on end would be a loop.
                above = (stepped[sp_at] or 0) - sp
                if above < 0 or (above == 0 and stalled):
                    return end("no-progress", f"the caller's stack pointer is not above {sp:#x}")
                stalled = above == 0
                registers = stepped
                continue
            place = places.get(pc << 1 | interrupted) or self._place(pc, interrupted)
            executable, rule, plan, is_trampoline, expressions = place
            if is_trampoline or (is_trampoline is None and executable and machine.is_signal_frame(self._space, sp)):
                restored = machine.signal_frame(self._space, sp)
                if restored is not None and sp not in seen_signal_contexts:
                    seen_signal_contexts.add(sp)
                    frames.append(RawFrame(pc, sp, registers[fp_at], "signal", trust, True))
                    registers = restored.registers
                    signal_frames.append(SignalFrame(len(frames) - 1, sp, restored.info, registers))
                    trust, interrupted = "context", True
                    keep = len(frames) + LIMITS.frames_with_registers
                    continue
            kind: Kind = "native" if executable else "unknown"
            kept = registers if len(frames) < keep else None
            frames.append(RawFrame(pc, sp, registers[fp_at], kind, trust, interrupted, registers=kept))
            caller: Registers | None = None
            following: Trust = "cfi"
            reason = ""
            left = switch(pc - 1) if switch is not None and not switched and not interrupted else None
            if left is not None and self._executable(left[pc_at] or 0):
                switched, registers, trust, interrupted = True, left, "frame-pointer", True
                continue
            if rule is not None:
                if rule.bottom:
                    return end("bottom", "the CFI marks the outermost frame")
                if expressions and not self._space.budget.take("expression_bytes", expressions):
                    return end("limit", "the expressions of all frames together are too long")
                try:
                    if plan is None:
                        caller = _apply(rule, registers, word, machine)
                    else:
                        caller = _follow(plan, registers, words, sp_at)
                except ParseError as damage:
                    self.damaged[pc if interrupted else pc - 1] = str(damage)
                if kept is not None and caller is not None:
                    frames[-1] = frames[-1]._replace(cfa=caller[sp_at])
                if caller is None:
                    reason = f"the stack of the frame at {sp:#x} can't be read"
                elif not self._plausible(caller, sp):
                    if caller[pc_at] == 0:
                        if self._is_blank(sp):
                            return end("unreadable", f"the stack at {sp:#x} is all zeros")
                        return end("bottom", "the return address is 0")
                    reason = f"CFI gives a caller at {caller[pc_at] or 0:#x} with sp {caller[sp_at] or 0:#x}"
                    caller = None
            elif interrupted and not executable:
                # The pc itself is nowhere: a call through a bad pointer. The call pushed its return address.
                caller = machine.return_step(self._space, registers)
                if caller is not None and not (
                    self._plausible(caller, sp)
                    and (
                        machine.follows_call(self._space, caller[pc_at] or 0) is not False
                        or self._is_trampoline(caller[pc_at] or 0)
                    )
                ):
                    caller = None
                following = "frame-pointer"
            if caller is None and use_other:
                caller, following = self._without_cfi(registers, sp, trust, interrupted, rule is not None)
            if caller is None and self._foreign is not None and use_other:
                caller, following = self._resume(sp), self._generated
            if caller is None:
                if word(sp) is None:
                    return end("unreadable", reason or f"the stack at {sp:#x} is not in the core")
                return end("no-rule", reason or f"nothing tells how to leave {pc:#x}")
            called = not self.injected or not any(start <= pc < end for start, end in self.injected)
            if not called:
                # It keeps none of what a call would but the frame pointer, which it saved where that points now.
                fp, above = registers[fp_at] or 0, caller[sp_at] or 0
                saved = word(fp) if sp <= fp < above else None
                known = {pc_at: caller[pc_at], sp_at: caller[sp_at], fp_at: saved}
                caller = [known.get(index) for index in range(len(caller))]
            registers, trust, interrupted = caller, following, not called

    def _without_cfi(
        self, registers: Registers, sp: int, trust: Trust, interrupted: bool, had_rule: bool
    ) -> tuple[Registers | None, Trust]:
        if interrupted and not had_rule and self._mode == "auto":
            caller = self._machine.frameless_step(self._space, registers)
            if caller is not None and self._plausible(caller, sp):
                return caller, "frame-pointer"
            caller = self._from_generated(registers, sp)
            if caller is not None and self._plausible(caller, sp):
                return caller, "frame-pointer"
        if not had_rule and self._mode == "auto":
            caller = self._by_code(registers, interrupted)
            if caller is not None and self._plausible(caller, sp):
                return caller, "frame-pointer"
        caller = self._machine.frame_pointer_step(self._space, registers)
        if caller is not None and not self._plausible(caller, sp):
            caller = None
        following: Trust = "frame-pointer"
        if caller is not None and not had_rule and self._mode == "auto":
            caller, following = self._own(caller, registers, sp, interrupted)
        if self._mode == "auto":
            # Where there's no rule the runtime's own anchor is surer than a frame pointer that passes it by.
            anchored = self._resume(sp)
            if anchored is not None and (caller is None or (caller[self._sp] or 0) > (anchored[self._sp] or 0)):
                return anchored, self._generated
        if caller is not None:
            return caller, following
        if self._mode == "fp" or had_rule:
            return None, "scan"
        words = _SCAN_FAR if trust in ("context", "cfi") else _SCAN_NEAR
        caller = self._machine.scan(self._space, registers, self._is_scan_target, words)
        return caller, "scan"

    def _from_generated(self, registers: Registers, sp: int) -> Registers | None:
        """The caller of code that is in no module and sets up no frame pointer.

        The frame pointer is its caller's then: of the very function that the call before the return address there
        calls. Between the two pointers the only word that is a return address in that function is the one.
        """
        fp = registers[self._fp]
        if self.module(registers[self._pc] or 0) is not None or fp is None or not sp <= fp < sp + 8 * _SCAN_FAR:
            return None
        outer = self._machine.frame_pointer_step(self._space, registers)
        if outer is None or self.module(outer[self._pc] or 0) is None:
            return None
        site = self._machine.call_before(self._space, outer[self._pc] or 0)
        at = None if site is None else int(site.partition(":")[0], 16)
        decoded = None if at is None else self._machine.decode(self._space, at, {}, lambda address: True)
        bounds = None if decoded is None or decoded.target is None else self.function(decoded.target)
        words = self._space.words(sp, (fp - sp) // 8)
        if bounds is None or words is None:
            return None
        start, end = bounds[0], bounds[0] + bounds[1]
        found = [
            (index, word)
            for index, word in enumerate(words)
            if start <= word < end and self._machine.follows_call(self._space, word)
        ]
        if len(found) != 1:
            return None
        (index, word) = found[0]
        # What lies before the return address it may have saved, so that the registers are not its caller's.
        kept = set(range(len(registers))) - set(self._machine.not_preserved) if not index else {self._fp}
        caller = [value if number in kept else None for number, value in enumerate(registers)]
        caller[self._pc], caller[self._sp] = word, sp + 8 * index + 8
        return caller

    def _by_code(self, registers: Registers, interrupted: bool) -> Registers | None:
        """By what the function's own instructions did to the stack up to pc."""
        pc = registers[self._pc] or 0
        key = pc, interrupted
        if key not in self._states:
            bounds = self.function(pc if interrupted else pc - 1)
            step = None if bounds is None else self._machine.step_by_code(self._space, bounds, pc, interrupted)
            self._states[key] = step
        known = self._states[key]
        return None if known is None else known(registers)

    def _own(self, caller: Registers, registers: Registers, sp: int, interrupted: bool) -> tuple[Registers, Trust]:
        """The caller that rbp gives, or, where that is another function's frame, what a scan finds below it; both are
        guesses then. It is another's where the call before its return address went elsewhere; and where a walk begins
        in a module that keeps no frame in rbp, as libc, and what was called may lie in the caller's own. The word at sp
        goes before both where it leads to a third module: of a function without a frame it is the return address."""
        pc, returns_to = registers[self._pc] or 0, caller[self._pc] or 0
        nearest = self._at_sp(registers, caller) if interrupted else None
        if nearest is not None:
            return nearest, "scan"
        another = self._machine.calls_another(self._space, returns_to, pc)
        home = None if another or not interrupted else self.module(returns_to)
        is_target = self._is_scan_target
        if home is not None:
            here = self.module(pc)
            if here is None or here is home or self._machine.calls_here(self._space, returns_to) is False:
                return caller, "frame-pointer"

            def is_target(value: int) -> bool:
                return self._is_scan_target(value) and self.module(value) is home

        elif not another:
            return caller, "frame-pointer"
        words = min(((caller[self._sp] or 0) - 16 - sp) // 8, _SCAN_FAR)
        found = self._machine.scan(self._space, registers, is_target, words) if words > 0 else None
        if found is not None and found[self._fp] is None:
            found[self._fp] = registers[self._fp]
        return found or caller, "scan" if another or found is not None else "frame-pointer"

    def _at_sp(self, registers: Registers, outer: Registers) -> Registers | None:
        """The caller that the word at sp gives, where that is code of another module than pc and `outer` lie in."""
        here = self.module(registers[self._pc] or 0)
        found = None if here is None else self._machine.return_step(self._space, registers)
        target = 0 if found is None else found[self._pc] or 0
        if found is None or not self._is_scan_target(target):
            return None
        home = self.module(target)
        if home is None or home is here or home is self.module(outer[self._pc] or 0):
            return None
        if (found[self._sp] or 0) >= (outer[self._sp] or 0):
            return None
        return None if self._machine.follows_call(self._space, target) is False else found

    def _is_trampoline(self, pc: int) -> bool | None:
        """None: there is no code at pc to tell."""
        code = self._space.read(pc, len(self._machine.trampoline))
        return None if code is None else code == self._machine.trampoline

    def _is_blank(self, sp: int) -> bool:
        data = self._space.read_some(sp, _BLANK)
        return len(data) == _BLANK and not any(data)

    def _is_scan_target(self, value: int) -> bool:
        return value > 0xFFFF and value < self._machine.top and self._executable(value)

    def _plausible(self, caller: Registers, sp: int) -> bool:
        pc, caller_sp = caller[self._pc], caller[self._sp]
        return (
            pc is not None
            and caller_sp is not None
            and caller_sp > sp
            and caller_sp < self._machine.top
            and self._executable(pc - 1)
        )

    def _resume(self, sp: int) -> Registers | None:
        caller = self._foreign.resume(sp) if self._foreign is not None else None
        return None if caller is None or (caller[self._sp] or 0) <= sp else caller

    def _foreign_step(
        self, frames: list[RawFrame], registers: Registers, trust: Trust, interrupted: bool
    ) -> Registers | str:
        assert self._foreign is not None
        pc, sp = registers[self._pc] or 0, registers[self._sp] or 0
        step = self._foreign.step(registers, interrupted)
        frames.append(
            RawFrame(
                pc,
                sp,
                registers[self._fp],
                step.kind,
                trust,
                interrupted,
                step.virtual,
                step.stub,
                step.level,
                step.note,
                registers if len(frames) < LIMITS.java_frames_with_registers else None,
            )
        )
        frames.extend(step.inserted)
        if self._mode == "fp":
            caller = self._machine.frame_pointer_step(self._space, registers)
            return caller if caller is not None else "the frame pointer does not lead on"
        if step.caller is None:
            return step.why or "the frame's layout is not known"
        return step.caller


class _Place(NamedTuple):
    """What is known of a pc: whether it lies in code, its rule, that rule's plan, and whether it is where the
    kernel's signal frames return to."""

    executable: bool
    rule: cfi.Rule | None
    plan: _Plan | None
    trampoline: bool | None
    expressions: int
    """Bytes of the rule's expressions, which are evaluated for each frame."""


class _Plan(NamedTuple):
    """A rule of the common kind: CFA = register + offset, and all saved registers in `span` words at CFA + low.

    picks: (register, index of its word).
    """

    register: int
    offset: int
    low: int
    span: int
    picks: tuple[tuple[int, int], ...]


def _expression_bytes(rule: cfi.Rule) -> int:
    arguments = (rule.cfa_expression, *(argument for _, _, argument in rule.others))
    return sum(len(argument) for argument in arguments if isinstance(argument, bytes))


def _planned(rule: cfi.Rule, machine: Machine) -> _Plan | None:
    saved = [(register, offset) for register, offset in rule.saved if register < machine.count]
    if rule.cfa_expression is not None or rule.others or not saved:
        return None
    if rule.cfa_register >= machine.count or rule.return_register != machine.pc:
        return None
    low, high = min(offset for _, offset in saved), max(offset for _, offset in saved)
    if high - low > _LONGEST_PLAN or any((offset - low) & 7 for _, offset in saved):
        return None
    picks = tuple((register, (offset - low) >> 3) for register, offset in saved)
    return _Plan(rule.cfa_register, rule.cfa_offset, low, ((high - low) >> 3) + 1, picks)


def _follow(
    plan: _Plan, registers: Registers, words: Callable[[int, int], tuple[int, ...] | None], sp: int
) -> Registers | None:
    """As _apply, with one read; None when a value that is needed can't be had."""
    register, offset, low, span, picks = plan
    base = registers[register]
    if base is None:
        return None
    cfa = (base + offset) & _MASK
    found = words((cfa + low) & _MASK, span)
    if found is None:
        return None
    caller = registers.copy()
    caller[sp] = cfa
    for number, index in picks:
        caller[number] = found[index]
    return caller


def _apply(
    rule: cfi.Rule, registers: Registers, word: Callable[[int], int | None], machine: Machine
) -> Registers | None:
    """Execute a rule. None when a value that is needed can't be had."""
    if rule.cfa_expression is None:
        base = registers[rule.cfa_register] if rule.cfa_register < len(registers) else None
        if base is None:
            return None
        cfa = (base + rule.cfa_offset) & _MASK
    else:
        value = cfi.evaluate(rule.cfa_expression, registers, word, None)
        if value is None:
            return None
        cfa = value
    caller = list(registers)
    caller[machine.sp] = cfa
    for register, offset in rule.saved:
        if register < machine.count:
            caller[register] = word(cfa + offset)
    for register, kind, argument in rule.others:
        if register >= machine.count:
            continue
        if kind == cfi.VAL_OFFSET:
            caller[register] = (cfa + int(argument)) & _MASK
        elif kind == cfi.REGISTER:
            source = int(argument)
            caller[register] = registers[source] if source < len(registers) else None
        elif kind == cfi.UNDEFINED:
            caller[register] = None
        elif isinstance(argument, bytes):
            address = cfi.evaluate(argument, registers, word, cfa)
            if kind == cfi.EXPRESSION:
                caller[register] = None if address is None else word(address)
            else:
                caller[register] = address
    # The column of the return address is a register of its own on some machines (AArch64: x30).
    caller[machine.pc] = caller[rule.return_register] if rule.return_register < len(caller) else None
    return None if caller[machine.pc] is None else caller
