"""Wait for a lock whose owner is not in the process.

What it finds: a thread that waits for a lock that a thread owns which this process does not have.
Why it matters: nobody will ever release it: the owner ended without unlocking, or the process was forked
while another thread held it.
Evidence it needs: the owner recorded in the lock's memory, and the threads of the core. For a Java monitor: its owner
is on the JVM's list of threads and has no thread in the core.
For a lock of java.util.concurrent: its owner is a java.lang.Thread that is TERMINATED.
False alarms: a core that lacks a thread; damaged lock memory; so the finding is likely only.
A lock that processes share names an owner in any of them: then it is not said that the owner has ended.
What to do: robust mutexes for owners that may die; exec or posix_spawn right after fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import locks
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Thread


RIVALS = ("Memory of the lock that something overwrote.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding, about the first such thread."""
    for index, thread in enumerate(report.threads):
        wait = thread.wait
        if wait is None or wait.kind not in locks.LOCKS or not wait.owner or wait.owner_in_core is not False:
            continue
        if wait.shared:
            yield _of_another_process(report, index, thread)
            return
        alone = len(report.threads) == 1
        yield Finding(
            rule=RULE.id,
            title=(
                f"{locks.name(thread)} waits for a {wait.kind} whose owner {wait.owner} is not in this"
                f" process{locks.place(thread)}"
            ),
            severity="medium",
            confidence="likely",
            claim="cause",
            rivals=RIVALS,
            explanation=(
                f"The {wait.kind} names thread {wait.owner} as its owner, and this process has no such thread. "
            )
            + (
                "The process has a single thread, so it is most likely a forked child whose parent's thread"
                " held the lock."
                if alone
                else (
                    "The owner ended without unlocking, or the process was forked while a thread of the"
                    " parent held the lock."
                )
            ),
            evidence=proof(
                report,
                (f"threads[{index}].wait.owner", "the owner, from the lock's memory"),
                (f"threads[{index}].wait.address", "the lock"),
                ("threads", "threads of this process"),
            ),
            remedies=(
                (
                    "After fork in a process with threads call only async-signal-safe functions and exec; or"
                    " use posix_spawn."
                ),
                "For owners that may end: PTHREAD_MUTEX_ROBUST, and scope guards that unlock on all paths.",
            ),
        )
        return
    found = next(_monitor(report), None) or _ended_owner(report)
    if found is not None:
        yield found


def _ended_owner(report: Report) -> Finding | None:
    """Java threads that wait, without a time-out, for a lock of java.util.concurrent whose owner has ended."""
    jvm = report.jvm
    if jvm is None:
        return None
    waiters: dict[tuple[str, str], list[str]] = {}
    names: dict[tuple[str, str], list[str]] = {}
    for index, thread in enumerate(report.threads):
        java = thread.java
        if java is not None and java.owner_ended and java.state == "WAITING" and java.blocked_on:
            key = java.blocked_on, java.blocked_by or "a thread without a name"
            waiters.setdefault(key, []).append(f"threads[{index}].java")
            names.setdefault(key, []).append(locks.name(thread))
    for index, virtual in enumerate(jvm.virtual_threads):
        if virtual.owner_ended and virtual.blocked_on and not (virtual.state or "").startswith("TIMED"):
            key = virtual.blocked_on, virtual.blocked_by or "a thread without a name"
            waiters.setdefault(key, []).append(f"jvm.virtual_threads[{index}]")
            names.setdefault(key, []).extend([virtual.name or f"virtual thread #{virtual.java_tid}"] * virtual.count)
    if not waiters:
        return None
    (lock, owner), paths = max(waiters.items(), key=lambda item: len(names[item[0]]))
    waiting = names[lock, owner]
    shown = ", ".join(waiting[:_MOST_NAMED])
    more = f" and {len(waiting) - _MOST_NAMED} more" if len(waiting) > _MOST_NAMED else ""
    verb = "waits" if len(waiting) == 1 else "wait"
    return Finding(
        rule=RULE.id,
        title=f'{shown}{more} {verb} for {lock}, owned by "{owner}", a thread that has ended'[:300],
        severity="high",
        confidence="likely",
        claim="cause",
        rivals=("Another thread may unlock it: no class of the JDK allows that, one of the application's own may.",),
        explanation=(
            f'{lock} has "{owner}" as its owner, whose java.lang.Thread is TERMINATED: it ended without unlock().'
            " A lock of java.util.concurrent is not given back when its owner ends; who waits for it without a time-out"
            " waits for ever. jstack reports no deadlock."
        ),
        evidence=proof(
            report,
            (f"{paths[0]}.blocked_on", "the lock"),
            (f"{paths[0]}.blocked_by", "its owner"),
            (f"{paths[0]}.owner_ended", "which has ended"),
            *((f"{path}.blocked_on", "waits for it, too") for path in paths[1:_MOST_NAMED]),
        ),
        remedies=(
            f'Look at what "{owner}" ran: put unlock() into a finally block right after each lock().',
            "Where a task may die, use tryLock with a time-out, so that those who wait can tell.",
        ),
        specificity=MONITOR,
    )


def _of_another_process(report: Report, index: int, thread: Thread) -> Finding:
    """A lock in shared memory: its owner need not be, or have been, a thread of this process."""
    wait = thread.wait
    assert wait is not None
    mapped = views.mapping_at(report, wait.address) if wait.address is not None else None
    where = f" in {views.mapping_text(mapped[1])}" if mapped is not None and mapped[1].path else ""
    return Finding(
        rule=RULE.id,
        title=f"{locks.name(thread)} waits for a process-shared {wait.kind} that thread {wait.owner} of another process"
        f" holds{locks.place(thread)}",
        severity="medium",
        confidence="likely",
        claim="cause",
        rivals=(
            "The owner lives and will release the lock: the core of one process does not tell of another.",
            RIVALS[0],
            "A thread of this process that ended without unlocking.",
        ),
        explanation=(
            f"The {wait.kind}{where} is process-shared: the wait for it is not a private one. It names thread"
            f" {wait.owner} as its owner, which this process does not have. That is most likely a thread of another"
            " process that maps the same memory; it holds the lock, or ended without unlocking, and then the wait never"
            " ends."
        ),
        evidence=proof(
            report,
            (f"threads[{index}].wait.owner", "the owner, from the lock's memory"),
            (f"threads[{index}].wait.shared", "the lock is shared between processes"),
            (f"threads[{index}].wait.address", "the lock"),
            ("threads", "threads of this process"),
        ),
        remedies=(
            f"See whether thread {wait.owner} is alive: /proc/{wait.owner}/status, ps -eLf, and the log of the other"
            " process for its end; what it does, if it lives.",
            "Make such a mutex robust (PTHREAD_MUTEX_ROBUST): who waits gets EOWNERDEAD when the owner dies, mends the"
            " data and calls pthread_mutex_consistent().",
        ),
    )


def _monitor(report: Report) -> Iterator[Finding]:
    """Java threads that wait for a monitor which a thread holds that ended as native code, without detaching."""
    jvm = report.jvm
    if jvm is None or not jvm.absent_threads or len(report.threads) <= jvm.absent_threads or report.core.truncated:
        return
    alive = {thread.name for thread in report.threads} | {thread.name for thread in jvm.virtual_threads}
    alive |= {thread.java.virtual_name for thread in report.threads if thread.java is not None}
    waiters: dict[tuple[str, str], list[int]] = {}
    for index, thread in enumerate(report.threads):
        java = thread.java
        if java is None or java.wait_kind != "lock" or java.waits_for_tid is not None:
            continue
        if java.blocked_on and java.blocked_by and java.blocked_by not in alive:
            waiters.setdefault((java.blocked_on, java.blocked_by), []).append(index)
    if not waiters:
        return
    (lock, owner), found = max(waiters.items(), key=lambda item: len(item[1]))
    names = ", ".join(locks.name(report.threads[index]) for index in found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    verb = "waits" if len(found) == 1 else "wait"
    yield Finding(
        rule=RULE.id,
        title=f'{names}{more} {verb} for {lock}, held by "{owner}", whose thread is no longer in the process',
        severity="high",
        confidence="likely",
        claim="cause",
        rivals=("The core lacks a thread that the process had.", RIVALS[0]),
        explanation=(
            f'{lock} is locked by "{owner}". The JVM has that thread on its list, and the process has none for it: it'
            " ended without detaching from the JVM, as a thread of a native library does that attached itself and"
            " returned or called pthread_exit(). The JVM never gives its locks back; who waits for them waits for ever."
        ),
        evidence=proof(
            report,
            (f"threads[{found[0]}].java.blocked_on", "the lock"),
            (f"threads[{found[0]}].java.blocked_by", "its holder"),
            ("jvm.absent_threads", "Java threads on the JVM's list that the process lacks"),
        ),
        remedies=(
            "In the native library, call DetachCurrentThread at the end of every thread that was attached: from the"
            " destructor of a pthread key it can't be forgotten.",
            "Pair MonitorEnter and MonitorExit of JNI on every way out, before the thread ends.",
        ),
        specificity=MONITOR,
    )


MONITOR = 40
"""Above the queue behind such a lock."""
_MOST_NAMED = 3

RULE = Rule(id="orphaned-lock", group="process", specificity=32, check=check, documentation=__doc__ or "")
