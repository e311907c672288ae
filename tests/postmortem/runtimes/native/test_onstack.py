"""Words that only the crashing stack holds."""

from __future__ import annotations

import pytest

import postmortem
from tests.postmortem.corpus import directory

pytestmark = pytest.mark.corpus


def test_the_arguments_of_an_assertion_of_libstdcxx() -> None:
    core = directory() / "assertion-glibcxx" / "core"
    if not core.is_file():
        pytest.skip("no core: its compiler is missing")
    native = postmortem.analyze(core, postmortem.Options(strict=True)).native
    assert native.runtime == "libstdc++" and native.runtime_message is not None
    assert "stl_vector.h:" in native.runtime_message
    assert native.runtime_message.endswith("Assertion '__n < this->size()' failed.")
