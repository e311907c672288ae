"""Runs under hardship: interrupted, on a full disk, among planted names, with files cut while they are read.

A short run of each is a test (tests/postmortem/cli/test_output.py); a long one:

    python -m tests.postmortem.guard.hardship interruptions 100
    python -m tests.postmortem.guard.hardship full-disks 50          (as root: mounts small tmpfs)
    python -m tests.postmortem.guard.hardship planted
    python -m tests.postmortem.guard.hardship cuts 200 [CORE EXE]
"""

from __future__ import annotations

import collections
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import zstandard

from tests.postmortem import corpus

DEMO = corpus.ROOT / "fixtures" / "demo"
OLD = b"the old report\n"
_BEGIN = [sys.executable, "-m", "postmortem", "analyze"]
_SIGTERM_CAUGHT = 1 << (signal.SIGTERM - 1)


def core_in(folder: Path, name: str = "core") -> Path:
    """The shipped core, decompressed."""
    path = folder / name
    with path.open("wb") as sink, (DEMO / "core.zst").open("rb") as source:
        zstandard.ZstdDecompressor().copy_stream(source, sink)
    return path


def begin(arguments: list[str], folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """A run with a cache of its own, past the first lines of its `__main__`."""
    child = subprocess.Popen(
        [*_BEGIN, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=corpus.ROOT,
        env={**os.environ, "POSTMORTEM_CACHE": str(folder / "cache"), **environment},
    )
    status = Path(f"/proc/{child.pid}/status")
    while child.poll() is None:
        caught = next((line for line in status.read_text().splitlines() if line.startswith("SigCgt")), "SigCgt: 0")
        if int(caught.split()[1], 16) & _SIGTERM_CAUGHT:
            break
        time.sleep(0.0005)
    return child


def end(child: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Exit status and stderr; no traceback, whatever happened, and no process left behind."""
    _, errors = child.communicate(timeout=120)
    text = errors.decode()
    assert "Traceback" not in text, text
    assert child.returncode >= 0, f"died of signal {-child.returncode}: {text}"
    return child.returncode, text


def _length(arguments: list[str], folder: Path) -> float:
    """Seconds that an undisturbed run takes here and now, from the first lines of its `__main__` on."""
    child = begin(arguments, folder)
    start = time.monotonic()
    code, errors = end(child)
    assert code == 0, errors
    return time.monotonic() - start


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def interruptions(count: int, seed: int = 0) -> collections.Counter[str]:
    """SIGINT and SIGTERM at random moments: one line, exit 130, the old report or the whole new one, nothing else.

    `count` of them meet a process that runs; those that come too late are counted apart.
    """
    seen: collections.Counter[str] = collections.Counter()
    chance = random.Random(seed)
    length = 1.0
    number = -1
    while sum(seen.values()) - seen["too late"] < count:
        number += 1
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "place").mkdir()
            core = core_in(folder / "place")
            report = folder / "place" / "core.postmortem.html"
            report.write_bytes(OLD)
            extra = ["--in-process"] if number % 5 == 4 else []
            arguments = [str(core), "--sysroot", str(DEMO / "sysroot"), *extra]
            if number % 10 == 0:
                length = _length(arguments, folder)
                report.write_bytes(OLD)
                shutil.rmtree(folder / "cache")
            child = begin(arguments, folder)
            time.sleep(chance.random() * length)
            late = child.poll() is not None
            child.send_signal(chance.choice((signal.SIGINT, signal.SIGTERM)))
            code, errors = end(child)
            assert _files(folder / "place") == {"core", "core.postmortem.html"}, _files(folder)
            assert not [file for file in _files(folder) if ".new-" in file], _files(folder)
            whole = report.read_bytes()
            assert whole == OLD or whole.rstrip().endswith(b"</html>"), whole[-80:]
            if late:
                seen["too late"] += 1
            elif code == 130:
                assert errors == "postmortem: interrupted\n", errors
                seen["interrupted, old report" if whole == OLD else "interrupted, new report"] += 1
            else:
                assert (code, errors) == (0, ""), (code, errors)
                assert whole != OLD
                seen["finished"] += 1
    return seen


def full_disks(count: int, seed: int = 0) -> collections.Counter[str]:
    """A disk that is full after some bytes: the old report stays, one line says why. Needs root."""
    seen: collections.Counter[str] = collections.Counter()
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        core = core_in(folder)
        small = folder / "small"
        small.mkdir()
        for number in range(count):
            form = chance.choice(("html", "json", "markdown", "text"))
            size = f"size={chance.randrange(4, 96)}k"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", small], check=True)
            try:
                report = small / f"core.postmortem.{form}"
                report.write_bytes(OLD)
                # Unpacked on the full disk, too, every third time.
                packed = number % 3 == 2
                source = DEMO / "core.zst" if packed else core
                more = {"TMPDIR": str(small)} if packed else {}
                arguments = [str(source), "--sysroot", str(DEMO / "sysroot"), "-o", str(report), "--format", form]
                code, errors = end(begin(arguments, small if number % 4 == 3 else folder, **more))
                left = {file for file in _files(small) if not file.startswith("cache/")}
                assert left == {report.name}, left
                if code == 0:
                    assert report.read_bytes() != OLD
                    seen["written"] += 1
                else:
                    assert code == 3, code
                    assert report.read_bytes() == OLD
                    assert errors.count("\n") == 1, errors
                    seen["refused, old report kept"] += 1
            finally:
                subprocess.run(["umount", "-l", small], check=True)
    return seen


def planted() -> collections.Counter[str]:
    """Links, pipes and folders where reports are to be written: nothing of them is followed, filled or replaced."""
    seen: collections.Counter[str] = collections.Counter()
    for ending, form in (("html", "html"), ("json", "json"), ("md", "markdown"), ("txt", "text")):
        for kind in ("link", "dangling", "link-to-folder", "pipe", "folder", "socket"):
            for way in ("beside", "folder", "file"):
                with tempfile.TemporaryDirectory() as name:
                    seen[plant(Path(name), kind, f"core.postmortem.{ending}", form, way)] += 1
    return seen


def plant(folder: Path, kind: str, name: str, form: str, way: str) -> str:
    """One run beside something planted at the name of its report; what came of it."""
    victim = folder / "victim"
    victim.write_bytes(b"precious")
    (folder / "elsewhere").mkdir()
    place = folder / "place"
    place.mkdir()
    core = core_in(place)
    planted_at = place / name
    if kind == "link":
        planted_at.symlink_to(victim)
    elif kind == "dangling":
        planted_at.symlink_to(folder / "made-by-us")
    elif kind == "link-to-folder":
        planted_at.symlink_to(folder / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(planted_at)
    elif kind == "socket":
        os.mknod(planted_at, stat.S_IFSOCK | 0o600)
    else:
        planted_at.mkdir()
    before = planted_at.lstat()
    output = {"beside": [], "folder": ["-o", str(place)], "file": ["-o", str(planted_at)]}[way]
    arguments = [str(core), "--sysroot", str(DEMO / "sysroot"), "--format", form, *output]
    code, errors = end(begin(arguments, folder))
    after = planted_at.lstat()
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    # Of a folder the size may say how many names are in it.
    assert kind == "folder" or before.st_size == after.st_size
    assert victim.read_bytes() == b"precious"
    assert not (folder / "made-by-us").exists()
    into_folder = way == "file" and kind in ("folder", "link-to-folder")  # -o names a folder then
    assert into_folder or not list((folder / "elsewhere").iterdir())
    made = {path.name for path in place.iterdir()} - {"core", name}
    if way == "file" and not into_folder:
        assert code == 3, (kind, way, code, errors)
        assert not made
        assert errors.count("\n") == 1, errors
        return "refused"
    assert code == 0, (kind, way, errors)
    assert len(made) == (0 if into_folder else 1), made
    return "written under another name"


def cuts(
    count: int, what: str, core: Path | None = None, exe: Path | None = None, seed: int = 0
) -> collections.Counter[str]:
    """The core, a module or a debug file cut while it is read.

    core, exe: another crash than the shipped one, whose executable is both module and debug file.
    """
    seen: collections.Counter[str] = collections.Counter()
    chance = random.Random(seed)
    length = 1.0
    for number in range(count):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            own = folder / "core"
            options: list[str] = []
            if core is None:
                core_in(folder)
            else:
                shutil.copyfile(core, own)
            module = folder / "exe"
            shutil.copyfile(exe or DEMO / "sysroot" / "opt" / "shop" / "bin" / "checkout", module)
            debug = folder / "debug"
            debug.mkdir()
            if what == "debug":
                stripped, module = module, folder / "debug" / "exe.debug"
                build_id = _build_id(stripped)
                module = debug / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"
                module.parent.mkdir(parents=True)
                subprocess.run(["objcopy", "--only-keep-debug", stripped, module], check=True)
                subprocess.run(["strip", "-g", stripped], check=True)
                options = ["--exe", str(stripped), "--debug-dir", str(debug)]
            else:
                options = ["--exe", str(module)]
            victim = own if what == "core" else module
            size = victim.stat().st_size
            report = folder / "report.json"
            arguments = [str(own), *options, "-o", str(report)]
            if number % 10 == 0:
                length = _length(arguments, folder)
                shutil.rmtree(folder / "cache")
            child = begin(arguments, folder)
            time.sleep(chance.random() * length)
            os.truncate(victim, chance.randrange(size))
            code, errors = end(child)
            if code == 0:
                text = report.read_text()
                partial = "left out" in text or "is cut" in text
                seen["report" if not partial else "report that says what is lost"] += 1
                if errors:
                    assert "partial report" in errors, errors
                    seen["of them after a death of the worker"] += 1
            else:
                assert code == 3, (code, errors)
                assert errors.count("\n") == 1, errors
                seen["refused: " + errors.partition(": ")[2][-100:].strip()] += 1
    return seen


def _build_id(path: Path) -> str:
    text = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    return next(line.split()[-1] for line in text.splitlines() if "Build ID" in line)


def _say(*what: object) -> None:
    sys.stdout.write(" ".join(map(str, what)) + "\n")


def main(arguments: list[str]) -> None:
    """What the module's docstring says."""
    what, count = arguments[0], int(arguments[1]) if len(arguments) > 1 else 10
    if what == "cuts":
        core, executable = [*map(Path, arguments[2:4]), None, None][:2]
        for victim in ("core", "module", "debug"):
            _say(victim, dict(cuts(count, victim, core, executable)))
    elif what == "planted":
        _say(dict(planted()))
    else:
        _say(dict({"interruptions": interruptions, "full-disks": full_disks}[what](count)))


if __name__ == "__main__":
    main(sys.argv[1:])
