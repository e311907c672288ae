"""A log beside a core adds to its report; what is junk, or of another process, costs nothing but a problem."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

import postmortem
from postmortem import hs_err
from postmortem.model import Address
from postmortem.targets.moment import moment
from tests.parsers.hs_err import texts
from tests.postmortem.rules.jvm_cases import java_crash, module, native

if TYPE_CHECKING:
    from postmortem.model import Report

_ROOT = Path(__file__).resolve().parents[3]
_PID = 21376


def _core(**changes: object) -> Report:
    report = java_crash(native("parse"))
    report = msgspec.structs.replace(report, process=msgspec.structs.replace(report.process, pid=_PID))
    return msgspec.structs.replace(report, **changes)


def _log(pid: int = _PID, time: str = "Mon Jan  5 10:11:12 2026 UTC") -> str:
    text = texts.JDK17_LINUX.replace("pid=321", f"pid={pid}")
    return text.replace("Mon Jan  5 10:11:12 2026 UTC", time)


def _added(report: Report, before: Report) -> bool:
    return report.host is not None and before.host is None


def _beside(tmp_path: Path, text: bytes, report: Report) -> Report:
    (tmp_path / f"hs_err_pid{_PID}.log").write_bytes(text)
    return hs_err.with_log(report, tmp_path / "core", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b"\0" * 5000, "no fatal error log|not a fatal error log"),
        (b"\x7fELF" + bytes(3000), "not a fatal error log"),
        (os.urandom(4000), "not a fatal error log"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"Unhandled exception\nType=Segmentation error vmState=0x00000000\n", "OpenJ9"),
        (b"PATH=/bin\nHOME=/\n" * 9, "not a fatal error log"),
    ],
)
def test_junk_is_a_problem(tmp_path: Path, text: bytes, words: str) -> None:
    before = _core()
    report = _beside(tmp_path, text, before)
    assert not _added(report, before) and report.jvm == before.jvm
    what = report.problems[-1].what
    assert any(word in what for word in words.split("|")) and "not used" in what


def test_a_log_that_can_t_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    for path in (tmp_path / "directory", tmp_path / "missing"):
        before = _core()
        report = hs_err.with_log(before, tmp_path / "core", path)
        assert not _added(report, before) and "not used" in report.problems[-1].what


def test_the_log_of_the_same_process_is_used_however_old_the_core_s_file_is(tmp_path: Path) -> None:
    libjvm = module("/usr/lib/jvm/lib/server/libjvm.so")
    same = _core(
        modules=(libjvm,),
        crash=msgspec.structs.replace(_core().crash, time="2031-01-01T00:00:00+00:00", time_source="file"),
    )
    mapped = f"Dynamic libraries:\n{libjvm.start:012x}-{libjvm.end:012x} r-xp 00000000 fe:00 1   {libjvm.path}\n"
    log = _log().replace("Dynamic libraries:\n", mapped, 1)
    assert mapped in log
    report = _beside(tmp_path, log.encode(), same)
    assert _added(report, same)
    assert (report.crash.time, report.crash.time_source) == ("2026-01-05T10:11:12+00:00", "log")


def test_libjvm_at_another_place_tells_another_process(tmp_path: Path) -> None:
    before = _core(modules=(module("/usr/lib/jvm/lib/server/libjvm.so"),))
    log = _log().replace(
        "Dynamic libraries:\n",
        "Dynamic libraries:\n7f0000000000-7f0000001000 r-xp 00000000 fe:00 1   /x/libjvm.so\n",
        1,
    )
    report = _beside(tmp_path, log.encode(), before)
    assert not _added(report, before)
    assert "libjvm lay at" in report.problems[-1].what


@pytest.mark.parametrize(("year", "used"), [("2026", True), ("2025", False), ("2031", False)])
def test_a_log_of_another_year_is_not_used(tmp_path: Path, year: str, used: bool) -> None:
    dated = msgspec.structs.replace(_core().crash, time="2026-01-05T11:30:00+00:00", time_source="file")
    before = _core(modules=(), crash=dated)
    log = "".join(
        line
        for line in _log(time=f"Mon Jan  5 10:11:12 {year} UTC").splitlines(keepends=True)
        if "libjvm.so" not in line
    )
    report = _beside(tmp_path, log.encode(), before)
    assert _added(report, before) is used
    assert used or "nothing else says that they are of one crash" in report.problems[-1].what


def test_a_pasted_log_is_read_when_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "from-the-ticket.txt"
    path.write_text("".join(f"> {line}\n" for line in _log().splitlines()))
    before = _core(modules=())
    report = hs_err.with_log(before, tmp_path / "core", path)
    assert _added(report, before)


@pytest.mark.parametrize("same", [True, False])
def test_the_log_names_what_the_core_s_files_would(tmp_path: Path, same: bool) -> None:
    """Only where the log is of this fault: the pc is the same."""
    own = java_crash(msgspec.structs.replace(native("parse"), function=None)).threads[0]
    frame = next(frame for frame in own.frames if frame.module_offset is not None and frame.function is None)
    pc = 0x7FD4C1A2A4D0 if same else 0x7FD4C1A2A4D1
    before = _core(modules=(), crash=msgspec.structs.replace(_core().crash, pc=Address(pc)), threads=(own,))
    library = (frame.module or "").rpartition("/")[2]
    line = f"C  [{library}+{frame.module_offset:#x}]  read_rows+0x1c\n"
    log = re.sub(r"(?m)(^Native frames: .*\n)", lambda found: found[0] + line, _log(), count=1)
    log = re.sub(r"(?m)pc=0x[0-9a-f]+", "pc=0x00007fd4c1a2a4d0", log, count=1)
    assert line in log
    names = [found.function for found in _beside(tmp_path, log.encode(), before).threads[0].frames]
    assert ("read_rows" in names) is same


def test_a_core_with_junk_for_a_log_still_has_its_report(tmp_path: Path) -> None:
    junk = tmp_path / "hs_err.log"
    junk.write_text("not a log\n")
    core = _ROOT / "fixtures" / "demo" / "core.zst"
    options = postmortem.Options(sysroot=core.parent / "sysroot", hs_err=junk, strict=True)
    report = postmortem.analyze(core, options)
    assert report.verdict is not None and report.crash.signal is not None
    assert any(str(junk) in problem.where and "not used" in problem.what for problem in report.problems)
    assert report.crash.time_source == "file"
    assert report.crash.time == datetime.fromtimestamp(int(core.stat().st_mtime), UTC).isoformat()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "core.relayd.1000.0123456789abcdef0123456789abcdef.4242.1767607872000000.zst",
            ("2026-01-05T10:11:12+00:00", "name"),
        ),
        (
            "core.relayd.1000.0123456789abcdef0123456789abcdef.4242.1767607872000000",
            ("2026-01-05T10:11:12+00:00", "name"),
        ),
        ("core.4242", ("2001-09-09T01:46:40+00:00", "file")),
        ("core", ("2001-09-09T01:46:40+00:00", "file")),
        ("core.relayd.1000.nothex.4242.1767607872000000", ("2001-09-09T01:46:40+00:00", "file")),
    ],
)
def test_when_a_core_was_written(tmp_path: Path, name: str, expected: tuple[str, str]) -> None:
    path = tmp_path / name
    path.touch()
    os.utime(path, (1e9, 1e9))
    assert moment(path) == expected
    assert moment(tmp_path / "gone") == (None, None)
