"""Integer division by zero or overflow of a division.

What it finds: SIGFPE for an integer division, with the values that were divided.
Why it matters: INT_MIN / -1 raises the same signal as a zero divisor and is often overlooked.
Evidence it needs: SIGFPE with FPE_INTDIV; the decoded operands tell which of the two it is.
False alarms: none with FPE_INTDIV; floating-point exceptions have other codes.
Rivals excluded: a floating-point exception: si_code is FPE_INTDIV; SIGFPE that somebody sent.
What to do: check the divisor before dividing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Confidence, Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.variables import variable_path
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

FPE_INTDIV = 1
_LOADER = Lazy(r"ld-linux[\w.-]*|ld-2\.\d+\.so|ld64?\.so\.\d")
_LOOKS_UP = Lazy(r"do_lookup_?\w*|_dl_lookup_\w+|check_match|_dl_relocate_object|_dl_fixup")
_SIGNED = "idiv"


RIVALS = ("An overflow of the quotient instead of a zero divisor: the operand could not be read.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    if not views.signal_is(report, views.SIGFPE) or views.code(report) != FPE_INTDIV:
        return
    if (loader := _in_loader(report)) is not None:
        yield loader
        return
    title, text, confidence = _reading(report)
    where = views.inside(report)
    divisor = report.crash.operand_sources.get("divisor")
    named = ""
    if divisor is not None and report.crash.operand_values.get("divisor") == 0:
        named = f": {divisor} is 0"
    yield Finding(
        rule=RULE.id,
        title=f"{title}{where}{named}",
        severity="critical",
        confidence=confidence,
        claim="cause",
        rivals=RIVALS,
        explanation=f"The processor refused an integer division{where}. {text}",
        evidence=proof(
            report,
            ("crash.operand_sources.divisor", "is the divisor"),
            (variable_path(report, divisor), "the variable"),
            ("crash.signal.code_name", "integer division"),
            ("crash.instruction", "the faulting instruction"),
            ("crash.operand_values.divisor", "divided by"),
            ("crash.operand_values.dividend", "what was divided"),
            ("crash.operand_values.dividend_high", "its upper half"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            *(
                ()
                if report.crash.operand_values.get("divisor")
                else (f"Check the divisor before the division{where}; decide what the result is to be when it is 0.",)
            ),
            (
                "Exclude the smallest value divided by -1, and the same for %, or divide in a wider type"
                if report.crash.operand_values.get("divisor")
                else "For signed types also exclude the smallest value divided by -1, and the same for %"
            )
            + ".",
            ("Rebuild with -fsanitize=integer-divide-by-zero,signed-integer-overflow: it names the expression."),
        ),
    )


def _in_loader(report: Report) -> Finding | None:
    """The loader divides by the number of buckets of a library's hash table of symbols, and by nothing else there."""
    frame = next(iter(views.crashing_frames(report)), None)
    if frame is None or frame.trust == "scan" or not _LOADER.fullmatch(file_name(frame.module or "")):
        return None
    if not _LOOKS_UP.match(plain(frame.function or "")):
        return None
    return Finding(
        rule=RULE.id,
        title=f"The loader divided by zero in {plain(frame.function or '')}(): a library lacks the hash table it reads",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=("A library's file or its mapping that was damaged, so that its hash table holds 0 buckets.",),
        explanation=(
            "As it looked a symbol up, the loader divided by the number of buckets in a library's hash table, which was"
            " 0. A library that was linked with the GNU hash table alone has no DT_HASH; a glibc older than 2.5 reads"
            " only that. So a library that was built for a newer system was loaded on an older one."
        ),
        evidence=proof(
            report,
            ("crash.signal.code_name", "integer division"),
            (views.frame_path(report, 0), "the loader's function"),
            (views.frame_path(report, 0, "module"), "the loader"),
            ("crash.instruction", "the faulting instruction"),
        ),
        remedies=(
            "Find the library that was being loaded (LD_DEBUG=files, the Java frames or the backtrace) and look at"
            " readelf -d: GNU_HASH without HASH is what an old loader can't read.",
            "Use a build of that library for this system's age, link it with both hash tables (hash-style=both of ld),"
            " or run on a newer system.",
        ),
    )


def _reading(report: Report) -> tuple[str, str, Confidence]:
    """Title, sentence and confidence from the operands."""
    values = report.crash.operand_values
    divisor = values.get("divisor")
    bits = values.get("quotient_bits", 64)
    if divisor is None:
        return (
            "Integer division error",
            "The operands could not be read: a zero divisor is by far the usual cause.",
            "likely",
        )
    if divisor == 0:
        dividend = values.get("dividend")
        of = f" of {dividend}" if dividend is not None else ""
        return "Integer division by zero", f"The divisor was 0, in a division{of}.", "certain"
    signed = divisor - (1 << bits) if 1 < bits <= 64 and divisor >= 1 << (bits - 1) else divisor
    if signed == -1 and (report.crash.mnemonic or _SIGNED).startswith(_SIGNED):
        return (
            "Integer division overflow, smallest value divided by -1,",
            f"The divisor was -1: the smallest {bits}-bit value divided by -1 has no {bits}-bit result.",
            "certain",
        )
    return (
        "Integer division overflow",
        f"The divisor was {signed}, not 0: the quotient does not fit in {bits} bits.",
        "certain",
    )


RULE = Rule(id="integer-division", group="fault", specificity=75, check=check, documentation=__doc__ or "")
