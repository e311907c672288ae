"""What is found before anything is analyzed, outside of the worker: tarballs, names, attributes and times of files."""

from __future__ import annotations

import os
import tarfile
import time
from typing import TYPE_CHECKING

import pytest
import zstandard

from postmortem.triage.inputs import Input, Skipped, find
from tests.build.core import CoreBuilder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CORE = CoreBuilder().thread(1, rip=0x400010).memory(0x400000, bytes(4096), flags=5).bytes()
LOG = (
    b"#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n"
    b"#  SIGSEGV (0xb) at pc=0x1, pid=1, tid=2\n#\n"
)
_END = bytes(1024)
_GIGABYTE = 1 << 30


def _number(value: int) -> bytes:
    """In octal digits, or in base 256 as GNU tar writes what does not fit."""
    return b"%011o\0" % value if 0 <= value < 1 << 33 else (value % (1 << 96) | 1 << 95).to_bytes(12, "big")


def _header(
    name: bytes, size: int, kind: bytes = b"0", changed: int = 1_600_000_000, *, holes: tuple[int, ...] = ()
) -> bytes:
    """A member's header. holes: (offset, bytes) of the pieces of an old GNU sparse member, then its whole size."""
    made = bytearray(512)
    made[: len(name)] = name
    made[100:124] = b"0000644\0" + b"0000000\0" * 2
    made[124:136], made[136:148], made[156:157] = _number(size), _number(changed), kind
    made[257:265] = b"ustar  \0" if holes else b"ustar\x0000"
    for place, value in zip((386, 398, 483), holes, strict=False):
        made[place : place + 12] = _number(value)
    made[148:156] = b" " * 8
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


def _member(name: bytes, data: bytes, kind: bytes = b"0", changed: int = 1_600_000_000) -> bytes:
    return _header(name, len(data), kind, changed) + data + bytes(-len(data) % 512)


def _attributes(record: bytes) -> bytes:
    """A header of POSIX attributes, for the next member."""
    size = len(record) + 4
    return _member(b"x", (b"%d %s\n" % (size + len(str(size)) - 2, record)), b"x")


def _packed(path: Path, pieces: Iterator[bytes]) -> None:
    with path.open("wb") as sink, zstandard.ZstdCompressor().stream_writer(sink) as stream:
        for piece in pieces:
            stream.write(piece)


def _long(kind: bytes) -> Iterator[bytes]:
    yield _header(b"x", 2 * _GIGABYTE, kind)
    for _ in range(128):
        yield b"a" * (1 << 24)


def _zeros() -> Iterator[bytes]:
    yield _header(b"disk.img", 400 * _GIGABYTE)
    for _ in range(64):
        yield bytes(1 << 24)


def _map_of_holes() -> Iterator[bytes]:
    """Of an old GNU sparse member, which says of each block that another one follows."""
    first = bytearray(_header(b"core", 512, b"S", holes=(0, 512, _GIGABYTE)))
    first[482] = 1
    first[148:156] = b" " * 8
    first[148:156] = b"%06o\0 " % sum(first)
    yield bytes(first)
    block = (_number(512) + _number(512)) * 21 + b"\x01".ljust(8, b"\0")
    for _ in range(64):
        yield block * 2048


TARBALLS: dict[str, Callable[[], Iterator[bytes]]] = {
    "members without end": lambda: iter([_header(b"x", 0) * 140_000]),
    "a name of gigabytes": lambda: _long(b"L"),
    "attributes of gigabytes": lambda: _long(b"x"),
    "global attributes of gigabytes": lambda: _long(b"g"),
    "gigabytes that are no crash": _zeros,
    "a map of holes without end": _map_of_holes,
    "a size below nothing": lambda: iter([_member(b"core", CORE), _header(b"x", -1024), _END]),
    "attributes of attributes": lambda: iter([_attributes(b"a=b") * 1000, _member(b"core", CORE), _END]),
    "a stream that breaks": lambda: iter([_header(b"core", 1 << 20), CORE]),
}


@pytest.mark.parametrize("name", TARBALLS)
def test_a_tarball_ends_by_itself(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    _packed(tmp_path / "in" / "a.tar.zst", TARBALLS[name]())
    start = time.process_time()
    found = list(find((str(tmp_path / "in"),), tmp_path / "scratch", lambda _: False))
    assert time.process_time() - start < 10
    assert isinstance(found[-1], Skipped)
    assert found[-1].failed
    assert found[-1].why.startswith("the tarball ")


def test_a_damaged_stream_of_each_compression(tmp_path: Path) -> None:
    import bz2
    import gzip
    import lzma

    import lz4.frame

    whole = _member(b"notes", bytes(os.urandom(2_000_000))) + _member(b"core", CORE) + _END
    packers = {"zst": zstandard.compress, "gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}
    for ending, pack in {**packers, "lz4": lz4.frame.compress}.items():
        data = bytearray(pack(whole))
        data[len(data) // 2 :] = data[: len(data) - len(data) // 2]
        path = tmp_path / f"a.tar.{ending}"
        path.write_bytes(bytes(data))
        (*_, last) = find((str(path),), tmp_path / "scratch", lambda _: False)
        assert isinstance(last, Skipped), ending
        assert last.failed, ending


def test_members_of_one_name_are_two_crashes(tmp_path: Path) -> None:
    other = CoreBuilder().thread(2, rip=0x400020).memory(0x400000, bytes(4096), flags=5).bytes()
    (tmp_path / "a.tar").write_bytes(_member(b"core", CORE) + _member(b"core", other) + _END)
    one, two = find((str(tmp_path / "a.tar"),), tmp_path / "scratch", lambda _: False)
    assert isinstance(one, Input)
    assert isinstance(two, Input)
    assert (one.path.read_bytes(), two.path.read_bytes()) == (CORE, other)


def test_a_sparse_member_takes_no_more_than_its_pieces(tmp_path: Path) -> None:
    size = 900 * _GIGABYTE
    head = _header(b"core", 4096, b"S", holes=(0, 4096, size))
    (tmp_path / "a.tar").write_bytes(head + CORE[:4096].ljust(4096, b"\0") + _END)
    start = time.process_time()
    (one,) = find((str(tmp_path / "a.tar"),), tmp_path / "scratch", lambda _: False)
    assert time.process_time() - start < 5
    assert isinstance(one, Input)
    assert one.size == size
    assert one.path.stat().st_blocks < 64


def test_the_name_of_a_member_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe in the working directory that has it would be waited for."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("hs_err_pid1.log")
    (tmp_path / "a.tar").write_bytes(_member(b"hs_err_pid1.log", LOG + b"Time: Thu Mar  5 10:22:33 2020 UTC\n") + _END)
    (one,) = find(("a.tar",), tmp_path / "scratch", lambda _: False)
    assert isinstance(one, Input)
    assert one.facts["time_source"] == "log"
    assert one.facts["time"] == "1583403753.0"


@pytest.mark.parametrize(
    "stated",
    [
        b"Thu, 05 Mar 99999999999999999999 10:22:33 +0000",
        b"Thu, 05 Mar 2020 10:22:33 +99999999999999999999",
        b"Mon, 01 Jan 0001 00:00:01 +2300",
        b"Thu Mar  5 10:22:33 99999",
    ],
)
def test_times_that_no_calendar_has(stated: bytes, tmp_path: Path) -> None:
    (tmp_path / "hs_err_pid1.log").write_bytes(LOG + b"Time: " + stated + b"\n")
    (one,) = find((str(tmp_path / "hs_err_pid1.log"),), tmp_path / "scratch", lambda _: False)
    assert isinstance(one, Input)
    assert 0 <= float(one.facts["time"]) < 4e9


def test_times_of_members_and_names(tmp_path: Path) -> None:
    boot = "0" * 32
    for changed, attributes in ((1 << 80, b""), (0, _attributes(b"mtime=nan")), (0, _attributes(b"mtime=1e300"))):
        (tmp_path / "a.tar").write_bytes(attributes + _member(b"core", CORE, changed=changed) + _END)
        (one,) = find((str(tmp_path / "a.tar"),), tmp_path / "scratch", lambda _: False)
        assert isinstance(one, Input)
        assert "time" not in one.facts
    for name in (f"core.a.0.{boot}.{'9' * 100}.1700000000000000", f"core.a.0.{boot}.1.999999999999"):
        (tmp_path / name).write_bytes(CORE)
        (one,) = find((str(tmp_path / name),), tmp_path / "scratch", lambda _: False)
        assert isinstance(one, Input)
        assert one.facts["time_source"] == "mtime"


@pytest.mark.parametrize("stamp", ["²", "9" * 3000, "-5", "٣" * 10])
def test_attributes_of_files(stamp: str, tmp_path: Path) -> None:
    path = tmp_path / "core"
    path.write_bytes(CORE)
    try:
        os.setxattr(path, "user.coredump.timestamp", stamp.encode())
    except OSError:
        pytest.skip("no attributes of files here")
    (one,) = find((str(path),), tmp_path / "scratch", lambda _: False)
    assert isinstance(one, Input)
    assert one.facts["time_source"] == "mtime"


def test_the_headers_here_are_tar_s_own() -> None:
    assert tarfile.TarInfo.frombuf(_header(b"core", 5), "utf-8", "strict").size == 5
