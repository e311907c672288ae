"""The diagnosis rules: one file each, ALL of them in running order.

Adding a rule: its file, a line in ROWS, a test, and what it silences in ranking.SILENCES.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmortem.rules.rule import Rule

ROWS = (
    "fault.sanitizer_report",
    "fault.hardware_memory_error",
    "fault.crash_in_signal_handler",
    "jvm.jvm_signal_chain",
    "jvm.jvm_java_deadlock",
    "jvm.jvm_thread_pool_starved",
    "jvm.jvm_exit_stalled",
    "jvm.jvm_gc_locker_stall",
    "jvm.jvm_pinned_carriers",
    "jvm.jvm_finalizer_blocked",
    "jvm.jvm_lost_wakeup",
    "jvm.jvm_lock_convoy",
    "jvm.jvm_native_oom",
    "jvm.jvm_java_heap_exhausted",
    "jvm.jvm_metaspace_exhausted",
    "jvm.jvm_truncated_mapped_file",
    "jvm.jvm_stack_overflow",
    "jvm.jvm_crash_in_gc",
    "jvm.jvm_crash_in_compiler",
    "jvm.jvm_unsafe_access",
    "jvm.jvm_bad_native_return",
    "jvm.jvm_internal_error",
    "jvm.jvm_illegal_instruction",
    "jvm.jvm_arithmetic_fault",
    "jvm.jvm_write_protected_code",
    "jvm.jvm_windows_exception",
    "jvm.jvm_crash_in_compiled_code",
    "jvm.jvm_crash_in_interpreter",
    "jvm.jvm_crash_in_native_library",
    "jvm.jvm_jni_fatal_error",
    "jvm.jvm_bad_jni_reference",
    "jvm.jvm_vm_code_crash",
    "jvm.jvm_safepoint_stall",
    "jvm.jvm_code_cache_full",
    "jvm.jvm_direct_memory",
    "jvm.jvm_memory_over_limit",
    "process.thread_exhaustion",
    "fault.out_of_memory",
    "fault.assertion_failure",
    "fault.pure_virtual_call",
    "fault.uncaught_cxx_exception",
    "fault.terminate_without_exception",
    "fault.heap_corruption",
    "fault.stack_smashing",
    "fault.buffer_overflow_detected",
    "fault.rust_panic",
    "fault.go_fatal",
    "fault.seccomp_violation",
    "fault.resource_limit_signal",
    "fault.stack_overflow",
    "fault.truncated_mapping",
    "fault.python_without_gil",
    "fault.unloaded_code",
    "fault.class_definition_mismatch",
    "fault.return_address_overwritten",
    "fault.ended_frame",
    "fault.static_object_lifetime",
    "fault.dangling_stack_pointer",
    "fault.null_function_call",
    "fault.misaligned_access",
    "fault.integer_division",
    "fault.integer_overflow",
    "fault.floating_point_exception",
    "fault.illegal_instruction",
    "fault.privileged_instruction",
    "fault.breakpoint_trap",
    "fault.use_after_free",
    "fault.null_dereference",
    "fault.execute_non_executable",
    "fault.write_to_read_only",
    "fault.non_canonical_address",
    "fault.protected_page",
    "fault.unmapped_address",
    "process.mutex_deadlock",
    "process.all_threads_wait",
    "process.mapping_exhaustion",
    "process.lock_convoy",
    "process.orphaned_lock",
    "fault.killed_by_signal",
    "process.malloc_arena_growth",
    "fault.raised_signal",
    "fault.deliberate_abort",
    "fault.snapshot",
    "fault.fatal_signal",
    "jvm.jvm_risky_flags",
    "jvm.jvm_outdated",
    "process.replaced_binary",
    "process.mixed_libraries",
    "process.truncated_core",
    "process.incomplete_core",
    "process.missing_symbols",
)
"""Group and file of each rule, in running order; the rule's id is its file's name, with hyphens."""

ALL: tuple[Rule, ...]


@functools.cache
def rules(*, jvm: bool) -> tuple[Rule, ...]:
    """The rules; jvm: with those that are about a JVM, whose import is a tenth of the analysis of a small core."""
    rows = (row for row in ROWS if jvm or not row.startswith("jvm."))
    return tuple(import_module(f"{__name__}.{row}").RULE for row in rows)


def __getattr__(name: str) -> tuple[Rule, ...]:
    if name != "ALL":
        raise AttributeError(name)
    return rules(jvm=True)
