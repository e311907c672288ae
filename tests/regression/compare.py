"""Reports of two checkouts on the same inputs: equal but for timings and named changes.

    python -m tests.regression.compare --before PYTHON --after PYTHON [--changes FILE] [--rendered N] INPUT...

PYTHON: the interpreter of a checkout's virtual environment, run in that checkout. INPUT: a core or log, or a directory
that is searched for files named core and *.log. The first N reports are also compared as HTML, Markdown and text. FILE
names the changes that are meant, one a line: a pattern of a JSON path ("modules[*].symbols"), then why. A pattern can't
name what a reader acts on (`PROTECTED`). Ends with 1 when a report differs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IGNORED = ("timings",)
PROTECTED = ("verdict", "confidence", "signal", "frames", "trust")

_WORKER = """
import json, sys
from pathlib import Path
import postmortem
from postmortem.model import to_json
from reports import FORMATS
out, rendered = Path(sys.argv[1]), int(sys.argv[2])
for number, line in enumerate(sys.stdin):
    try:
        report = postmortem.analyze(line.rstrip("\\n"), postmortem.Options(cache_dir=out / "cache"))
    except postmortem.errors.AnalysisError as error:
        (out / f"{number}.json").write_text(json.dumps({"refused": str(error)}))
        continue
    (out / f"{number}.json").write_bytes(to_json(report))
    if number < rendered:
        for form in ("html", "markdown", "text"):
            (out / f"{number}.{form}").write_text(FORMATS[form](report), errors="backslashreplace")
"""


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, before, after) of every leaf that differs; a missing member is compared as None."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if path or key not in IGNORED:
                inner = f"{path}.{key}" if path else key
                yield from differences(before.get(key), after.get(key), inner)
    elif isinstance(before, list) and isinstance(after, list):
        for index, (one, other) in enumerate(zip_longest(before, after)):
            yield from differences(one, other, f"{path}[{index}]")
    elif before != after or type(before) is not type(after):
        yield path, before, after


def read_changes(text: str) -> list[re.Pattern[str]]:
    """The patterns of a file of named changes. Raises ValueError for one without a reason or of a protected member."""
    patterns = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern, _, reason = line.partition(" ")
        if not reason.strip():
            raise ValueError(f"{pattern}: no reason is given")
        if any(part in PROTECTED for part in re.split(r"[.\[\]*]+", pattern)):
            raise ValueError(f"{pattern}: names a member that may not change")
        patterns.append(
            re.compile(re.escape(pattern).replace(r"\[\*\]", r"\[\d+\]").replace(r"\*", "[^.]*") + r"(?=$|[.\[])")
        )
    return patterns


def unexpected(before: Any, after: Any, changes: Iterable[re.Pattern[str]]) -> list[tuple[str, Any, Any]]:
    """The differences that no named change covers."""
    named = list(changes)
    found = []
    for path, one, other in differences(before, after):
        protected = any(part in PROTECTED for part in re.split(r"[.\[\]]+", path))
        if protected or not any(pattern.match(path) for pattern in named):
            found.append((path, one, other))
    return found


def _run(python: Path, inputs: list[Path], out: Path, rendered: int) -> None:
    tree = python.parent.parent.parent
    told = "".join(f"{path}\n" for path in inputs)
    command = [str(python), "-c", _WORKER, str(out), str(rendered)]
    subprocess.run(command, input=told, text=True, cwd=tree, check=True, env=os.environ | {"PYTHONHASHSEED": "0"})


def _inputs(named: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in named:
        if path.is_dir():
            found += sorted({*path.rglob("core"), *path.rglob("*.log"), *path.rglob("dataset*.txt")})
        else:
            found.append(path)
    return [path.resolve() for path in found if path.is_file()]


def main() -> int:
    """Compare; 1 when a report differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, required=True)
    parser.add_argument("--changes", type=Path)
    parser.add_argument("--rendered", type=int, default=10)
    parser.add_argument("inputs", type=Path, nargs="+")
    options = parser.parse_args()
    changes = read_changes(options.changes.read_text(encoding="utf-8")) if options.changes else []
    inputs = _inputs(options.inputs)
    differing = 0
    with tempfile.TemporaryDirectory() as folder:
        places = []
        for name in ("before", "after"):
            place = Path(folder) / name
            place.mkdir()
            _run(getattr(options, name), inputs, place, options.rendered)
            places.append(place)
        for number, path in enumerate(inputs):
            one, other = (json.loads((place / f"{number}.json").read_bytes()) for place in places)
            found = unexpected(one, other, changes)
            for form in ("html", "markdown", "text") if number < options.rendered else ():
                texts = [
                    _without_timings(file.read_text(encoding="utf-8")) if file.exists() else ""
                    for file in (place / f"{number}.{form}" for place in places)
                ]
                if texts[0] != texts[1]:
                    found.append((form, f"{len(texts[0])} characters", f"{len(texts[1])} characters"))
            differing += bool(found)
            for where, before, after in found[:8]:
                sys.stdout.write(f"{path}: {where}: {before!r:.200} -> {after!r:.200}\n")
    sys.stdout.write(f"{len(inputs)} inputs, {differing} differ\n")
    return int(differing > 0)


def _without_timings(text: str) -> str:
    return re.sub(r"\d+\.\d+( ?ms| ?s)\b", "T", text)


if __name__ == "__main__":
    raise SystemExit(main())
