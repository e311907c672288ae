"""Cores of other machines and systems are named; Linux cores of x86-64 are none of them."""

from __future__ import annotations

import struct

import pytest

from parsers.elf.foreign import foreign
from tests.build.core import CoreBuilder


def _patched(core: bytes, at: int, value: int) -> bytes:
    return core[:at] + bytes([value]) + core[at + 1 :]


LINUX = CoreBuilder().thread(1).bytes()


@pytest.mark.parametrize(
    ("core", "words"),
    [
        (_patched(LINUX, 7, 9), "FreeBSD"),
        (_patched(LINUX, 7, 2), "NetBSD"),
        (_patched(LINUX, 7, 6), "Solaris"),
        (CoreBuilder().note(1, bytes(160), b"NetBSD-CORE@1\0").bytes(), "NetBSD"),
        (CoreBuilder().note(1, bytes(160), b"FreeBSD\0").bytes(), "FreeBSD"),
        (CoreBuilder().note(10, bytes(160)).note(16, bytes(160)).bytes(), "Solaris"),
        (CoreBuilder().note(1, bytes(160), b"QNX\0").bytes(), "QNX"),
        (CoreBuilder().thread(1).note(0, b"OSRELEASE=6.1\n", b"VMCOREINFO\0").bytes(), "memory of a kernel"),
        (CoreBuilder().thread(1).note(0, bytes(440), b"QEMU\0").bytes(), "virtual machine"),
        (CoreBuilder(machine=183).thread(1).bytes(), "aarch64, 64-bit, little-endian"),
        (b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 4, 62).ljust(36, b"\0"), "x32"),
        (b"\x7fELF\x02\x02\x01".ljust(16, b"\0") + struct.pack(">HH", 4, 22).ljust(48, b"\0"), "s390, 64-bit, big"),
        (b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 4, 3), "i386, 32-bit"),
    ],
)
def test_what_is_not_read_is_named(core: bytes, words: str) -> None:
    found = foreign(core)
    assert found is not None
    assert words in found.what


@pytest.mark.parametrize(
    "core", [LINUX, _patched(LINUX, 7, 3), LINUX[:19], b"", b"\x7fELF", LINUX[:16] + b"\x03\0" + LINUX[18:]]
)
def test_a_linux_core_is_not_foreign(core: bytes) -> None:
    assert foreign(core) is None


def test_damaged_notes_end_the_search() -> None:
    core = bytearray(CoreBuilder().thread(1).bytes())
    struct.pack_into("<Q", core, 32, 1 << 40)
    assert foreign(bytes(core)) is None
