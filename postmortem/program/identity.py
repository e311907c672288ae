"""Who died: pid, command line, environment, from NT_PRPSINFO and the top of the main stack.

At start the kernel lays argc, argv[], NULL, envp[], NULL, auxv on the stack and the strings above them
(fs/binfmt_elf.c create_elf_tables); AT_EXECFN and AT_RANDOM point into that area.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Protocol

from parsers.elf import notes
from parsers.limits import LIMITS
from postmortem.model import Process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parsers.elf.core import Core
    from postmortem.program.memory import AddressSpace
    from postmortem.program.modules import ModuleMap

_SEARCH = LIMITS.identity_search
_DESCRIPTOR = 1 << 14
"""More than struct pthread and what lies above it on a thread's stack."""


class Pointers(Protocol):
    """What is asked of a machine: the registers that point at a thread's stack and at its descriptor."""

    sp_name: str
    thread_pointer: str


def describe(core: Core, space: AddressSpace, modules: ModuleMap, machine: Pointers) -> Process:
    """The process; what the core does not hold is None or empty."""
    info = core.process
    arguments, environment = _stack_strings(core, space)
    phdr = core.auxv.get(notes.AT_PHDR)
    executable = modules.at(phdr) if phdr else None
    if not arguments and info is not None:
        arguments = tuple(info.arguments.split(" "))
    return Process(
        pid=info.pid if info else None,
        ppid=info.ppid if info else None,
        uid=info.uid if info else None,
        command=info.command if info else None,
        arguments=arguments,
        executable=executable.path if executable else None,
        environment=environment,
        forked=_forked(core, machine),
    )


def _forked(core: Core, machine: Pointers) -> bool | None:
    """See model.Process. libc keeps the descriptor of a thread at the top of the stack that it makes for it; that of
    a program's first thread lies elsewhere, since the kernel made its stack."""
    if len(core.threads) != 1 or core.process is None or core.threads[0].tid != core.process.pid:
        return None
    registers = core.threads[0].registers
    sp, at = registers.get(machine.sp_name, 0), registers.get(machine.thread_pointer, 0)
    if not sp or not at:
        return None
    own = next((segment for segment in core.segments if segment.start <= sp < segment.end), None)
    anchor = core.auxv.get(notes.AT_RANDOM) or core.auxv.get(notes.AT_EXECFN)
    if own is None or not anchor or own.start <= anchor < own.end:
        return None
    return True if sp < at < own.end and own.end - at < _DESCRIPTOR else None


def _stack_strings(core: Core, space: AddressSpace) -> tuple[tuple[str, ...], dict[str, str]]:
    """argv and envp: found below the copy of the auxiliary vector, which is searched for on the stack."""
    anchor = core.auxv.get(notes.AT_RANDOM) or core.auxv.get(notes.AT_EXECFN)
    if not anchor:
        return (), {}
    start = max(0, anchor - _SEARCH) & ~7
    data = b""
    while not data and start < anchor:
        data = space.read_some(start, anchor - start)
        if len(data) < anchor - start:
            # The stack mapping may begin above: halve the distance.
            data = b""
            start = (start + anchor) // 2 & ~7
            if anchor - start < 64:
                return (), {}
    first = next(iter(core.auxv.items()), None)
    if first is None:
        return (), {}
    at = data.rfind(struct.pack("<QQ", *first))
    if at < 0 or at % 8:
        return (), {}
    words = struct.unpack(f"<{at // 8}Q", data[:at])
    # Backwards from the vector: NULL, envp, NULL, argv, argc.
    index = len(words) - 1
    if index < 0 or words[index] != 0:
        return (), {}
    environment: list[int] = []
    index -= 1
    while index >= 0 and words[index] and len(environment) < LIMITS.argument_count:
        environment.append(words[index])
        index -= 1
    arguments: list[int] = []
    index -= 1
    while index >= 0 and words[index] != len(arguments) and len(arguments) < LIMITS.argument_count:
        arguments.append(words[index])
        index -= 1
    if index < 0 or words[index] != len(arguments):
        arguments = []
    pairs = {}
    for text in _strings(space, reversed(environment)):
        key, equals, value = text.partition("=")
        if equals:
            pairs[key] = value
    return tuple(_strings(space, reversed(arguments))), pairs


def _strings(space: AddressSpace, pointers: Iterable[int]) -> Iterator[str]:
    """Each string, until they are too long together."""
    left = LIMITS.arguments
    for pointer in pointers:
        raw = space.cstring(pointer, LIMITS.argument)
        if raw is not None and len(raw) > left:
            space.budget.miss("arguments", len(raw))
            return
        left -= len(raw or b"")
        yield "(not in the core)" if raw is None else notes.text(raw)
