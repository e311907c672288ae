"""The cache on disk: whole files or none, only ours, only undamaged."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postmortem.symbols.cache import Cache, default_directory

KEY = "0123456789abcdef"
CONTENT = bytes(range(256)) * 40


def test_gives_back_what_was_written(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "a" / "cache")
    assert cache.read(KEY, "sym") is None
    cache.write(KEY, "sym", [CONTENT[:100], memoryview(CONTENT)[100:]])
    assert bytes(cache.read(KEY, "sym") or b"") == CONTENT
    assert cache.read(KEY, "other") is None
    cache.write(KEY, "sym", [])
    empty = cache.read(KEY, "sym")
    assert empty is not None
    assert len(empty) == 0


def test_is_for_the_user_alone(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    cache = Cache(root)
    cache.write(KEY, "sym", [CONTENT])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]}
    assert set(modes.values()) == {0o700, 0o600}


def test_a_directory_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    cache.write(KEY, "sym", [CONTENT])
    (tmp_path / "cache").chmod(0o777)
    assert cache.read(KEY, "sym") is None
    cache.write("ff" + KEY, "sym", [CONTENT])
    assert not (tmp_path / "cache" / "ff").exists()


@pytest.mark.parametrize("key", ["../../etc/passwd", "", "/", "é", "a" * 10_000])
def test_no_key_leads_elsewhere(tmp_path: Path, key: str) -> None:
    cache = Cache(tmp_path / "cache")
    path = cache.path(key, "sym")
    assert path is not None
    assert path.resolve().is_relative_to(tmp_path / "cache")
    cache.write(key, "sym", [CONTENT])
    assert bytes(cache.read(key, "sym") or b"") == CONTENT


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    cache.write(KEY, "sym", [CONTENT])
    path = cache.path(KEY, "sym")
    assert path is not None
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert cache.read(KEY, "sym") is None


def test_what_cannot_be_written_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "cache")
    cache.write(KEY, "sym", [CONTENT])
    assert cache.read(KEY, "sym") is None


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(CONTENT) + 31), flip=st.integers(1, 255), cut=st.integers(0, len(CONTENT) + 31))
def test_damage_is_noticed(tmp_path: Path, place: int, flip: int, cut: int) -> None:
    cache = Cache(tmp_path / "cache")
    path = cache.path(KEY, "sym")
    assert path is not None
    cache.write(KEY, "sym", [CONTENT])
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= flip
    for content in (bytes(damaged), whole[:cut], whole + b"\0"):
        path.write_bytes(content)
        found = cache.read(KEY, "sym")
        assert found is None or bytes(found) == CONTENT


def test_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("POSTMORTEM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_directory() == tmp_path / ".cache" / "postmortem"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_directory() == tmp_path / ".cache" / "postmortem"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert default_directory() == Path("/xdg/postmortem")
    monkeypatch.setenv("POSTMORTEM_CACHE", "/named")
    assert default_directory() == Path("/named")


def _write_and_read(root: Path, number: int) -> list[int]:
    """What a process sees while others write the same key: the byte each whole file is made of."""
    cache = Cache(root)
    seen = []
    for _ in range(40):
        cache.write(KEY, "sym", [bytes([number]) * 50_000])
        content = bytes(cache.read(KEY, "sym") or b"")
        seen.append(content[0] if len(content) == 50_000 and len(set(content)) == 1 else -1)
    return seen


def test_processes_that_write_at_once_see_whole_files(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        results = pool.starmap(_write_and_read, [(root, number) for number in range(1, 5)])
    assert {number for seen in results for number in seen} <= {1, 2, 3, 4}
    assert [path.name for path in root.rglob("*") if path.is_file()] == [f"{KEY[2:]}.sym"]
