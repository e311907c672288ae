"""Long runs of mutants: python -m tests.hostile.campaign cores|logs|reports|modules|debug --count N --seed S FILE...

Each mutant is analyzed in a child forked from this warm process, by the library and without the guard, which would hide
what it catches, and rendered in all formats. The outcome of each that is not a report or a refusal is written with its
seed to --record; the same seed makes the same mutant again (--only N, or --again for all of a record). Prints counts at
the end.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.hostile import debugsections, mutate
from tests.hostile.child import Outcome, forked
from tests.hostile.trace import Trace, traced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS, KILOBYTES = 10.0, 500_000
"""What no input may take: CPU seconds, and kB of memory in use at a time."""
_DEATH_SECONDS, _MEGABYTES = 60, 6000


def exercise(path: Path, options: Any) -> str:
    """Analyze and render in every format: "report" or "partial". Raises what they raise."""
    import postmortem
    from postmortem.model import from_json, to_json
    from reports import FORMATS

    report = postmortem.analyze(path, options)
    for render in FORMATS.values():
        render(report)
    from_json(to_json(report))
    return "partial" if report.problems or report.core.truncated else "report"


def render_stored(data: bytes) -> str:
    """A stored report through the rules, the redaction and every format."""
    import msgspec

    from postmortem.errors import AnalysisError
    from postmortem.model import from_json
    from postmortem.redaction import redact
    from postmortem.rules.engine import run
    from reports import FORMATS

    try:
        report = from_json(data)
    except (msgspec.ValidationError, msgspec.DecodeError, ValueError, RecursionError) as error:
        raise AnalysisError(str(error), "") from None
    for again in (False, True):
        report = redact(run(report) if again else report)
        for render in FORMATS.values():
            render(report)
    return "report"


def refusals() -> tuple[type[BaseException], ...]:
    """What an input that is none may raise."""
    from postmortem.errors import AnalysisError

    return (AnalysisError,)


class MutableCore:
    """A copy of a core that is patched in place and mended afterwards."""

    def __init__(self, original: Path, copy: Path) -> None:
        self.original, self.copy = original, copy
        shutil.copyfile(original, copy)
        self.size = copy.stat().st_size

    @contextlib.contextmanager
    def mutated(self, mutation: mutate.Mutation) -> Iterator[Path]:
        """The copy with a mutation applied."""
        with self.original.open("rb") as whole, self.copy.open("r+b") as file:
            for offset, data in mutation.patches:
                file.seek(offset)
                file.write(data[: max(0, self.size - offset)])
            if mutation.cut is not None:
                file.truncate(mutation.cut)
            file.flush()
            yield self.copy
            if mutation.cut is not None:
                shutil.copyfile(self.original, self.copy)
                return
            for offset, data in mutation.patches:
                whole.seek(offset)
                file.seek(offset)
                file.write(whole.read(len(data)))


def trace_of(path: Path, options: Any) -> Trace:
    """What an analysis of a core reads."""
    import msgspec

    import postmortem
    from postmortem.program.memory import AddressSpace

    del msgspec
    with traced(AddressSpace) as trace:
        postmortem.analyze(path, options)
    return trace


def options_for(core: Path, histogram: bool = False) -> Any:
    """Options with the files of a case that lie beside its core."""
    import postmortem

    described: dict[str, Any] = {}
    case = core.parent / "case.json"
    if case.exists():
        described = json.loads(case.read_text())
    exe = core.parent / "exe"
    sysroot = described.get("sysroot")
    return postmortem.Options(
        executable=exe if exe.exists() else None,
        sysroot=Path(sysroot) if sysroot and sysroot != "/" else None,
        histogram=histogram,
        strict=True,
    )


class Tally:
    """Counts of outcomes, and a record of those that should not be."""

    def __init__(self, record: Path | None, noted: float) -> None:
        self.record = record
        self.noted = noted
        self.counts: Counter[str] = Counter()
        self.slowest = self.largest = 0.0

    def take(self, name: str, seed: int, what: list[str], outcome: Outcome) -> None:
        self.counts[outcome.status] += 1
        self.slowest = max(self.slowest, outcome.seconds)
        self.largest = max(self.largest, outcome.kilobytes)
        fell = outcome.status in ("traceback", "died")
        for kind, bad in (("slow", outcome.seconds > SECONDS), ("large", outcome.kilobytes > KILOBYTES)):
            if bad:
                self.counts[kind] += 1
                fell = True
        if fell or outcome.status == "refused" or outcome.seconds > self.noted:
            row = {"input": name, "seed": seed, "what": what, **outcome._asdict()}
            if self.record is not None:
                with self.record.open("a") as sink:
                    sink.write(json.dumps(row) + "\n")

    def __str__(self) -> str:
        total = sum(self.counts[kind] for kind in ("report", "partial", "refused", "traceback", "died"))
        counts = ", ".join(f"{kind} {self.counts[kind]}" for kind in sorted(self.counts))
        return f"{total} inputs: {counts}; slowest {self.slowest:.1f} s CPU, largest {self.largest / 1000:.0f} MB"


def run_cores(arguments: argparse.Namespace, tally: Tally) -> None:
    folder = Path(tempfile.mkdtemp(prefix="postmortem-mutants-", dir=arguments.scratch))
    subjects = []
    try:
        for number, original in enumerate(arguments.inputs):
            copy = folder / str(number) / "core"
            copy.parent.mkdir()
            for name in ("exe", "case.json"):
                if (original.parent / name).exists():
                    shutil.copyfile(original.parent / name, copy.parent / name)
            held = MutableCore(original, copy)
            # Imports, compiled kernels and the cache of symbols are then the parent's.
            exercise(copy, options_for(copy, histogram=True))
            trace = trace_of(copy, options_for(copy))
            subjects.append((held, mutate.Subject.of(original, trace)))
        gc.freeze()
        for seed in _seeds(arguments):
            held, subject = subjects[seed % len(subjects)]
            mutation = mutate.core(subject, random.Random(seed))
            options = options_for(held.copy, histogram=seed // len(subjects) % 10 == 0)
            with held.mutated(mutation) as path:
                outcome = forked(functools.partial(exercise, path, options), refusals(), _DEATH_SECONDS, _MEGABYTES)
            tally.take(str(held.original), seed, mutation.what, outcome)
            _say(arguments, tally)
    finally:
        shutil.rmtree(folder)


def run_logs(arguments: argparse.Namespace, tally: Tally) -> None:
    import postmortem

    folder = Path(tempfile.mkdtemp(prefix="postmortem-mutants-", dir=arguments.scratch))
    originals = [path.read_bytes() for path in arguments.inputs]
    try:
        exercise(arguments.inputs[0], postmortem.Options())  # the imports are then the parent's
        for seed in _seeds(arguments):
            number = seed % len(originals)
            path = folder / "hs_err_pid1.log"
            path.write_bytes(mutate.text(originals[number], random.Random(seed)))
            work = lambda p=path: exercise(p, postmortem.Options(strict=True))  # noqa: E731
            outcome = forked(work, refusals(), _DEATH_SECONDS, _MEGABYTES)
            tally.take(str(arguments.inputs[number]), seed, [], outcome)
            _say(arguments, tally)
    finally:
        shutil.rmtree(folder)


def run_reports(arguments: argparse.Namespace, tally: Tally) -> None:
    originals = [json.loads(path.read_bytes()) for path in arguments.inputs]
    render_stored(arguments.inputs[0].read_bytes())
    for seed in _seeds(arguments):
        number = seed % len(originals)
        data = mutate.stored(originals[number], random.Random(seed))
        outcome = forked(functools.partial(render_stored, data), refusals(), _DEATH_SECONDS, _MEGABYTES)
        tally.take(str(arguments.inputs[number]), seed, [], outcome)
        _say(arguments, tally)


def run_modules(arguments: argparse.Namespace, tally: Tally) -> None:
    """Inputs: executables of cases, whose core lies beside them."""
    _files(arguments, tally, lambda data, chance: (mutate.module(data, chance), []))


def run_debug(arguments: argparse.Namespace, tally: Tally) -> None:
    """Inputs as for modules; only their debug sections are changed."""
    _files(arguments, tally, debugsections.mutated)


def _files(
    arguments: argparse.Namespace, tally: Tally, change: Callable[[bytes, random.Random], tuple[bytes, list[str]]]
) -> None:
    """An executable changed, and its core analyzed with it."""
    folder = Path(tempfile.mkdtemp(prefix="postmortem-mutants-", dir=arguments.scratch))
    try:
        import postmortem

        first = arguments.inputs[0].parent / "core"
        exercise(first, options_for(first))  # the imports are then the parent's
        for seed in _seeds(arguments):
            original = arguments.inputs[seed % len(arguments.inputs)]
            path = folder / "exe"
            data, what = change(original.read_bytes(), random.Random(seed))
            path.write_bytes(data)
            options = postmortem.Options(executable=path, cache_dir=folder / "cache", strict=True)
            core = original.parent / "core"
            outcome = forked(functools.partial(exercise, core, options), refusals(), _DEATH_SECONDS, _MEGABYTES)
            tally.take(str(original), seed, what, outcome)
            if seed % 100 == 0:
                shutil.rmtree(folder / "cache", ignore_errors=True)
            _say(arguments, tally)
    finally:
        shutil.rmtree(folder)


def _seeds(arguments: argparse.Namespace) -> Iterator[int]:
    if arguments.only is not None:
        yield arguments.only
        return
    if arguments.again is not None:
        yield from sorted({json.loads(row)["seed"] for row in arguments.again.read_text().splitlines()})
        return
    end = time.monotonic() + arguments.seconds
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        if time.monotonic() > end:
            return
        yield seed


def _say(arguments: argparse.Namespace, tally: Tally) -> None:
    if arguments.only is not None or sum(tally.counts.values()) % 200 == 0:
        print(tally, file=sys.stderr, flush=True)  # noqa: T201


RUNS: dict[str, Callable[[argparse.Namespace, Tally], None]] = {
    "cores": run_cores,
    "logs": run_logs,
    "reports": run_reports,
    "modules": run_modules,
    "debug": run_debug,
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(RUNS))
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, default=None)
    parser.add_argument("--again", type=Path, default=None)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--record", type=Path, default=None)
    parser.add_argument("--noted", type=float, default=SECONDS / 2, help="CPU seconds from which on one is recorded")
    parser.add_argument("--scratch", default=None)
    arguments = parser.parse_args()
    # Warm: the children of a fork have what their parent has imported.
    import postmortem.pipeline
    import postmortem.redaction
    import reports

    del postmortem, reports
    gc.disable()
    os.environ.setdefault("POSTMORTEM_CACHE", tempfile.mkdtemp(prefix="postmortem-cache-"))
    tally = Tally(arguments.record, arguments.noted)
    RUNS[arguments.kind](arguments, tally)
    print(tally)  # noqa: T201


if __name__ == "__main__":
    main()
