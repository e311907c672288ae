"""Debug info that was split off is read where it is, against gdb on the same core; else it is named."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import postmortem
from parsers.dwarf.dwp import parts
from parsers.elf.sections import section_bytes
from parsers.elf.symbols import Sections
from parsers.errors import ParseError
from postmortem.symbols.cache import Cache
from postmortem.symbols.splitfiles import split_files
from postmortem.symbols.symbolizer import DwarfFile
from postmortem.values.deadline import Deadline, Expired
from postmortem.values.store import Store
from tests.postmortem import corpus
from tests.postmortem.values.gdb_oracle import compare, gdb_values

if TYPE_CHECKING:
    from pathlib import Path

    from parsers.elf.header import Buffer, SectionHeader
    from postmortem.model import Report

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
SOURCE = "int half(int number) { return number / 2; } int main(void) { return half(4); }"
PARTS = {
    "order.h": """
enum colour { RED, GREEN = 5 };
struct price { int cents; double rate; };
struct order { const char *name; int lines[5]; struct price price; };
int inner(struct order *order, const char *tag, int step);
""",
    "inner.c": """
#include "order.h"
static int *volatile nowhere;
static inline int helper(struct order *from, int step) { int deep = step + from->lines[1]; *nowhere = deep; return 1; }
int inner(struct order *order, const char *tag, int step) {
  enum colour colour = step > 2 ? GREEN : RED; double rate = order->price.rate * step;
  return helper(order, step + 1) + colour + (int)rate + tag[0];
}
""",
    "outer.c": """
#include <stdio.h>
#include "order.h"
static int counter = 41;
__attribute__((noinline)) int outer(struct order *order, int count, const char *tag) {
  int twice = count * 2; long sum = 0;
  for (int i = 0; i < count; i++) sum += order->lines[i] * twice;
  counter += sum;
  if (count > 3) {
    struct order local = *order; local.lines[1] = sum;
    return inner(&local, tag, twice) + counter + local.lines[2];
  }
  return inner(order, tag, count) + counter;
}
int main(int argc, char **argv) {
  struct order order = {"cup", {1, 2, 3, 4, 5}, {7, 2.5}};
  printf("%d\\n", outer(&order, 4 + argc - 1, "tag"));
}
""",
}


def place(folder: Path, *flags: str, source: str = SOURCE) -> tuple[str | None, list[str]]:
    """Why there is nothing, and the names of the parameters, at the start of half()."""
    (folder / "half.c").write_text(source)
    subprocess.run(["gcc", "-g", "-O0", "half.c", "-o", "half", *flags], cwd=folder, check=True)
    return read(folder)


def read(folder: Path) -> tuple[str | None, list[str]]:
    """The same of what was built before."""
    names = subprocess.run(["nm", "half"], cwd=folder, check=True, capture_output=True, text=True).stdout
    address = next(int(line.split()[0], 16) for line in names.splitlines() if line.endswith(" half"))
    content = (folder / "half").read_bytes()
    assert Sections(content).has_dwarf
    path = folder / "half"
    store = Store(
        DwarfFile(path, content, None),
        Cache(folder / "cache"),
        Deadline(60),
        lambda dwarf, sections: None,
        lambda name, built: split_files([path], name, built, [], None),
    )
    found = store.place(address, None)
    return found.missing, [variable.name for scope in found.scopes for variable in scope.parameters]


@pytest.mark.parametrize("version", ["-gdwarf-4", "-gdwarf-5"])
def test_split_debug_info_that_is_not_there_is_named(tmp_path: Path, version: str) -> None:
    assert place(tmp_path, version, "-gsplit-dwarf") == (None, ["number"])
    (split,) = tmp_path.glob("*.dwo")
    content = split.read_bytes()
    split.unlink()
    missing, names = read(tmp_path)
    assert missing is not None
    assert missing.endswith(f"split off into {split.name}, which is not there")
    assert names == []
    split.write_bytes(content[:700])
    assert "can't be read: .debug_info.dwo" in (read(tmp_path)[0] or "")


@pytest.mark.parametrize("version", ["-gdwarf-4", "-gdwarf-5"])
def test_one_of_another_build_is_not_taken(tmp_path: Path, version: str) -> None:
    place(tmp_path, version, "-gsplit-dwarf", source=SOURCE.replace("number", "other"))
    (split,) = tmp_path.glob("*.dwo")
    other = split.read_bytes()
    assert place(tmp_path, version, "-gsplit-dwarf") == (None, ["number"])
    split.write_bytes(other)
    missing, names = read(tmp_path)
    assert missing is not None
    assert missing.endswith("of another build")
    assert names == []


def pack(folder: Path, packer: str) -> None:
    """Put the .dwo files into a package. Old packers do not come back from some inputs."""
    try:
        subprocess.run([packer, "-e", "exe", "-o", "exe.dwp"], cwd=folder, check=True, timeout=30)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{packer} does not end")
    for split in folder.glob("*.dwo"):
        split.unlink()


def crashed(folder: Path, flags: list[str], packer: str | None) -> Path:
    """A folder with exe, core, and the .dwo files or a package of them."""
    for name, text in PARTS.items():
        (folder / name).write_text(text)
    for name in ("inner", "outer"):
        subprocess.run([*flags, "-g", "-gsplit-dwarf", "-c", f"{name}.c"], cwd=folder, check=True)
    subprocess.run([flags[0], "-o", "exe", "inner.o", "outer.o"], cwd=folder, check=True)
    subprocess.run(
        ["gdb", "-batch", "-nx", "-ex", "run", "-ex", "generate-core-file core", "exe"],
        cwd=folder, check=True, capture_output=True, preexec_fn=corpus.no_core,
    )  # fmt: skip
    if packer is not None:
        pack(folder, packer)  # after gdb ran it: gdb 13 aborts over clang's packages
    return folder


def analyzed(folder: Path) -> Report:
    options = postmortem.Options(executable=folder / "exe", cache_dir=folder / "cache", strict=True)
    return postmortem.analyze(folder / "core", options)


@pytest.mark.needs("gdb")
@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("version", ["-gdwarf-4", "-gdwarf-5"])
@pytest.mark.parametrize("packer", [None, pytest.param("dwp", marks=pytest.mark.needs("dwp"))])
def test_values_equal_gdbs(tmp_path: Path, version: str, level: str, packer: str | None) -> None:
    if (version, packer) == ("-gdwarf-5", "dwp"):
        pytest.skip("binutils' dwp knows DWARF 4")
    folder = crashed(tmp_path, ["gcc", version, level], packer)
    report = analyzed(folder)
    found = compare(report.threads[0], gdb_values(folder / "core", folder / "exe"))
    assert (found.different, found.gdbs_alone) == ([], [])
    assert found.both >= (17 if level == "-O0" else 4)
    (local,) = [value for frame in report.threads[0].frames for value in frame.locals if value.name == "local"]
    assert local.text.startswith("{name = 0x") and '"cup", lines = {1, 80, 3, 4, 5}' in local.text
    assert not [problem for problem in report.problems if problem.stage == "values"]


@pytest.mark.needs("gdb", "clang")
@pytest.mark.parametrize("version", ["-gdwarf-4", "-gdwarf-5"])
@pytest.mark.parametrize("packer", [None, pytest.param("llvm-dwp", marks=pytest.mark.needs("llvm-dwp"))])
def test_clangs_too(tmp_path: Path, version: str, packer: str | None) -> None:
    folder = crashed(tmp_path, ["clang", version, "-O0"], packer)
    report = analyzed(folder)
    frames = {frame.function: frame for frame in report.threads[0].frames}
    assert [value.text for value in frames["outer"].locals if value.name == "sum"] == ["80"]
    if (version, packer) != ("-gdwarf-5", "llvm-dwp"):  # gdb 13 aborts over its package
        found = compare(report.threads[0], gdb_values(folder / "core", folder / "exe"))
        assert found.both >= 17
        assert (found.different, found.gdbs_alone) == ([], [])


@pytest.mark.needs("gdb")
def test_what_is_missing_is_a_problem_until_it_is_there(tmp_path: Path) -> None:
    folder = crashed(tmp_path, ["gcc", "-O0"], None)
    (folder / "inner.dwo").rename(folder / "away")
    report = analyzed(folder)
    (problem,) = [problem for problem in report.problems if problem.stage == "values"]
    assert "split off into inner.dwo, which is not there" in problem.what
    frames = {frame.function: frame for frame in report.threads[0].frames}
    assert (len(frames["inner"].arguments), len(frames["outer"].arguments)) == (0, 3)
    (folder / "away").rename(folder / "inner.dwo")
    frames = {frame.function: frame for frame in analyzed(folder).threads[0].frames}
    assert len(frames["inner"].arguments) == 3


@pytest.mark.parametrize(
    ("compiler", "version", "packer"),
    [
        pytest.param("gcc", "-gdwarf-4", "dwp", marks=pytest.mark.needs("dwp")),
        pytest.param("clang", "-gdwarf-5", "llvm-dwp", marks=pytest.mark.needs("clang", "llvm-dwp")),
    ],
)
def test_the_index_of_a_package(tmp_path: Path, compiler: str, version: str, packer: str) -> None:
    for name, text in PARTS.items():
        (tmp_path / name).write_text(text)
    command = [compiler, "-g", version, "-gsplit-dwarf", "-o", "exe", "inner.c", "outer.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    pack(tmp_path, packer)
    content = (tmp_path / "exe.dwp").read_bytes()
    header = Sections(content).find(b".debug_cu_index")
    assert header is not None
    index = section_bytes(content, header)
    slots = int.from_bytes(index[12:16], "little")
    ids = [int.from_bytes(index[16 + 8 * slot : 24 + 8 * slot], "little") for slot in range(slots)]
    found = [parts(index, identity) for identity in ids if identity]
    assert len(found) == 2
    spans = sorted(part["info"] for part in found if part is not None)
    assert spans[0].offset == 0
    assert spans[1].offset == spans[0].size
    assert parts(index, 12345) is None
    for length in range(len(index)):
        try:
            cut = parts(index[:length], ids[0])
        except ParseError:
            continue
        assert cut is None or cut in found


@pytest.mark.parametrize("version", ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5"])
@pytest.mark.parametrize("packed", ["-gz=none", "-gz=zlib"])
def test_every_version_is_read(tmp_path: Path, version: str, packed: str) -> None:
    assert place(tmp_path, version, packed) == (None, ["number"])


def test_a_run_without_time_leaves_what_it_decompressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose sections take longer to decompress than a run may last is read by the runs that follow."""
    members = "".join(f"int {'m' * 400}{number};" for number in range(4000))
    source = f"struct big {{ {members} }}; struct big *kept; {SOURCE}"
    assert place(tmp_path, "-gz=zlib", source=source)[0] is None
    names = subprocess.run(["nm", "half"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    address = next(int(line.split()[0], 16) for line in names.splitlines() if line.endswith(" half"))
    content = (tmp_path / "half").read_bytes()
    cache = Cache(tmp_path / "cache")

    def store(deadline: Deadline) -> Store:
        return Store(DwarfFile(tmp_path / "half", content, "ab" * 20), cache, deadline, lambda dwarf, sections: None)

    late = Deadline(60)
    checks = iter(range(1000))

    def check() -> None:
        if next(checks) > 3:
            raise Expired

    monkeypatch.setattr(late, "check", check)
    first = store(late)
    with pytest.raises(Expired):
        first.place(address, None)
    first.save()
    kept = cache.read("ab" * 20, "debug_str")
    assert kept is not None
    assert len(kept) > 1 << 20

    read: list[int] = []

    def counted(content: Buffer, header: SectionHeader, largest: int) -> bytes:
        read.append(header.offset)
        return section_bytes(content, header, largest)

    monkeypatch.setattr("postmortem.values.store.section_bytes", counted)
    found = store(Deadline(60)).place(address, None)
    assert [variable.name for scope in found.scopes for variable in scope.parameters] == ["number"]
    strings = Sections(content).find(b".debug_str")
    assert strings is not None
    assert read
    assert strings.offset not in read
