"""Crash of a JIT compiler.

What it finds: a fault or a failed check on a C1, C2 or JVMCI compiler thread.
Why it matters: the compiler has a defect that this one method shows; leaving the method out is a way round it today.
Evidence it needs: the crashing thread is a compiler thread; the compilation in progress names the method.
False alarms: damaged memory can break a compiler thread, too; then the method changes from crash to crash.
Rivals excluded: a fault of a library on the compiler's thread; a stack overflow of that thread.
What to do: exclude the method, keep the replay file, update the JDK, report with both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Compilation, Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import (
    _frames as jvm_frames,
)
from postmortem.rules.jvm import (
    _stack as jvm_stack,
)
from postmortem.rules.jvm import (
    _state as jvm_views,
)
from postmortem.rules.jvm import (
    _threads as jvm_threads,
)
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    check_failed = jvm_views.internal_error(report)
    if not (jvm_views.own_fault(report) or check_failed is not None) or jvm_threads.role(report) != "compiler":
        return
    astray = jvm_threads.in_launcher(report)
    if jvm_stack.in_stack_guard(report) or (jvm_frames.library_frame(report) is not None and not astray):
        return
    found = _task(report)
    task = found[1] if found else None
    compiler = _compiler(report, task)
    method = task.method if task is not None and task.method else None
    of = f" as it compiled {method}" if method else ""
    inside = next((item for item in jvm_frames.vm_frames(report) if item[1].function is not None), None)
    place = f" in {culprit.label(inside[1])}" if inside else ""
    what = jvm_views.fault_name(report) if check_failed is None else "A failed check"
    said = jvm_views.error_words(check_failed) if check_failed is not None else ""
    detail = f" It said: {said}." if said else ""
    level = f" at level {task.level} ({jvm_frames.level_name(task.level)})" if task is not None and task.level else ""
    osr = f", entered at bci {task.osr_bci} (OSR)" if task is not None and (task.osr_bci or -1) >= 0 else ""
    command = _command(method)
    limited = check_failed is not None and check_failed.id == jvm_views.ARENA_LIMIT
    yield Finding(
        rule=RULE.id,
        title=f"The {compiler} compiler {'took more memory than MemLimit allows' if limited else 'crashed'}{of}"
        + ("" if limited else place),
        severity="critical",
        confidence="certain" if _named(report) else "likely",
        claim="observation",
        explanation=(
            f"{what}{place} on {jvm_threads.thread_words(report)}{of}{level}{osr}.{detail} The compiler runs in"
            " the background, on the method's bytecode, whatever the program does: mostly it has a defect that this"
            " method"
            " shows, and it will meet the same method again." + (_ASTRAY if astray else "")
        ),
        rivals=(
            "Memory that something else had damaged: then the method changes from crash to crash.",
            *(("A function of the JVM's that the loader bound to one of the program's, of the same name.",) * astray),
            *(
                ()
                if _named(report)
                else ("Other work of the JVM that uses this code: the log does not name the thread.",)
            ),
        ),
        evidence=proof(
            report,
            (jvm_threads.thread_path(report, "java.name"), "the crashing thread"),
            (jvm_threads.thread_path(report, "java.kind"), "its kind"),
            (f"jvm.compilations[{found[0]}].method" if found else "", "the method being compiled"),
            (f"jvm.compilations[{found[0]}].level" if found else "", "the level"),
            (f"jvm.compilations[{found[0]}].compile_id" if found else "", "the compilation's number"),
            (views.frame_path(report, inside[0]) if inside else "", "where the compiler was"),
            (views.fault_address_path(report), "the address that was touched"),
            ("jvm.error.message", "what the check said"),
        ),
        remedies=(
            *(
                (
                    "Raise the limit (-XX:CompileCommand=MemLimit,pkg.Class::method,SIZE), or let it end the"
                    " compilation only: SIZE~stop.",
                )
                if limited
                else ()
            ),
            (
                f"Way round, today: -XX:CompileCommand=exclude,{command} leaves this method to the interpreter."
                if method
                else 'Find the method in the log\'s "Current CompileTask" and leave it out with'
                " -XX:CompileCommand=exclude,pkg.Class::method."
            ),
            _other_tier(compiler),
            "Keep replay_pid*.log from the working directory: java -XX:+UnlockDiagnosticVMOptions -XX:+ReplayCompiles"
            " -XX:ReplayDataFile=FILE repeats the compilation alone, with the same class path.",
            "Update to the newest release of this JDK version; if it stays, report it with the log, the replay file and"
            " the class.",
        ),
    )


_ASTRAY = (
    " The innermost frame lies in the program that started the JVM, which the JVM's own code never calls: control went"
    " astray there, and the function named is only the nearest symbol."
)


def _named(report: Report) -> bool:
    """The thread is known to be the compiler's by its name, its kind or the loop that it runs."""
    found = views.crashing_thread(report)
    thread = found[1] if found is not None else None
    loop = views.first_named(report, lambda name: name == "CompileBroker::compiler_thread_loop")
    return loop is not None or (thread is not None and (thread.java is not None or thread.name is not None))


def _task(report: Report) -> tuple[int, Compilation] | None:
    """The compilation that the crashing thread was at."""
    found = views.crashing_thread(report)
    if report.jvm is None or found is None:
        return None
    thread = found[1]
    name = jvm_threads.thread_name(thread)
    for index, task in enumerate(report.jvm.compilations):
        if (task.tid is not None and task.tid == thread.tid) or (name is not None and task.thread == name):
            return index, task
    alone = report.jvm.compilations
    return (0, alone[0]) if len(alone) == 1 and alone[0].tid is None and alone[0].thread is None else None


def _compiler(report: Report, task: Compilation | None) -> str:
    found = views.crashing_thread(report)
    name = (jvm_threads.thread_name(found[1]) if found else None) or ""
    for known in ("C1", "C2", "JVMCI", "Graal"):
        if name.startswith(known):
            return known
    if task is not None and task.level:
        return jvm_frames.level_name(task.level).split(",")[0]
    return jvm_threads.compiler_code(report) or "JIT"


def _command(method: str | None) -> str:
    if method is None:
        return "pkg.Class::method"
    name = method.split("(", 1)[0].strip()
    return name if "::" in name else jvm_frames.compile_command(name)


def _other_tier(compiler: str) -> str:
    if compiler == "C1":
        return "If several methods are concerned: -XX:-TieredCompilation leaves C1 out altogether."
    return "If several methods are concerned: -XX:TieredStopAtLevel=1 leaves C2 out altogether, at a cost in speed."


RULE = Rule(id="jvm-crash-in-compiler", group="jvm", specificity=85, check=check, documentation=__doc__ or "")
