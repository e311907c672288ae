"""One crash that several inputs tell of is counted once."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from parsers.containers import compressed
from postmortem.model import from_json
from postmortem.triage import run as runs
from postmortem.triage.same import told_by_others
from tests.postmortem.corpus import ROOT
from tests.postmortem.triage.crashes import crash

if TYPE_CHECKING:
    from postmortem.model.triage import Crash, Triage

DEMO = ROOT / "fixtures" / "demo"


def triaged(output: Path, *places: Path, pattern: str | None = None) -> Triage:
    """What a run over these places says."""
    plan = runs.Plan(
        places=tuple(map(str, places)), output=output, jobs=1, options={"sysroot": DEMO / "sysroot"},
        host_pattern=re.compile(pattern) if pattern else None,
    )  # fmt: skip
    return runs.run(plan).triage


@pytest.fixture(scope="module")
def core() -> bytes:
    """The demo's core, decompressed."""
    with (DEMO / "core.zst").open("rb") as packed:
        return b"".join(compressed.chunks(packed, "zst"))


def test_compressed_copies_of_a_core_are_one_crash(core: bytes, tmp_path: Path) -> None:
    made = {"zst": (DEMO / "core.zst").read_bytes(), "gz": gzip.compress(core, 1), "xz": lzma.compress(core, preset=0)}
    made |= {"bz2": bz2.compress(core, 1)}
    for form, content in made.items():
        (tmp_path / f"core.{form}").write_bytes(content)
    output = tmp_path / "out"
    (bucket,) = triaged(output, tmp_path / "core.zst", tmp_path / "core.gz").buckets
    assert bucket.count == 1
    plain = tmp_path / "core.plain"
    plain.write_bytes(core)
    triage = triaged(output, tmp_path)
    (bucket,) = triage.buckets
    assert [member.path for member in bucket.members] == [str(plain)], "the plain one counts, whenever it came"
    assert bucket.status == "known"
    copies = {Path(item.path).suffix: item.what for item in triage.skipped if "content" in item.what}
    assert copies == dict.fromkeys((".zst", ".gz", ".xz", ".bz2"), f"has the same content as {plain}")
    other = tmp_path / "cut.gz"
    other.write_bytes(gzip.compress(core[:-4096], 1))
    (bucket,) = triaged(output, other).buckets
    assert bucket.count == 2, "what has other bytes is another crash"


def test_a_moved_input_is_told_by_its_new_place_in_its_report_too(tmp_path: Path) -> None:
    before, after, output = tmp_path / "in" / "core.zst", tmp_path / "archive" / "core.zst", tmp_path / "out"
    before.parent.mkdir(parents=True)
    shutil.copy(DEMO / "core.zst", before)
    triaged(output, before)
    after.parent.mkdir(parents=True)
    shutil.copy(before, after)
    (bucket,) = triaged(output, after).buckets
    assert bucket.members[0].path == str(before), "it is there still: the other is a copy"
    before.unlink()
    (bucket,) = triaged(output, after).buckets
    (member,) = bucket.members
    assert member.path == str(after) and bucket.best is not None and bucket.best.input == str(after)
    stored = (output / str(member.report)).read_bytes()
    assert from_json(stored).core.path == str(after) and os.fsencode(before) not in stored


def test_a_pattern_for_hosts_counts_for_inputs_that_are_known(tmp_path: Path) -> None:
    place = tmp_path / "h7"
    place.mkdir()
    shutil.copy(DEMO / "core.zst", place)
    assert triaged(tmp_path / "out", place).buckets[0].hosts.keys().isdisjoint({"h7"})
    assert triaged(tmp_path / "out", place, pattern=r"/(h\d)/").buckets[0].hosts == {"h7": 1}
    assert triaged(tmp_path / "out", place).buckets[0].hosts == {"h7": 1}


def told(*crashes: Crash) -> dict[str, str]:
    """Path → that of the one which tells of the same."""
    paths = {item.id: item.path for item in crashes}
    return {paths[identity]: other.path for identity, other in told_by_others(crashes).items()}


def test_a_log_and_its_core_in_two_folders() -> None:
    core = crash(number=1, pid=7, process="7@0x7f10", path="/cores/core.7")
    log = crash(number=2, pid=7, process="7@0x7f10", path="/logs/hs_err_pid7.log", kind="log")
    other = crash(number=3, pid=7, process="7@0x7f22", path="/cores/hs_err_pid7.log", kind="log")
    assert told(core, log, other) == {log.path: core.path}, "the one beside it is of another container"
    unknown = crash(number=4, pid=7, path="/cores/hs_err.log", kind="log")
    assert told(core, unknown) == {unknown.path: core.path}
    assert told(core, crash(number=5, pid=8, path="/cores/hs_err_pid8.log", kind="log")) == {}


def test_the_log_of_a_copy_is_that_of_what_counts() -> None:
    plain = crash(number=1, id="c" * 40, content="c" * 40, pid=7, path="/a/core")
    packed = crash(number=2, content="c" * 40, pid=7, path="/b/core.zst")
    log = crash(number=3, pid=7, path="/b/hs_err_pid7.log", kind="log")
    assert told(packed, log, plain) == {packed.path: plain.path, log.path: plain.path}
