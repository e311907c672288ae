"""Where reports go: whole or not at all, under names of their own, never through what somebody planted."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from postmortem.cli.group import cli
from postmortem.guard import analysis
from tests.postmortem import corpus
from tests.postmortem.guard import hardship

DEMO = corpus.ROOT / "fixtures" / "demo"
SYSROOT = ["--sysroot", str(DEMO / "sysroot")]


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["analyze", *map(str, arguments), *SYSROOT])


def _begin(*arguments: str | bytes, **environment: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "postmortem", "analyze", *arguments, *SYSROOT],
        cwd=corpus.ROOT, env={**os.environ, **environment}, capture_output=True, check=False,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def core(tmp_path: Path) -> Path:
    (tmp_path / "crash").mkdir()
    return Path(shutil.copyfile(DEMO / "core.zst", tmp_path / "crash" / "core.zst"))


@pytest.mark.parametrize(("mode", "expected"), [(0o600, 0o600), (0o640, 0o640), (0o644, 0o644), (0o400, 0o600)])
def test_nobody_may_read_it_who_may_not_read_the_core(core: Path, mode: int, expected: int) -> None:
    core.chmod(mode)
    before = os.umask(0o022)
    try:
        assert _run(core).exit_code == 0
    finally:
        os.umask(before)
    report = core.with_name("core.zst.postmortem.html")
    assert stat.S_IMODE(report.stat().st_mode) == expected
    assert {path.name for path in core.parent.iterdir()} == {core.name, report.name}


def test_names_that_are_no_utf_8(core: Path) -> None:
    odd = os.fsencode(core.parent) + b"/c\xff\xfe\x1b[31m"
    core.rename(os.fsdecode(odd))
    code, shown, errors = _begin(odd)
    assert (code, errors) == (0, b"")
    assert b"\x1b" not in shown
    assert len(list(core.parent.iterdir())) == 2
    made = analysis.here(
        analysis.Request(
            core=Path(os.fsdecode(odd)),
            options={"sysroot": DEMO / "sysroot"},
            forms=("html", "json", "markdown", "text"),
        )
    )
    assert all(document.decode() and b"\x1b" not in document for document in made.documents.values())
    code, _, errors = _begin(odd + b".missing")
    assert code == 3
    assert errors.count(b"\n") == 1
    assert b"\x1b" not in errors
    code, _, errors = _begin(odd, b"--exe", odd + b".missing")
    assert code == 2
    assert b"\x1b" not in errors


def test_cores_of_one_name_get_reports_of_different_names(core: Path, tmp_path: Path) -> None:
    cores = []
    for folder in ("a", "b", "c/a"):
        (tmp_path / folder).mkdir(parents=True)
        cores.append(Path(shutil.copyfile(core, tmp_path / folder / "core")))
    out = tmp_path / "out"
    out.mkdir()
    assert _run(*cores, "-o", out).exit_code == 0
    names = {path.name for path in out.iterdir()}
    assert len(names) == 3
    assert all(name.endswith(".postmortem.html") and "core" in name for name in names)
    assert "a.core.postmortem.html" in names
    assert "b.core.postmortem.html" in names
    # One after the other, too; and the same core again takes its own place.
    for folder in ("a", "b", "a"):
        assert _run(tmp_path / folder / "core", "-o", out).exit_code == 0
    again = {path.name for path in out.iterdir()} - names
    assert again == {"core.postmortem.html"}
    assert str(tmp_path / "a" / "core") in (out / "core.postmortem.html").read_text()
    assert str(tmp_path / "b" / "core") in (out / "b.core.postmortem.html").read_text()


def test_devices_and_pipes_are_written_directly(core: Path, tmp_path: Path) -> None:
    before = Path("/dev/null").stat()
    assert _run(core, "-o", "/dev/null").exit_code == 0
    assert Path("/dev/null").stat().st_ino == before.st_ino
    code, made, _ = _begin(str(core), "-o", "/dev/stdout", "--format", "json")
    assert code == 0
    assert made.startswith(b"{")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    result = _run(core, "-o", pipe)
    assert result.exit_code == 3  # nobody reads
    assert result.stderr.count("\n") == 1
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        while _run(core, "-o", pipe, "--format", "json").exit_code == 3:
            continue
        assert reader.communicate(timeout=60)[0].startswith(b"{")


def test_the_input_is_not_overwritten(core: Path) -> None:
    before = core.read_bytes()
    assert _run(core, "-o", core).exit_code == 2
    assert core.read_bytes() == before


def test_a_full_and_a_closed_standard_output(core: Path) -> None:
    run = [sys.executable, "-m", "postmortem", "analyze", str(core), *SYSROOT]
    for redirection, more, code in (
        (">/dev/full", "", 0),
        (">/dev/full", "-o -", 3),
        (">&-", "", 0),
        (">&-", "-o -", 3),
        (">&- 2>&-", "-o -", 3),
        ("<&- >&- 2>&-", "", 0),
    ):
        # Python's own buffer must not fail once more at the end.
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {more} {redirection}', "sh", *run],
            cwd=corpus.ROOT, env=buffered, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, (redirection, more, done)
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") == (0 if "2>&-" in redirection else 1), done.stderr
    assert core.with_name("core.zst.postmortem.html").read_text().rstrip().endswith("</html>")


def test_a_terminal_with_ascii_alone(core: Path) -> None:
    ascii_alone = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    code, shown, errors = _begin(str(core), **ascii_alone)
    assert (code, errors) == (0, b"")
    assert shown.isascii()
    assert b"report: " in shown


def test_a_partial_report_is_exit_0_and_one_line(core: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = b"x\x1b]0;evil\x07\x1b[1my\n"
    made = analysis.Made(documents={"html": b"<html></html>"}, shown=shown, lost="stage native failed")
    monkeypatch.setattr(analysis, "analyze", lambda *given: made)
    result = _run(core)
    assert result.exit_code == 0
    assert result.stderr == f"postmortem: {core}: partial report: stage native failed\n"
    assert result.stdout.startswith("x?]0;evil?\x1b[1my\n")


def test_what_confines_the_worker_is_told(core: Path) -> None:
    result = _run(core, "-v", "-o", os.devnull, "--max-seconds", "60", "--max-memory", "900")
    assert result.exit_code == 0
    assert "60 s, 900 MB" in result.stderr
    assert "Landlock" in result.stderr
    assert "seccomp" in result.stderr
    assert "--in-process" in _run(core, "-v", "-o", os.devnull, "--in-process").stderr


def test_limits_that_are_too_small_are_one_line(core: Path) -> None:
    result = _run(core, "--max-seconds", "0.1", "-o", os.devnull)
    assert result.exit_code in (0, 3)
    assert "Traceback" not in result.output
    assert result.stderr.count("\n") <= 1


def test_rendering_is_guarded_and_redacted(core: Path, tmp_path: Path) -> None:
    stored = tmp_path / "r.json"
    code, made, _ = _begin(str(core), "-o", "-", "--format", "json")
    assert code == 0
    stored.write_bytes(made.replace(b'"environment":{', b'"environment":{"DB_PASSWORD":"swordfish7",', 1))
    shown = CliRunner().invoke(cli, ["render", str(stored), "--format", "json"])
    assert shown.exit_code == 0
    assert "swordfish7" not in shown.output
    assert '"redacted":{"name":1}' in shown.output
    assert "swordfish7" in CliRunner().invoke(cli, ["render", str(stored), "--format", "json", "--no-redact"]).output
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 200_000)
    for bad in (deep, Path("/dev/zero"), tmp_path):
        result = CliRunner().invoke(cli, ["render", str(bad)])
        assert result.exit_code == 3, result
        assert result.stderr.count("\n") == 1


@pytest.mark.corpus  # objcopy, strip, readelf
def test_a_short_run_under_each_hardship() -> None:
    met = hardship.interruptions(8)
    assert sum(met.values()) - met["too late"] == 8
    for what in ("core", "module", "debug"):
        assert sum(count for name, count in hardship.cuts(3, what).items() if "of them" not in name) == 3


@pytest.mark.corpus
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
def test_full_disks() -> None:
    assert sum(hardship.full_disks(6).values()) == 6


@pytest.mark.parametrize(("kind", "way"), [("link", "beside"), ("dangling", "file"), ("pipe", "beside")])
def test_planted_names(kind: str, way: str, tmp_path: Path) -> None:
    hardship.plant(tmp_path, kind, "core.postmortem.html", "html", way)


def test_a_link_planted_in_shared_memory_is_not_followed() -> None:
    """/dev/shm is below /dev, but everybody may plant there."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        pytest.skip("no /dev/shm here")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        assert hardship.plant(Path(folder), "link", "core.postmortem.html", "html", "file") == "refused"


@pytest.mark.corpus
def test_all_planted_names() -> None:
    assert set(hardship.planted()) == {"refused", "written under another name"}
