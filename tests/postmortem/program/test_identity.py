"""Who the process was: argv and the environment off a stack that is laid out as the kernel does."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from parsers.elf.core import parse
from parsers.limits import Limits
from postmortem.budget import Budget
from postmortem.machines.x86_64.machine import MACHINE
from postmortem.program.identity import describe
from postmortem.program.memory import AddressSpace, Piece
from postmortem.program.modules import LoadedModule, ModuleMap
from tests.build.core import CoreBuilder

if TYPE_CHECKING:
    from postmortem.model import Process

TOP = 0x7FFC00020000
_PHDR, _RANDOM, _EXECFN = 3, 25, 31


def stack(
    arguments: list[bytes], environment: list[bytes], auxv: list[tuple[int, int]], count: int | None = None
) -> bytes:
    """argc, argv[], NULL, envp[], NULL, auxv, 16 random bytes, strings; the end is at TOP.

    fs/binfmt_elf.c create_elf_tables. The values of AT_RANDOM and AT_EXECFN are filled in.
    """
    strings = b"".join(text + b"\0" for text in (*arguments, *environment, b"/bin/program"))
    at = TOP - len(strings)
    pointers = []
    for text in (*arguments, *environment, b"/bin/program"):
        pointers.append(at)
        at += len(text) + 1
    random = (TOP - len(strings) - 16) & ~15
    known = {_RANDOM: random, _EXECFN: pointers[-1]}
    rows = [(kind, known.get(kind, value)) for kind, value in auxv]
    words = [len(arguments) if count is None else count, *pointers[: len(arguments)], 0]
    words += [*pointers[len(arguments) : -1], 0, *(word for row in rows for word in row), 0, 0]
    table = struct.pack(f"<{len(words)}Q", *words)
    # Below lie copies of the vector's first entry, as a program that walked it leaves them.
    return (
        (struct.pack("<QQ", *rows[0]) * 300 + table).rjust(random - TOP + 0x20000, b"\0")
        + bytes(TOP - len(strings) - random)
        + strings
    )


AUXV = [(33, 0x7FFC12340000), (_PHDR, 0x400040), (_RANDOM, 0), (_EXECFN, 0)]


def _described(
    content: bytes, *, auxv: list[tuple[int, int]] = AUXV, info: bool = True, budget: Budget | None = None
) -> Process:
    # The vector as it lies on the stack, which NT_AUXV is a copy of.
    at = content.rindex(struct.pack("<QQ", *auxv[0]))
    raw = content[at : at + 16 * (len(auxv) + 1)]
    builder = CoreBuilder().thread(7).note(6, raw)
    if info:
        builder.process(7, b"program", b"program --from psinfo")
    core = parse(builder.memory(0x1000, b"x").bytes())
    space = AddressSpace([Piece(TOP - len(content), TOP, content, 0)], budget)
    image = LoadedModule(path="/bin/program", start=0x400000, end=0x500000, bias=0, image=None)
    return describe(core, space, ModuleMap([image]), MACHINE)


def test_a_process_without_any() -> None:
    process = _described(stack([], [], AUXV), info=False)
    assert (process.arguments, process.environment, process.pid, process.command) == ((), {}, None, None)


@pytest.mark.parametrize("anchor", [_RANDOM, _EXECFN])
def test_one_of_the_two_places_on_the_stack_is_enough(anchor: int) -> None:
    auxv = [row for row in AUXV if row[0] == anchor or row[0] not in (_RANDOM, _EXECFN)]
    assert _described(stack([b"program"], [b"A=1"], auxv), auxv=auxv).environment == {"A": "1"}


def test_without_a_place_on_the_stack_psinfo_has_the_arguments() -> None:
    auxv = [row for row in AUXV if row[0] not in (_RANDOM, _EXECFN)]
    process = _described(stack([b"program"], [b"A=1"], auxv), auxv=auxv)
    assert (process.arguments, process.environment) == (("program", "--from", "psinfo"), {})


def test_the_program_is_told_by_its_headers_address() -> None:
    auxv = [(kind, 0x900040 if kind == _PHDR else value) for kind, value in AUXV]
    assert _described(stack([b"program"], [], auxv), auxv=auxv).executable is None


@pytest.mark.parametrize("kept", [0x800, 0x400])
def test_a_stack_that_begins_shortly_below(kept: int) -> None:
    whole = stack([b"program"], [b"A=1"], AUXV)
    assert _described(whole[-kept:]).arguments == ("program",)


@pytest.mark.parametrize("count", [0, 1, 3, 1 << 40])
def test_a_count_that_is_not_that_of_the_pointers_gives_none(count: int) -> None:
    process = _described(stack([b"program", b"-x"], [b"A=1"], AUXV, count))
    assert process.arguments == ("program", "--from", "psinfo")
    assert process.environment == {"A": "1"}


def test_pointers_that_were_overwritten() -> None:
    content = stack([b"program", b"-x"], [b"A=1"], AUXV)
    at = TOP - len(content)
    first = content.rindex(b"program\0-x")
    damaged = content.replace(struct.pack("<Q", at + first), struct.pack("<Q", 0xDEAD))
    assert _described(damaged).arguments == ("(not in the core)", "-x")


def test_text_of_all_arguments_has_a_bound() -> None:
    budget = Budget(Limits(text=4))
    process = _described(stack([b"abc", b"defgh"], [], AUXV), budget=budget)
    assert process.arguments[0] == "abc"
    assert "defgh" not in process.arguments
    assert [found.name for found in budget.reached] == ["text"]


def _forked(
    sp: int, descriptor: int, *, tid: int = 7, threads: int = 1, auxv: tuple[tuple[int, int], ...] = ((25, 0x7FFC1000),)
) -> bool | None:
    """Of a process with a mapping at 0x10000 to 0x20000, one below its end, and the kernel's stack at 0x7ffc0000."""
    raw = struct.pack(f"<{2 * len(auxv)}Q", *(word for row in auxv for word in row)) + bytes(16)
    builder = CoreBuilder().process(7, b"program", b"program")
    for number in range(threads):
        builder.thread(tid + number, rsp=sp, fs_base=descriptor)
    builder.note(6, raw).memory(0x10000, bytes(0x10000)).memory(0x7FFC0000, bytes(0x2000))
    return describe(parse(builder.bytes()), AddressSpace([]), ModuleMap(()), MACHINE).forked


def test_a_first_thread_on_the_stack_of_a_started_one_was_forked() -> None:
    assert _forked(0x18000, 0x1F6C0) is True


@pytest.mark.parametrize(
    "changed",
    [
        {"sp": 0x7FFC0800, "descriptor": 0x1F6C0},  # on the kernel's stack
        {"sp": 0x18000, "descriptor": 0x9000},  # on a stack of its own making: its descriptor lies elsewhere
        {"sp": 0x18000, "descriptor": 0x19000},  # nor at the top
        {"tid": 8},
        {"threads": 2},
        {"auxv": ()},
        {"sp": 0x900, "descriptor": 0x1F6C0},
    ],
)
def test_others_were_not(changed: dict[str, Any]) -> None:
    assert _forked(**({"sp": 0x18000, "descriptor": 0x1F6C0} | changed)) is None
