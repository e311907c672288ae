"""Cores of real JVMs: made once per machine by their recipe, or found where $POSTMORTEM_JVM_CORPUS says."""

from __future__ import annotations

import fcntl
import functools
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

RECIPE = Path(__file__).resolve().parents[3] / "fixtures" / "jvm" / "recipe.py"
JDKS = (8, 11, 17, 21, 25, 27)

LOGGED = (
    # In Java code: interpreted, of both compilers, with inlined frames, entered in a loop.
    *("interpreter", "interpreter-invoke", "c1", "c1-tier3", "c2-inlined", "c2-osr", "c2-oop"),
    # In the VM and its stubs, below a deep stack, for want of memory.
    *("unsafe-native", "unsafe-copy", "deep-java", "oom"),
    # In a library: called by Java, called back into Java, called in turns, through a wild pointer.
    *("jni", "jni-callback", "jni-nested", "jni-badref", "jni-jump", "jni-virtual"),
    # In the VM's own threads.
    *("compiler-c2", "compiler-c1", "gc-serial", "gc-parallel", "gc-g1", "gc-shenandoah", "gc-z"),
)
"""Crashes that leave a log."""

UNLOGGED = ("jni-abort", "jni-stack-overflow", "report-timeout")
"""Crashes in the native method of `jni` that end the process before the VM has written a log."""

DEADLOCKS = ("deadlock", "deadlock-stack-locking", "deadlock-no-monitor-table", "deadlock-monitor-table")
COUNTED = ("quiet-serial", "quiet-parallel", "quiet-g1", "quiet-nocoops", "quiet-compact", *DEADLOCKS)
"""JVMs at rest that were asked by jcmd, then ended; their collectors can be walked object by object."""

ASKED = (*COUNTED, "quiet-shenandoah", "quiet-z")

JUDGED = (
    # What ends a JVM that the kinds above do not have, each for the diagnosis that it must get.
    *("jni-fatal", "jni-assert", "jni-double-free", "signal-chain", "mapped-jni", "mapped-bulk", "jar-replaced"),
    *("gc-verify", "vm-define-class", "metaspace", "class-space", "native-oom", "code-cache-full", "direct-memory"),
    *("safepoint-stall", "safepoint-timeout", "kill-segv", "kill-quit-gcore", "report-timeout-oom", "entry-barrier"),
    *("convoy", "deadlock-class-init", "deadlock-virtual"),
    # Settings that a log tells of.
    *("container", "c2-xcomp", "epsilon"),
)
INCIDENTS = ("locks-", "foreign-", "downcall-", "off-heap-", "full-", "moving-", "misuse-", "slip-", "stall-", "stray-")
"""How the names of the kinds begin that run on an old and a new version only, each for its diagnosis."""
JUDGED_ON = (8, 17, 27)
"""The oldest, the host's and the newest."""

WHOLE = (
    *("interpreter", "c1", "c2-inlined", "unsafe-native", "jni", "jni-nested", "jni-virtual", "jni-abort", "oom"),
    "deadlock",
)
"""Kinds whose core has the pages of files, too, from 11 on."""

FILTERED = "quiet-serial"
"""A kind whose core lacks them."""


@functools.cache
def recipe() -> ModuleType:
    """fixtures/jvm/recipe.py."""
    spec = importlib.util.spec_from_file_location("postmortem_jvm_recipe", RECIPE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def incidents() -> list[str]:
    """The kinds of INCIDENTS."""
    return [kind.name for kind in recipe().KINDS if kind.name.startswith(INCIDENTS)]


def pairs(kinds: Iterable[str], since: int = 0, jdks: tuple[int, ...] = JDKS) -> list[tuple[int, str]]:
    """(jdk, kind) for all versions that a kind exists on."""
    on = {kind.name: kind.jdks for kind in recipe().KINDS}
    return [(jdk, kind) for kind in kinds for jdk in jdks if jdk in on[kind] and jdk >= since]


@functools.cache
def directory() -> Path:
    """Where the cores lie: <jdk>-<kind>/core, case.json, hs_err.log, jcmd/."""
    named = os.environ.get("POSTMORTEM_JVM_CORPUS")
    if named:
        return Path(named)
    # Some 13 GB: /tmp may be memory.
    parent = Path("/var/tmp") if os.access("/var/tmp", os.W_OK) else Path(tempfile.gettempdir())
    built = parent / f"postmortem-jvm-{os.getuid()}"
    with built.with_suffix(".lock").open("w") as lock:
        # Test processes run side by side; one makes the cores, the others find them.
        fcntl.flock(lock, fcntl.LOCK_EX)
        built.mkdir(exist_ok=True)
        for _ in range(2):
            # A crash that a busy machine made to end otherwise is tried once more; what is good, is left alone.
            jobs = os.cpu_count() or 1
            made = recipe().build(built, JDKS, [*LOGGED, *UNLOGGED, *ASKED, *incidents()], jobs=jobs)
            made += recipe().build(built, JUDGED_ON, JUDGED, jobs=jobs)
            if not any(case.description["failure"] for case in made):
                break
    return built


@functools.cache
def _outcome() -> Path | str:
    """The directory, or why there is none: a machine that can't make cores is asked once."""
    try:
        return directory()
    except recipe().CorpusError as error:
        return str(error)


def case(jdk: int, kind: str) -> Path:
    """The directory of a case. Where the machine can't make cores the test is skipped, but fails in .ci/run."""
    made = _outcome()
    if isinstance(made, str):
        if os.environ.get("POSTMORTEM_ALL_TESTS"):
            pytest.fail(made, pytrace=False)
        pytest.skip(made)
    place = made / f"{jdk}-{kind}"
    described = json.loads((place / "case.json").read_text(encoding="utf-8"))
    if described["failure"] or not ((place / "core").exists() or (place / "hs_err.log").exists()):
        pytest.fail(f"{place}: {described['failure']}", pytrace=False)
    return place
