"""A libjvm.so that is not the core's own is never believed, however alike: the report is native and says why."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.postmortem.jvm import check, compare, corpus, truth

pytestmark = [pytest.mark.jdk, pytest.mark.parametrize("jdk", corpus.JDKS)]


def right_libjvm(place: Path) -> tuple[Path, dict[str, Any]]:
    """The file of the libjvm that ran, and the core's module."""
    report = check.report_of(place)
    module = next(module for module in report["modules"] if module["path"].endswith("/libjvm.so"))
    assert module["status"] == "matched"
    return Path(module["file"]), module


def build_id(file: Path) -> str:
    output = subprocess.run(["readelf", "-n", str(file)], check=True, capture_output=True, text=True).stdout
    match = re.search(r"Build ID: ([0-9a-f]+)", output)
    assert match is not None
    return match[1]


def sysroot_with(tmp_path: Path, path: str, content: bytes) -> Path:
    target = tmp_path / path.lstrip("/")
    target.parent.mkdir(parents=True)
    target.write_bytes(content)
    return tmp_path


def must_be_native_only(report: dict[str, Any], wanted: str, wrong: str | None) -> None:
    assert report["jvm"] is None
    assert not [kind for kind in compare.kinds(report) if kind in compare.JAVA]
    assert all(thread["java"] is None for thread in report["threads"])
    assert len(report["threads"]) > 10 and all(thread["frames"] for thread in report["threads"])
    module = next(module for module in report["modules"] if module["path"].endswith("/libjvm.so"))
    assert module["build_id"] == wanted
    assert module["file"] is None or module["status"] == "mismatched"
    assert any(wanted in problem["what"] + (problem["hint"] or "") for problem in report["problems"])
    if wrong is not None:
        assert module["status"] == "mismatched"
        told = str(module["file_build_id"]) + str(module["candidates"])
        assert wrong in told
    in_libjvm = [
        frame
        for thread in report["threads"]
        for frame in thread["frames"]
        if frame["module"] == module["path"] and frame["function"] is not None
    ]
    # The core lacks libjvm's pages, so any name there would come from the wrong file.
    assert not in_libjvm


def test_another_version_s(jdk: int, tmp_path: Path) -> None:
    _, module = right_libjvm(corpus.case(jdk, corpus.FILTERED))
    other, _ = right_libjvm(corpus.case(21 if jdk != 21 else 25, corpus.FILTERED))
    root = sysroot_with(tmp_path, module["path"], other.read_bytes())
    report = check.report_of(corpus.case(jdk, corpus.FILTERED), sysroot=root)
    must_be_native_only(report, module["build_id"], build_id(other))


def test_another_build_of_the_same_version(jdk: int, tmp_path: Path) -> None:
    """The very bytes of the right file, with one bit of the build-id changed."""
    file, module = right_libjvm(corpus.case(jdk, corpus.FILTERED))
    identity = bytes.fromhex(build_id(file))
    assert identity.hex() == module["build_id"]
    content = file.read_bytes()
    assert content.count(identity) == 1
    changed = bytes([identity[0] ^ 1, *identity[1:]])
    root = sysroot_with(tmp_path, module["path"], content.replace(identity, changed))
    report = check.report_of(corpus.case(jdk, corpus.FILTERED), sysroot=root)
    must_be_native_only(report, module["build_id"], changed.hex())


def test_none_at_all(jdk: int, tmp_path: Path) -> None:
    _, module = right_libjvm(corpus.case(jdk, corpus.FILTERED))
    report = check.report_of(corpus.case(jdk, corpus.FILTERED), sysroot=tmp_path)
    must_be_native_only(report, module["build_id"], None)


def test_the_right_one_alone_is_believed(jdk: int, tmp_path: Path) -> None:
    """The counter-check: in the same otherwise empty root, the right file gives the JVM and all Java frames.

    libc's file is not there either, so they are reached through what the VM noted of each thread. 11 keeps the
    methods of the class library in an archive that its core lacks; the walks end at the first of these.
    """
    place = corpus.case(jdk, corpus.FILTERED)
    file, module = right_libjvm(place)
    target = tmp_path / module["path"].lstrip("/")
    target.parent.mkdir(parents=True)
    shutil.copyfile(file, target)
    report = check.report_of(place, sysroot=tmp_path)
    assert report["jvm"] is not None
    whole, alone = compare.kinds(check.report_of(place)), compare.kinds(report)
    assert alone["java-interpreted"]
    if jdk != 11:
        assert [alone[kind] for kind in compare.JAVA] == [whole[kind] for kind in compare.JAVA]
    text = check.told(place, "VM.flags")
    assert text is not None
    assert not compare.flags(report, truth.flags(text))
