"""Shared by the rules on abort texts: is this an abort, what did libc say, who called it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from postmortem.model.queries import crash as views
from postmortem.model.queries import wrappers
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain

if TYPE_CHECKING:
    from postmortem.model import Report

_MUSL_ALLOCATOR = re.compile(
    r"get_meta|nontrivial_free|alloc_slot|alloc_group|free_group|try_avail|enframe|get_nominal_size|get_stride|set_size|"
    r"(?:__libc_|default_)?(?:free|realloc|malloc|calloc|malloc_impl)|aligned_alloc|malloc_usable_size|"
    r"__malloc_allzerop|unbin|__bin_chunk|alloc_rev|alloc_fwd"
)
_MUSL_ONLY = re.compile(r"__libc_|nontrivial_free|get_meta|alloc_slot")
"""Names that other allocators and programs do not have."""
_MUSL = re.compile(r"libc\.so|ld-musl-.*\.so\.1|libc\.musl-.*\.so\.1")
_RAISES = views.RAISES
_KILLS = re.compile(r"t?g?kill|rt_t?g?sigqueueinfo|pidfd_send_signal")


def musl_crash(report: Report) -> bool | None:
    """musl stops with hlt when a check fails, its allocator's in the first place: True where the function says that it
    is that, False where only the library is known, None where it is neither."""
    frames = views.crashing_frames(report)
    if report.crash.mnemonic != "hlt" or views.code(report) != views.SI_KERNEL or not frames:
        return None
    name, module = frames[0].function, frames[0].module
    of_musl = frames[0].linked_library is not None or (
        module is not None and _MUSL.fullmatch(file_name(module)) is not None
    )
    if name is not None and not of_musl and not _MUSL_ONLY.match(name):
        return None
    if name is not None:
        return True if _MUSL_ALLOCATOR.fullmatch(plain(name)) else None
    return False if of_musl else None


def musl_stack_check(report: Report) -> bool:
    """musl's __stack_chk_fail stopped the process, by hlt."""
    frames = views.crashing_frames(report)
    if report.crash.mnemonic != "hlt" or views.code(report) != views.SI_KERNEL or not frames:
        return False
    return (frames[0].function or "").startswith("__stack_chk_fail")


def musl_reads_block(report: Report) -> bool:
    """The fault is of a read that one of musl's checks of a block makes: a conditional jump over hlt follows it.

    Its allocator reads what a block's header names before it compares it with the block; after a double free nothing is
    named there.
    """
    frames, pc = views.crashing_frames(report), report.crash.pc
    if (
        not frames
        or frames[0].module is None
        or not views.raised_by_cpu(report)
        or views.access_word(report) == "write"
    ):
        return False
    if frames[0].function is not None and not _MUSL_ALLOCATOR.fullmatch(plain(frames[0].function)):
        return False
    code = [text for at, text in report.crash.disassembly if pc is not None and at >= pc]
    checks = [at for at, (jump, stop) in enumerate(pairwise(code)) if jump.startswith("j") and stop == "hlt"]
    named = _MUSL.fullmatch(file_name(frames[0].module)) is not None
    return bool(checks) and checks[0] in (1, 2) and (named or len(checks) > 1)


def aborted(report: Report) -> bool:
    """The process ended itself with SIGABRT."""
    if not views.signal_is(report, views.SIGABRT):
        return False
    value = views.code(report)
    return value is None or value == views.SI_TKILL or own_signal(report)


def own_signal(report: Report) -> bool:
    """kill, tgkill or sigqueue by the process itself."""
    signal = report.crash.signal
    if signal is not None and views.raised_on_stack(report):
        return True
    if signal is None or signal.code not in (views.SI_USER, views.SI_QUEUE, views.SI_TKILL):
        return False
    return signal.sender_pid is not None and signal.sender_pid == report.process.pid


def file_size_limit(report: Report) -> bool:
    """The kernel's SIGXFSZ: it sends it as if the process had, SI_USER with its own pid or none (mm/filemap.c,
    generic_write_check_limits(): send_sig(SIGXFSZ, current, 0)); raise() sends SI_TKILL.

    kill() looks alike; then that is the system call which the thread was in, or a function on its stack.
    """
    signal = report.crash.signal
    if signal is None or signal.number != views.SIGXFSZ or signal.code != views.SI_USER:
        return False
    if signal.sender_pid and signal.sender_pid != report.process.pid:
        return False
    found = views.crashing_thread(report)
    if found is not None and found[1].wait is not None:
        return _KILLS.fullmatch(found[1].wait.syscall) is None
    return views.first_named(report, lambda name: _RAISES.fullmatch(name) is not None) is None


def call(report: Report, caller: int) -> str | None:
    """ "abort()", "raise(SIGSEGV)": what sent the signal, as frame `caller` called it; None when it has no name."""
    name = report.crash.signal.name if report.crash.signal is not None else ""
    found = None
    for frame in views.crashing_frames(report)[:caller]:
        match = _RAISES.fullmatch(plain(frame.function)) if frame.function is not None else None
        found = match[1] if match is not None else found
    if found is None or found == "abort":
        return "abort()" if aborted(report) else None
    return f"{found}({name})"


def wrapped(report: Report) -> wrappers.Reported | None:
    """Who called the program's own function that called abort(); None without one, or below a signal's handler."""
    frames = views.crashing_frames(report)
    if not aborted(report) or report.crash.unwrapped or any(frame.kind == "signal" for frame in frames[:_NEAR]):
        return None
    return wrappers.reported(frames, report.native.fatal_calls)


_NEAR = 24


def message(report: Report) -> str:
    """libc's text, without the line end; "" when there is none or the process did not abort."""
    if not aborted(report):
        return ""
    return (report.native.abort_message or "").strip()
