"""What all tests share: programs that a test needs, and Hypothesis without deadlines."""

from __future__ import annotations

import os
import shutil

import hypothesis
import pytest

PACKAGES = {
    "readelf": "binutils", "objcopy": "binutils", "addr2line": "binutils", "nm": "binutils", "strip": "binutils",
    "javac": "openjdk-17-jdk-headless", "jhsdb": "openjdk-17-jdk-headless", "eu-stack": "elfutils", "go": "golang-go",
    "xz": "xz-utils", "objdump": "binutils", "musl-gcc": "musl-tools", "clang++": "clang", "llvm-dwp": "llvm",
    "dwp": "binutils",
    "aarch64-linux-gnu-as": "binutils-aarch64-linux-gnu", "aarch64-linux-gnu-ld": "binutils-aarch64-linux-gnu",
}  # fmt: skip
"""The Debian package of a program whose name differs."""

MARKS = {
    "corpus": ("gcc", "g++", "objcopy", "xz"),
    "browser": ("chromium",),
}
"""Programs that all tests with a mark need. The recipe of the JVM corpus says itself what it lacks."""

# How long an example takes says nothing on a machine that does other work, too.
hypothesis.settings.register_profile("postmortem", deadline=None)
hypothesis.settings.load_profile("postmortem")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a program that is not here, and say which; in .ci/run nothing may be skipped for that."""
    needed = {program for mark in item.iter_markers("needs") for program in mark.args}
    for mark, programs in MARKS.items():
        if item.get_closest_marker(mark) is not None:
            needed.update(programs)
    missing = sorted(program for program in needed if shutil.which(program) is None)
    if not missing:
        return
    packages = " ".join(sorted({PACKAGES.get(program, program) for program in missing}))
    message = f"needs {', '.join(missing)}: apt-get install {packages}"
    if os.environ.get("POSTMORTEM_ALL_TESTS"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
