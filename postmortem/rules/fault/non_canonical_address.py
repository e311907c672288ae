"""Use of a non-canonical address.

What it finds: a general protection fault, for which the kernel reports address 0 and code SI_KERNEL.
Why it matters: "null pointer" is the wrong reading; the pointer was overwritten, and its bytes say by what.
Evidence it needs: SIGSEGV with SI_KERNEL, and the operand evaluated to a non-canonical address.
False alarms: misaligned vector access and privileged instructions give the same siginfo; they have rules of
their own. Where the code at pc is neither in the core nor in a file, a register that holds no address makes it likely;
without one this rule is silent.
Rivals excluded: a misaligned vector access; a privileged instruction: both give the same siginfo, so the operand is
decoded.
What to do: recognise the bytes (text, a float, a fill pattern), then find the write that put them there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Address, Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import fills, operands
from postmortem.model.queries.paths import proof
from postmortem.model.queries.registers import GENERAL
from postmortem.model.queries.variables import operand_evidence
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


_NO_PATTERN = "Its bytes show no known pattern."
_SHOWN = 3
"""Registers named in a sentence."""
_POINTER = (
    "The memory that held the pointer was overwritten, freed or never set, or it is of another type than the code takes"
    " it for."
)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not views.signal_is(report, views.SIGSEGV, views.SIGBUS) or not views.raised_by_cpu(report):
        return
    for index, operand in enumerate(report.crash.operands):
        if not operand.canonical:
            yield _finding(report, operand.address, f"crash.operands[{index}].address", index)
            return
    address = report.crash.fault_address
    # Of what is no address, no mapping refuses an access; where the machine is not told, it may be one of AArch64.
    told = report.core.machine == "x86_64" and views.code(report) != views.SEGV_ACCERR
    if address is not None and told and _non_canonical(address) and report.crash.signal is not None:
        yield _finding(report, address, "crash.fault_address", None)
        return
    yield from _undecoded(report)


def _non_canonical(address: int) -> bool:
    return 1 << 47 <= address < (1 << 64) - (1 << 47)


def _finding(report: Report, address: Address, where: str, index: int | None) -> Finding:
    operand = report.crash.operands[index] if index is not None else None
    held = None if operand is None or operand.index is not None else operand.base_value
    if held is not None and _non_canonical(held):
        looks = fills.describe(report, held) or fills.describe(report, address)
    else:
        held = None
        looks = fills.describe(report, address)
        if looks is None and operand is not None and operand.base_value is not None:
            looks = fills.describe(report, operand.base_value)
    if report.crash.mnemonic in ("ret", "retq"):
        return _returned(report, address, where, looks)
    base = f"crash.operands[{index}]"
    execute = operand is not None and operand.access == "execute"
    deed = "Call or jump to" if execute else f"{views.access_word(report).capitalize()} through"
    return Finding(
        rule=RULE.id,
        title=f"{deed} the non-canonical pointer"
        f" {held if held is not None else address:#x}{views.at_fault(report)}{operands.remark(report)}",
        severity="critical",
        confidence="certain",
        claim="observation",
        explanation=(
            f"{address:#x} is no address on x86-64: bits 63 to 47 must be equal. For this fault the kernel"
            " reports address 0, which does not mean a null pointer; the address is computed from the"
            f" operand and the registers. {operands.sentence(report) or f'{looks or _NO_PATTERN} {_POINTER}'}"
        ),
        evidence=proof(
            report,
            *operand_evidence(report),
            ("crash.signal.code_name", "the kernel gives no address with this code"),
            (where, "the address computed from the registers"),
            ("crash.instruction", "the faulting instruction"),
            (f"{base}.text", "its operand"),
            (f"{base}.base_value", "the base register"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            ("Look at the object that the pointer was read from, and at its neighbours: what wrote these bytes?"),
            (
                "Rebuild with -fsanitize=address and run the same input, or run it under valgrind: both stop"
                " at the write."
            ),
        ),
    )


def _undecoded(report: Report) -> Iterator[Finding]:
    """The code at pc is not at hand: which registers hold no address says what the operand was, if any does."""
    found = views.crashing_thread(report)
    known = report.crash.instruction is not None or views.is_log(report)
    if known or found is None or views.code(report) != views.SI_KERNEL:
        return
    position, thread = found
    held = [(name, thread.registers[name]) for name in GENERAL if _non_canonical(thread.registers.get(name, 0))]
    looks = {name: fills.describe(report, value) for name, value in held}
    held.sort(key=lambda register: looks[register[0]] is None)
    if not held:
        return
    names = ", ".join(f"{name} = {value:#x}" for name, value in held[:_SHOWN])
    told = looks[held[0][0]]
    yield Finding(
        rule=RULE.id,
        title=f"General protection fault{views.at_fault(report)}; {held[0][0]} = {held[0][1]:#x} is no address",
        severity="critical",
        confidence="possible" if told is None else "likely",
        claim="observation",
        rivals=(
            "A return to such an address, a vector access that is not aligned, or a privileged instruction (hlt, with"
            " which checks of musl end): the kernel reports them alike, and the code at pc is neither in the core nor"
            " in a file at hand.",
        ),
        explanation=(
            "The kernel gives no address with a general protection fault. An access through a pointer of which bits 63"
            f" to 47 are not equal raises one, and {names} {'is' if len(held) == 1 else 'are'} no address on x86-64."
            f" {told or _NO_PATTERN} {_POINTER}"
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "the kernel gives no address with this code"),
            *((f"threads[{position}].registers.{name}", "is no address") for name, _ in held[:_SHOWN]),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            f"Give the file of the module at pc (--sysroot, --exe or --debug-dir){views.at_fault(report)}: its"
            " instruction tells which register it was.",
            "Rebuild with -fsanitize=address and run the same input, or run it under valgrind: both stop at the write.",
        ),
    )


def _returned(report: Report, address: Address, where: str, looks: str | None) -> Finding:
    """The function was about to return: what it took for its return address lay in its own frame's reach."""
    inside = views.inside(report)
    guess = (
        f"Something wrote over the frame{inside}: most often a local array was filled beyond its end; a longjmp to a"
        " frame that had ended does the same."
    )
    if not views.on_own_stack(report):
        guess = (
            "The stack pointer is not in the stack that the thread was started with: the stack of a coroutine was freed"
            " and used for something else, or was written over."
        )
    return Finding(
        rule=RULE.id,
        title=f"Return to {address:#x}{inside}: the return address was overwritten",
        severity="critical",
        confidence="certain",
        claim="observation",
        explanation=(
            f"The instruction is a return, and {address:#x}, which it took from the stack, is no address on x86-64."
            f" {looks or _NO_PATTERN} {guess} The callers can't be told any more."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "the kernel gives no address with this code"),
            ("crash.instruction", "the faulting instruction"),
            (where, "what it took for the return address"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            f"Look at the local arrays{inside} and at what fills them: copies without a bound, lengths that are"
            " trusted.",
            "Build with -fstack-protector-strong, which stops at such a return, or with -fsanitize=address, which stops"
            " at the write.",
        ),
    )


RULE = Rule(id="non-canonical-address", group="fault", specificity=64, check=check, documentation=__doc__ or "")
