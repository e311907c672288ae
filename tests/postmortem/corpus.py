"""The native corpus: built once per machine by its recipe, or found where $POSTMORTEM_NATIVE_CORPUS says."""

from __future__ import annotations

import fcntl
import functools
import importlib.util
import os
import resource
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Collection

ROOT = Path(__file__).resolve().parent.parent.parent
NATIVE = ROOT / "fixtures" / "native"


def no_core() -> None:
    """For preexec_fn: a debugger that crashes beside a core must not write its own over it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # gdb raises a soft limit before it aborts


def cases() -> list[dict[str, Any]]:
    """All cases of corpus.toml."""
    return list(tomllib.loads((NATIVE / "corpus.toml").read_text())["case"])


def parameters(apart: Collection[str] = ()) -> list[Any]:
    """The names of the cases as parameters of tests, each of which needs the case's compiler."""
    return [
        pytest.param(case["name"], marks=pytest.mark.needs(case["compiler"]))
        for case in cases()
        if case["name"] not in apart
    ]


FAILED: list[str] = []
"""Cases that could not be made, with the reason; a test asserts that there are none."""
_MOST_FAILED = 4


@functools.cache
def directory() -> Path:
    """Where the built corpus lies: <name>/core, exe, case.json."""
    named = os.environ.get("POSTMORTEM_NATIVE_CORPUS")
    if named:
        return Path(named)
    if len(FAILED) > _MOST_FAILED:
        raise RuntimeError("\n".join(FAILED))  # not tried again for each test
    built = Path(tempfile.gettempdir()) / f"postmortem-native-{os.getuid()}"
    spec = importlib.util.spec_from_file_location("postmortem_native_recipe", NATIVE / "recipe.py")
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = recipe
    spec.loader.exec_module(recipe)
    os.environ.setdefault("RUSTC_BOOTSTRAP", "1")  # a case needs what older versions have as a feature only
    with built.with_suffix(".lock").open("w") as lock:
        # Test processes run side by side; one builds, the others find it done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            recipe.build(built, None, 2)
        except recipe.CorpusError as error:
            # One case that another libc or compiler lets pass must not cost the tests of all others.
            FAILED.extend(error.failures)
            if len(FAILED) > _MOST_FAILED:
                raise
    return built
