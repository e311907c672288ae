"""As cases.py, for rules about objects that were not alive, and about threads that all wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from postmortem.model import Address
from postmortem.model.process import BrokenFrame, PointerHolder
from postmortem.model.report import RuntimeState
from tests.postmortem.rules.cases import NULL_READ, Cases
from tests.postmortem.rules.reports import CODE, HEAP, PID, STACK, crashed, frame, joining, operand, report, thread

if TYPE_CHECKING:
    from postmortem.model import Report, Thread


def _null(*holders: PointerHolder, **rest: Any) -> Report:
    inner = operand(0x40, base="rax", base_value=0, displacement=0x40)
    return crashed(address=0x40, operands=(inner,), access="read", holders=holders, **rest)


def _static(**rest: Any) -> PointerHolder:
    values: dict[str, Any] = {"symbol": "table", "offset": 16, "size": 48, "module": "/opt/shop", "unset": True}
    return PointerHolder(address=Address(CODE + 0x3000), place="static", **(values | rest))


_DEAD = PointerHolder(address=Address(STACK + 0x20), place="dead stack", tid=PID + 1, below=64)
_ARGUMENT = "threads[0].frames[{}].arguments[0].text"
_INITIALISING = (thread("find", "register_command", "_GLOBAL__sub_I__Z3runv", "call_init", "_dl_init"),)
_LEAVING = (
    thread("sample", "run"),
    thread("nanosleep", "Metrics::~Metrics()", "__run_exit_handlers", "exit", tid=PID + 1),
)


def _broken(**rest: Any) -> BrokenFrame:
    values: dict[str, Any] = {
        "slot": Address(STACK + 8),
        "value": Address(0),
        "function": "begin",
        "jump_buffer": Address(HEAP),
        "set_at": Address(CODE),
    }
    return BrokenFrame(**(values | rest))


def _waits(tid: int, kind: str, **rest: Any) -> Thread:
    base = joining(tid, tid + 1)
    assert base.wait is not None
    values: dict[str, Any] = {
        "kind": kind, "owner": None, "owner_in_core": None, "settled": True, "address": Address(HEAP + 16 * tid),
    }  # fmt: skip
    return msgspec.structs.replace(base, wait=msgspec.structs.replace(base.wait, **(values | rest)))


def _hung(*threads: Thread, **rest: Any) -> Report:
    return msgspec.structs.replace(crashed(3, 0, sender=1, threads=threads), **rest)


_CUT = msgspec.structs.replace(report().core, truncated=True)

LIFETIME_CASES: dict[str, Cases] = {
    "dangling-stack-pointer": Cases(
        (_null(_DEAD), _null(msgspec.structs.replace(_DEAD, argument=_ARGUMENT.format(0), name="order"))),
        (
            # An argument of a caller need not have to do with the fault.
            _null(
                msgspec.structs.replace(_DEAD, argument=_ARGUMENT.format(1), name="order"),
                threads=(thread("total", frame("checkout", pc=Address(CODE + 0x90))),),
            ),
            _null(_static()),
            NULL_READ,
        ),
        (crashed(), report()),
    ),
    "static-object-lifetime": Cases(
        (
            _null(_static(), threads=_INITIALISING),
            _null(_static(unset=False), threads=_LEAVING),
            _null(_static(size=8, destroyed=True), threads=(thread("sample"), thread("fclose", "exit", tid=PID + 1))),
            _null(_static(), threads=(thread("remove", "Service::~Service()", "__run_exit_handlers", "exit"),)),
        ),
        (
            _null(_static()),
            _null(_static(unset=False), threads=_INITIALISING),
            _null(_static(size=8), threads=_INITIALISING),
            _null(_static(), threads=(thread("sample"), thread("fclose", "exit", tid=PID + 1))),
            _null(_static(destroyed=False), threads=_LEAVING),
            _null(_static(destroyed=False), threads=_INITIALISING),
            _null(_DEAD, threads=_LEAVING),
        ),
        (_null(threads=_LEAVING), crashed(), report()),
    ),
    "ended-frame": Cases(
        (_null(broken_frame=_broken()), _null(broken_frame=_broken(value=Address(0x4141414141414141)))),
        (_null(broken_frame=_broken(jump_buffer=None, value=Address(0x4141414141414141))), NULL_READ),
        (crashed(), report()),
    ),
    "all-threads-wait": Cases(
        (
            _hung(_waits(1, "condvar"), _waits(2, "join", owner=1, owner_in_core=True)),
            _hung(_waits(1, "future"), _waits(2, "future"), _waits(3, "condvar")),
            _hung(_waits(1, "mutex", held=True), _waits(2, "rwlock", held=True)),
            _hung(_waits(1, "mutex", owner=2, owner_in_core=True), _waits(2, "condvar")),
            _hung(_waits(1, "semaphore")),
        ),
        (
            _hung(_waits(1, "condvar"), thread("render", tid=2)),
            _hung(_waits(1, "condvar"), _waits(2, "syscall")),
            _hung(_waits(1, "condvar", timed=True), _waits(2, "future")),
            _hung(_waits(1, "condvar", settled=False), _waits(2, "future")),
            _hung(_waits(1, "condvar", shared=True)),
            _hung(_waits(1, "mutex", held=False), _waits(2, "condvar")),
            _hung(_waits(1, "mutex", owner=9, owner_in_core=False)),
            _hung(_waits(1, "mutex", owner=2, owner_in_core=True), _waits(2, "mutex", owner=1, owner_in_core=True)),
            _hung(_waits(1, "condvar"), core=_CUT),
            _hung(_waits(1, "futex"), runtimes=(RuntimeState(name="Go"),)),
        ),
        (_hung(_waits(1, "condvar", settled=None)), report()),
    ),
}
