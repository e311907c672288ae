"""Zip archives, which are hostile input as tarballs are."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING

import pytest

from parsers.limits import Limits
from postmortem.triage import tarballs, zips
from postmortem.triage.inputs import Input, Skipped, find
from tests.postmortem.triage.logs import LOG

if TYPE_CHECKING:
    from pathlib import Path

CORE = b"\x7fELF\x02\x01" + bytes(10) + b"\x04\x00" + bytes(5000)


def found(path: Path, scratch: Path) -> list[Input | Skipped]:
    return list(find((str(path),), scratch, lambda identity: False))


def made(path: Path, members: dict[str, bytes], **rest: int) -> Path:
    """An archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 5, 6, 7, 8, 10)), content, **rest)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_crashes_in_an_archive(method: int, tmp_path: Path) -> None:
    content = {"pod/core.7": CORE, "pod/hs_err_pid7.log": LOG.read_bytes(), "pod/note.txt": b"hello", "pod/none": b""}
    path = made(tmp_path / "a.zip", content, compress_type=method)
    items = found(path, tmp_path / "s")
    log, core = (item for item in items if isinstance(item, Input))
    rest = [item for item in items if isinstance(item, Skipped)]
    assert (log.kind, log.path.read_bytes()) == ("log", LOG.read_bytes())
    assert (core.kind, core.path.read_bytes(), core.facts["time_source"]) == ("core", CORE, "mtime")
    assert core.shown == f"{path}!pod/core.7"
    assert (core.path.parent / "hs_err_pid7.log").read_bytes() == LOG.read_bytes(), "it lies beside the core there, too"
    assert sorted(item.why for item in rest) == [
        "is empty", "is neither a core nor a fatal error log"
    ]  # fmt: skip


def test_no_name_is_a_path(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", {"../../out/core": CORE, "/tmp/core": CORE + b"1"})
    items = found(path, tmp_path / "s")
    assert len(items) == 2
    assert all(isinstance(item, Input) and item.path.resolve().is_relative_to(tmp_path / "s") for item in items)
    assert not (tmp_path / "out").exists()


def test_archives_of_programs_and_documents_are_one_thing_that_is_no_crash(tmp_path: Path) -> None:
    for members in ({"META-INF/MANIFEST.MF": b"x", "core": CORE}, {"a.class": b"x", "b.class": b"y"}, {}):
        (item,) = found(made(tmp_path / "a.jar", members), tmp_path / "s")
        assert isinstance(item, Skipped) and "zip archive without a core" in item.why and not item.failed


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", {"core": CORE})
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    locked, other = bytearray(data), bytearray(data)
    locked[at + 8] |= 1
    other[at + 10] = 14
    for content, why in ((locked, "is encrypted"), (other, "is compressed by method 14, which is not read")):
        path.write_bytes(content)
        (item,) = found(path, tmp_path / "s")
        assert isinstance(item, Skipped) and item.why == why


def test_damage_ends_the_archive_and_is_said(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", {"core": CORE * 20, "core2": CORE}, compress_type=zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    cut = [data[:size] for size in range(4, len(data), 7)]
    flipped = [data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] for at in range(4, len(data), 3)]
    for content in cut + flipped:
        path.write_bytes(content)
        items = found(path, tmp_path / "s")
        assert items and all(isinstance(item, Input) or item.why for item in items)


def test_what_a_directory_claims_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "a.zip", {"core": CORE})
    data = bytearray(path.read_bytes())
    struct.pack_into("<HI", data, data.rfind(b"PK\x05\x06") + 10, 1, 1 << 31)
    path.write_bytes(data)
    (item,) = found(path, tmp_path / "s")
    assert isinstance(item, Skipped) and item.failed and "more than are read" in item.why
    made(path, {"core": CORE * 100})
    for module in (tarballs, zips):
        monkeypatch.setattr(module, "LIMITS", Limits(decompressed_bytes=1000))
    (item,) = found(path, tmp_path / "s")
    assert isinstance(item, Skipped) and item.failed and "unpacks to more than 1000 bytes" in item.why
