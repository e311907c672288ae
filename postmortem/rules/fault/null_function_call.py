"""Call through a null function pointer.

What it finds: execution at an address in the first page.
Why it matters: the crashing frame has no name; what counts is the caller and the pointer it called through.
Evidence it needs: pc below 4096 with SIGSEGV; the caller comes from the return address on the stack.
False alarms: a return to address 0 after the stack was overwritten looks the same; without a call
instruction before the return address the finding is likely only.
Rivals excluded: a return to 0 from an overwritten stack: a call instruction stands before the return address; a read
of address 0.
What to do: look for a callback never set, an unresolved weak symbol, an unchecked dlsym, a destroyed
object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit, tables
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.systems import system
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


_UNIX = "a dlsym result not checked, a weak symbol that nothing defines"
_UNCHECKED = {"windows": "a result of GetProcAddress that was not checked"}
RIVALS = (
    "A return to address 0 after the stack was overwritten.",
    "A jump through a damaged pointer that held 0.",
)
"""What stays open where the finding is not certain."""


_STARTERS = frozenset(
    (
        "__libc_start_call_main",
        "__libc_start_main",
        "libc_start_main_stage2",
        "start_thread",
        "start",
        "clone",
        "clone3",
    )
)
"""What of libc calls main and threads' functions: where it is the caller, the function that it called is missing."""
_NO_CALL = "The call instruction could not be read: a jump leaves none (a tail call)."


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the list of what proves it."""
    pc = report.crash.pc
    if pc is None or not 0 <= pc < views.FIRST_PAGE or not _is_fault(report):
        return
    if not views.raised_by_cpu(report) and not (views.is_log(report) and views.code(report) is None):
        return  # A log without siginfo still has the pc in its head.
    caller = views.caller_of(report, 0)
    jumper = _jumper(report)
    starter = "" if jumper else _starter(report, caller)
    site = None if starter or jumper else report.crash.call_site
    by = f" by {views.caller_text(report, 0)}" if caller else ""
    through = f" through {site}" if site else ""
    name = report.crash.operand_sources.get("callee")
    null = f": {name} is null" if name and pc == 0 else ""
    frames = views.crashing_frames(report)
    if jumper:
        by = f" by {plain(jumper)}() at its end (a tail call)"
    if len(frames) > 1 and frames[1].kind == "signal":
        by = " in a signal handler" + (f", which interrupted {culprit.label(caller[1])}" if caller else "")
    yield Finding(
        rule=RULE.id,
        title=f"Call of a null function pointer{by}{null or tables.remark(report)}",
        severity="critical",
        confidence="certain" if site else "likely",
        claim="cause",
        rivals=RIVALS,
        explanation=f"The processor was to execute at {pc:#x}, where no code can be. "
        + (
            f"The call{through} made it; its target was null."
            if site
            else _jumped(report, jumper) or starter or _NO_CALL
        )
        + (
            " A displacement in that operand is the slot of a table of functions or a vtable."
            if site and "[" in site and not tables.beyond(report)
            else ""
        )
        + tables.sentence(report),
        evidence=proof(
            report,
            ("crash.operand_sources.callee", "is the pointer that was called"),
            ("crash.table_call.table" if tables.beyond(report) else "", "the table that was indexed"),
            ("crash.table_call.offset" if tables.beyond(report) else "", "byte of the entry that was called"),
            ("crash.table_call.size" if tables.beyond(report) else "", "bytes of the table"),
            ("crash.pc", "where execution went"),
            ("crash.signal.name", "the kernel's answer"),
            ("crash.call_site" if site else "", "the call before the return address"),
            ("threads[0].frames[1].tail_call" if jumper else "", "was called and left by a jump"),
            (views.frame_path(report, caller[0]) if caller else "", "the caller"),
            (views.frame_path(report, caller[0], "pc") if caller else "", "the return address"),
        ),
        remedies=tables.remedies(report)
        or (
            (
                f"Check the pointer that {_who(by, jumper)} calls through: a callback"
                f" never registered, {_UNCHECKED.get(system(report).name or '', _UNIX)}, an object already destroyed."
            ),
            *(
                ("Get the whole log, or a core: the return address at the stack pointer tells the caller.",)
                if views.is_log(report)
                else ("Rebuild with -fsanitize=address,undefined to see whether the object was overwritten or freed.",)
            ),
        ),
    )


def _who(by: str, jumper: str) -> str:
    if jumper:
        return f"{plain(jumper)}()"
    return by.removeprefix(" by ") if by.startswith(" by ") else "the caller"


def _jumper(report: Report) -> str:
    """The function that was called, by the call before the return address, and left by a jump."""
    frames = views.crashing_frames(report)
    return (frames[1].tail_call or "") if len(frames) > 1 else ""


def _jumped(report: Report, jumper: str) -> str:
    if not jumper:
        return ""
    caller = msgspec.structs.replace(views.crashing_frames(report)[1], tail_call=None)
    return (
        f"The return address that is still on the stack is that of a call of {plain(jumper)}(), by"
        f" {culprit.label(caller)}: that function, or one that it called at its end in the same way, jumped there; it"
        " has no frame."
    )


def _starter(report: Report, caller: tuple[int, Frame] | None) -> str:
    """What is said of a call that the start of the process or of a thread seems to have made; "" for others."""
    frames = views.crashing_frames(report)
    name = frames[1].function if len(frames) > 1 else None
    if name not in _STARTERS or (caller is not None and caller[1].function not in _STARTERS):
        return ""
    return (
        f"The return address is in {name}() of libc, which calls main or a thread's function. That function, or one"
        " that it called, jumped there at its end (a tail call), which leaves no frame; a thread that was started with"
        " a null function, or a return to 0 after the stack was overwritten, would look alike."
    )


def _is_fault(report: Report) -> bool:
    """SIGSEGV, or what Windows calls it."""
    signal = report.crash.signal
    return signal is not None and (signal.number == views.SIGSEGV or signal.name == "EXCEPTION_ACCESS_VIOLATION")


RULE = Rule(id="null-function-call", group="fault", specificity=76, check=check, documentation=__doc__ or "")
