"""Native method that came back wrong.

What it finds: a fault in the VM's code around a native method after that has returned: registers that it had to
preserve are changed, or the reference that it returned is none.
Why it matters: the frame is a Java method's and the code the VM's, but the library that implements it is at fault.
Evidence it needs: the native method's wrapper or the interpreter's entry for native methods as the place of the fault,
and the register that the instruction uses: the thread's own (r15), the frame pointer, or the returned value.
False alarms: changed registers are certain: the wrapper used them before the call. A bad reference is likely: the
instruction may also read a class or an argument's handle that was damaged before.
Rivals excluded: damage before the call: the code around a native method used the same register before it; a defect of
the VM's code: the value is not what the ABI obliges the callee to give back.
What to do: look at the native method's declaration and return value, inline assembly, calling convention, buffers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Confidence, Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENTRY = "kind = native"
"""In the note of an interpreter frame in the code that enters native methods (AbstractInterpreter::MethodKind)."""
_RESTORES = ("leave", "pop", "ret")
_FARTHEST = 1 << 20


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    frame = jvm_frames.top(report)
    if frame is None or not jvm_views.memory_fault(report) or jvm_views.foreign_handler(report) is not None:
        return
    if not jvm_frames.is_wrapper(frame) and not (jvm_frames.is_java(frame) and _ENTRY in (frame.note or "")):
        return
    found = _spoiled(report) or _returned(report)
    if found is None:
        return
    register, value, confidence = found
    index = next(n for n, other in enumerate(views.crashing_frames(report)) if other is frame)
    known = frame.function is not None and "." in frame.function
    method = f"the native method {frame.function}()" if known else "a native method"
    library = file_name(frame.native_library) if frame.native_library else None
    of = f" of {library}" if library else ""
    caller = jvm_frames.java_caller(report, index)
    by = f" {culprit.label(caller[1])} had called it." if caller else ""
    address = views.fault_address(report)
    at = f" at {address:#x}" if address is not None else ""
    if register is None:
        title = f"{method[0].upper()}{method[1:]}{of} returned {value:#x}, which is no reference"
        words = (
            f"{value:#x} is no JNI reference: the native code returned a pointer of its own, an uninitialized value, or"
            " a reference that was deleted. What else it may be: a handle or class of the VM that was damaged before."
        )
        first = f"what {method} returns: its JNI type, every path that leaves the return value unset"
    else:
        title = f"{method[0].upper()}{method[1:]}{of} did not preserve register {register}"
        words = (
            f"After the call {register} holds {value:#x}; the System V ABI obliges a function to give it back as it"
            " was, and the VM's code relied on that before the call. Inline assembly without clobbers, a function"
            " called by the wrong convention, or a stack buffer that was overrun (the saved registers lie behind it) do"
            " this."
        )
        first = f"inline assembly, coroutine switches and stack buffers below {method}"
    yield Finding(
        rule=RULE.id,
        title=title,
        severity="critical",
        confidence=confidence,
        claim="cause",
        rivals=() if register else ("a handle or class of the VM that was damaged before",),
        explanation=(
            f"{jvm_views.fault_name(report)}{at} was raised in the VM's own code around {method}"
            f"{of}, after that had returned.{by} {words} Neither the interpreter nor a compiler is at fault."
        ),
        evidence=proof(
            report,
            (views.frame_path(report, index), "the native method"),
            (views.frame_path(report, index, "native_library"), "the library that implements it"),
            (views.frame_path(report, index, "note"), "the code that faulted"),
            ("crash.instruction", "the faulting instruction"),
            (f"crash.registers.{register}" if register else "crash.operands[0].base_value", "the value that it used"),
            (f"threads[{_crashing(report)}].java.address" if register == "r15" else "", "what r15 must hold"),
            (views.fault_address_path(report), "the address that was touched"),
            (views.frame_path(report, caller[0]) if caller else "", "the Java caller"),
        ),
        remedies=(
            f"Look at {first}.",
            *(() if jvm_views.checks_jni(report) else ("Run with -Xcheck:jni: it checks what native methods return.",)),
            f"Build {library or 'the library'} with -fsanitize=address -fstack-protector-strong, and run it again.",
        ),
    )


def _crashing(report: Report) -> int:
    found = views.crashing_thread(report)
    return found[0] if found is not None else 0


def _spoiled(report: Report) -> tuple[str | None, int, Confidence] | None:
    """The register that the native code had to preserve, and its value."""
    found = views.crashing_thread(report)
    if found is None:
        return None
    thread = found[1]
    operand = views.faulting_operand(report)
    base = operand[1].base if operand is not None else None
    r15 = thread.registers.get("r15")
    own = thread.java.address if thread.java is not None else None
    if base == "r15" and r15 is not None and own is not None and r15 != own:
        return "r15", r15, "certain"
    rbp, rsp = thread.registers.get("rbp"), thread.registers.get("rsp")
    uses = base == "rbp" or (report.crash.mnemonic in _RESTORES and operand is None)
    if uses and rbp is not None and rsp is not None and not rsp <= rbp < rsp + _FARTHEST:
        return "rbp", rbp, "certain"
    return None


def _returned(report: Report) -> tuple[str | None, int, Confidence] | None:
    """The value that was taken for a reference: it is still in the register of return values."""
    operand = views.faulting_operand(report)
    if operand is None or operand[1].base != "rax" or operand[1].index is not None:
        return None
    value = operand[1].base_value
    return None if value is None else (None, value, "likely")


RULE = Rule(id="jvm-bad-native-return", group="jvm", specificity=87, check=check, documentation=__doc__ or "")
