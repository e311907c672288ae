"""Last words by their form, and searches that have a budget."""

from __future__ import annotations

import re

import pytest

from parsers.elf import core as core_parser
from postmortem.program.memory import AddressSpace, Piece
from postmortem.runtimes.native import messages, places
from postmortem.runtimes.native.places import Places
from tests.build.core import CoreBuilder

LIBC, TEXT, STACK, HEAP, PAGE = 0x7F0000000000, 0x7F1000000000, 0x7FFC00000000, 0x7E0000000000, 4096


def _opened(builder: CoreBuilder) -> tuple[core_parser.Core, AddressSpace]:
    content = builder.bytes()
    core = core_parser.parse(content)
    pieces = (Piece(s.start, s.start + s.dumped, content, s.offset) for s in core.segments if s.dumped)
    return core, AddressSpace(pieces)


def _libc(message: bytes, size: int = PAGE, at: int = TEXT) -> CoreBuilder:
    data = (b"\0" * 64 + at.to_bytes(8, "little")).ljust(PAGE, b"\0")
    page = (size.to_bytes(4, "little") + message).ljust(PAGE, b"\0")
    return CoreBuilder().thread(1, 6).memory(LIBC, data).memory(TEXT, page)


@pytest.mark.parametrize(
    "said",
    [
        b"free(): invalid pointer\n",
        b"*** stack smashing detected ***: terminated\n",
        b"a: f.c:3: f: Assertion `x' failed.\n",
    ],
)
def test_libc_s_words_without_its_symbols(said: bytes) -> None:
    core, space = _opened(_libc(said))
    assert messages.abort_message_by_form(core, space, [(LIBC, LIBC + PAGE)]) == said.decode().rstrip()


@pytest.mark.parametrize(
    "builder",
    [
        _libc(b"free(): invalid pointer\n", size=100),  # not whole pages
        _libc(b"free(): invalid pointer\n", at=TEXT + 8),  # not at a page's start
        _libc(b"a line of the program\n"),
        CoreBuilder().thread(1, 6).memory(LIBC, bytes(PAGE)),
    ],
)
def test_other_words_are_not_libc_s(builder: CoreBuilder) -> None:
    core, space = _opened(builder)
    assert messages.abort_message_by_form(core, space, [(LIBC, LIBC + PAGE)]) is None


def _heap(text_at: int, size: int) -> CoreBuilder:
    heap = bytearray(size)
    heap[text_at : text_at + 16] = b"<jemalloc>: oops"
    stack = (HEAP + 64).to_bytes(8, "little").ljust(PAGE, b"\0")
    return CoreBuilder().thread(1, 6, rsp=STACK).memory(STACK, stack).memory(HEAP, bytes(heap))


def test_a_text_that_the_stack_points_at_is_found_whatever_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "BUDGET", 0)
    core, space = _opened(_heap(256, 8 * PAGE))
    search = Places(core, space, STACK)
    assert messages.matches(search, b"<jemalloc>", re.compile(rb"<jemalloc>: \w+")) == b"<jemalloc>: oops"


def test_a_search_ends_with_its_budget_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    core, space = _opened(_heap(3 << 20, 6 << 20))
    search = Places(core, space, STACK)
    assert messages.matches(search, b"<jemalloc>", re.compile(rb"<jemalloc>: \w+")) == b"<jemalloc>: oops"
    monkeypatch.setattr(places, "BUDGET", 1 << 20)
    assert messages.matches(search, b"<jemalloc>", re.compile(rb"<jemalloc>: \w+")) is None
    assert search.exhausted
