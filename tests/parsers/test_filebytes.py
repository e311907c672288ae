"""FileBytes gives what the file has; what it lost meanwhile is absent and noted, never a signal."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest

from parsers.filebytes import BLOCK, FileBytes
from parsers.limits import LIMITS
from postmortem.program.memory import AddressSpace, Piece
from postmortem.targets.files import open_regular

CONTENT = random.Random(1).randbytes(5 * BLOCK + 123)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def opened(path: Path) -> FileBytes:
    found = open_regular(path, Path("/"))
    assert not isinstance(found, str), found
    return found


@pytest.mark.parametrize("seed", range(20))
def test_slices_and_find_are_those_of_bytes(file: Path, seed: int) -> None:
    chance = random.Random(seed)
    with opened(file) as data:
        assert len(data) == len(CONTENT)
        for _ in range(200):
            start = chance.randrange(-10, len(CONTENT) + 10)
            end = start + chance.choice((0, 1, 8, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK))
            assert data[start:end] == CONTENT[start:end]
        for _ in range(20):
            at = chance.randrange(len(CONTENT) - 20)
            wanted = CONTENT[at : at + chance.randrange(2, 20)]
            start = chance.randrange(at + 1)
            assert data.find(wanted, start) == CONTENT.find(wanted, start)
            assert data.find(wanted, start, at + 1) == CONTENT.find(wanted, start, at + 1)
        assert data[0] == CONTENT[0] and data[-1] == CONTENT[-1]
        assert not data.lost


def test_a_hole_is_zeros(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as sink:
        sink.truncate(1 << 30)
        sink.seek(1 << 29)
        sink.write(b"needle")
    with opened(path) as data:
        assert data[4096:4104] == bytes(8)
        assert data.find(b"needle") == 1 << 29


def test_a_file_cut_meanwhile_is_absent_from_there(file: Path) -> None:
    with opened(file) as data:
        space = AddressSpace([Piece(0x10000, 0x10000 + len(CONTENT), data, 0)])
        assert space.word(0x10000) == struct.unpack_from("<Q", CONTENT)[0]
        os.truncate(file, 2 * BLOCK + 4)
        assert space.read(0x10000 + 2 * BLOCK, 8) is None
        assert space.read_some(0x10000 + 2 * BLOCK, 8) == CONTENT[2 * BLOCK : 2 * BLOCK + 4]
        assert space.word(0x10000 + 4 * BLOCK) is None
        assert space.words(0x10000 + 3 * BLOCK, 4) is None
        assert space.read(0x10000, 8) == CONTENT[:8]
        assert data.find(b"no such bytes") == -1
        assert data.lost[0].offset == 2 * BLOCK + 4
        assert data.lost[0].errno == 0


def test_a_failing_disk_is_absent_with_its_error(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    with opened(file) as data:

        def failing(descriptor: int, size: int, offset: int) -> bytes:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "pread", failing)
        assert data[:8] == b""
        assert data.lost[0].errno == 5


def test_more_files_than_may_be_open_at_a_time(tmp_path: Path) -> None:
    files = []
    for index in range(LIMITS.open_files + 40):
        path = tmp_path / str(index)
        path.write_bytes(index.to_bytes(4, "little") * 10_000)
        files.append(opened(path))
    assert len(list(Path("/proc/self/fd").iterdir())) <= LIMITS.open_files + 64
    for index, data in enumerate(files):
        assert data[20_000:20_004] == index.to_bytes(4, "little")
    (tmp_path / "0").unlink()
    (tmp_path / "0").write_bytes(b"another" * 10_000)  # the name now leads to another file
    files[0]._release()
    assert files[0][30_000:30_004] == b""
    for data in files:
        data.close()


@pytest.mark.parametrize("kind", ["fifo", "directory", "device", "socket"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    import socket

    path = tmp_path / "it"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    else:
        path = Path("/dev/zero")
    assert open_regular(path, Path("/")) == "not a regular file"
