"""Parameters and locals of interpreted frames equal what the program printed of itself; on every JDK that is here."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import postmortem
from postmortem.runtimes.hotspot.stack.variables import descriptors, primitive, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Value

SOURCE = Path(__file__).resolve().parents[4] / "fixtures" / "values" / "Shop.java"
ROOT = Path("/var/cache/postmortem-jdks/sid")
"""Debian root of the JVM corpus' other JDKs."""
JDKS = ("host", "8", "11", "21", "25", "27")


def test_descriptors() -> None:
    assert descriptors("(IJ[[Ljava/lang/String;Z[D)V") == ["I", "J", "[[Ljava/lang/String;", "Z", "[D"]
    assert descriptors("()V") == []
    assert descriptors("(Ljava/lang/String") == []


def test_type_names() -> None:
    assert type_name("[[J") == "long[][]"
    assert type_name("Lshop/Order;") == "shop.Order"
    assert type_name("") is None


@pytest.mark.parametrize(
    ("descriptor", "word", "text"),
    [
        ("I", 0xABCDEF01FFFFFFFE, "-2"), ("J", 0xFFFFFFFFFFFFFFFE, "-2"), ("Z", 1, "true"), ("C", 0x78, "120 'x'"),
        ("D", 0x3FF8000000000000, "1.5"), ("F", 0x3FC00000, "1.5"), ("B", 0xFFFFFFF9, "-7"),
    ],
)  # fmt: skip
def test_primitive_values(descriptor: str, word: int, text: str) -> None:
    assert primitive(descriptor, word) == text


def crashed(jdk: str, folder: Path, debug: str, mode: str) -> tuple[Path, Path | None]:
    """The folder of the core and the root of the file system that the process saw."""
    classes = folder / "classes"
    subprocess.run(
        ["javac", debug, "-source", "8", "-target", "8", "-nowarn", "-d", str(classes), str(SOURCE)],
        check=True, capture_output=True,
    )  # fmt: skip
    flags = [mode, "-Xmx64m", "-XX:+UseSerialGC", "-cp", ".", "Shop", "one", "two"]
    place, command = classes, ["java", *flags]
    if jdk != "host":
        place = ROOT / "tmp" / f"shop-{os.getpid()}-{jdk}"
        shutil.copytree(classes, place)
        java = f"/usr/lib/jvm/java-{jdk}-openjdk-amd64/bin/java {' '.join(flags)}"
        inner = f"chroot {ROOT} /usr/bin/env -i /bin/sh -c 'cd /tmp/{place.name} && exec {java}'"
        command = ["unshare", "-m", "/bin/sh", "-c", f"mount -t proc proc {ROOT}/proc && exec {inner}"]
    with (place / "out.txt").open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", *command], cwd=place, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + 60
            while b"ready" not in (place / "out.txt").read_bytes():
                assert process.poll() is None, (place / "out.txt").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.2)
            process.send_signal(signal.SIGABRT)
            process.wait(60)
        finally:
            process.kill()
            process.wait()
    return place, None if jdk == "host" else ROOT


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Path | None]]:
    jdk, debug, mode = request.param
    if shutil.which("javac") is None or Path("/proc/sys/kernel/core_pattern").read_text().strip() != "core":
        pytest.skip("needs javac, and cores in the working directory")
    if jdk != "host" and (os.geteuid() != 0 or not (ROOT / f"usr/lib/jvm/java-{jdk}-openjdk-amd64").exists()):
        pytest.skip(f"JDK {jdk} is not here")
    made = crashed(jdk, tmp_path, debug, mode)
    yield made
    shutil.rmtree(made[0], ignore_errors=True)


def variables(place: tuple[Path, Path | None]) -> dict[tuple[str, str], Value]:
    folder, root = place
    core = next(path for path in folder.iterdir() if path.name.startswith("core"))
    report = postmortem.analyze(core, postmortem.Options(strict=True, sysroot=root, values="all"))
    return {
        (frame.function or "", value.name): value
        for thread in report.threads
        for frame in thread.frames
        if frame.function in ("Shop.total", "Shop.main")
        for value in (*frame.arguments, *frame.locals)
    }


def printed(folder: Path) -> dict[tuple[str, str], str]:
    rows = re.findall(r"^(main|total) (\w+) = (.*)$", (folder / "out.txt").read_text(), re.M)
    return {(f"Shop.{frame}", name): value for frame, name, value in rows}


@pytest.mark.jdk
@pytest.mark.parametrize("place", [(jdk, "-g", "-Xint") for jdk in JDKS], indirect=True)
def test_named_variables_equal_what_was_printed(place: tuple[Path, Path | None]) -> None:
    found = {name: value.text.split(" @")[0] for name, value in variables(place).items()}
    assert len(found) == 20
    assert found == printed(place[0])


@pytest.mark.jdk
@pytest.mark.parametrize("place", [(jdk, "-g", "-Xcomp") for jdk in JDKS], indirect=True)
def test_variables_of_compiled_frames_where_scopes_record_them(place: tuple[Path, Path | None]) -> None:
    found = variables(place)
    truth = printed(place[0])
    known = {name: value.text.split(" @")[0] for name, value in found.items() if value.unavailable is None}
    assert len(known) >= 12
    assert known == {name: truth[name] for name in known}


@pytest.mark.jdk
@pytest.mark.parametrize("place", [("host", "-g:none", "-Xint")], indirect=True)
def test_without_a_table_parameters_have_their_types_and_locals_their_slots(place: tuple[Path, Path | None]) -> None:
    found = {
        name: value.text.split(" @")[0] for (function, name), value in variables(place).items() if "total" in function
    }
    assert found["this"] == "Shop"
    assert (found["argument 1"], found["argument 2"], found["argument 3"]) == ("3", "250", "0.19")
    assert (found["argument 5"], found["argument 6"], found["argument 7"]) == ('"Grace Hopper"', "int[3]", "null")
    assert found["slot 15"] == "0x80000000000002ee"
