"""Whatever the input: a report that names what is lost, or exit 3 with one clear line. Never a traceback."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from click.testing import CliRunner

import postmortem
from parsers.limits import LIMITS
from postmortem.cli.group import cli
from postmortem.errors import AnalysisError
from reports import FORMATS
from tests.build.core import CoreBuilder
from tests.postmortem import corpus

DEMO = corpus.ROOT / "fixtures" / "demo"
CUTS = 200


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped core, decompressed."""
    path = tmp_path_factory.mktemp("core") / "core"
    with path.open("wb") as sink, (DEMO / "core.zst").open("rb") as source:
        zstandard.ZstdDecompressor().copy_stream(source, sink)
    return path


def demo_options() -> postmortem.Options:
    return postmortem.Options(sysroot=DEMO / "sysroot", strict=True)


def test_the_shipped_core_gives_its_verdict(core: Path) -> None:
    report = postmortem.analyze(core, demo_options())
    assert report.verdict is not None
    assert report.verdict.rule == "null-dereference"
    assert report.crash.fault_address == 0x10
    names = [frame.function for frame in report.threads[0].frames]
    assert names[0] is not None
    assert "discount_of" in names[0]
    assert any("price_order" in (name or "") for name in names)
    assert not report.core.truncated


@pytest.mark.parametrize("cut", range(CUTS))
def test_a_core_cut_anywhere(core: Path, cut: int, tmp_path: Path) -> None:
    size = core.stat().st_size
    length = random.Random(cut).choice([random.Random(cut).randrange(1, size), random.Random(cut).randrange(1, 20_000)])
    path = tmp_path / "core"
    with core.open("rb") as source:
        path.write_bytes(source.read(length))
    try:
        report = postmortem.analyze(path, demo_options())
    except AnalysisError as error:
        assert length < 64
        assert error.hint
        return
    assert report.core.truncated
    assert report.problems
    assert any(finding.rule == "truncated-core" for finding in report.findings)
    assert FORMATS["markdown"](report)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("text", b"this is a text file\n" * 50, "text of another kind"),
        ("data", bytes(range(200)), "data that begins with 00 01"),
        ("empty", b"", "empty"),
        ("arm", CoreBuilder(machine=183).thread(1).bytes(), "aarch64"),
        ("executable", Path(sys.executable).resolve().read_bytes()[:4096], "not a core"),
    ],
)
def test_what_is_no_core_is_exit_3_and_one_line(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    result = CliRunner().invoke(cli, ["analyze", str(path)])
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert "Try:" in result.stderr


def test_a_directory_and_a_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        result = CliRunner().invoke(cli, ["analyze", str(path)])
        assert result.exit_code == 3
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("form", ["zst", "xz", "gz", "lz4", "bz2"])
def test_compressed_cores_give_the_same_report(core: Path, form: str, tmp_path: Path) -> None:
    data = core.read_bytes()
    packed = {
        "zst": zstandard.ZstdCompressor().compress,
        "xz": lambda raw: lzma.compress(raw, preset=0),
        "gz": lambda raw: gzip.compress(raw, 1),
        "lz4": lz4.frame.compress,
        "bz2": bz2.compress,
    }[form](data)
    path = tmp_path / f"core.{form}"
    path.write_bytes(packed)
    plain = postmortem.analyze(core, demo_options())
    report = postmortem.analyze(path, demo_options())
    assert report.core.format == f"elf-core.{form}"
    assert report.threads == plain.threads
    assert report.findings == plain.findings
    path.write_bytes(packed[: len(packed) // 2])
    try:
        cut = postmortem.analyze(path, demo_options())
    except AnalysisError as error:
        assert "decompressed" in str(error)
    else:
        assert cut.core.truncated
        assert any("stream ends" in problem.what or "is cut" in problem.what for problem in cut.problems)


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_core_is_survived(core: Path, seed: int, tmp_path: Path) -> None:
    """Bytes of headers, notes and stacks overwritten at random."""
    chance = random.Random(seed)
    path = tmp_path / "core"
    shutil.copyfile(core, path)
    with path.open("r+b") as file:
        for _ in range(chance.randrange(1, 200)):
            file.seek(chance.randrange(64, min(60_000, core.stat().st_size)))
            file.write(chance.randbytes(chance.randrange(1, 16)))
    try:
        report = postmortem.analyze(path, demo_options())
    except AnalysisError as error:
        assert str(error)
    else:
        assert FORMATS["html"](report)


def test_a_path_of_the_core_is_not_opened_outside_the_sysroot(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\x7fELF" + b"secret" * 100)
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(secret)
    page = b"\x7fELF\x02\x01\x01".ljust(64, b"\0")
    data = (
        CoreBuilder()
        .thread(1, rip=0x400010)
        .files((0x400000, 0x401000, 0, "/../../secret"), (0x500000, 0x501000, 0, "/link"))
        .memory(0x400000, page.ljust(4096, b"\0"), flags=5)
        .memory(0x500000, page.ljust(4096, b"\0"), flags=5)
        .bytes()
    )
    path = tmp_path / "core"
    path.write_bytes(data)
    report = postmortem.analyze(path, postmortem.Options(sysroot=root, strict=True))
    assert all(module.file is None for module in report.modules)
    assert str(secret) not in str(report)


def test_a_fifo_named_by_the_core_is_not_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    data = (
        CoreBuilder()
        .thread(1, rip=0x400010)
        .files((0x400000, 0x401000, 0, "/pipe"))
        .memory(0x400000, b"\x7fELF\x02\x01\x01".ljust(4096, b"\0"), flags=5)
        .bytes()
    )
    path = tmp_path / "core"
    path.write_bytes(data)
    report = postmortem.analyze(path, postmortem.Options(sysroot=tmp_path, strict=True))
    assert all(module.file is None for module in report.modules)


def test_a_foreign_package_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "__init__.py").write_text("raise SystemExit('hijacked')\n")
    for command, extra in (
        ([sys.executable, "-m", "postmortem", "--version"], {}),
        ([sys.executable, "-m", "postmortem", "--version"], {"PYTHONPATH": str(tmp_path)}),
    ):
        result = subprocess.run(command, cwd=tmp_path, env=extra, capture_output=True, text=True, check=False)
        assert "hijacked" not in result.stderr + result.stdout
        assert result.returncode == (3 if extra else 0), result.stderr


@pytest.mark.corpus
def test_deep_recursion_is_complete_and_folded() -> None:
    place = corpus.directory() / "stack-overflow-main"
    report = postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", strict=True))
    thread = report.threads[0]
    assert len(thread.frames) > 29_000
    assert thread.frames[-1].function == "_start"
    (cycle,) = thread.cycles
    assert cycle.period == 2
    assert cycle.period * cycle.count > 28_990
    for form in ("html", "markdown", "text"):
        assert len(FORMATS[form](report)) < 100_000
    assert LIMITS.frames_per_thread > 100_000
    ends = postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", frames="ends", strict=True))
    assert len(ends.threads[0].frames) < 2 * LIMITS.recursion_frames + 100
    assert ends.verdict is not None and report.verdict is not None
    assert (ends.verdict.title, ends.signature) == (report.verdict.title, report.signature)
    for form in ("markdown", "text"):  # frames have the numbers that they have in the whole stack
        lines = [FORMATS[form](whole).splitlines() for whole in (report, ends)]
        assert [line for line in lines[0] if "_start" in line] == [line for line in lines[1] if "_start" in line]
    (turns,) = ends.threads[0].cycles
    assert (turns.start, turns.period, turns.count) == (cycle.start, cycle.period, cycle.count)
    assert len(ends.threads[0].frames) + turns.period * turns.left_out == len(thread.frames)


@pytest.mark.corpus
def test_a_fault_whose_handler_raised_it_again() -> None:
    place = corpus.directory() / "handler-reraises"
    crash = postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", strict=True)).crash
    assert crash.unwrapped and crash.signal is not None and crash.handler_signal is not None
    assert (crash.signal.code_name, crash.handler_signal.code_name) == ("SEGV_MAPERR", "SI_TKILL")
    assert (crash.fault_address, crash.access) == (0x60, "read")


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "address", "handler"),
    [("handler-aborts", 0x60, "SIGABRT"), ("crash-in-handler", 0x64, "SIGSEGV"), ("handler-thread", 0x60, "SIGABRT")],
)
def test_the_original_fault_is_found_behind_a_handler(name: str, address: int, handler: str) -> None:
    place = corpus.directory() / name
    report = postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", strict=True))
    crash = report.crash
    assert crash.unwrapped
    assert crash.signal is not None and crash.signal.name == "SIGSEGV"
    assert crash.handler_signal is not None and crash.handler_signal.name == handler
    assert crash.trap_number == 14
    assert crash.fault_address == address
    assert report.threads[0].handler_frames
    assert report.threads[0].tid == crash.tid
    assert (crash.handler_tid is not None) == (name == "handler-thread")


@pytest.mark.corpus
def test_a_second_thread_that_faulted_is_told() -> None:
    told = {}
    for name in ("second-fault", "second-fault-sent", "handler-mends", "handler-thread"):
        place = corpus.directory() / name
        report = postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", strict=True))
        told[name] = report.crash.others
        assert ("Faults of other threads" in FORMATS["html"](report)) == bool(report.crash.others)
        assert ("Faults of other threads" in FORMATS["markdown"](report)) == bool(report.crash.others)
    (other,) = told.pop("second-fault")
    assert (other.signal.name, other.signal.code_name, other.signal.fault_address) == ("SIGSEGV", "SEGV_MAPERR", 0x60)
    assert (other.function, other.handled) == ("cancel", True)
    assert told == dict.fromkeys(told, ())


_BARRIER = r"""
#include <pthread.h>
static volatile int go;
__attribute__((noinline)) static void second_fault(volatile int *place) { *place = 2; }
static void *one(void *place) { while (!go); second_fault(place); return 0; }
int main(void) {
  pthread_t threads[2];
  for (long i = 0; i < 2; i++) pthread_create(threads + i, 0, one, (void *)(16 + 16 * i));
  for (volatile int i = 0; i < 3000000; i++);
  go = 1;
  pthread_join(threads[0], 0);
}
"""


@pytest.mark.corpus
def test_two_threads_that_fault_at_once(tmp_path: Path) -> None:
    """Which of them the kernel catches in time is chance: of those that it does not, nothing is told."""
    (tmp_path / "two.c").write_text(_BARRIER)
    exe = tmp_path / "two"
    subprocess.run(["gcc", "-O1", "-g", "-pthread", "-o", exe, tmp_path / "two.c"], check=True)
    alone = both = 0
    for number in range(60):
        place = tmp_path / str(number)
        place.mkdir()
        limit = lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)  # noqa: E731
        subprocess.run([exe], cwd=place, check=False, preexec_fn=limit)
        (core,) = place.glob("core*")
        crash = postmortem.analyze(core, postmortem.Options(executable=exe, strict=True)).crash
        shutil.rmtree(place)
        assert crash.signal is not None and len(crash.others) < 2
        for other in crash.others:
            assert {crash.signal.fault_address, other.signal.fault_address} == {16, 32}
            assert (other.tid != crash.tid, other.function, other.handled) == (True, "second_fault", False)
        alone, both = alone + (not crash.others), both + len(crash.others)
        if alone and both:
            return
    if not both:
        pytest.skip("no two threads faulted at once in 60 tries")
