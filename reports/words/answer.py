"""The answer in words: what happened, how sure, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.queries.crash import SI_USER, SIGSTOP, SIGXFSZ
from postmortem.model.queries.systems import system

if TYPE_CHECKING:
    from postmortem.model import Crash, Evidence, Finding, Problem, Report, Signal, Verdict


CONFIDENCE = {"certain": "Certain", "likely": "Likely", "possible": "Possible"}
CLAIM = {"observation": "observation", "cause": "cause"}
"""What the confidence is of."""
_SERIOUS = ("critical", "high")
_OTHERS = 4
"""Faults of other threads that are told one by one."""

SEVERITIES = ("critical", "high", "medium", "low", "info")


def problem_text(problem: Problem) -> str:
    """ "hs_err.log: it is of another process; give the right one"."""
    where = f"{problem.where}: " if problem.where else ""
    return f"{where}{problem.what}{f'; {problem.hint}' if problem.hint else ''}"


def redacted_text(report: Report) -> str | None:
    """ "3 values masked as secrets (2 by name, 1 token); --no-redact shows them"; None when none was."""
    if not report.redacted:
        return None
    kinds = ", ".join(f"{count} {_BY.get(kind, kind)}" for kind, count in report.redacted.items())
    count = sum(report.redacted.values())
    return f"{count} value{'s' if count != 1 else ''} masked as secrets ({kinds}); analyze --no-redact shows them"


_BY = {
    "name": "by name", "option": "of options", "header": "in HTTP headers", "url": "in addresses",
    "token": "known tokens",
    "private key": "private keys", "password hash": "password hashes", "pattern": "by --mask", "repeated": "repeated",
}  # fmt: skip


_LARGEST_SIGNAL = 1 << 16
"""Numbers above are codes of Windows' exceptions, which are written in hexadecimal."""


def numbered(report: Report) -> bool:
    """Whether signals' numbers are the system's own: a log of another system has them as Linux does."""
    return report.core.format.startswith("elf-core") or system(report).name in ("linux", "windows", None)


def signal_text(signal: Signal, pid: int | None, *, number: bool = True) -> str:
    """ "SIGSEGV (11), SEGV_MAPERR: address not mapped". pid: of the process that died. number: name it."""
    text = signal.name
    if number or signal.number >= _LARGEST_SIGNAL:
        text += f" ({signal.number:#x})" if signal.number >= _LARGEST_SIGNAL else f" ({signal.number})"
    if signal.code_name:
        text += f", {signal.code_name}"
    elif signal.code is not None:
        text += f", code {signal.code}"
    if signal.number == SIGXFSZ and signal.code == SI_USER and signal.sender_pid in (0, pid):
        return f"{text} and the process itself as the sender, as the kernel sends it and kill()"
    if signal.sender_pid is not None and signal.sender_pid == pid:
        return f"{text}: sent by the process itself"
    if signal.meaning:
        text += f": {signal.meaning}"
    if signal.sender_pid is not None:
        text += f", sent by process {signal.sender_pid}"
        if signal.sender_uid is not None:
            text += f" of user {signal.sender_uid}"
    if signal.syscall is not None:
        text += f", system call {signal.syscall_name or signal.syscall}"
    return text


def _touched(crash: Crash) -> int | None:
    """The address of a memory fault. si_addr is the instruction's own for other signals, and 0 with SI_KERNEL."""
    signal = crash.signal
    if crash.fault_address is not None or signal is None:
        return crash.fault_address
    of_memory = signal.name in ("SIGSEGV", "SIGBUS") and signal.code_name != "SI_KERNEL"
    return signal.fault_address if of_memory else None


def fault_text(crash: Crash) -> str:
    """What failed: "Writing address 0x10 (page zero) at pc 0x4011d6 in thread 7"; "" if unknown."""
    address = _touched(crash)
    parts = []
    if address is not None:
        doing = {"read": "Reading", "write": "Writing", "execute": "Executing"}.get(crash.access or "", "Touching")
        text = f"{doing} address {address}"
        if crash.fault_address_text and address:
            text += f" ({crash.fault_address_text})"
        parts.append(text)
    if crash.pc is not None:
        at = f"at pc {crash.pc}"
        parts.append(at if parts else at[0].upper() + at[1:])
    if crash.tid is not None:
        known = "No signal is known; the thread is" if crash.signal is None else "In thread"
        parts.append(f"in thread {crash.tid}" if parts else f"{known} {crash.tid}")
    return " ".join(parts)


def handler_text(report: Report) -> str:
    """How the fault shown relates to the signal that the core names and its thread; "" when it is the same."""
    crash = report.crash
    if not crash.unwrapped:
        if crash.handler_tid is None:
            return ""
        return f"This thread reported an error; thread {crash.handler_tid} ended the process while it did."
    signal = crash.handler_signal
    shown = crash.signal
    if shown is not None and signal is not None and (shown.number, shown.code) == (signal.number, signal.code):
        again = f"The handler of {signal.name} that the program or its run-time installed raised it again"
        return f"{again}{f' in thread {crash.handler_tid}' if crash.handler_tid is not None else ''}."
    if signal is not None and signal.number in (0, SIGSTOP):
        wait = report.threads[0].wait if report.threads else None
        stands = (
            f", and waits in the system call {wait.syscall}" if wait is not None and crash.handler_tid is None else ""
        )
        return (
            "This is the original fault: a signal handler ran after it and was still at work when the core was taken"
            f" from the live process{stands}."
        )
    own = f" The core itself names {signal_text(signal, report.process.pid)}." if signal else ""
    if crash.handler_tid is not None:
        return (
            "This is the original fault: a signal handler ran after it, and while that was at work thread "
            f"{crash.handler_tid} ended the process.{own}"
        )
    return f"This is the original fault: a signal handler ran after it and ended the process.{own}"


def others_text(crash: Crash) -> str:
    """Faults of other threads at the same time; "" when there are none."""
    told = [
        f"thread {other.tid} ({other.signal.name}"
        f"{f' in {other.function}' if other.function else ''} at pc {other.pc}"
        f"{', in its handler' if other.handled else ''})"
        for other in crash.others[:_OTHERS]
    ]
    if not told:
        return ""
    more = len(crash.others) - len(told)
    return f"Faults of other threads at the same time: {'; '.join(told)}{f'; {more} more' if more else ''}."


def title_text(report: Report) -> str:
    """The answer in a line."""
    if report.verdict is not None:
        return report.verdict.title
    if report.crash.signal is not None:
        return f"{report.crash.signal.name}, cause not determined"
    return "Cause not determined"


def summary_text(report: Report) -> str:
    """The answer in a paragraph."""
    if report.verdict is not None:
        return report.verdict.summary
    if report.problems:
        return "No rule explains this crash with what could be read. What was missing is listed under Problems."
    return "No rule explains this crash."


def confidence_text(report: Report) -> str:
    """ "critical severity, certain cause"; "" without a verdict."""
    verdict = report.verdict
    if verdict is None:
        return ""
    words = f"{verdict.severity} severity, {claim_text(verdict)}"
    if verdict.claim != "observation" or verdict.severity not in _SERIOUS:
        return words
    cause = _cause(report)
    return f"{words}; {'the cause is open' if cause is None else f'{claim_text(cause)}: {cause.title}'}"


def _cause(report: Report) -> Finding | None:
    """The best finding that states the cause of what the verdict observed: one that is founded on the crash itself."""
    for finding in report.findings:
        if finding.claim != "cause" or finding.confidence == "possible" or finding.severity != "critical":
            continue
        if any(item.where.startswith("crash.") for item in finding.evidence):
            return finding
    return None


def claim_text(stated: Finding | Verdict) -> str:
    """ "certain cause", "certain observation"."""
    return f"{stated.confidence} {CLAIM.get(stated.claim, stated.claim)}"


def rivals(report: Report) -> tuple[str, ...]:
    """Other explanations of the crash that the verdict's evidence does not exclude."""
    finding = verdict_finding(report)
    return () if finding is None else finding.rivals


def verdict_finding(report: Report) -> Finding | None:
    """The finding that the verdict was taken from."""
    if report.verdict is None:
        return None
    for finding in report.findings:
        if finding.rule == report.verdict.rule and finding.title == report.verdict.title:
            return finding
    return next((finding for finding in report.findings if finding.rule == report.verdict.rule), None)


def why(report: Report) -> tuple[Evidence, ...]:
    """Evidence for the verdict."""
    finding = verdict_finding(report)
    return () if finding is None else finding.evidence


def next_steps(report: Report) -> tuple[str, ...]:
    """What to do: the verdict's steps, else what would mend the analysis."""
    if report.verdict is not None and report.verdict.next_steps:
        return report.verdict.next_steps
    if (finding := verdict_finding(report)) is not None and finding.remedies:
        return finding.remedies
    return tuple(dict.fromkeys(problem.hint for problem in report.problems if problem.hint))[:4]


def findings_in_order(report: Report) -> tuple[Finding, ...]:
    """Findings with the verdict's first, the others as the engine ranked them."""
    first = verdict_finding(report)
    return tuple(sorted(report.findings, key=lambda finding: finding is not first))
