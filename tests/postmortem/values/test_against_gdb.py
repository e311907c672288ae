"""Arguments and locals of the crashing thread equal gdb's on the same core, wherever both print one."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

import postmortem
from tests.postmortem import corpus
from tests.postmortem.values.gdb_oracle import Compared, compare, gdb_values

pytestmark = [pytest.mark.corpus, pytest.mark.needs("gdb")]

APART = {
    "place-handler-deep": "frames of one function that gdb gives values to the last, cut otherwise than here",
    "mapping-exhaustion": "65,000 mappings: gdb takes minutes",
    "replaced-binary": "gdb takes the wrong file's symbols without a word",
    "null-large-core-cut": "the stack is cut off",
    "null-disk-full": "the stack is cut off",
}
GDB_DIFFERS = {
    # An entry value by DW_OP_fbreg of the caller: gdb computes it with the callee's frame base, and is off by a frame.
    ("assertion-glibcxx", "this"),
    # A static program loads no libstdc++, so that gdb has no printers for its types.
    ("null-static-pie", "items"),
    ("cxx-nested-static", "caught"),
    # gdb prints wchar_t as a number.
    ("place-tail-printf", "the_arg"),
    ("format-of-the-peer", "the_arg"),
    # gdb shows the structure in a variant of Rust by its first byte.
    ("rust-unwrap", "self"),
    ("rust-unwrap-thread", "self"),
}
NAMES = corpus.parameters(APART)


@functools.cache
def compared(name: str) -> Compared:
    place = corpus.directory() / name
    report = postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", strict=True))
    return compare(report.threads[0], gdb_values(place / "core", place / "exe"))


@pytest.mark.parametrize("name", NAMES)
def test_values_equal_gdbs(name: str) -> None:
    found = compared(name)
    wrong = [row for row in found.different if (name, row[1]) not in GDB_DIFFERS]
    assert not wrong


def test_that_there_is_much_to_compare() -> None:
    names = [str(parameter.values[0]) for parameter in NAMES]
    found = {name: compared(name) for name in names if (corpus.directory() / name / "core").is_file()}
    with_values = [name for name, one in found.items() if one.both]
    both = sum(one.both for one in found.values())
    # A function of the C library in which many cases wait counts once.
    lost = len({value[:2] for one in found.values() for value in one.gdbs_alone})
    assert len(with_values) >= 60
    # A third of them lie in frames of the C library, where its debug info is installed.
    assert both >= (1000 if any(Path("/usr/lib/debug/.build-id").glob("*/*.debug")) else 700)
    # What gdb alone prints comes by chains of tail calls, which are not followed here.
    assert lost < both // 10


def test_a_second_run_reads_no_dwarf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from postmortem.values.store import Store

    place = corpus.directory() / "null-inlined"
    options = postmortem.Options(executable=place / "exe", cache_dir=tmp_path / "cache")
    first = postmortem.analyze(place / "core", options)

    def fail(*_: object) -> None:
        raise AssertionError("DWARF was opened")

    monkeypatch.setattr(Store, "_open", fail)
    second = postmortem.analyze(place / "core", options)
    assert [frame.arguments for frame in second.threads[0].frames] == [
        frame.arguments for frame in first.threads[0].frames
    ]
    item = next(value for frame in second.threads[0].frames for value in frame.locals if value.name == "item")
    assert item.points_to == '{name = "cup", price = 0x0}'


def test_values_can_be_left_out() -> None:
    place = corpus.directory() / "null-field-read"
    report = postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", values="none"))
    assert not any(frame.arguments or frame.locals for frame in report.threads[0].frames)


def test_all_threads_on_demand() -> None:
    place = corpus.directory() / "null-threads-30"
    report = postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", values="all"))
    assert sum(1 for thread in report.threads if any(frame.arguments for frame in thread.frames)) >= 30
