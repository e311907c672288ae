"""What is found, and what it is told of."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from postmortem.triage.inputs import Input, Skipped, find
from tests.postmortem.triage.logs import LOG, many

if TYPE_CHECKING:
    from pathlib import Path


def found(*places: str, scratch: Path, **rest: object) -> list[Input | Skipped]:
    return list(find(places, scratch, lambda identity: False, **rest))  # type: ignore[arg-type]


def test_a_pattern_and_the_host_in_the_path(tmp_path: Path) -> None:
    many(tmp_path / "logs", 5)
    items = found(f"{tmp_path}/logs/*/*.log", scratch=tmp_path / "s", host_pattern=re.compile(r"/(host\d)/"))
    assert [item.facts["host"] for item in items if isinstance(item, Input)] == [f"host{n}" for n in range(5)]
    (none,) = found(f"{tmp_path}/none*", scratch=tmp_path / "s")
    assert isinstance(none, Skipped) and none.failed


def test_the_identity_is_of_the_content(tmp_path: Path) -> None:
    body = b"\x7fELF\x02\x01" + bytes(10) + b"\x04\x00" + os.urandom(300_000)
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(body)
    (tmp_path / "three").write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    (tmp_path / "four").write_bytes(body[:3000] + bytes([body[3000] ^ 1]) + body[3001:])
    by_name = {
        item.path.name: item.id for item in found(str(tmp_path), scratch=tmp_path / "s") if isinstance(item, Input)
    }
    assert by_name["one"] == by_name["two"]
    assert len(set(by_name.values())) == 3


def test_what_systemd_coredump_says(tmp_path: Path) -> None:
    name = f"core.shop.1000.{'a' * 32}.4711.1700000000123456.zst"
    core = tmp_path / name
    import zstandard

    core.write_bytes(zstandard.compress(b"\x7fELF\x02\x01" + bytes(10) + b"\x04\x00" + bytes(100)))
    expected = {"pid": "4711", "time": "1700000000.123456", "time_source": "name"}
    try:
        os.setxattr(core, "user.coredump.hostname", b"n7")
        os.setxattr(core, "user.coredump.package_name", b"shop")
        expected |= {"host": "n7", "attributed_by": "xattr", "package_name": "shop"}
    except OSError:
        pass  # a file system without attributes
    (item,) = found(str(tmp_path), scratch=tmp_path / "s")
    assert isinstance(item, Input)
    assert item.facts == expected


def test_a_url(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/crashes/hs_err_pid7.log", LOG.read_bytes())
    memory.pipe("/crashes/note.txt", b"nothing")
    items = found("memory://crashes", scratch=tmp_path / "s")
    (log,) = [item for item in items if isinstance(item, Input)]
    assert (log.kind, log.path.read_bytes()) == ("log", LOG.read_bytes())
    assert log.shown.endswith("/crashes/hs_err_pid7.log")
    assert len(items) == 2
    (none,) = found("nosuch://place", scratch=tmp_path / "s")
    assert isinstance(none, Skipped) and none.failed
