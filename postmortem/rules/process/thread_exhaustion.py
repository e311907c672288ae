"""Too many threads.

What it finds: creation of a thread that failed, or a number of threads near the usual limits.
Why it matters: the limit is reached by a leak of threads or an unbounded pool, not by the thread that
failed.
Evidence it needs: the exception of std::thread in flight, or the number of threads and their stacks.
False alarms: servers with very many threads by design; by number alone the finding is possible only.
Rivals excluded: many threads that do no harm: the creation of one more failed, by the JVM's word or by the exception
in flight; an error of another kind from the same call.
What to do: look at the largest group of identical idle stacks.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report, Thread
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules import advice
from postmortem.rules.fault.uncaught_cxx_exception import in_flight
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = 4096
"""Threads from which their number alone is worth a finding."""
_NEAR = 0.95
CAUSE = 94
"""Specificity when the failure itself is seen: above the exception that carries it."""
THROWN = 32
"""Where the JVM threw it to the program: above the signal that ended a service which could not go on."""
_REFUSED = Lazy(
    r"[Cc]annot create (?:\w+ )?(?:GC )?(?:worker |GC )*thread|[Ff]ailed to start thread|pthread_create failed"
)
"""HotSpot's words where a thread of its own was refused (workgroup.cpp, gcTaskThread.cpp, concurrentGCThread)."""
_WHAT = ("Resource temporarily unavailable", "Cannot allocate memory")


RIVALS = ("Memory or address space for the thread's stack, instead of a limit on threads.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    flight = in_flight(report)
    failed = flight is not None and flight[1].type == "std::system_error" and (flight[1].what or "").startswith(_WHAT)
    creating = views.first_named(
        report,
        lambda name: name.startswith(("std::thread::_M_start_thread", "pthread_create", "__pthread_create")),
    )
    failed = failed and (creating is not None or len(report.threads) > 100)
    refused = jvm_exhaustion.ran_out_of(report, jvm_exhaustion.THREADS)
    thrown = jvm_exhaustion.thrown(report, jvm_exhaustion.THREADS)
    said = refused[0] if refused is not None else thrown or ""
    failed = failed or bool(said)
    if (alone := _by_word(report)) is not None:
        yield alone
        return
    if not failed and len(report.threads) < MANY:
        return
    group, size = _largest_group(report)
    alike = f" {size} of them have the same stack{group}." if size > 1 else ""
    count = len(report.threads)
    yield Finding(
        rule=RULE.id,
        title=(
            f"No further thread could be created, with {count} threads" if failed else f"{count} threads in one process"
        ),
        severity="critical" if failed else "medium",
        confidence="certain" if refused or (failed and creating) else ("likely" if failed else "possible"),
        claim="cause",
        rivals=RIVALS,
        explanation=f"The process has {count} threads.{alike} "
        + (
            "Creating one more failed: the address space, the limit on threads or their memory is used up."
            if failed
            else (
                "Limits on threads (pids.max of the cgroup, RLIMIT_NPROC, kernel.threads-max) and their"
                " stacks may be near."
            )
        ),
        evidence=proof(
            report,
            ("threads", "threads of the process"),
            (said, "what the JVM said"),
            (f"native.exceptions[{flight[0]}].what" if failed and flight else "", "the failure"),
            (views.frame_path(report, creating[0]) if creating else "", "the thread was being created"),
            ("native.errno", "errno of the crashing thread (11 is EAGAIN)"),
        ),
        remedies=(
            (
                f"Look at the largest group of identical stacks{group}: are these threads ever joined, is"
                " their pool bounded?"
            ),
            (
                "Check the limits: ulimit -u, ulimit -v, pids.max of the cgroup, kernel.threads-max; smaller"
                f" stacks with {'-Xss' if said else 'pthread_attr_setstacksize'} if address space is short."
            ),
        ),
        specificity=None if not failed else THROWN if said == thrown else CAUSE,
    )


def _by_word(report: Report) -> Finding | None:
    """What the VM's own words give, as it ended or on its console."""
    told = _told(report)
    if told is not None:
        return _refused(report, *told)
    failures = _warned(report)
    return _warnings_alone(report, failures) if failures else None


def _told(report: Report) -> tuple[str, str] | None:
    """(path, words) where the VM says that it ended because it got no thread."""
    jvm = report.jvm
    error = jvm.error if jvm is not None else None
    if jvm is None or (error is None and not report.core.format.startswith("hs_err")):
        return None
    texts = [("jvm.error.message", error.message), ("jvm.error.detail", error.detail)] if error is not None else []
    texts += [(f"jvm.notes[{index}]", note) for index, note in enumerate(jvm.notes)]
    found = next(((where, text) for where, text in texts if text is not None and _REFUSED.search(text)), None)
    if found is None:
        return None
    return found[0], found[1].strip().rstrip(".")


def _warned(report: Report) -> int:
    """How many threads the VM's warnings tell of, where they are all that the text has."""
    jvm = report.jvm
    if jvm is None or jvm.error is not None or report.crash.signal is not None or views.crashing_frames(report):
        return 0
    return len(jvm.failed_threads) if views.is_log(report) else 0


def _warnings_alone(report: Report, count: int) -> Finding:
    """The console of a JVM that got no threads; whether it ended, and how, is not in it."""
    failed = report.jvm.failed_threads if report.jvm is not None else ()
    error = next((thread.error for thread in failed if thread.error is not None), None)
    forbidden = error == "EPERM"
    threads = "a thread" if count == 1 else f"{count} threads"
    return Finding(
        rule=RULE.id,
        title=f"The system {'forbade' if forbidden else 'refused'} the JVM {threads}{f' ({error})' if error else ''}",
        severity="critical",
        confidence="certain",
        claim="observation",
        explanation=(
            f"The JVM's warnings tell that it could not start {threads}. The program got an OutOfMemoryError (unable to"
            " create native thread) for each; whether the JVM ended, the text does not say. "
            + (
                "EPERM is the answer of a filter for system calls that does not know clone3, as of an old container"
                " runtime."
                if forbidden
                else "A thread was refused, not Java heap: a limit on the number of threads or processes was met, or"
                " memory for the stack was short; which, is not told."
            )
        ),
        rivals=(
            ("Another policy that forbids it: a seccomp profile of one's own, SELinux, AppArmor.",)
            if forbidden
            else (
                "The limit of the user, of the control group (pids.max) or of the system (threads-max, pid_max).",
                "Address space or memory for the thread's stack.",
            )
        ),
        evidence=proof(report, ("jvm.failed_threads[0].text", "what the JVM said")),
        remedies=(
            *(() if forbidden else (advice.threads(report),)),
            *(
                ("Update the container runtime and libseccomp on the host, or allow clone3 in the profile.",)
                * forbidden
            ),
            "Take a thread dump (jstack) when there are many threads: a pool that grows without bound shows in their"
            " names.",
        ),
        specificity=CAUSE,
    )


def _refused(report: Report, where: str, words: str) -> Finding:
    """The VM could not start a thread of its own; with EPERM that was forbidden, not used up."""
    failed = report.jvm.failed_threads if report.jvm is not None else ()
    answer = next((thread.error for thread in failed if thread.error is not None), None)
    forbidden = answer == "EPERM" or "EPERM" in words
    count = len(report.threads)
    met = None if forbidden else _limit_met(report)
    return Finding(
        rule=RULE.id,
        title=(
            f"The system forbade the JVM to create a thread (EPERM): {words[:120]}"
            if forbidden
            else f"The system refused the JVM a thread: {words[:120]}{f'; {met[0]}' if met is not None else ''}"
        ),
        severity="critical",
        confidence="likely" if forbidden else "certain",
        claim="cause" if forbidden or met is not None else "observation",
        explanation=(
            f"The JVM said: {words}. "
            + (
                "EPERM is the answer of a filter for system calls: an old container runtime (Docker before 20.10.10,"
                " libseccomp before 2.5) does not know clone3 and forbids it, where a newer libc expects ENOSYS and"
                " would go on with clone. Memory and limits have no part in it."
                if forbidden
                else f"A thread was refused, not memory: {met[1]}"
                if met is not None
                else "A thread was refused, not memory: a limit on the number of threads or processes was met;"
                " which, is not told."
            )
        ),
        rivals=(
            ("Another policy that forbids it: a seccomp profile of one's own, SELinux, AppArmor.",)
            if forbidden
            else (
                "The limit of the user, of the control group (pids.max) or of the system (threads-max, pid_max).",
                "Address space or commit for the thread's stack.",
            )
        ),
        evidence=proof(
            report,
            (where, "what the VM said"),
            ("jvm.failed_threads[0].text" if failed else "", "the system's answer"),
            (met[2] if met is not None else "", "the limit that was met"),
            ("host.tasks", "threads in the container"),
            ("host.tasks_limit", "its limit on them"),
            ("threads" if count > 1 else "", "threads of the process"),
        ),
        remedies=(
            (
                "Update Docker (20.10.10 or newer), containerd and libseccomp (2.5 or newer) on the host.",
                "To check: run once with --security-opt seccomp=unconfined; for good use a profile that knows clone3.",
            )
            if forbidden
            else (advice.threads(report),)
        ),
        specificity=CAUSE,
    )


def _limit_met(report: Report) -> tuple[str, str, str] | None:
    """In a few words, in a sentence, and the path: the limit on threads that the report shows to be reached."""
    host = report.host
    if host is None:
        return None
    if host.tasks is not None and host.tasks_limit and host.tasks >= _NEAR * host.tasks_limit:
        return (
            "the container may have no more threads",
            f"the container has {host.tasks:,} threads of the {host.tasks_limit:,} that it may (pids.max).",
            "host.tasks_limit",
        )
    most = host.parameters.get("kernel.threads-max", "")
    if most.isascii() and most.isdecimal() and len(report.threads) >= _NEAR * int(most):
        return (
            "the system may have no more threads",
            f"this process alone has {len(report.threads):,} of the {int(most):,} that the system may have.",
            "host.parameters",
        )
    own = host.limits.get("NPROC", "").partition("/")[0].rstrip("k")
    if own.isascii() and own.isdecimal() and len(report.threads) >= _NEAR * int(own):
        return (
            "the user may have no more threads",
            f"this process alone has {len(report.threads):,} of the {int(own):,} that its user may have (ulimit -u).",
            "host.limits.NPROC",
        )
    return None


def _largest_group(report: Report) -> tuple[str, int]:
    """Where the most threads with one stack are, in words, and how many they are."""
    stacks = Counter(_stack(thread) for thread in report.threads if thread.frames)
    if not stacks:
        return "", 0
    stack, size = stacks.most_common(1)[0]
    example = next(thread for thread in report.threads if thread.frames and _stack(thread) == stack)
    java = jvm_frames.telling(example.frames)
    found = culprit.first(example.frames) if java is None else (java, example.frames[java])
    return (f" in {culprit.label(found[1])}" if found else ""), size


def _stack(thread: Thread) -> tuple[int | None, ...]:
    return tuple(frame.pc for frame in thread.frames[:32])


RULE = Rule(id="thread-exhaustion", group="process", specificity=24, check=check, documentation=__doc__ or "")
