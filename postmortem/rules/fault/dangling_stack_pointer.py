"""Use of a local variable of a function that has returned.

What it finds: a bad pointer that was read from the dead part of a stack: below the frames that are in use.
Why it matters: the pointer's value is whatever later calls left there; the mistake is the reference that outlived the
function whose variable it is of: a lambda that captured by reference, a returned address, a stored pointer to a local.
Evidence it needs: the load that gave the bad pointer, or an argument of the function that faulted, and the stack of the
thread that its address lies in.
False alarms: the pointer that led there may itself have been overwritten; so it is likely only.
What to do: capture or pass by value, or keep the object on the heap with an owner (std::shared_ptr).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import lifetime
from postmortem.model.queries.paths import proof
from postmortem.model.queries.variables import operand_evidence
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    found = lifetime.held(report, "dead stack")
    if found is None or not views.raised_by_cpu(report):
        return
    where, holder = found
    crashing = views.crashing_thread(report)
    own = crashing is not None and crashing[1].tid == holder.tid
    whose = "this thread's own stack" if own else f"the stack of thread {holder.tid}"
    how = (
        f"The bad pointer was read from {holder.address:#x}"
        if holder.argument is None
        else f"The argument {holder.name} leads to {holder.address:#x}"
    )
    yield Finding(
        rule=RULE.id,
        title=f"Use of a local variable of a function that had returned{views.at_fault(report)}: it lay in {whose}",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=("The pointer that led there was overwritten, and leads into that stack by chance.",),
        explanation=(
            f"{how}, in {whose}, {holder.below} bytes below the frames of the functions that run there: only functions"
            " that have returned, and libc's own, had anything there. What is read there is left from other calls, so"
            f" the value of the pointer that faulted says nothing. {views.an_access(report).capitalize()} through it"
            " faulted."
        ),
        evidence=proof(
            report,
            (f"{where}.address", "where the pointer was read from" if holder.argument is None else "where it leads"),
            (holder.argument or "", f"the argument {holder.name}"),
            (f"{where}.tid", "the thread in whose stack that is"),
            (f"{where}.below", "bytes below the frames in use"),
            *operand_evidence(report),
            ("crash.instruction", "the faulting instruction"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            "Find who stored the address of a local variable for later: a lambda or callback that captures by"
            " reference ([&]), a task given to another thread, a function that returns the address of its own"
            " variable.",
            "Capture by value, or give the object an owner that lives as long as its users (std::shared_ptr).",
            "Rebuild with -fsanitize=address and ASAN_OPTIONS=detect_stack_use_after_return=1: it names the variable.",
        ),
    )


RULE = Rule(id="dangling-stack-pointer", group="fault", specificity=74, check=check, documentation=__doc__ or "")
"""Above what the pointer's bits look like."""
