"""Where symbols are taken from, and what is refused."""

from __future__ import annotations

import lzma
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postmortem.symbols.sources.source import Places
from postmortem.symbols.symbolizer import Location, SymbolFile, open_symbols
from tests.parsers.elf.elf_file import Symbol, elf_file

if TYPE_CHECKING:
    from pathlib import Path

BUILD_ID = "0123456789abcdef0123456789abcdef01234567"
OTHER_ID = "76543210fedcba9876543210fedcba9876543210"
FULL = [
    Symbol("exported", 0x1000, 16),
    Symbol("_ZN3Foo3barEv", 0x1010, 16, 2),
    Symbol("table", 0x8000, 8, 0x11, 2),
]
EXPORTED = FULL[:1]


class Place:
    """A module, debug directory and cache below one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.module = root / "usr" / "lib" / "libx.so"
        self.debug = root / "debug"
        self.module.parent.mkdir(parents=True)

    def open(self, build_id: str | None = BUILD_ID) -> SymbolFile | None:
        return open_symbols(self.module, build_id, Places([self.debug]), self.root / "cache")

    def put(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    @property
    def by_build_id(self) -> Path:
        return self.debug / ".build-id" / BUILD_ID[:2] / f"{BUILD_ID[2:]}.debug"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def name_at(symbols: SymbolFile | None, address: int) -> str | None:
    assert symbols is not None
    locations = symbols.lookup(address)
    return locations[0].function if locations else None


def test_own_symbol_table(place: Place) -> None:
    place.put(place.module, elf_file(FULL, dynsym=EXPORTED, build_id=BUILD_ID))
    for _ in range(2):  # cold, then from the cache
        symbols = place.open()
        assert symbols is not None
        assert symbols.source == "symtab"
        assert symbols.lookup(0x1014) == (Location("Foo::bar()", None, None, False),)
        assert symbols.lookup(0x1020) == ()
        assert symbols.symbol_at(0x8004) == ("table", 0x8000, 8)
        assert symbols.address_of("_ZN3Foo3barEv") == 0x1010
        assert symbols.address_of("Foo::bar()") is None
        assert list(symbols.addresses_of("_ZN3Foo")) == [("_ZN3Foo3barEv", 0x1010, 16)]


def test_dynamic_symbols(place: Place) -> None:
    place.put(place.module, elf_file(dynsym=EXPORTED, build_id=BUILD_ID))
    symbols = place.open()
    assert symbols is not None
    assert symbols.source == "dynsym"
    assert name_at(symbols, 0x1004) == "exported"


def test_mini_debug_info(place: Place) -> None:
    mini = lzma.compress(elf_file(FULL[1:2]))
    place.put(place.module, elf_file(dynsym=EXPORTED, build_id=BUILD_ID, mini=mini))
    symbols = place.open()
    assert symbols is not None
    assert symbols.source == "gnu_debugdata"
    assert name_at(symbols, 0x1004) == "exported"
    assert name_at(symbols, 0x1014) == "Foo::bar()"


@pytest.mark.parametrize("mini", [b"no xz", lzma.compress(b"no ELF file"), lzma.compress(elf_file(FULL))[:-40]])
def test_damaged_mini_debug_info_leaves_the_dynamic_symbols(place: Place, mini: bytes) -> None:
    place.put(place.module, elf_file(dynsym=EXPORTED, build_id=BUILD_ID, mini=mini))
    assert name_at(place.open(), 0x1004) == "exported"


def test_debug_file_by_build_id(place: Place) -> None:
    place.put(place.module, elf_file(dynsym=EXPORTED, build_id=BUILD_ID))
    place.put(place.by_build_id, elf_file(FULL, build_id=BUILD_ID))
    symbols = place.open()
    assert symbols is not None
    assert symbols.source == "build-id"
    assert name_at(symbols, 0x1014) == "Foo::bar()"


def test_debug_file_by_build_id_without_the_module(place: Place) -> None:
    place.put(place.by_build_id, elf_file(FULL, build_id=BUILD_ID))
    assert name_at(place.open(), 0x1014) == "Foo::bar()"
    assert place.open(OTHER_ID) is None
    assert place.open(None) is None


@pytest.mark.parametrize("folder", ["beside", ".debug", "under", "debug directory"])
@pytest.mark.parametrize("identified", [True, False])
def test_debug_file_by_link(place: Place, folder: str, identified: bool) -> None:
    identity = BUILD_ID if identified else None
    debug = elf_file(FULL, build_id=identity)
    # With a build-id that agrees the CRC doesn't count: packagers compress sections after linking.
    crc = 1 if identified else zlib.crc32(debug)
    place.put(place.module, elf_file(dynsym=EXPORTED, build_id=identity, debug_link=("libx.debug", crc)))
    folders = {
        "beside": place.module.parent,
        ".debug": place.module.parent / ".debug",
        "under": place.debug / place.module.parent.relative_to("/"),
        "debug directory": place.debug,
    }
    place.put(folders[folder] / "libx.debug", debug)
    symbols = place.open(identity)
    assert symbols is not None
    assert symbols.source == "debuglink"
    assert name_at(symbols, 0x1014) == "Foo::bar()"


@pytest.mark.parametrize("identified", [True, False])
def test_a_debug_file_of_another_build_is_not_used(place: Place, identified: bool) -> None:
    identity, other = (BUILD_ID, OTHER_ID) if identified else (None, None)
    wrong = elf_file([Symbol("wrong", 0x1000, 0x100)], build_id=other)
    place.put(place.module, elf_file(dynsym=EXPORTED, build_id=identity, debug_link=("libx.debug", 1)))
    place.put(place.by_build_id, wrong)
    place.put(place.module.parent / "libx.debug", wrong)
    symbols = place.open(identity)
    assert symbols is not None
    assert symbols.source == "dynsym"
    assert name_at(symbols, 0x1004) == "exported"
    assert symbols.address_of("wrong") is None


def test_a_module_of_another_build_is_not_used(place: Place) -> None:
    place.put(place.module, elf_file([Symbol("wrong", 0x1000, 0x100)], build_id=OTHER_ID))
    assert place.open() is None
    place.put(place.by_build_id, elf_file(FULL, build_id=BUILD_ID))
    assert name_at(place.open(), 0x1004) == "exported"


def test_a_forged_build_id_does_not_spoil_the_cache(place: Place) -> None:
    place.put(place.module, elf_file([Symbol("forged", 0x1000, 0x100)], build_id=BUILD_ID))
    assert name_at(place.open(), 0x1004) == "forged"
    place.put(place.module, elf_file(FULL, build_id=BUILD_ID))
    assert name_at(place.open(), 0x1004) == "exported"


def test_a_stripped_copy_does_not_hide_the_symbols_of_the_whole_file(place: Place) -> None:
    place.put(place.module, elf_file(dynsym=EXPORTED, build_id=BUILD_ID))
    assert place.open() is not None
    place.put(place.module, elf_file(FULL, dynsym=EXPORTED, build_id=BUILD_ID))
    assert name_at(place.open(), 0x1014) == "Foo::bar()"


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"no ELF file", elf_file(build_id=BUILD_ID)])
def test_nothing_to_be_had(place: Place, content: bytes) -> None:
    assert place.open() is None
    place.put(place.module, content)
    assert place.open() is None


def test_what_is_no_file(place: Place) -> None:
    place.module.mkdir()
    assert place.open() is None


def test_without_a_cache_that_can_be_written(place: Place) -> None:
    place.put(place.module, elf_file(FULL, build_id=BUILD_ID))
    place.put(place.root / "cache", b"in the way")
    assert name_at(place.open(), 0x1014) == "Foo::bar()"


def test_from_memory() -> None:
    symbols = SymbolFile.from_table([(0x1000, 16, "exported", 0x12), (0x2000, 0, "_label", 0x10)])
    assert symbols.source == "core"
    assert name_at(symbols, 0x100F) == "exported"
    assert name_at(symbols, 0x2FFF) == "_label"
    assert symbols.lookup(0x3000) == ()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_cache_is_made_again(tmp_path: Path, data: st.DataObject) -> None:
    module, cache = tmp_path / "libx.so", tmp_path / "cache"
    module.write_bytes(elf_file(FULL, build_id=BUILD_ID))
    assert open_symbols(module, BUILD_ID, Places([]), cache) is not None
    (kept,) = [path for path in cache.rglob("*") if path.is_file()]
    content = bytearray(kept.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    kept.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    symbols = open_symbols(module, BUILD_ID, Places([]), cache)
    assert [name_at(symbols, address) for address in (0x1000, 0x101F, 0x1020)] == [
        "exported",
        "Foo::bar()",
        None,
    ]
