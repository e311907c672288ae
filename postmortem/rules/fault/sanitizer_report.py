"""Report of a sanitizer.

What it finds: AddressSanitizer, UndefinedBehaviorSanitizer, ThreadSanitizer or another ended the process.
Why it matters: its report names the error, often with the stacks of allocation and free.
Evidence it needs: the run-time's frames on the crashing stack or over the caught fault, or its text in
memory.
False alarms: a program only built with a sanitizer is not enough.
Rivals excluded: a program that was only built with a sanitizer; an abort outside of the sanitizer's runtime.
What to do: read the report; the first frame after the sanitizer's own is the place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAMES = Lazy(
    r"__(?P<a>asan|ubsan|tsan|msan|lsan|hwasan|sanitizer)(?:_report\w*|_handle\w*|::.*|_on_error|_die.*|_abort.*)"
)
_NAMES = {
    "asan": "AddressSanitizer",
    "ubsan": "UndefinedBehaviorSanitizer",
    "tsan": "ThreadSanitizer",
    "msan": "MemorySanitizer",
    "lsan": "LeakSanitizer",
    "hwasan": "HWAddressSanitizer",
}
_HANDLER = Lazy(r"__ubsan_handle_(?P<kind>\w+?)(?:_v\d)?(?:_minimal)?(?:_abort)?")
_KINDS = {
    "type_mismatch": "null or misaligned pointer, or too small an object",
    "alignment_assumption": "pointer without the alignment that was promised",
    "add_overflow": "signed integer overflow in an addition",
    "sub_overflow": "signed integer overflow in a subtraction",
    "mul_overflow": "signed integer overflow in a multiplication",
    "negate_overflow": "signed integer overflow in a negation",
    "divrem_overflow": "division by zero, or of the smallest value by -1",
    "shift_out_of_bounds": "shift by too much or of a negative value",
    "out_of_bounds": "array index out of bounds",
    "local_out_of_bounds": "access beyond a local object",
    "builtin_unreachable": "__builtin_unreachable() was reached",
    "missing_return": "end of a function that returns a value, without return",
    "vla_bound_not_positive": "variable-length array whose size is not positive",
    "float_cast_overflow": "floating-point number beyond the integer type that it is converted to",
    "load_invalid_value": "value that its type cannot have (bool, enum)",
    "implicit_conversion": "implicit conversion that changes the value",
    "invalid_builtin": "invalid argument of a compiler's builtin",
    "function_type_mismatch": "call through a function pointer of the wrong type",
    "nonnull_return": "null returned where it must not be",
    "nullability_return": "null returned where it must not be",
    "nonnull_arg": "null for an argument that must not be null",
    "nullability_arg": "null for an argument that must not be null",
    "pointer_overflow": "overflow of a pointer's arithmetic",
    "cfi_check_fail": "indirect call or cast of the wrong type (CFI)",
    "dynamic_type_cache_miss": "object that is not of the type that it is used as",
}
"""By the run-time's function that the program called (compiler-rt, lib/ubsan/ubsan_handlers.h)."""
_REPORTS = {
    "__tsan::ReportRace": "data race",
    "__tsan::ReportDeadlock": "lock-order inversion (potential deadlock)",
    "__tsan::ReportMutexMisuse": "misuse of a mutex",
    "__tsan::ReportDestroyLocked": "destruction of a locked mutex",
    "__tsan::ReportMutexHeldWrongContext": "mutex held in the wrong context",
    "__tsan::ReportErrnoSpoiling": "signal handler that changes errno",
    "__asan::ReportDoubleFree": "double free",
    "__asan::ReportFreeNotMalloced": "free of memory that malloc did not give",
    "__asan::ReportAllocTypeMismatch": "free or delete of memory that was allocated in another way",
    "__asan::ReportNewDeleteTypeMismatch": "delete of an object with another size than new gave it",
    "__asan::ReportODRViolation": "two definitions of one global variable (ODR)",
    "__asan::ReportStackOverflow": "stack overflow",
    "__msan::ReportUMR": "use of an uninitialised value",
}
"""By the function of its run-time that makes the report (compiler-rt: tsan_rtl_report.cpp, tsan_rtl_mutex.cpp,
asan_report.cpp, msan_report.cpp), where the text is not found."""
_TSAN_FIX = {
    "data race": "Guard what both threads access with one mutex, or make it std::atomic.",
    "lock-order inversion (potential deadlock)": "Take these mutexes in one order everywhere.",
}
_TSAN_ANY = "Fix the use of the mutex that the report names; the first frame after the sanitizer's own is the place."
_ERROR = Lazy(
    r"(?:ERROR|WARNING): (?P<tool>\w+Sanitizer): "
    r"(?P<kind>(?:attempting )?[\w-]+(?:(?: (?!on\b|at\b|in\b|\(|0x)[\w-]+){0,5}))"
)
_ACCESS = Lazy(r"\b(?P<access>READ|WRITE) of size (?P<size>\d+)")
_UNDEFINED = Lazy(r"runtime error: (?P<what>[^\n]+)")
_SUMMARY = Lazy(r"(?:SUMMARY: |ERROR: |WARNING: )?(\w+Sanitizer: [^\n]+|[^\n]*runtime error: [^\n]+)")


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    found = _frame(report)
    text = (report.native.runtime_message or "").strip()
    runtime = (report.native.runtime or "").casefold()
    worded = not runtime and ("Sanitizer: " in text or "runtime error: " in text)
    of_sanitizer = "sanitizer" in runtime or runtime in _NAMES or worded
    if found is None and not (of_sanitizer and text and views.signal_is(report, views.SIGABRT)):
        return
    text = text if of_sanitizer else ""
    kind = _NAMES.get(found[1], "") if found else ""
    kind = next((name for key, name in _NAMES.items() if runtime in (key, name.casefold())), kind) or "A sanitizer"
    handled = (_handled(report) or _reported(report)) if not text else None
    tsan = kind == _NAMES["tsan"]
    summary = _SUMMARY.search(text)
    said = summary.group(1).strip()[:200] if summary else " ".join(text.split())[:200]
    where = views.inside(report)
    title = _title(kind, text, said) if handled is None else f"{kind}: {handled[1]}"
    blamed = views.blamed(report)
    named = blamed is not None and culprit.label(blamed[1]) in title
    yield Finding(
        rule=RULE.id,
        title=title if named else f"{title}{where}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=f"{kind} found an error{where} and ended the process."
        + (f" It said: {said!r}." if said else "")
        + (f" What it found is told by the function of its run-time that was called: {handled[1]}." if handled else "")
        + ("" if said else " Its text was not found in memory; it was written to stderr."),
        evidence=proof(
            report,
            (found[0] if found else "", "the sanitizer's run-time"),
            (handled[0] if handled else "", "which check it was"),
            ("native.runtime_message" if text else "", "its report"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            (
                "Read the full report on stderr or in the file of log_path=: it names the values."
                if kind == _NAMES["ubsan"]
                else "Read the full report on stderr or in the file of log_path=: it has the stacks of both threads,"
                " the mutexes that they held, and where the threads were created."
                if tsan
                else "Read the full report on stderr or in the file of log_path=: it has the stacks of the access,"
                " the allocation and the free."
            ),
            _TSAN_FIX.get(handled[1], _TSAN_ANY)
            if tsan and handled is not None
            else f"Fix the {'operation' if kind == _NAMES['ubsan'] else 'access'}{where}; the first frame after the"
            " sanitizer's own is the place.",
        ),
    )


def _handled(report: Report) -> tuple[str, str] | None:
    """(path, words) of the check of UBSan whose handler the program called."""
    for index, frame in enumerate(views.crashing_frames(report)):
        match = _HANDLER.fullmatch(plain(frame.function)) if frame.function and frame.trust != "scan" else None
        if match is not None and match["kind"] in _KINDS:
            return views.frame_path(report, index), _KINDS[match["kind"]]
    return None


def _reported(report: Report) -> tuple[str, str] | None:
    """(path, words) of the kind of error whose report the run-time made."""
    for index, frame in enumerate(views.crashing_frames(report)):
        kind = _REPORTS.get(plain(frame.function)) if frame.function and frame.trust != "scan" else None
        if kind is not None:
            return views.frame_path(report, index), kind
    return None


def _title(kind: str, text: str, said: str) -> str:
    """ "AddressSanitizer: heap-use-after-free (write of 4 bytes)": the kind of error, without addresses."""
    error = _ERROR.search(text)
    if error is not None:
        access = _ACCESS.search(text)
        how = f" ({access['access'].lower()} of {access['size']} bytes)" if access else ""
        return f"{error['tool']}: {error['kind'].strip()}{how}"
    undefined = _UNDEFINED.search(text)
    if undefined is not None:
        return f"{kind}: {undefined['what'].strip()[:160]}"
    return said if said.startswith(kind) else f"{kind} ended the process" + (f": {said}" if said else "")


def _frame(report: Report) -> tuple[str, str] | None:
    """(path, sanitizer) of the innermost frame of a sanitizer that is reporting."""
    crashing = views.crashing_thread(report)
    if crashing is None:
        return None
    index, thread = crashing
    for member, frames in (("frames", thread.frames), ("handler_frames", thread.handler_frames or ())):
        for position, frame in enumerate(frames):
            match = _FRAMES.match(plain(frame.function)) if frame.function else None
            if match:
                return f"threads[{index}].{member}[{position}].function", _specific(frames[position:], match["a"])
    return None


def _specific(frames: tuple[Frame, ...], first: str) -> str:
    """The sanitizer's own name where the innermost frame is of the part that all share."""
    names = (match["a"] for f in frames if f.function and (match := _FRAMES.match(plain(f.function))))
    return next((name for name in names if name != "sanitizer"), first)


RULE = Rule(id="sanitizer-report", group="fault", specificity=95, check=check, documentation=__doc__ or "")
