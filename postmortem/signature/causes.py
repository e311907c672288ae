"""What a crash was of, in few words that stay the same from build to build: "null+0x40", "throw: shop::Error".

Where a runtime said something, its words are the cause; else the fault is: by what the kernel and the CPU tell,
not by what the rules suspect, since a suspicion may change with the luck of an address.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries import aborts, locks
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.rules.fault.uncaught_cxx_exception import in_flight
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.signature import frames as stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.model import Finding, Report

LONGEST = 80
"""Characters of a message: its beginning is what is common to its occurrences."""
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|(?<![A-Za-z_])\d+(?:\.\d+)?")
_QUOTED = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)")
_PATH = re.compile(r"(?<![\w.])(?:/[\w.+@~-]+){2,}/?")
_PLACE = re.compile(r"^panicked at [^\s:]+(?::\d+){1,2}: ")
"""Of a Rust panic: its function is told by the stack, its line differs between versions."""
_UNWRAPPED = re.compile(r"^(called `(?:Option|Result)::\w+\(\)`).*")
"""What follows is a value, or was cut."""
_ESTABLISHED = ("certain", "likely")


def cause(report: Report) -> tuple[str | None, str]:
    """(the rule that says so, the cause). The rule is None where the bare fault is the cause."""
    beside = _STATE if jvm_views.own_fault(report) else frozenset()
    for finding in report.findings:
        if finding.confidence in _ESTABLISHED and finding.rule in _SAID and finding.rule not in beside:
            return finding.rule, _SAID[finding.rule](report, finding)
    return None, fault(report)


def fault(report: Report) -> str:
    """The signal, and for a bad address what kind it is of."""
    signal = report.crash.signal
    if signal is None:
        return "no signal"
    if not jvm_views.memory_fault(report):
        return (
            signal.name
            if signal.code_name is None or signal.code in (None, 0, views.SI_TKILL)
            else (f"{signal.name} {signal.code_name}")
        )
    address = views.fault_address(report)
    if views.pc_is_fault(report):
        return "call: null" if address is not None and 0 <= address < views.FIRST_PAGE else "call: bad address"
    if address is not None and 0 <= address < views.NEAR_NULL:
        # Offsets into the VM's own structures and into Java objects differ between its versions.
        return "null" if _in_vm(report) else _null(report, address)
    if jvm_views.lost_page(report):
        return "lost page"
    if signal.code == views.SEGV_ACCERR and signal.name == "SIGSEGV":
        return "protected address"
    return "bad address"


def _null(report: Report, address: int) -> str:
    """The member of a null object. What an index or a loop added to the null pointer differs from crash to crash."""
    found = views.faulting_operand(report)
    return INDEXED if found is not None and found[1].displacement != found[1].address else f"null+{address:#x}"


INDEXED = "null+index"


def _in_vm(report: Report) -> bool:
    """The instruction that faulted is the JVM's or one that it generated."""
    frame = next(iter(views.crashing_frames(report)), None)
    return frame is not None and (jvm_frames.is_vm(frame) or jvm_frames.is_generated(frame))


def message(text: str | None, longest: int = LONGEST) -> str:
    """The first line of a message, numbers as N, paths as PATH and quoted texts as "…", cut."""
    line = next((line.strip() for line in (text or "").splitlines() if line.strip()), "")
    return _NUMBER.sub("N", _PATH.sub("PATH", _QUOTED.sub('"…"', line)))[:longest].strip()


def _with(prefix: str, words: str) -> str:
    return f"{prefix}: {words}" if words else prefix


def _assertion(report: Report, finding: Finding) -> str:
    text = (report.native.assertion or report.native.abort_message or "").strip()
    # The program's name before a message differs between installations.
    said = text.split(": Assertion ", 1)[-1]
    said = re.split(r"['’]? failed\.?$", said)[0].removeprefix("`").removeprefix("'")
    return _with("assert", _NUMBER.sub("N", said.splitlines()[0])[:LONGEST] if said else "")


def _abort_message(prefix: str) -> Callable[[Report, Finding], str]:
    return lambda report, finding: _with(prefix, message(report.native.abort_message))


def _abort(report: Report, finding: Finding) -> str:
    """By what libc said, else by what the program's own die() was given: its formats, not the values in them; else by
    what it printed; else by the line."""
    if report.native.abort_message:
        return _with("abort", message(report.native.abort_message))
    found = aborts.wrapped(report)
    if found is not None and found.literal:
        return _with("abort", message(": ".join(found.texts)))
    if report.native.printed:
        return _with("abort", message(report.native.printed.text))
    frame = found.frame if found is not None else next(iter(stack.own(views.crashing_frames(report))), None)
    return (
        f"abort at {file_name(frame.file)}:{frame.line}" if frame is not None and frame.file and frame.line else "abort"
    )


def _heap(report: Report, finding: Finding) -> str:
    """Which check of an allocator meets a defect first depends on the state of its lists and on the size of a block."""
    words = message(report.native.abort_message)
    return "heap" if not words or _GLIBC_HEAP.search(words) else _with("heap", words)


_GLIBC_HEAP = re.compile(
    r"double free|corrupt|mismatching|too many chunks|unaligned"
    r"|invalid (?:pointer|size|next |prev_|old|chunk)"
    r"|^(?:free|realloc|malloc|munmap_chunk|mremap_chunk|malloc_consolidate)\(\): "
)
"""glibc's words (malloc/malloc.c, malloc_printerr)."""


def _runtime_message(prefix: str) -> Callable[[Report, Finding], str]:
    return lambda report, finding: _with(prefix, message(report.native.runtime_message))


def _sanitizer(report: Report, finding: Finding) -> str:
    text = report.native.runtime_message or finding.title
    kind = re.search(r"(?:Sanitizer: |: runtime error: )([a-z][a-z -]+)", text)
    return _with("sanitizer", (kind[1].strip() if kind else message(text)))


def _exception(report: Report, finding: Finding) -> str:
    found = in_flight(report)
    if found is None:
        return "throw"
    return _with(f"throw: {found[1].type}", message(found[1].what or found[1].base_text))


def _panic(report: Report, finding: Finding) -> str:
    first = report.native.panics[0].text if report.native.panics else None
    text = _PLACE.sub("", first or report.native.runtime_message or "")
    return _with("panic", message(_UNWRAPPED.sub(r"\1", text)))


def _exhausted(what: str) -> Callable[[Report, Finding], str]:
    return lambda report, finding: f"oom: {what}"


def _metaspace(report: Report, finding: Finding) -> str:
    said = jvm_exhaustion.said(report)
    words = said[1].lower() if said is not None else finding.title.lower()
    return "oom: class space" if words.startswith("compressed class space") else "oom: metaspace"


def _java_heap(report: Report, finding: Finding) -> str:
    return "oom: array size" if jvm_exhaustion.ran_out_of(report, jvm_exhaustion.ARRAY) else "oom: java heap"


def _gc(report: Report, finding: Finding) -> str:
    """By the collector: which of its functions comes upon a damaged object is a matter of luck and of the version."""
    return _with("gc", jvm_views.collector(report) or "")


def _compiler(report: Report, finding: Finding) -> str:
    found = views.crashing_thread(report)
    thread = "" if found is None else (found[1].java and found[1].java.name) or found[1].name or ""
    return _with("compiler", thread.partition(" ")[0] if thread[:2] in ("C1", "C2") else "")


def _jni_fatal(report: Report, finding: Finding) -> str:
    error = jvm_views.error(report)
    return _with("fatal", message((error.detail or error.message) if error is not None else None))


def _vm_check(report: Report, finding: Finding) -> str:
    found = jvm_views.internal_error(report)
    return _with("vm", message(jvm_views.error_words(found)) if found is not None else "")


def _signal(prefix: str) -> Callable[[Report, Finding], str]:
    def words(report: Report, finding: Finding) -> str:
        return _with(prefix, report.crash.signal.name if report.crash.signal is not None else "")

    return words


def _seccomp(report: Report, finding: Finding) -> str:
    signal = report.crash.signal
    return _with("seccomp", str(signal.syscall_name or signal.syscall) if signal is not None else "")


def _deadlock(report: Report, finding: Finding) -> str:
    return "self-deadlock" if len(locks.deadlocked(report)) == 1 else "deadlock"


def _words(words: str) -> Callable[[Report, Finding], str]:
    return lambda report, finding: words


_SAID: dict[str, Callable[[Report, Finding], str]] = {
    "sanitizer-report": _sanitizer,
    "hardware-memory-error": _words("hardware memory error"),
    "mutex-deadlock": _deadlock,
    "jvm-java-deadlock": _words("deadlock"),
    "jvm-safepoint-stall": _words("safepoint stall"),
    "jvm-native-oom": _exhausted("native memory"),
    "jvm-java-heap-exhausted": _java_heap,
    "jvm-metaspace-exhausted": _metaspace,
    "jvm-direct-memory": _exhausted("direct memory"),
    "jvm-code-cache-full": _exhausted("code cache"),
    "jvm-crash-in-gc": _gc,
    "jvm-crash-in-compiler": _compiler,
    "jvm-unsafe-access": _words("unsafe"),
    "jvm-internal-error": _vm_check,
    "jvm-jni-fatal-error": _jni_fatal,
    "misaligned-access": _words("misaligned address"),
    "jvm-truncated-mapped-file": _words("lost page"),
    "jvm-stack-overflow": _words("stack-overflow"),
    "truncated-mapping": _words("lost page"),
    "stack-overflow": _words("stack-overflow"),
    "stack-smashing": _words("stack-smashing"),
    "buffer-overflow-detected": _words("buffer-overflow"),
    "thread-exhaustion": _exhausted("threads"),
    "out-of-memory": _exhausted("memory"),
    "mapping-exhaustion": _exhausted("mappings"),
    "assertion-failure": _assertion,
    "pure-virtual-call": _words("pure virtual call"),
    "uncaught-cxx-exception": _exception,
    "terminate-without-exception": _words("terminate"),
    "heap-corruption": _heap,
    "rust-panic": _panic,
    "go-fatal": _runtime_message("go"),
    "integer-division": _words("division"),
    "integer-overflow": _words("integer overflow"),
    "deliberate-abort": _abort,
    "seccomp-violation": _seccomp,
    "killed-by-signal": _signal("killed"),
    "raised-signal": _signal("raise"),
    "resource-limit-signal": _signal("limit"),
    "snapshot": _words("snapshot"),
}
"""Rules whose finding tells the cause; of any other rule the bare fault is it."""

_STATE = frozenset(
    {
        "mutex-deadlock", "jvm-java-deadlock", "jvm-safepoint-stall", "jvm-direct-memory", "jvm-code-cache-full",
        "thread-exhaustion", "mapping-exhaustion",
    }
)  # fmt: skip
"""What merely was so at the time where an instruction of the process faulted."""
