"""Small reports for the tests of rules."""

from __future__ import annotations

from typing import Any

from postmortem.model import (
    Address,
    Core,
    Crash,
    Finding,
    Frame,
    Mapping,
    Operand,
    Report,
    Signal,
    Thread,
    Tool,
)
from postmortem.model.process import Process
from postmortem.model.report import NativeFacts
from postmortem.model.thread import Wait
from postmortem.rules.engine import run

PID = 100
CODE, HEAP, STACK = 0x401000, 0x555555559000, 0x7FFFFFFDE000
NAMES = {
    4: "SIGILL",
    5: "SIGTRAP",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    11: "SIGSEGV",
    24: "SIGXCPU",
    25: "SIGXFSZ",
    31: "SIGSYS",
    3: "SIGQUIT",
}
MAPPINGS = (
    Mapping(start=Address(0x400000), end=Address(0x401000), permissions="r--p", path="/opt/shop", dumped=4096),
    Mapping(start=Address(CODE), end=Address(0x410000), permissions="r-xp", path="/opt/shop"),
    Mapping(start=Address(HEAP), end=Address(HEAP + 0x21000), permissions="rw-p", kind="heap", dumped=0x21000),
    Mapping(
        start=Address(STACK),
        end=Address(STACK + 0x21000),
        permissions="rw-p",
        kind="stack",
        path="[stack]",
        dumped=0x21000,
    ),
)


def frame(function: str | None = "total", **rest: Any) -> Frame:
    """A frame of the program; keywords as of Frame."""
    values: dict[str, Any] = {"pc": Address(CODE + 0x10), "sp": Address(STACK + 0x100), "module": "/opt/shop"}
    return Frame(function=function, **(values | rest))


def thread(*functions: str | Frame, tid: int = PID, **rest: Any) -> Thread:
    """A thread whose frames are named, innermost first."""
    frames = tuple(item if isinstance(item, Frame) else frame(item) for item in functions)
    return Thread(tid=tid, crashed=tid == PID, frames=frames, **rest)


def joining(tid: int, other: int) -> Thread:
    """A thread that waits for the end of another."""
    wait = Wait(syscall="futex", kind="join", address=Address(0x9000 + other), owner=other, owner_in_core=True)
    return thread("__pthread_clockjoin_ex", f"worker_{tid}", tid=tid, wait=wait)


def wanting(tid: int, readers: int | None, writing: bool = True) -> Thread:
    """A thread that waits for the read-write lock at 0x5000, which so many readers hold."""
    wait = Wait(syscall="futex", kind="rwlock", address=Address(0x5000), readers=readers, writing=writing, shared=False)
    return thread("futex_wait", "pthread_rwlock_wrlock", f"worker_{tid}", tid=tid, wait=wait)


def waiting(
    tid: int, address: int, owner: int, kind: str = "mutex", in_core: bool = True, shared: bool | None = None
) -> Thread:
    """A thread that waits for a lock."""
    wait = Wait(syscall="futex", kind=kind, address=Address(address), owner=owner, owner_in_core=in_core, shared=shared)
    return thread("__lll_lock_wait", "pthread_mutex_lock", f"worker_{tid}", tid=tid, wait=wait)


def signal(number: int, code: int | None = 1, **rest: Any) -> Signal:
    """A signal; fault_address as an int."""
    if "fault_address" in rest:
        rest["fault_address"] = Address(rest["fault_address"])
    return Signal(number=number, name=NAMES.get(number, str(number)), code=code, code_name=f"code {code}", **rest)


def operand(address: int, **rest: Any) -> Operand:
    """A read of eight bytes; base_value and index_value as ints."""
    for name in ("base_value", "index_value"):
        if name in rest:
            rest[name] = Address(rest[name])
    values: dict[str, Any] = {"text": "[rax]", "size": 8, "access": "read"}
    return Operand(address=Address(address), **(values | rest))


def crashed(number: int = 11, code: int | None = 1, address: int | None = None, **rest: Any) -> Report:
    """A report of a fault in total(). Keywords: those of Crash, and threads, mappings, modules, native, …"""
    of_report = {name: rest.pop(name) for name in list(rest) if name in Report.__struct_fields__}
    if address is not None:
        rest["fault_address"] = Address(address)
    rest.setdefault("pc", Address(CODE + 0x10))
    rest.setdefault("signal", signal(number, code, sender_pid=rest.pop("sender", None)))
    values: dict[str, Any] = {
        "threads": (thread("total", "main"),),
        "mappings": MAPPINGS,
        "process": Process(pid=PID, ppid=1),
    }
    return report(crash=Crash(tid=PID, **rest), **(values | of_report))


def aborted(*functions: str, native: NativeFacts | None = None, **rest: Any) -> Report:
    """A report of abort(), called by `functions`, innermost first."""
    frames = ("raise", "abort", *functions)
    return crashed(6, -6, sender=PID, threads=(thread(*frames),), native=native or NativeFacts(), **rest)


def report(**rest: Any) -> Report:
    """A report with nothing but what is given."""
    values: dict[str, Any] = {"core": Core(path="core", size=1, format="elf-core")}
    return Report(tool=Tool(name="postmortem", version="0"), **(values | rest))


def findings(report: Report, rule: str) -> tuple[Finding, ...]:
    """The findings of one rule after all have run, strictly."""
    return tuple(f for f in run(report, strict=True).findings if f.rule == rule)


def verdict(report: Report) -> str | None:
    """The verdict's rule."""
    found = run(report, strict=True).verdict
    return found.rule if found else None
