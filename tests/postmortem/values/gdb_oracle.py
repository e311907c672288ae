"""Arguments and locals as gdb has them, and how they compare with ours."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.postmortem import corpus

if TYPE_CHECKING:
    from postmortem.model import Frame, Thread, Value


class Compared(NamedTuple):
    """both: values that we and gdb print; different: those of them that differ; ours_alone, gdbs_alone: the others.

    Each as (function, variable, gdb's text, ours).
    """

    both: int
    different: list[tuple[str, str, str, str]]
    ours_alone: list[tuple[str, str, str, str]]
    gdbs_alone: list[tuple[str, str, str, str]]


MOST_ABORTS = 12
"""Variables of a core that gdb may abort on: gdb 13 does for some of Rust's enumerations."""


def gdb_values(core: Path, executable: Path) -> list[list[Any]]:
    """[pc, function, arguments, locals] of the crashing thread's frames.

    A variable that gdb aborts on is one that it does not print; it is asked again for the others.
    """
    script = Path(__file__).with_name("gdb_values.py")
    aborts: list[str] = []
    while True:
        output = subprocess.run(
            ["gdb", "-batch", "-nx", "-ex", f"source {script}", "-c", str(core), str(executable)],
            capture_output=True, text=True, errors="replace", timeout=300, check=False, cwd=core.parent,
            preexec_fn=corpus.no_core, env={**os.environ, "POSTMORTEM_GDB_ABORTS": " ".join(aborts)},
        ).stdout  # fmt: skip
        lines = output.splitlines()
        for line in lines:
            if line.startswith("VALUES "):
                frames: list[list[Any]] = json.loads(line[7:])
                return frames
        last = next((line[3:] for line in reversed(lines) if line.startswith("AT ")), None)
        if last is None or last in aborts or len(aborts) == MOST_ABORTS:
            raise RuntimeError(f"gdb printed no values; aborted at {aborts} and {last}: {output[-2000:]}")
        aborts.append(last)


def compare(thread: Thread, theirs: list[list[Any]]) -> Compared:
    """Variables of the frames that both have, matched by pc and in order."""
    by_pc: dict[int, list[Frame]] = defaultdict(list)
    for frame in thread.frames:
        by_pc[int(frame.pc or 0)].append(frame)
    used: Counter[int] = Counter()
    result = Compared(0, [], [], [])
    both = 0
    for pc, _, arguments, found in theirs[len(thread.handler_frames or ()) :]:
        position = used[pc]
        used[pc] += 1
        if position >= len(by_pc[pc]):
            continue
        frame = by_pc[pc][position]
        for gdbs, ours in ((arguments, frame.arguments), (found, frame.locals)):
            mine: dict[str, list[Value]] = defaultdict(list)
            for value in ours:
                mine[value.name].append(value)
            for name, gdb in gdbs:
                if not mine[name]:
                    continue
                value = mine[name].pop(0)
                row = (frame.function or "", name, gdb.get("text", gdb["kind"]), value.text)
                if gdb["kind"] in ("optimized out", "error"):
                    if value.unavailable is None:
                        result.ours_alone.append(row)
                elif value.unavailable is not None:
                    result.gdbs_alone.append(row)
                elif "alloc::" in gdb["text"]:
                    continue  # gdb has no printers for Rust's library, and shows how it is built
                else:
                    both += 1
                    if not equal(gdb, value):
                        result.different.append(row)
    return result._replace(both=both)


def equal(gdb: dict[str, Any], value: Value) -> bool:
    """Equal numbers, or equal words."""
    if "number" in gdb:
        match = re.match(r"@?(0x[0-9a-f]+|-?\d+)", value.text)
        mask = (1 << 8 * gdb.get("size", 8)) - 1
        if match is not None and int(match[1], 0) & mask == gdb["number"]:
            return True
        if value.text in ("true", "false"):
            return bool(gdb["number"]) is (value.text == "true")
        # gdb writes an enumerator's namespace from version 14 on.
        return bool(value.text.rpartition("::")[2] == gdb["text"].rpartition("::")[2])
    ours, theirs = _plain(_written_out(value.text)), _plain(gdb["text"])
    return alike(ours, theirs)


_RUN = r"""'((?:\\.|[^'\\])[^']*)' <repeats (\d+) times>"""


def _written_out(text: str) -> str:
    """Runs of a character in full, as gdb is asked for: "ab", 'c' <repeats 12 times> is "abcccccccccccc"."""

    def run(match: re.Match[str]) -> str:
        return '"' + {"\\'": "'", '"': '\\"'}.get(match[1], match[1]) * int(match[2]) + '"'

    # A comma between two parts of one string, of which one is a run, joins them.
    text = re.sub(rf"(?<=\"), (?={_RUN})", "\0", text)
    text = re.sub(rf"({_RUN}), (?=[\"'])", "\\1\0", text)
    return re.sub(_RUN, run, text).replace('"\0"', "")


def _plain(text: str) -> str:
    """Without blanks, names of types, and what gdb and we word differently."""
    text = re.sub(r"<error: Cannot access memory at address 0x[0-9a-f]+>", "(page not in the core)", text)
    text = text.replace("<page not in the core>", "(page not in the core)")
    text = re.sub(r"<incomplete sequence (\\\d+)>", r'"\1"', text)
    text = re.sub(r"^(&\[.*?\] )?\[(.*)\]$|^size=\d+ = \{(.*)\}$", r"{\2\3}", text)
    # gdb names a closure that holds nothing, and in later versions the trait of an object before its two pointers.
    text = re.sub(r"^(?:[\w:]|\{\w+#\d+\})*\{closure_env#\d+\}(?:<.*>)?$", "{}", text)
    text = re.sub(r"&(?:mut )?dyn (?=[\w:<])", "", text)
    text = re.sub(r"\{\w+#\d+\}::", "", text.replace("->", "_to_"))
    while (made := re.sub(r"(, )?<No data fields>|<[^<>]*>(?: = )?", "", text)) != text:
        text = made
    text = re.sub(r"(?:\w+::)+", "", text)
    text = re.sub(r"\b[A-Z]\w*\s+(?=[{(])", "", text)
    return re.sub(r"\s+", "", text)


def alike(ours: str, theirs: str) -> bool:
    """Whether the texts are equal where ours goes into detail: {...} and ... stand for anything."""
    if ours.endswith("..."):
        return theirs.startswith(ours.removesuffix("..."))
    # gdb writes Rust's structures without fields, and those with unnamed ones, in other ways.
    parts = re.split(r"(\{\.\.\.\}|(?<=[^{\"])\.\.\.(?=\}))", ours)
    pattern = "".join(".*" if part in ("{...}", "...") else re.escape(part) for part in parts)
    return re.fullmatch(pattern, theirs) is not None
