"""Return to an overwritten address.

What it finds: a function returned to where no code is: the address was taken from the stack.
Why it matters: the function that returned is gone from the stack; who wrote over its frame is near, most often itself.
Evidence it needs: pc in no executable memory and just below the stack pointer still, and no call there that led to it.
False alarms: code that switches stacks or pushes an address to "return" to it; where these stay open it is likely only.
Rivals excluded: a call through a bad pointer: the word at the stack pointer is no return address of such a call; a
switch to a stack that was freed: the stack pointer lies in the thread's own.
What to do: look at the local arrays of the functions that were called last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit, fills, pointers
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


_SWITCHED = "A switch to a stack (a coroutine's) that was freed or never set up."
_PUSHED = "An address that the code pushed to jump to it."


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    pc = report.crash.pc
    if pc is None or not report.crash.returned or not views.raised_by_cpu(report):
        return
    if not views.signal_is(report, views.SIGSEGV, views.SIGBUS):
        return
    pattern = pointers.poison(pc) or pointers.as_text(pc)
    spread = _spread(report)
    own = views.on_own_stack(report)
    proven = own and (pattern or spread)
    if _left_by_jump(report) or (pc < views.FIRST_PAGE and not spread):
        return  # A return address that is still there was not taken; unused stack is full of zeros.
    caller = _next(report)
    yield Finding(
        rule=RULE.id,
        title=f"Return to {pc:#x}, where no code is: a return address was overwritten",
        severity="critical",
        confidence="certain" if proven else "likely",
        claim="cause",
        explanation=(
            f"{pc:#x} lies just below the stack pointer, where a return takes its address, and no call led there."
            f" {fills.describe(report, pc) or ''} "
            + ("The words behind it hold the same: the frame was written over. " if spread else "")
            + "Something wrote over the frame of the function that returned: most often a local array was filled beyond"
            " its end by that function or by one that it passed the array to."
        ).replace("  ", " "),
        rivals=() if proven else (_PUSHED,) if own else (_SWITCHED, _PUSHED),
        evidence=proof(
            report,
            ("crash.pc", "where execution went"),
            ("crash.returned", "the word just below the stack pointer is pc"),
            ("crash.return_neighbours" if spread else "", "the words behind it"),
            ("crash.signal.code_name", "the kernel's answer"),
            (views.frame_path(report, caller[0]) if caller else "", "the next function that is known, by a scan"),
        ),
        remedies=(
            "Rebuild with -fstack-protector-strong or -fsanitize=address and run the same input: either names it.",
            "Look at local arrays in the functions called last, and at the length of the input they were filled from.",
        ),
    )


def _left_by_jump(report: Report) -> bool:
    """The word at the stack pointer is the return address of a direct call, whose function ended in a jump."""
    frames = views.crashing_frames(report)
    return len(frames) > 1 and frames[1].tail_call is not None


def _next(report: Report) -> tuple[int, Frame] | None:
    """The next function of the program on the stack, found by a scan as a rule: a lead, no more."""
    frames = enumerate(views.crashing_frames(report))
    return next(((index, frame) for index, frame in frames if index and not culprit.machinery(frame)), None)


def _spread(report: Report) -> bool:
    """The words behind the return address hold it as well, or text: no frame has that by chance."""
    pc = report.crash.pc
    return any(
        # An address of the process is none, though it may read as text: 0x555555555068 is "hPUUUU".
        word != 0 and (word == pc or (pointers.as_text(word) and views.mapping_at(report, word) is None))
        for word in report.crash.return_neighbours
    )


RULE = Rule(id="return-address-overwritten", group="fault", specificity=77, check=check, documentation=__doc__ or "")
