"""A short run of mutants: of the shipped core, of a log and of their reports. Long ones: tests/hostile/campaign.py."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING

import pytest
import zstandard

import postmortem
from postmortem.model import to_json
from tests.hostile import debugsections, mutate
from tests.hostile.campaign import MutableCore, exercise, refusals, render_stored, trace_of
from tests.hostile.child import forked
from tests.postmortem import corpus
from tests.postmortem.corpus import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DEMO = ROOT / "fixtures" / "demo"
LOG = ROOT / "fixtures" / "logs" / "jni-17.log"
SECONDS, MEGABYTES = 40, 4000


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("core") / "core"
    with path.open("wb") as sink, (DEMO / "core.zst").open("rb") as source:
        zstandard.ZstdDecompressor().copy_stream(source, sink)
    return path


def test_mutants_of_a_core(core: Path, tmp_path: Path) -> None:
    options = postmortem.Options(sysroot=DEMO / "sysroot", cache_dir=tmp_path / "cache", strict=True)
    subject = mutate.Subject.of(core, trace_of(core, options))
    assert len(subject.trace.words) > 10
    held = MutableCore(core, tmp_path / "core")
    for seed in range(40):
        mutation = mutate.core(subject, random.Random(seed))
        with held.mutated(mutation) as path:
            outcome = forked(lambda p=path: exercise(p, options), refusals(), SECONDS, MEGABYTES)  # type: ignore[misc]
        assert outcome.status in ("report", "partial", "refused"), (seed, mutation.what, outcome)
        assert held.copy.read_bytes() == core.read_bytes()


def test_mutants_of_debug_sections(core: Path, tmp_path: Path) -> None:
    """Names and values come from sections that are not what they say; the crash is the same."""
    original = (DEMO / "sysroot" / "opt" / "shop" / "bin" / "checkout").read_bytes()
    assert {".debug_info", ".debug_abbrev"} <= {section.name for section in debugsections.sections(original)}
    exe = tmp_path / "checkout"
    for seed in range(20):
        data, what = debugsections.mutated(original, random.Random(seed))
        assert data != original or len(what) == 1
        exe.write_bytes(data)
        options = postmortem.Options(
            executable=exe, sysroot=DEMO / "sysroot", cache_dir=tmp_path / f"cache-{seed}", strict=True
        )
        outcome = forked(lambda o=options: exercise(core, o), refusals(), SECONDS, MEGABYTES)  # type: ignore[misc]
        assert outcome.status in ("report", "partial"), (seed, what, outcome)


def test_mutants_of_a_log_and_of_a_report(tmp_path: Path) -> None:
    log = LOG.read_bytes()
    stored = json.loads(to_json(postmortem.analyze(LOG)))
    path = tmp_path / "hs_err_pid1.log"
    for seed in range(25):
        path.write_bytes(mutate.text(log, random.Random(seed)))
        outcome = forked(lambda: exercise(path, postmortem.Options(strict=True)), refusals(), SECONDS, MEGABYTES)
        assert outcome.status in ("report", "partial", "refused"), (seed, outcome)
        data = mutate.stored(stored, random.Random(seed))
        outcome = forked(lambda d=data: render_stored(d), refusals(), SECONDS, MEGABYTES)  # type: ignore[misc]
        assert outcome.status in ("report", "refused"), (seed, outcome)


@pytest.mark.parametrize("name", ["zst"])
def test_decompression_ends_where_the_disk_is_full(
    monkeypatch: pytest.MonkeyPatch, core: Path, tmp_path: Path, name: str
) -> None:
    """What fits is analyzed, and the report says what did not."""
    packed = tmp_path / f"core.{name}"
    packed.write_bytes(zstandard.ZstdCompressor().compress(core.read_bytes()))
    real = os.fstatvfs

    def small(descriptor: int) -> os.statvfs_result:
        state = list(real(descriptor))
        state[1], state[4] = 1, (1 << 26) + 300_000  # f_frsize, f_bavail
        return os.statvfs_result(state)

    monkeypatch.setattr(os, "fstatvfs", small)
    report = postmortem.analyze(packed, postmortem.Options(sysroot=DEMO / "sysroot", strict=True))
    assert report.core.truncated
    assert any("has room for 300000" in problem.what for problem in report.problems)


@pytest.mark.corpus
@pytest.mark.parametrize(("case", "seed"), [("go-fault-in-c", 92), ("go-fault-in-c", 227), ("handler-aborts", 283)])
def test_executables_that_fell(tmp_path: Path, case: str, seed: int) -> None:
    """Compressed debug sections that are damaged, offsets beyond what a file can have."""
    place = corpus.directory() / case
    exe = tmp_path / "exe"
    exe.write_bytes(mutate.module((place / "exe").read_bytes(), random.Random(seed)))
    options = postmortem.Options(executable=exe, cache_dir=tmp_path / "cache", strict=True)
    outcome = forked(lambda: exercise(place / "core", options), refusals(), SECONDS, MEGABYTES)
    assert outcome.status in ("report", "partial"), outcome
