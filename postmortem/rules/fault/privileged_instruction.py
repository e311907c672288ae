"""Privileged instruction in a user program.

What it finds: hlt, in, out, cli and the like, which only the kernel may execute.
Why it matters: compilers do not emit them; some run-times use hlt as a stop (musl, _start after exit).
Evidence it needs: SIGSEGV with SI_KERNEL and the decoded instruction.
False alarms: execution of data decodes to such instructions too.
Rivals excluded: an address that is not canonical, which gives the same siginfo: the instruction is decoded; a data
access.
What to do: if the code is not hand-written, look for a wild jump.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVILEGED = frozenset(
    [
        "hlt",
        "cli",
        "sti",
        "in",
        "out",
        "insb",
        "insw",
        "insd",
        "outsb",
        "outsw",
        "outsd",
        "lgdt",
        "lidt",
        "lldt",
        "ltr",
        "lmsw",
        "clts",
        "invd",
        "wbinvd",
        "invlpg",
        "rdmsr",
        "wrmsr",
        "swapgs",
        "sysexit",
        "sysret",
        "sysretq",
        "xsetbv",
        "monitor",
        "mwait",
    ]
)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not views.signal_is(report, views.SIGSEGV) or views.code(report) != views.SI_KERNEL:
        return
    mnemonic = report.crash.mnemonic or ""
    if mnemonic not in PRIVILEGED or aborts.musl_crash(report) is not None or aborts.musl_stack_check(report):
        return
    yield Finding(
        rule=RULE.id,
        title=f"Privileged instruction {mnemonic}{views.at_fault(report)}",
        severity="critical",
        confidence="certain",
        claim="observation",
        explanation=(
            f"{mnemonic} is reserved for the kernel. The kernel reports address 0 for this fault, which does"
            " not mean a null pointer. Compiled code has no such instruction; run-times use hlt as a stop,"
            " and data executed as code decodes to it."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "the kernel gives no address with this code"),
            ("crash.instruction", "the refused instruction"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            "If it is inline assembly or a run-time's deliberate stop, look at the condition before it.",
            "Otherwise check the caller for a damaged function pointer or return address.",
        ),
    )


RULE = Rule(id="privileged-instruction", group="fault", specificity=70, check=check, documentation=__doc__ or "")
