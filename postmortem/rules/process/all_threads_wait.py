"""Every thread waits, and none is left to wake another.

What it finds: a process all of whose threads wait, without a time limit, for locks, condition variables, futures,
semaphores or the end of each other, where no owner is recorded that would make it a deadlock by itself.
Why it matters: such a process never goes on. The usual causes are a wake-up that was lost or never sent, a pool whose
tasks wait for other tasks of the same pool, and locks taken in two orders.
Evidence it needs: what each thread waits for, and that the word which it waits on still has the value of its wait, so
that no wake-up was under way. Rust's locks tell whether they are held, not by whom.
False alarms: a handler of a signal may wake a thread; so it is likely only, and possible where one waits for a
semaphore, which handlers may post. Idle threads of Go, and a JVM's, wait so
until there is work: they are left to their runtimes.
What to do: find who should have woken the threads named, and why it did not, or no longer can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import locks
from postmortem.model.queries.paths import proof
from postmortem.model.queries.stuck import stuck
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 3
_EVIDENCE = 8
_FOR = {
    "mutex": "a mutex",
    "rwlock": "a read-write lock",
    "condvar": "a condition variable that nobody is left to signal",
    "future": "the result of a future that nobody is left to give",
    "semaphore": "a semaphore that nobody is left to post",
    "barrier": "other threads at a barrier",
    "park": "another thread to unpark it",
    "futex": "a lock or a condition variable",
    "join": "the end of another thread",
}
_WHY = {
    "mutex": "A lock that these threads hold is given back by one of them only, so each needs what another one holds:"
    " they took the locks in different orders, or one kept a lock when it began to wait.",
    "condvar": "A signal is not kept: one that was sent before the wait began is lost, as when the condition is not"
    " checked under the mutex, or is changed without it; or the thread that should send it has ended.",
    "future": "Whoever should give the results waits itself, or they stand in a queue that no thread is left to work"
    " on: tasks of a pool that wait for other tasks of the same pool need a thread each.",
    "semaphore": "Who should post it waits itself, or has ended.",
    "barrier": "Fewer threads are left than the barrier waits for.",
    "park": "An unpark() was sent to another thread, or never; a receiver of a channel waits so as long as a sender is"
    " kept that nobody sends with any more.",
    "futex": "Who should wake them waits itself, or has ended.",
}
_WHY["rwlock"] = _WHY["mutex"]
_REMEDIES = {
    "mutex": "Take these locks in the same order everywhere, and give them back before waiting for anything else.",
    "condvar": "Change the condition and signal with the mutex held, and wait in a loop that checks the condition first"
    " (pthread_cond_wait in while, wait(lock, predicate)); signal on every way out of the thread that does.",
    "future": "Let no task of a pool wait for another one of the same pool: chain them, run the inner one at once, or"
    " use a second pool.",
    "semaphore": "Find who posts the semaphore, and the way on which it does not.",
    "barrier": "Compare the count of the barrier with the threads that reach it; one that ends early must be counted"
    " out.",
    "park": "Drop all senders of a channel that nobody sends with any more; for park() itself, check its condition in a"
    " loop around it, and change that before unpark().",
    "futex": "Find who should wake these threads, and why it can't.",
}
_REMEDIES["rwlock"] = _REMEDIES["mutex"]
_LOCKS = ("mutex", "rwlock")


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    found = stuck(report)
    if found is None:
        return
    kinds = [kind for kind in found.kinds if kind != "join"]
    count = len(report.threads)
    # A lock whose owner is known is told by what that one waits for.
    known = any(_owner(report, index) for kind in _LOCKS for index in found.kinds.get(kind, ()))
    first = next((kind for kind in kinds if kind not in _LOCKS), kinds[0]) if known else kinds[0]
    locking = first in _LOCKS
    told = [
        f"{locks.name(report.threads[index])} waits{locks.place(report.threads[index])} for {_FOR[kind]}"
        f"{_owner(report, index)}"
        for kind in found.kinds
        for index in found.kinds[kind]
    ]
    members = [index for kind in kinds if (kind in _LOCKS) == locking for index in found.kinds[kind]]
    places = ", ".join(
        f"{locks.name(report.threads[index])}{locks.place(report.threads[index])}" for index in members[:_SHOWN]
    )
    more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
    alone = count == 1 and locking
    all_of = {1: "the only thread waits", 2: "both threads wait"}.get(count, f"all {count} threads wait")
    if alone:
        title = f"Self-deadlock: the only thread waits for {_FOR[first]} that is held"
    elif locking:
        title = f"Deadlock: {all_of}, and only they can hold the locks"
    else:
        title = f"Hang: {all_of}, and {_LEFT[first]}"
    yield Finding(
        rule=RULE.id,
        title=f"{title}: {places}{more}"[:300],
        severity="critical",
        confidence="likely" if "semaphore" not in kinds else "possible",
        claim="cause",
        rivals=("A handler of a signal that would wake one of them.",),
        explanation=(
            "; ".join(told[:_EVIDENCE])
            + (f"; and {len(told) - _EVIDENCE} more" if len(told) > _EVIDENCE else "")
            + ". No wait of them has a time limit, no wake-up was under way, and there is no other thread."
            f" {_ALONE if alone else ' '.join(dict.fromkeys(_why(kind, locking) for kind in kinds))}"
        ),
        evidence=proof(
            report,
            *(
                (f"threads[{index}].wait.kind", f"what {locks.name(report.threads[index])} waits for")
                for indices in found.kinds.values()
                for index in indices[:_EVIDENCE]
            ),
            (f"threads[{members[0]}].wait.held", "the lock is held"),
            (f"threads[{members[0]}].wait.settled", "its word is as the wait began: nothing was about to wake it"),
            ("threads", "threads of the process"),
        ),
        remedies=(_RELEASE,) if alone else tuple(dict.fromkeys(_REMEDIES[kind] for kind in kinds)),
    )


_ALONE = "The thread itself must have it, from a call further out, or it was never given back."
_RELEASE = (
    "Look at the callers in the stack for the one that took the lock, and give it back before the call, or hand the"
    " guard"
    " on; drop(guard) ends it early in Rust."
)
_KEPT = "A lock that a thread keeps while it waits for something else keeps out who would bring that about."


def _why(kind: str, locking: bool) -> str:
    return _KEPT if kind in _LOCKS and not locking else _WHY[kind]


def _owner(report: Report, index: int) -> str:
    """ " that thread 7 holds", of a lock; "" where that is not recorded."""
    wait = report.threads[index].wait
    return f" that thread {wait.owner} holds" if wait is not None and wait.kind in _LOCKS and wait.owner else ""


_LEFT = {
    "condvar": "nobody is left to signal the condition variable",
    "future": "nobody is left to give the results of the futures",
    "semaphore": "nobody is left to post the semaphore",
    "barrier": "too few are left to pass the barrier",
    "park": "nobody is left to unpark one",
    "futex": "nobody is left to wake one",
}

RULE = Rule(id="all-threads-wait", group="process", specificity=36, check=check, documentation=__doc__ or "")
