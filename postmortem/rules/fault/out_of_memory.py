"""Out of memory.

What it finds: an uncaught std::bad_alloc, an abort whose text says that an allocation failed, or Rust's
handle_alloc_error.
Why it matters: either a limit was reached, or the size asked for was nonsense; they need opposite answers.
Evidence it needs: the exception in flight, libc's or a runtime's text, or Rust's functions for it on the stack.
False alarms: none known for these; a null pointer after malloc is not counted.
Rivals excluded: another exception in flight; an abort without a failed allocation.
What to do: compare the mapped memory with RLIMIT_AS, the cgroup's limit and the machine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import aborts
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.fault.uncaught_cxx_exception import in_flight
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

BAD_ALLOC = ("std::bad_alloc", "std::bad_array_new_length")
_TEXT = Lazy(
    r"out of memory|cannot allocate memory|memory exhausted|memory allocation of \d+ bytes failed"
    r"|virtual memory exhausted|failed to allocate|reached heap limit|invalid table size|invalid array length"
    r"|(?:ineffective|scavenger|mark-compact)[^\n]* heap limit|heap out of memory",
    re.IGNORECASE,
)
_BYTES = Lazy(r"allocation of (\d{1,20}) bytes failed", re.IGNORECASE)
_BEYOND = 1 << 47
"""No process of Linux on x86-64 has so much address space (with 4 levels of page tables)."""
_EITHER = (
    "A limit was reached: the address space (RLIMIT_AS), the cgroup, overcommit or the machine.",
    "A size that no machine could give: an error in its computation.",
)
_GROWN = (
    "Compare the mapped memory above with ulimit -v, memory.max of the cgroup and vm.overcommit_memory.",
    "If memory grew over time, take a heap profile: heaptrack, jemalloc's prof, or valgrind --tool=massif.",
)
_RUST = (
    "alloc::alloc::handle_alloc_error",
    "alloc::alloc::rust_oom",
    "std::alloc::rust_oom",
    "std::alloc::handle_alloc_error",
    "__rustc::__rust_alloc_error_handler",
    "__rust_alloc_error_handler",
    "__rg_oom",
    "__rdl_oom",
)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    found = in_flight(report)
    thrown = found is not None and found[1].type in BAD_ALLOC
    said = ""
    if not thrown and aborts.aborted(report):
        texts = (
            ("native.abort_message", report.native.abort_message),
            ("native.runtime_message", report.native.runtime_message),
        )
        said = next((where for where, text in texts if text and _TEXT.search(text)), "")
    rust = views.last_named(report, _is_rust) if not thrown and not said and aborts.aborted(report) else None
    if not thrown and not said and rust is None:
        return
    total = sum(m.end - m.start for m in report.mappings)
    mapped = f" The process had {views.size_text(total)} mapped in {len(report.mappings)} mappings." if total else ""
    size = _size(report, said)
    length = (found is not None and thrown and found[1].type == "std::bad_array_new_length") or (
        size is not None and size >= _BEYOND
    )
    where = views.inside(report)
    if said and report.native.runtime == "V8":
        yield _of_v8(report, said)
        return
    yield Finding(
        rule=RULE.id,
        title=(f"Impossible size of an allocation{where}: " if length else f"Out of memory{where}: ")
        + ("uncaught " + found[1].type if thrown and found else "an allocation failed"),
        severity="critical",
        confidence="certain",
        claim="cause" if length or size is not None else "observation",
        rivals=() if length or size is not None else _EITHER,
        explanation="An allocation failed and nobody handled it."
        + mapped
        + (
            " The size asked for was negative or beyond any address space: an error in a computation, not a"
            " lack of memory."
            if length
            else (
                (
                    f" {views.size_text(size)} were asked for."
                    if size is not None
                    else " How much was asked for is not known."
                )
                + " With little mapped, the size asked for is an error in a computation; with much, a limit was"
                " reached: the address space (RLIMIT_AS), the cgroup, overcommit or the machine."
            )
        ),
        evidence=proof(
            report,
            (f"native.exceptions[{found[0]}].type" if thrown and found else "", "the exception in flight"),
            (said, "what was said"),
            (views.frame_path(report, rust[0]) if rust else "", "Rust's end after a failed allocation"),
            ("crash.requested" if size is not None and not said else "", "bytes that operator new was asked for"),
            ("native.errno", "errno of the crashing thread (12 is ENOMEM)"),
            ("mappings", "mappings of the process"),
            ("memory.by_kind", "kinds of memory"),
            (views.blamed_path(report), "the function that asked"),
        ),
        remedies=(
            (
                f"Look at the size asked for{where}: is it computed from unchecked input, negative, or"
                " multiplied beyond range?"
            ),
            *(() if length else _GROWN),
        ),
    )


def _size(report: Report, said: str) -> int | None:
    """The bytes that were asked for, where the run-time's text or the call of operator new says so."""
    if not said:
        return report.crash.requested
    text = report.native.runtime_message if said == "native.runtime_message" else report.native.abort_message
    found = _BYTES.search(text or "")
    return int(found[1]) if found is not None else None


def _of_v8(report: Report, said: str) -> Finding:
    text = " ".join((report.native.runtime_message or "").split())[:200]
    return Finding(
        rule=RULE.id,
        title=f"JavaScript heap out of memory: {text}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            f"V8 ended the process with {text!r}: its heap had reached its limit and the collector could free too"
            " little. That limit is V8's own, far below the memory of most machines; which objects fill the heap is not"
            " told here."
        ),
        evidence=proof(report, (said, "what V8 said"), ("memory.by_kind", "kinds of memory")),
        remedies=(
            "Run with --heapsnapshot-near-heap-limit=2 and look at what retains the objects (Chrome DevTools).",
            "If the data is legitimate, raise --max-old-space-size (MiB) below the container's limit.",
        ),
    )


def _is_rust(name: str) -> bool:
    return name.startswith(_RUST)


RULE = Rule(id="out-of-memory", group="fault", specificity=93, check=check, documentation=__doc__ or "")
