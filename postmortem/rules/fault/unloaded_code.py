"""Code that is no longer mapped.

What it finds: a thread executes in a gap between mappings that its own start routine or its return addresses lie in.
Why it matters: the code was there when the thread began to run it; it was unmapped under the thread, as dlclose() does.
Evidence it needs: pc in no mapping, and words of the thread's descriptor or stack that point into the same gap.
False alarms: generated code whose memory the program unmapped leaves the same traces; the words say so.
Rivals excluded: none for certain: that code was there shows, whether a library's or generated does not.
What to do: stop and join the threads of a library, and take back its handlers, before it is closed; or never unload it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


_GENERATED = "Generated code whose memory the program unmapped while it was in use."


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    pc = report.crash.pc
    if pc is None or not views.signal_is(report, views.SIGSEGV) or not views.pc_is_fault(report):
        return
    if views.code(report) != views.SEGV_MAPERR or views.mapping_at(report, pc) is not None or pc < views.NEAR_NULL:
        return
    frames = views.crashing_frames(report)
    handler = len(frames) > 1 and frames[1].kind == "signal"
    began = next((i for i, item in enumerate(report.crash.code_references) if item.place == "thread descriptor"), None)
    others = [i for i, item in enumerate(report.crash.code_references) if item.value != pc]
    if began is None and not others and not handler:
        return
    was_code = any(report.crash.code_references[i].place == "thread descriptor" for i in others) or len(others) > 1
    thread = views.crashing_thread(report)
    name = f" {thread[1].name}" if thread is not None and thread[1].name else ""
    below, above = views.neighbours(report, pc)
    gap = f" between {views.mapping_text(below[1])} and {views.mapping_text(above[1])}" if below and above else ""
    who = "A signal handler" if handler else f"Thread{name}"
    yield Finding(
        rule=RULE.id,
        title=f"{who} ran code that is no longer mapped: its library was unloaded (dlclose), or generated code freed",
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"{pc:#x} lies in a gap{gap}"
            + (", and so does the start routine of the thread" if began is not None else "")
            + (", and so do return addresses on its stack" if _on_stack(report) else "")
            + (". The kernel called it as the handler of a signal" if handler else "")
            + ". The code was mapped when it began to run and was unmapped under it: a library that was closed while"
            " one of its threads or handlers lived, or generated code that the program unmapped."
        ),
        rivals=(_GENERATED,)
        if was_code
        else (_GENERATED, "A pointer that was never valid, given to pthread_create or sigaction."),
        evidence=proof(
            report,
            ("crash.signal.code_name", "nothing is mapped at pc"),
            ("crash.pc", "where execution was"),
            (f"crash.code_references[{began}].value" if began is not None else "", "where the thread began"),
            *((f"crash.code_references[{i}].value", "also in that gap") for i in others[:2] if i != began),
            (views.frame_path(report, 1, "pc") if handler else "", "the return to the kernel from a signal handler"),
            (f"mappings[{below[0]}].end" if below else "", "end of the mapping below the gap"),
            (f"mappings[{above[0]}].start" if above else "", "start of the mapping above the gap"),
        ),
        remedies=(
            "Before dlclose(): stop and join every thread that the library started, and take back its signal handlers,"
            " timers and callbacks.",
            "Or keep it loaded: RTLD_NODELETE in dlopen(), or link the library with -Wl,-z,nodelete.",
            "To see which library it was: run with LD_DEBUG=files, or break on dlclose.",
        ),
    )


def _on_stack(report: Report) -> bool:
    return any(item.place == "stack" and item.value != report.crash.pc for item in report.crash.code_references)


RULE = Rule(id="unloaded-code", group="fault", specificity=78, check=check, documentation=__doc__ or "")
