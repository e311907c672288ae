"""Methods that the JIT compilers were compiling: CompilerThread::_env, ciEnv::_task, CompileTask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model.jvm import Compilation

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.runtimes.hotspot.layout.reading import Reading
    from postmortem.runtimes.hotspot.threads.threads import ThreadTable

_COMPILER = "CompilerThread"


def compilations(
    vm: Reading, table: ThreadTable, method_name: Callable[[int | None], str | None]
) -> tuple[Compilation, ...]:
    """One for each compiler thread that was at work."""
    found = []
    for thread in table.threads:
        # Without vtables the name tells: "C2 CompilerThread0", "C1 CompilerThread0".
        if not thread.is_java or (_COMPILER not in (thread.kind or "") and _COMPILER not in (thread.name or "")):
            continue
        task = vm.field(vm.field(thread.address, "CompilerThread._env"), "ciEnv._task")
        method = method_name(vm.field(task, "CompileTask._method"))
        if method is None:
            continue
        osr = vm.i32(vm.at(task, "CompileTask._osr_bci"))
        found.append(
            Compilation(
                thread=thread.name,
                tid=thread.tid,
                method=method,
                level=vm.byte(vm.at(task, "CompileTask._comp_level")),
                osr_bci=osr if osr is not None and osr >= 0 else None,
                compile_id=vm.i32(vm.at(task, "CompileTask._compile_id")),
            )
        )
    return tuple(found)
