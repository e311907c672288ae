"""What HTML, Markdown and the terminal say in words: one wording, several layouts.

Strings here are not yet made safe: each layout escapes for its own format, through `reports.text.visible`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from postmortem.model.queries.crash import crashing_thread
from reports.text import number, plural, size
from reports.words.answer import (
    _touched,
    numbered,
    signal_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postmortem.model import Crash, Module, Report

_LISTED = 12
_PAIRS = 60

MODULE_STATUS = {
    "matched": "file found, build-id equal",
    "mismatched": "a file was found, but its build-id differs",
    "missing": "no file found",
    "deleted": "deleted or replaced while the process ran",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A named value; `where` is its path in the report."""

    label: str
    value: str
    where: str = ""


# ---------------------------------------------------------------------------------------- stacks


# ---------------------------------------------------------------------------------------- threads


# ---------------------------------------------------------------------------------------- the answer


def unmatched_modules(report: Report) -> tuple[tuple[int, Module], ...]:
    """Modules whose file wasn't found as it was, with their place in the report."""
    return tuple((index, module) for index, module in enumerate(report.modules) if module.status != "matched")


def module_facts(module: Module) -> tuple[str, ...]:
    """What a module's own file says of it, as far as it was examined."""
    facts = []
    if module.package.get("name"):
        version = module.package.get("version")
        facts.append(f"package {module.package['name']}{f' {version}' if version else ''}")
    facts += [f"needs {name}, which is not mapped" for name in module.missing_libraries[:8]]
    facts += [f"needs {name}, which is not defined there" for name in module.missing_versions[:8]]
    if module.libc:
        facts.append(f"built for {module.libc}")
    if (made := module.hardening) is not None:
        present = {
            "full RELRO": made.relro == "full", "partial RELRO": made.relro == "partial",
            "stack protector": made.canary,
            "_FORTIFY_SOURCE": made.fortified, "position-independent code": made.position_independent,
            "CET": made.indirect_branch_tracking and made.shadow_stack, "BTI": made.branch_target_identification,
        }  # fmt: skip
        facts.append("built with " + (", ".join(name for name, there in present.items() if there) or "no hardening"))
        if made.relro == "none":
            facts.append("without RELRO")
        if made.executable_stack:
            facts.append("asks for an executable stack")
        if made.text_relocations:
            facts.append("has text relocations")
    facts += module.compilers[:2]
    if module.build_flags:
        facts.append(module.build_flags)
    return tuple(facts)


def module_advice(module: Module) -> str:
    """What would mend a module without its file."""
    known = f"build-id {module.build_id}" if module.build_id else "no build-id in the core"
    return {
        "mismatched": f"Give the file that ran ({known}) with --sysroot or --exe.",
        "missing": f"Give the file ({known}) with --sysroot, --debug-dir or --debuginfod.",
        "deleted": f"Find the file of before the upgrade ({known}) and give it with --debug-dir.",
    }.get(module.status, "")


# ---------------------------------------------------------------------------------------- facts


def _facts(*rows: tuple[str, object, str]) -> tuple[Fact, ...]:
    return tuple(Fact(label, str(value), where) for label, value, where in rows if value not in (None, "", ()))


def _sized(count: int | None) -> str | None:
    return None if count is None else size(count)


def _signed(count: int | None) -> str | None:
    return None if count is None else size(count) if count >= 0 else f"-{size(-count)}"


def _pairs(facts: Mapping[str, object]) -> str:
    """ "name value; name value"."""
    return "; ".join(f"{name} {value}" for name, value in list(facts.items())[:_PAIRS])


def _sizes(facts: Mapping[str, int]) -> str:
    largest = sorted(facts.items(), key=lambda item: -item[1])[:_LISTED]
    return "; ".join(f"{name} {size(count)}" for name, count in largest)


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else ("yes" if value else "no")


def time_text(crash: Crash) -> str | None:
    """ "2026-01-05 10:11:12 UTC (the log's date)"; nothing where it is not known."""
    if crash.time is None:
        return None
    date, _, clock = crash.time.partition("T")
    zone = " UTC" if clock.endswith("+00:00") else "" if "+" in clock or "-" in clock else " (its machine's time)"
    of = {"log": "by the log", "name": "by the core's name", "file": "when the core's file was last written"}
    return f"{date} {clock.removesuffix('+00:00')}{zone}, {of.get(crash.time_source or '', '')}".rstrip(", ")


def core_facts(report: Report) -> tuple[Fact, ...]:
    """The input and the process."""
    core, process = report.core, report.process
    truncated = f"yes, {size(core.lost)} lost" if core.truncated else None
    return _facts(
        ("Input", core.path, "core.path"),
        ("Size", size(core.size), "core.size"),
        ("Format", core.format, "core.format"),
        ("Machine", core.machine, "core.machine"),
        ("Truncated", truncated, "core.truncated"),
        ("Executable", process.executable, "process.executable"),
        ("Command", process.command, "process.command"),
        ("Arguments", " ".join(process.arguments), "process.arguments"),
        ("Process", process.pid, "process.pid"),
        ("Parent", process.ppid, "process.ppid"),
        ("User", process.uid, "process.uid"),
        ("Time", time_text(report.crash), "crash.time"),
        ("Threads", number(len(report.threads)) if report.threads else None, "threads"),
        ("Signature", report.signature.id if report.signature else None, "signature.id"),
    )


def native_facts(report: Report) -> tuple[Fact, ...]:
    """What the C and C++ runtimes left behind; addresses of little use alone come last."""
    native = report.native
    rows: list[tuple[str, object, str]] = [
        ("Abort message", native.abort_message, "native.abort_message"),
        ("Assertion", native.assertion, "native.assertion"),
        ("Runtime", native.runtime, "native.runtime"),
        ("errno", native.errno, "native.errno"),
    ]
    for index, exception in enumerate(native.exceptions):
        thread = f" in thread {exception.tid}" if exception.tid is not None else ""
        what = f": {exception.what}" if exception.what else ""
        if exception.base_text and not what:
            what = f" (text of its base class: {exception.base_text})"
        rows.append(
            (
                "C++ exception",
                f"{exception.type}{what} at {exception.address}{thread}",
                f"native.exceptions[{index}]",
            )
        )
    rows += [
        ("Rust panic", f"{panic.text or 'no text'} at {panic.address}", f"native.panics[{index}]")
        for index, panic in enumerate(native.panics)
    ]
    if native.arenas:
        total = sum(arena.size for arena in native.arenas)
        rows.append(("malloc arenas", f"{plural(len(native.arenas), 'arena')}, {size(total)}", "native.arenas"))
    rows += [
        ("Anonymous memory", size(native.anonymous) if native.anonymous else None, "native.anonymous"),
        ("Stack canary", native.stack_canary, "native.stack_canary"),
        ("HWCAP", native.hwcap, "native.hwcap"),
        ("HWCAP2", native.hwcap2, "native.hwcap2"),
    ]
    return _facts(*rows)


def jvm_facts(report: Report) -> tuple[Fact, ...]:
    """The VM in general."""
    jvm = report.jvm
    if jvm is None:
        return ()
    point = jvm.safepoint
    waiting = f", {point.waiting_to_block} threads still to stop" if point and point.waiting_to_block else ""
    return _facts(
        ("Version", jvm.version, "jvm.version"),
        ("JDK", jvm.runtime, "jvm.runtime"),
        ("VM", jvm.name, "jvm.name"),
        ("Vendor", jvm.vendor, "jvm.vendor"),
        ("Read through", jvm.tier, "jvm.tier"),
        ("Java command", jvm.java_command, "jvm.java_command"),
        ("Safepoint", f"{point.state}{waiting}" if point and point.state else None, "jvm.safepoint"),
        ("VM operation", jvm.vm_operation, "jvm.vm_operation"),
        ("Ran for", None if jvm.uptime is None else f"{jvm.uptime:,.1f} s", "jvm.uptime"),
        ("Build", jvm.build, "jvm.build"),
        ("References", jvm.compressed_oops, "jvm.compressed_oops"),
        ("Errors thrown", _pairs(jvm.exception_counts), "jvm.exception_counts"),
        ("Threads refused", "; ".join(thread.text for thread in jvm.failed_threads[:_LISTED]), "jvm.failed_threads"),
        ("Warnings", "; ".join(jvm.warnings[:_LISTED]), "jvm.warnings"),
        ("Locks of the VM", "; ".join(jvm.vm_locks[:_LISTED]), "jvm.vm_locks"),
        ("Agents", "; ".join(jvm.agents[:_LISTED]), "jvm.agents"),
        ("Native memory", _sizes(jvm.native_memory), "jvm.native_memory"),
        ("Notes", "; ".join(jvm.notes[:_LISTED]), "jvm.notes"),
        ("Details", _pairs(jvm.details), "jvm.details"),
    )


def error_facts(report: Report) -> tuple[Fact, ...]:
    """What the VM's own error reporter recorded."""
    error = report.jvm.error if report.jvm else None
    if error is None:
        return ()
    place = error.file if error.line is None else f"{error.file}:{error.line}"
    return _facts(
        ("Id", hex(error.id) if error.id is not None and error.id > 255 else error.id, "jvm.error.id"),
        ("Message", error.message, "jvm.error.message"),
        ("Detail", error.detail, "jvm.error.detail"),
        ("At", place if error.file else None, "jvm.error.file"),
        ("Bytes asked for", _sized(error.size), "jvm.error.size"),
    )


def direct_memory_facts(report: Report) -> tuple[Fact, ...]:
    """Direct buffers, which lie outside the Java heap."""
    direct = report.jvm.direct_memory if report.jvm else None
    if direct is None:
        return ()
    return _facts(
        ("Reserved", _sized(direct.used), "jvm.direct_memory.used"),
        ("Maximum", _sized(direct.maximum), "jvm.direct_memory.maximum"),
        ("Buffers", None if direct.buffers is None else number(direct.buffers), "jvm.direct_memory.buffers"),
    )


def host_facts(report: Report) -> tuple[Fact, ...]:
    """The machine or container."""
    host = report.host
    if host is None:
        return ()
    load = ", ".join(f"{value:g}" for value in host.load)
    limits = "; ".join(f"{name} {value}" for name, value in host.limits.items())
    return _facts(
        ("System", host.operating_system, "host.operating_system"),
        ("Kernel", host.kernel, "host.kernel"),
        ("CPU", host.cpu, "host.cpu"),
        ("Processors", host.cpus, "host.cpus"),
        ("Memory", _sized(host.memory), "host.memory"),
        ("Memory available", _sized(host.memory_available), "host.memory_available"),
        ("Swap", _sized(host.swap), "host.swap"),
        ("Swap free", _sized(host.swap_free), "host.swap_free"),
        ("Container", host.container, "host.container"),
        ("Container's memory limit", _sized(host.memory_limit), "host.memory_limit"),
        ("Container's memory used", _sized(host.memory_used), "host.memory_used"),
        ("Container's processors", host.cpu_limit, "host.cpu_limit"),
        ("Container's tasks", host.tasks, "host.tasks"),
        ("Container's task limit", host.tasks_limit, "host.tasks_limit"),
        ("Commit limit", _sized(host.commit_limit), "host.commit_limit"),
        ("Commit left", _signed(host.commit_available), "host.commit_available"),
        ("Committed", _sized(host.committed), "host.committed"),
        ("Process", _pairs(host.process_memory), "host.process_memory"),
        ("Kernel parameters", _pairs(host.parameters), "host.parameters"),
        ("Container", _pairs(host.container_facts) if host.container is None else None, "host.container_facts"),
        ("Details", _pairs(host.details), "host.details"),
        ("CPU features", " ".join(host.cpu_features), "host.cpu_features"),
        ("Limits", limits or None, "host.limits"),
        ("Load", load or None, "host.load"),
        ("Virtualization", host.virtualization, "host.virtualization"),
    )


def heap_facts(report: Report) -> tuple[Fact, ...]:
    """The Java heap as a whole."""
    heap = report.jvm.heap if report.jvm else None
    if heap is None:
        return ()
    return _facts(
        ("Collector", heap.collector, "jvm.heap.collector"),
        ("Used", _sized(heap.used), "jvm.heap.used"),
        ("Capacity", _sized(heap.capacity), "jvm.heap.capacity"),
        ("Maximum", _sized(heap.maximum), "jvm.heap.maximum"),
        ("Collections", heap.collections, "jvm.heap.collections"),
        ("Collecting at the crash", _yes_no(heap.gc_active), "jvm.heap.gc_active"),
    )


def code_cache_facts(report: Report) -> tuple[Fact, ...]:
    """The code cache as a whole."""
    cache = report.jvm.code_cache if report.jvm else None
    if cache is None:
        return ()
    return _facts(
        ("Used", _sized(cache.used), "jvm.code_cache.used"),
        ("Reserved", _sized(cache.reserved), "jvm.code_cache.reserved"),
        ("Compiled methods", cache.nmethods, "jvm.code_cache.nmethods"),
    )


def metaspace_facts(report: Report) -> tuple[Fact, ...]:
    """Metaspace and the compressed class space."""
    space = report.jvm.metaspace if report.jvm else None
    if space is None:
        return ()
    return _facts(
        ("Used", _sized(space.used), "jvm.metaspace.used"),
        ("Committed", _sized(space.committed), "jvm.metaspace.committed"),
        ("Maximum", _sized(space.maximum), "jvm.metaspace.maximum"),
        ("Class space used", _sized(space.class_used), "jvm.metaspace.class_used"),
        ("Class space committed", _sized(space.class_committed), "jvm.metaspace.class_committed"),
        ("Class space maximum", _sized(space.class_maximum), "jvm.metaspace.class_maximum"),
        ("Class loaders", space.loaders, "jvm.metaspace.loaders"),
        ("Classes", space.classes, "jvm.metaspace.classes"),
    )


def share(part: int | None, whole: int | None) -> float | None:
    """part / whole in percent, 0..100; None when either isn't known."""
    if part is None or not whole or whole < 0:
        return None
    return min(100.0, max(0.0, 100.0 * part / whole))


@functools.cache
def format_share(value: float) -> str:
    """ "42 %", "0.3 %"."""
    if 0 < value < 0.1:
        return "< 0.1 %"
    return f"{value:.0f} %" if value >= 1 or value == 0 else f"{value:.1f} %"


def crash_facts(report: Report) -> tuple[Fact, ...]:
    """The fault as the kernel, the CPU and the instruction tell it."""
    crash = report.crash
    signal = crash.signal
    address = _touched(crash)
    about = f" ({crash.fault_address_text})" if crash.fault_address_text else ""
    rows: list[tuple[str, object, str]] = [
        (
            "Signal",
            signal_text(signal, report.process.pid, number=numbered(report)) if signal else None,
            "crash.signal",
        ),
        ("Fault address", None if address is None else f"{address}{about}", "crash.fault_address"),
        ("Known from", crash.fault_address_source, "crash.fault_address_source"),
        ("Access", crash.access, "crash.access"),
        ("pc", crash.pc, "crash.pc"),
        ("Instruction", crash.instruction, "crash.instruction"),
        ("Its bytes", crash.instruction_bytes, "crash.instruction_bytes"),
        ("Called from", crash.call_site, "crash.call_site"),
        ("Thread", crash.tid, "crash.tid"),
        ("Trap number", crash.trap_number, "crash.trap_number"),
        ("CPU error code", None if crash.error_code is None else hex(crash.error_code), "crash.error_code"),
        (
            "Signal of the core",
            signal_text(crash.handler_signal, report.process.pid) if crash.handler_signal else None,
            "crash.handler_signal",
        ),
        ("Taken by thread", crash.handler_tid, "crash.handler_tid"),
    ]
    rows += [
        (f"Value of {name}", hex(value), f"crash.operand_values.{name}") for name, value in crash.operand_values.items()
    ]
    return _facts(*rows)


def register_rows(report: Report) -> tuple[tuple[str, str, str, str], ...]:
    """(register, value, what it points at, path) of the crashing thread."""
    rows = [
        (note.register, str(note.value), note.text, f"crash.registers[{at}]")
        for at, note in enumerate(report.crash.registers)
    ]
    named = {name for name, _, _, _ in rows}
    if (found := crashing_thread(report)) is not None:
        index, thread = found
        rows += [
            (name, str(value), "", f"threads[{index}].registers.{name}")
            for name, value in thread.registers.items()
            if name not in named
        ]
    return tuple(rows)
