"""Every thread's function names equal gdb's on the same core, wherever gdb's are right."""

from __future__ import annotations

import functools
import itertools
import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import postmortem
from tests.postmortem import corpus

if TYPE_CHECKING:
    from postmortem.model import Frame, Report, Thread

pytestmark = [pytest.mark.corpus, pytest.mark.needs("gdb", "readelf", "nm")]

GDB_STOPS = {
    # A pc that lies nowhere has no frame; its caller is at [rsp]. gdb prints ?? and ends, or skips the caller.
    "call-unmapped": ("notify", "main"),
    "execute-heap": ("main",),
    "null-function-frame-pointer": ("shut_down",),
    "null-vtable-slot": ("main",),
}
RENAMED = {
    # DWARF has the name in the source, the symbol table the one the compiler gave it.
    "rust_begin_unwind": "panic_handler",
    "begin_panic_handler": "panic_handler",  # older Rust
}
APART = {
    "go-deep": "gdb takes a word of the system stack for the caller where morestack changed stacks",
    "go-leaf-in-c": "gdb takes the address that Go's handler put on the stack for a call's, and names what lies before",
    "go-null-call-in-c": "the jump to 0 is shown for which Go's handler put a call of sigpanic",
    "mapping-exhaustion": "65,000 mappings: gdb takes minutes",
    "replaced-binary": "gdb takes the wrong file's symbols without a word",
    "execute-stack": "the code on the stack has no frame; what lies above is a scan",
    "non-canonical-return": "the return address is overwritten",
    "null-large-core-cut": "the stack is cut off",
    "null-disk-full": "the stack is cut off",
}


def plain(name: str | None) -> str | None:
    """The last part of a name, without return type, scope, template and call arguments, clone suffix.

    gdb makes C++ and Rust names from DWARF, we take linkage names: they differ in these.
    """
    if name is None:
        return None
    name = re.sub(r" \[clone [^]]*\]|@.*", "", name)
    for placeholder in ("(anonymous namespace)", "{lambda()#1}", "operator()"):
        name = name.replace(placeholder, re.sub(r"\W", "_", placeholder))
    name = re.sub(r"\{+(?:closure|async_\w+|coroutine)[^}]*\}+", "{closure}", name)
    name = re.sub(r"(?:::)?\{+(?:vtable\.shim|shim:vtable#\d+)\}+", "", name)
    previous = None
    while previous != name:
        previous = name
        name = re.sub(r"<[^<>]*>|\([^()]*\)", "", name.replace("->", "_to_"))
    name = re.sub(r"\b(const|volatile)\b", "", name).strip()
    last = re.split(r"::|\s", name.removesuffix("::"))[-1].split(".", 1)[0]
    return RENAMED.get(last, last) or None


@functools.cache
def addresses(file: str) -> dict[str, set[str]]:
    """name → addresses, by nm over a file, its dynamic symbols and its separate debug file: aliases share one."""
    found: dict[str, set[str]] = defaultdict(set)
    identity = subprocess.run(["readelf", "-n", file], capture_output=True, text=True, check=False).stdout
    match = re.search(r"Build ID: ([0-9a-f]+)", identity)
    files = [["nm", file], ["nm", "-D", file]]
    if match is not None:
        debug = Path("/usr/lib/debug/.build-id") / match[1][:2] / f"{match[1][2:]}.debug"
        files.append(["nm", str(debug)])
    for command in files:
        for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
            parts = line.split()
            if len(parts) == 3:
                found[parts[2].split("@")[0].split(".")[0]].add(parts[0])
    return found


def same(ours: Frame, theirs: str | None, file: str | None) -> bool:
    """Equal names, or aliases of one address."""
    if ours.kind == "signal" or theirs == "<signal>":
        return ours.kind == "signal" and theirs == "<signal>"
    left, right = plain(ours.function), plain(theirs)
    if left == right:
        return True
    if left is None or right is None or file is None:
        return False
    table = addresses(file)
    return bool(table.get(left, set()) & table.get(right, set()))


def gdb_threads(core: Path, executable: Path) -> dict[int, list[tuple[int, str | None]]]:
    script = Path(__file__).with_name("gdb_frames.py")
    output = subprocess.run(
        ["gdb", "-batch", "-nx", "-ex", f"source {script}", "-c", str(core), str(executable)],
        capture_output=True, text=True, errors="replace", timeout=300, check=False, cwd=core.parent,
        preexec_fn=corpus.no_core,
    ).stdout  # fmt: skip
    line = next(line for line in output.splitlines() if line.startswith("FRAMES "))
    return {int(tid): [(pc, name) for pc, name in frames] for tid, frames in json.loads(line[7:]).items()}


def in_code(report: Report, pc: int) -> bool:
    return any(item.start <= pc < item.end and "x" in item.permissions for item in report.mappings)


def frames_of(thread: Thread) -> list[Frame]:
    return [*(thread.handler_frames or ()), *thread.frames]


@pytest.mark.parametrize("name", corpus.parameters(APART))
def test_names_equal_gdbs(name: str) -> None:
    place = corpus.directory() / name
    report = postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", strict=True))
    files = {module.path: module.file for module in report.modules}
    theirs = gdb_threads(place / "core", place / "exe")
    assert {thread.tid for thread in report.threads} == set(theirs)
    for thread in report.threads:
        expected = theirs[thread.tid or 0]
        ours = frames_of(thread)
        # Where Go changes stacks gdb takes a word of data for a caller and goes on from there.
        expected = [*expected[:1], *itertools.takewhile(lambda item: in_code(report, item[0]), expected[1:])]
        if name in GDB_STOPS and thread.crashed:
            expected = expected[:1]
        known = [(pc, function) for pc, function in expected if function is not None or pc in {f.pc for f in ours}]
        wrong = [
            (index, frame.function, function)
            for index, (frame, (_, function)) in enumerate(zip(ours, known, strict=False))
            if function is not None and not same(frame, function, files.get(frame.module or ""))
        ]
        assert not wrong, (thread.tid, wrong[:4], [frame.function for frame in ours[:12]], expected[:12])
        assert len(ours) >= len(known), (
            thread.tid,
            thread.ended_detail,
            [f.function for f in ours],
            expected,
        )


@pytest.mark.parametrize(("name", "functions"), GDB_STOPS.items())
def test_where_gdb_stops_we_go_on(name: str, functions: tuple[str, ...]) -> None:
    place = corpus.directory() / name
    report = postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", strict=True))
    names = [plain(frame.function) for frame in report.threads[0].frames]
    gdb_names = [
        plain(function) for _, function in gdb_threads(place / "core", place / "exe")[report.threads[0].tid or 0]
    ]
    assert set(functions) <= set(names), names
    assert len([n for n in names if n]) > len([n for n in gdb_names if n]), (names, gdb_names)
