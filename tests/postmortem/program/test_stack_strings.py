"""argv and the environment from the top of the main stack, laid out as the kernel does (create_elf_tables)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.elf import core as core_parser
from parsers.limits import LIMITS
from postmortem.machines.x86_64.machine import MACHINE
from postmortem.program import identity
from postmortem.program.memory import AddressSpace, Piece
from postmortem.program.modules import LoadedModule, ModuleMap
from tests.build.core import CoreBuilder

TOP = 0x7FFC_0010_0000
AT_PHDR, AT_PAGESZ, AT_RANDOM, AT_EXECFN = 3, 6, 25, 31

_NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_characters="="), min_size=1, max_size=12)
_VALUES = st.text(st.characters(min_codepoint=1, max_codepoint=0x2FFF), max_size=40)


def _stack(arguments: list[bytes], environment: list[bytes], gap: int = 0) -> tuple[int, bytes, bytes]:
    """(address, bytes of the stack up to TOP, the auxiliary vector). gap: bytes of strings that end the stack early."""
    strings = b"".join(text + b"\0" for text in (*arguments, *environment))
    area = bytes(16) + strings + b"/opt/shop/bin/checkout\0" + bytes(8)
    area += bytes(-len(area) % 16)
    at = TOP - len(area)
    places: list[int] = []
    position = at + 16
    for text in (*arguments, *environment):
        places.append(position)
        position += len(text) + 1
    vector = struct.pack("<10Q", AT_PAGESZ, 4096, AT_PHDR, 0x400040, AT_RANDOM, at, AT_EXECFN, position, 0, 0)
    count = len(arguments)
    words = [count, *places[:count], 0, *places[count:], 0]
    below = struct.pack(f"<{len(words)}Q", *words)
    content = bytes(4096) + below + vector + bytes(-(len(below) + len(vector)) % 16) + area
    return TOP - len(content), content[: len(content) - gap], vector


def _described(
    arguments: list[bytes], environment: list[bytes], gap: int = 0
) -> tuple[tuple[str, ...], dict[str, str]]:
    start, content, vector = _stack(arguments, environment, gap)
    core = core_parser.parse(
        CoreBuilder().thread(1).process(77, b"checkout", b"as ps shows").note(6, vector).memory(start, content).bytes()
    )
    process = identity.describe(
        core, AddressSpace([Piece(start, start + len(content), content, 0)]), ModuleMap([]), MACHINE
    )
    assert (process.pid, process.ppid, process.uid, process.command) == (77, 1, 1000, "checkout")
    return process.arguments, process.environment


@given(st.lists(_VALUES, min_size=1, max_size=8), st.dictionaries(_NAMES, _VALUES, max_size=8))
def test_what_the_kernel_laid_out_is_read_back(arguments: list[str], environment: dict[str, str]) -> None:
    raw = [f"{name}={value}".encode() for name, value in environment.items()]
    found, variables = _described([text.encode() for text in arguments], raw)
    assert found == tuple(arguments)
    assert list(variables.items()) == list(environment.items())


def test_an_environment_string_without_a_name_is_left_out() -> None:
    assert _described([b"a"], [b"HOME=/", b"nonsense", b"=x=y"]) == (("a",), {"HOME": "/", "": "x=y"})


def test_strings_that_were_not_dumped_are_said_to_be_absent() -> None:
    arguments, environment = _described([b"checkout", b"x" * 300], [b"LAST=" + b"y" * 300], gap=400)
    assert (arguments, environment) == (("checkout", "(not in the core)"), {})


def test_arguments_are_bounded_together() -> None:
    big = b"x" * (LIMITS.argument - 1)
    arguments, _ = _described([big] * 12, [])
    assert 0 < len(arguments) < 12
    assert sum(map(len, arguments)) <= LIMITS.arguments


@pytest.mark.parametrize(("vector", "expected"), [(b"", None), (struct.pack("<4Q", AT_PHDR, 0x400040, 0, 0), "/opt/x")])
def test_the_executable_is_the_module_with_the_program_headers(vector: bytes, expected: str | None) -> None:
    core = core_parser.parse(CoreBuilder().thread(1).note(6, vector).bytes())
    modules = ModuleMap([LoadedModule(path="/opt/x", start=0x400000, end=0x402000, bias=0, image=None)])
    process = identity.describe(core, AddressSpace([]), modules, MACHINE)
    assert (process.executable, process.arguments, process.pid) == (expected, (), None)
