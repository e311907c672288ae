"""Crash in code that a JIT compiled.

What it finds: a fault with the pc in a compiled Java method, or in a stub routine that one called.
Why it matters: Java code can't fault by itself: either the object graph is damaged, or the compiler made a mistake.
Evidence it needs: a compiled Java frame as the first one, and a signal raised by the CPU.
False alarms: Unsafe compiled inline faults in the same way; its own rule then names it.
Rivals excluded: a stack overflow, which also faults there; a signal that another library's handler took; a signal
that somebody sent.
What to do: exclude the method or lower the tier to see whether the crash goes with the compiler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _references as references
from postmortem.rules.jvm import _stack as jvm_stack
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.jvm import jvm_arithmetic_fault, jvm_illegal_instruction
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_REGISTERS_ONLY = frozenset({"nop", "mov", "movzx", "movsx", "lea", "xor", "add", "sub", "inc", "dec", "cmp", "test"})
"""Instructions that read and write nothing but registers where they have no operand in memory."""
_FAR_FROM_STACK = 1 << 30
MOST_NAMED = 5
"""Methods of an inlined chain that the explanation names."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    if (
        not jvm_views.own_fault(report)
        or jvm_stack.in_stack_guard(report)
        or jvm_views.foreign_handler(report) is not None
        or jvm_views.unhandled_null_check(report)
        or jvm_views.fault_name(report) in jvm_illegal_instruction.ILLEGAL
        or jvm_arithmetic_fault.arithmetic(report)
    ):
        return
    found = _compiled(report)
    if found is None:
        return
    start, stub = found
    chain = jvm_frames.activation(report, start)
    if not chain:
        return
    (innermost, inner), (index, root) = chain[0], chain[-1]
    level = jvm_frames.level_name(root.compile_level).split(",")[0]
    method = culprit.label(root)
    in_stub = f" in the stub {stub.function}, called" if stub is not None and stub.function else ""
    inlined = f", in {inner.function}() that is inlined there" if len(chain) > 1 and inner.function else ""
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    pattern = jvm_views.overwritten_reference(report)
    seen = f", a reference overwritten with {pattern}" if pattern else _odd(report)
    wrote = f" The reference was made of {pattern}: that was written over it." if pattern else ""
    damaged = references.damaged(report) if stub is None else None
    command = jvm_frames.compile_command(root.function) if root.function else "pkg.Class::method"
    yield Finding(
        rule=RULE.id,
        title=(
            f"{jvm_views.fault_name(report)} in {_what(root, level)} {method}{in_stub}{inlined}"
            f"{seen if damaged is None else references.ending(damaged)}"
        ),
        severity="critical",
        confidence="certain",
        claim="observation",
        explanation=(
            f"{jvm_views.fault_name(report)}{at} was raised{in_stub} in {_made(root, level)}"
            f" {jvm_frames.java_place(root)}.{_chain(chain)}{_notes(root)}"
            f"{_reading(report, address)}{wrote}{_astray(report)}"
            f"{_why(report, root) if damaged is None else damaged.sentence}"
        ),
        rivals=_rivals(report, root),
        evidence=proof(
            report,
            ("crash.signal.code_name", "raised by the CPU"),
            ("crash.pc", "in the code cache"),
            (views.fault_address_path(report), "the address that was touched"),
            ("crash.instruction", "the faulting instruction"),
            (views.frame_path(report, index), "the compiled method"),
            (views.frame_path(report, index, "compile_level"), "its compile level"),
            (views.frame_path(report, index, "note"), "the nmethod"),
            (views.frame_path(report, innermost) if len(chain) > 1 else "", "the innermost inlined method"),
            (views.frame_path(report, innermost, "bci"), "its bytecode index"),
            (damaged.path if damaged is not None else "", "the overwritten header"),
        ),
        remedies=_of_wrapper(report, root)
        if jvm_frames.is_wrapper(root)
        else (
            *((damaged.remedy,) if damaged is not None else ()),
            f"Probe the compiler: run with -XX:CompileCommand=exclude,{command}. If the crash goes away, it is a"
            " compiler's defect; if it moves elsewhere, memory is damaged.",
            *_tiers(root.compile_level),
            "Look for damage: run with -Xcheck:jni, and with -XX:+UnlockDiagnosticVMOptions -XX:+VerifyBeforeGC"
            " -XX:+VerifyAfterGC, which names the collection at which the heap was first found damaged.",
            "Update to the newest release of this JDK version before a bug is reported; if it happens on one machine"
            " only, test its memory.",
        ),
    )


def _of_wrapper(report: Report, root: Frame) -> tuple[str, ...]:
    name = f"{root.function}()" if root.function else "the native method"
    return (
        f"Read the native code of {name}: what it returns on every way out, and what it writes to its arguments.",
        *(() if jvm_views.checks_jni(report) else ("Run with -Xcheck:jni: it checks what a native method returns.",)),
        "Update the library that implements it; run once without it, if that can be.",
    )


def _what(root: Frame, level: str) -> str:
    return "the JVM's wrapper around native method" if jvm_frames.is_wrapper(root) else f"{level}-compiled code of"


def _made(root: Frame, level: str) -> str:
    if jvm_frames.is_wrapper(root):
        return "the code that the JVM generated around the native method"
    return f"the machine code that {level} made of"


def _astray(report: Report) -> str:
    """A sentence on a stack pointer that is in no stack: the code can't have run so far with it."""
    found = views.crashing_thread(report)
    sp = jvm_stack.stack_pointer(found[1]) if found is not None else None
    stack = found[1].stack if found is not None else None
    if sp is None or stack is None or abs(sp - stack.start) < _FAR_FROM_STACK:
        return ""
    return (
        f" The stack pointer, {sp:#x}, is nowhere near the thread's stack ({stack.start:#x} to {stack.end:#x}): a"
        " register that Java code never loads so was wrong before this instruction, by a context that was restored"
        " wrongly (a signal handler, the kernel, a hypervisor), or by native code that spoiled it."
    )


def _odd(report: Report) -> str:
    return ": an instruction that touches no memory" if touches_no_memory(report) else ""


def touches_no_memory(report: Report) -> bool:
    """The instruction at pc was decoded and has no operand in memory, so it can't have raised a memory fault."""
    crash = report.crash
    if crash.mnemonic is None or crash.operands or not jvm_views.memory_fault(report) or views.pc_is_fault(report):
        return False
    return crash.mnemonic in _REGISTERS_ONLY and "[" not in (crash.instruction or "[")


def _why(report: Report, root: Frame) -> str:
    if jvm_frames.is_wrapper(root):
        return (
            " No frame of the native method is above it: the fault came before its call or after its return. After the"
            " return the wrapper uses what the method gave back and registers that it must keep: a native method that"
            " returns a reference which is none, or spoils a register, fails here."
        )
    if touches_no_memory(report):
        return (
            " The instruction shown touches no memory, so it can't have faulted by itself: the CPU, a hypervisor or a"
            " debugger reported another place, or the code was changed since."
        )
    return (
        " Compiled Java code faults only if an object it uses was damaged before (by Unsafe, JNI or hardware), if raw"
        " memory access (Unsafe, a direct buffer, a memory segment) was compiled into it, or if the compiler made wrong"
        " code."
    )


def _rivals(report: Report, root: Frame) -> tuple[str, ...]:
    if jvm_frames.is_wrapper(root):
        return (
            "A bad reference that the native method returned, or a register that it spoiled.",
            "A damaged argument, thread or stack before the call.",
        )
    if touches_no_memory(report):
        return ("A defect of the CPU or the hypervisor.", "Code that something rewrote while it ran.")
    return (
        "An object that Unsafe, JNI code or hardware damaged before.",
        "Raw memory access (Unsafe, a direct buffer) compiled inline, with an address that was wrong.",
        "Wrong code that the compiler made.",
    )


def _compiled(report: Report) -> tuple[int, Frame | None] | None:
    """Index of the innermost method of the faulting compiled activation, and the stub that it had called."""
    where = jvm_frames.site(report)
    if where.java is None or where.java[1].kind != "java-compiled":
        return None
    index, frame = where.java
    if not where.native:
        return None if jvm_frames.is_wrapper(frame) and views.pc_is_fault(report) else (index, None)
    above = [item for _, item in where.native]
    if len(above) == 1 and above[0].kind == "stub" and not jvm_frames.is_wrapper(frame):
        return index, above[0]
    return None


def _chain(chain: tuple[tuple[int, Frame], ...]) -> str:
    if len(chain) < 2:
        return ""
    names = [jvm_frames.java_place(frame) for _, frame in chain[:MOST_NAMED]]
    more = " ← …" if len(chain) > MOST_NAMED else ""
    return f" Inlined there, innermost first: {' ← '.join(names)}{more}."


def _notes(root: Frame) -> str:
    tier = f"level {root.compile_level} ({jvm_frames.level_name(root.compile_level)})" if root.compile_level else ""
    text = ", ".join(part for part in (tier, root.note) if part)
    return f" About this code: {text}." if text else ""


def _reading(report: Report, address: int | None) -> str:
    """What the address says, in a sentence."""
    operand = views.faulting_operand(report)
    base = operand[1].base if operand and operand[1].base_value is not None else None
    held = f" {base}, taken for an address, held {operand[1].base_value:#x}." if operand and base else ""
    if address is None:
        wild = operand is not None and not operand[1].canonical
        if wild or (views.code(report) == views.SI_KERNEL and operand is not None):
            return f"{held} The address is not a canonical one, so what was taken for a pointer is none."
        return held
    if address < views.FIRST_PAGE:
        return (
            f"{held} The JVM takes faults in the first page as null checks, but only at instructions that it has on"
            " record; this is none of them."
        )
    heap = report.jvm.heap if report.jvm is not None else None
    bounds = [(space.start, space.end) for space in heap.spaces if space.start and space.end] if heap else []
    if bounds and not any(start <= address < end for start, end in bounds):
        return f"{held} The address is outside of the Java heap, so it can't be that of an object."
    return held


def _tiers(level: int | None) -> tuple[str, ...]:
    if level == 4:
        return ("Run with -XX:TieredStopAtLevel=1 (C1 only, slower): it takes C2 out of the picture at once.",)
    if level in (1, 2, 3):
        return ("Run with -XX:-TieredCompilation (C2 only), then with -Xint: it takes C1 out of the picture.",)
    return ("Run with -XX:TieredStopAtLevel=1, then with -Xint: it takes C2, then both compilers, out of the picture.",)


RULE = Rule(id="jvm-crash-in-compiled-code", group="jvm", specificity=82, check=check, documentation=__doc__ or "")
