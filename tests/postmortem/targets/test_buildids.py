"""--debug-dir finds files by their build-id, whatever they are called."""

from __future__ import annotations

import resource
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import postmortem
from postmortem.targets.buildids import BuildIds

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.corpus, pytest.mark.needs("gcc", "objcopy", "strip")]

SOURCE = """
__attribute__((noinline)) static int settle(volatile int *ledger) { return *ledger + 1; }
int main(void) { return settle((int *)8); }
"""


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """exe (stripped), core, unstripped, only-debug."""
    place = tmp_path_factory.mktemp("ledger")
    (place / "ledger.c").write_text(SOURCE)
    subprocess.run(["gcc", "-g", "-O1", "-Wl,--build-id=sha1", "-o", "ledger", "ledger.c"], cwd=place, check=True)
    shutil.copy(place / "ledger", place / "unstripped")
    subprocess.run(["objcopy", "--only-keep-debug", "ledger", "only-debug"], cwd=place, check=True)
    subprocess.run(["strip", "ledger"], cwd=place, check=True)

    def unlimited() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    subprocess.run([place / "ledger"], cwd=place, check=False, preexec_fn=unlimited)
    assert (place / "core").is_file(), "the kernel's core_pattern is not `core`"
    return place


def _innermost(core: Path, debug: Path, **more: object) -> tuple[str | None, str | None, int | None, str]:
    options = postmortem.Options(debug_dirs=(debug,), cache_dir=debug.parent / "cache", **more)  # type: ignore[arg-type]
    report = postmortem.analyze(core, options)
    frame = report.threads[0].frames[0]
    return frame.function, frame.file and frame.file.rsplit("/", 1)[-1], frame.line, report.modules[0].status


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("unstripped", "ledger-unstripped"),
        ("only-debug", "ledger.debug"),
        ("only-debug", "deep/0123/debuginfo"),
        ("only-debug", "usr/lib/debug/other/name.dbg"),
    ],
)
def test_any_name_will_do(crash: Path, tmp_path: Path, file: str, name: str) -> None:
    place = tmp_path / "debug" / name
    place.parent.mkdir(parents=True)
    shutil.copy(crash / file, place)
    assert _innermost(crash / "core", tmp_path / "debug") == ("settle", "ledger.c", 2, "matched")


@pytest.mark.parametrize(("file", "status"), [("unstripped", "matched"), ("only-debug", "missing")])
def test_the_program_itself_may_be_gone(crash: Path, tmp_path: Path, file: str, status: str) -> None:
    (tmp_path / "debug").mkdir()
    (tmp_path / "empty").mkdir()
    shutil.copy(crash / file, tmp_path / "debug" / "some-name")
    found = _innermost(crash / "core", tmp_path / "debug", sysroot=tmp_path / "empty")
    assert found == ("settle", "ledger.c", 2, status)


def test_another_build_is_not_taken(crash: Path, tmp_path: Path) -> None:
    (tmp_path / "debug").mkdir()
    (crash / "other.c").write_text(SOURCE.replace("+ 1", "+ 2"))
    other = tmp_path / "debug" / "ledger.debug"
    command = ["gcc", "-g", "-O1", "-Wl,--build-id=sha1", "-o", str(other), str(crash / "other.c")]
    subprocess.run(command, check=True)
    assert _innermost(crash / "core", tmp_path / "debug")[:3] == (None, None, None)


def test_links_and_other_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "text").write_text("no ELF file")
    (tmp_path / "broken").write_bytes(b"\x7fELF" + bytes(20))
    assert BuildIds([tmp_path]).files("00" * 20) == ()
    assert BuildIds([tmp_path]).files(None) == ()
