"""No structure of a VM, whatever it says, takes more than its share of time and memory."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import postmortem
from tests.hostile import jvmcrafted
from tests.hostile.campaign import MutableCore, exercise, options_for, refusals
from tests.hostile.child import forked
from tests.hostile.mutate import Mutation, Subject
from tests.hostile.trace import Trace
from tests.postmortem.jvm import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hostile.elf import Load
    from tests.hostile.jvmcrafted import Patches

SECONDS, KILOBYTES = 40, 700_000
"""As in test_crafted.py: a busy machine, and a child that begins with the memory of this process."""
CASES = ((8, "c1"), (17, "jni-badref"), (27, "quiet-serial"))


class Hostile:
    """A copy of a core, and what to change in it by name of an attack."""

    def __init__(self, core: Path, folder: Path) -> None:
        for name in ("case.json",):
            shutil.copyfile(core.parent / name, folder / name)
        self.held = MutableCore(core, folder / "core")
        self.map = Subject.of(core, Trace()).map
        writable = [load for load in self.map.loads if load.flags & 2]
        # The end of the largest one: of the Java heap, or of malloc's.
        largest: Load = max(writable, key=lambda load: load.end - load.start)
        size = min(4 << 20, (largest.end - largest.start) // 2)
        self.attacks: dict[str, Patches | None] = {}

        def take(vm: jvmcrafted.Vm) -> None:
            for make in jvmcrafted.CRAFTED:
                self.attacks[make.__name__] = make(vm)

        with jvmcrafted.seen(take, (largest.end - size & ~0xFFF, size)):
            postmortem.analyze(self.held.copy, options_for(self.held.copy, histogram=True))

    def mutation(self, name: str) -> Mutation | None:
        """The changes of an attack as the file's; None where this VM or core lacks what it is about."""
        patches = self.attacks[name]
        if patches is None:
            return None
        placed = [(self.map.offset_of(address), data) for address, data in patches]
        found = [(offset, data) for offset, data in placed if offset is not None]
        return Mutation(patches=found, what=[name]) if found else None


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    jdk, kind = request.param
    folder = tmp_path_factory.mktemp("hostile")
    yield Hostile(corpus.case(jdk, kind) / "core", folder)
    shutil.rmtree(folder)


@pytest.mark.jdk
@pytest.mark.parametrize("name", [make.__name__ for make in jvmcrafted.CRAFTED])
def test_a_hostile_vm(hostile: Hostile, name: str) -> None:
    mutation = hostile.mutation(name)
    if mutation is None:
        pytest.skip("this VM has no such thing")
    with hostile.held.mutated(mutation) as path:
        options = options_for(path, histogram=True)
        outcome = forked(lambda: exercise(path, options), refusals(), SECONDS, 6000)
    assert outcome.status in ("report", "partial"), outcome
    assert outcome.kilobytes < KILOBYTES, outcome
