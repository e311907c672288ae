"""The Java virtual machine: its error, heap, code, flags, virtual threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.html.panel import Panel, Shown
from reports.words import facts, stacks

if TYPE_CHECKING:
    from reports.html.panel import Page

_FLAGS = 2000
_VIRTUAL_THREADS = 300


def _build(page: Page) -> Shown | None:
    report, jvm = page.report, page.report.jvm
    if jvm is None:
        return None
    flags = page.rows(jvm.flags, "jvm.flags", _FLAGS)
    virtual = page.rows(jvm.virtual_threads, "jvm.virtual_threads", _VIRTUAL_THREADS)
    return Shown(
        {
            "jvm": jvm,
            "facts": facts.jvm_facts(report),
            "error": facts.error_facts(report),
            "heap": facts.heap_facts(report),
            "cache": facts.code_cache_facts(report),
            "metaspace": facts.metaspace_facts(report),
            "direct": facts.direct_memory_facts(report),
            "virtual": [(index, group, stacks.fold(group.frames)) for index, group in virtual],
            "set_flags": [(at, flag) for at, flag in flags if flag.origin not in (None, "default")],
            "default_flags": [(at, flag) for at, flag in flags if flag.origin in (None, "default")],
        }
    )


PANEL = Panel("jvm", "Java virtual machine", _build)
