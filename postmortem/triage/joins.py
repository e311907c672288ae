"""Which signatures are one bucket: where it can be shown that they differ by what a build or a log left out.

- exact: build-ids and offsets are the same, and one of the two lacks symbols, or they are of different versions of the
  signature;
- line: the functions from one line of the source on are the same, what is within it was inlined in one of the two or
  was named differently, and what the process said is alike, or nothing;
- names: a log, which lacks inlined functions and native callers, or a program without debug information, which lacks
  inlined ones, has functions of another stack in their order; or the innermost function alone lacks its name;
- index: a null pointer with an index in one function, by which the member can't be told.

The last three hold only if there is one bucket that it could be. What is one is a function of the set of crashes: no
order and no number of runs changes it. Everything else that looks alike is a suggestion (cluster.py), for a person.
"""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from postmortem.signature.causes import INDEXED

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from postmortem.model.triage import Crash, Step

MOST_LOST = 3
"""Functions that a stack may lack to be joined."""
_COMPARED = 4
"""Functions that are compared."""
_LEAST = 2
"""Functions that must be left where neither lines nor words prove it."""
_LEAST_WORDS, _LEAST_TEXT = 2, 12
_OFFSET = re.compile(r"\+0x[0-9a-f]+$")
_SAID = frozenset({"abort", "assert", "fatal", "go", "panic", "throw", "vm"})
"""Causes with words of the program in them."""


class Sets:
    """Disjoint sets of signatures, each called by its least one."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._parent = {key: key for key in keys}

    def __contains__(self, key: str) -> bool:
        return key in self._parent

    def root(self, key: str) -> str:
        """The name of its set."""
        parent = self._parent
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def unite(self, one: str, other: str) -> None:
        """Make their sets one."""
        first, second = sorted((self.root(one), self.root(other)))
        self._parent[second] = first


class _Stack(NamedTuple):
    """One of the stacks that a signature has; names: of the program's own functions, without main()."""

    id: str
    version: int
    kind: str
    words: str
    program: str | None
    whole: bool
    steps: tuple[Step, ...]
    names: tuple[str, ...]
    main: bool


def sets(crashes: Sequence[Crash], links: Iterable[tuple[str, str]] = ()) -> Sets:
    """The signatures of these crashes by bucket. links: pairs of signatures that people made one."""
    found = Sets(crash.signature.id for crash in crashes)
    for one, other in (*links, *_by_exact(crashes)):
        if one in found and other in found:
            found.unite(one, other)
    stacks = {_stack(crash) for crash in crashes if crash.steps}
    offers = {*_by_line(stacks), *_by_names(stacks), *_by_index(crashes)}
    while True:
        # All are looked at before any is joined, so that their order does not matter.
        moves = []
        for key, others in offers:
            roots = {found.root(other) for other in others}
            if len(roots) == 1 and found.root(key) not in roots:  # of two it could be either
                moves.append((key, roots.pop()))
        if not moves:
            return found
        for one, other in moves:
            found.unite(one, other)


def founder(crashes: Sequence[Crash]) -> str:
    """The signature that a bucket is named by: one of a core with symbols, with most functions."""
    best = min(
        (crash.signature.incomplete is not None, crash.kind == "log", -len(crash.signature.frames), crash.signature.id)
        for crash in crashes
    )
    return best[-1]


def _by_exact(crashes: Sequence[Crash]) -> Iterator[tuple[str, str]]:
    by_exact: defaultdict[str, dict[tuple[int, str], bool]] = defaultdict(dict)
    for crash in crashes:
        made = crash.signature
        if made.exact is not None:
            ids = by_exact[made.exact]
            ids[made.version, made.id] = ids.get((made.version, made.id), True) and made.incomplete is not None
    for ids in by_exact.values():
        for version in {version for version, _ in ids}:
            whole = sorted(key for (of, key), incomplete in ids.items() if of == version and not incomplete)
            for key in sorted(key for (of, key), incomplete in ids.items() if of == version and incomplete):
                if whole:
                    yield whole[0], key
        for (one, first), (other, second) in pairwise(sorted(ids)):
            if one != other:
                yield first, second


def _stack(crash: Crash) -> _Stack:
    kind, words = _parts(crash.signature.cause)
    main = crash.steps[-1].name == "main" and len(crash.steps) > 1
    names = tuple(step.name for step in crash.steps)
    # Without debug information, or in a log, inlined functions are missing; where optimisation merged the code of
    # several lines, those of the line can't be told.
    first = next(iter(crash.steps), None)
    whole = crash.kind != "log" and first is not None and first.file is not None and bool(first.line)
    return _Stack(
        crash.signature.id, crash.signature.version, kind, words, crash.program, whole, crash.steps,
        names[:-1] if main else names, main,
    )  # fmt: skip


def _parts(cause: str) -> tuple[str, str]:
    """ "throw: shop::Error: no cart" is ("throw", "shop::Error: no cart")."""
    kind, _, words = cause.partition(": ")
    if kind in _SAID or kind.startswith("abort at "):
        return kind.partition(" at ")[0], words
    return cause, ""


def _by_line(stacks: Iterable[_Stack]) -> Iterator[tuple[str, frozenset[str]]]:
    """What goes on from the line at which another one begins."""
    at: defaultdict[Hashable, list[tuple[_Stack, int]]] = defaultdict(list)
    for stack in stacks:
        for lost, step in enumerate(stack.steps[: MOST_LOST + 1]):
            if step.file is not None and step.line:
                at[stack.version, stack.kind, step.file, step.line].append((stack, lost))
    for stack in stacks:
        first = stack.steps[0]
        if first.file is None or not first.line:
            continue
        others = frozenset(
            other.id
            for other, lost in at[stack.version, stack.kind, first.file, first.line]
            if other.id != stack.id and _alike(stack, other) and _go_on(stack.steps, other.steps[lost:])
        )
        if others:
            yield stack.id, others


def _go_on(one: Sequence[Step], other: Sequence[Step]) -> bool:
    first, second = (tuple(step.name for step in steps[:_COMPARED]) for steps in (one, other))
    length = min(len(first), len(second))
    return all(_same(*names) for names in zip(first[:length], second[:length], strict=True))


def _by_names(stacks: Iterable[_Stack]) -> Iterator[tuple[str, frozenset[str]]]:
    """A stack that lacks functions of another one."""
    at: defaultdict[Hashable, set[_Stack]] = defaultdict(set)
    below: defaultdict[Hashable, set[str]] = defaultdict(set)
    for stack in stacks:
        for name in stack.names[: MOST_LOST + 1]:
            at[stack.version, stack.kind, stack.program, _last(name)].add(stack)
        if len(stack.steps) > _LEAST and not _unnamed(stack.steps[0]):
            below[_callers(stack)].add(stack.id)
    for stack in stacks:
        if len(stack.steps) > _LEAST and _unnamed(stack.steps[0]):
            others = frozenset(below[_callers(stack)] - {stack.id})
        elif stack.whole or not stack.names:
            continue
        else:
            others = frozenset(
                other.id  # its own, too, where another stack that has it is whole: then it is that one's already
                for other in at[stack.version, stack.kind, stack.program, _last(stack.names[0])]
                if (other.id != stack.id or other.whole) and _said_alike(stack, other) and _lacks(stack, other)
            )
        if others:
            yield stack.id, others


def _lacks(one: _Stack, other: _Stack) -> bool:
    """The functions of one are functions of the other, in their order, few between them."""
    wanted = one.names[:_COMPARED]
    position = lost = 0
    for name in wanted:
        while position < len(other.names) and not _same(name, other.names[position]):
            position, lost = position + 1, lost + 1
        if position == len(other.names) or lost > MOST_LOST:
            return False
        position += 1
    if len(wanted) >= _LEAST or one.words or one.kind == "stack-overflow":
        return True
    return position == len(other.names) and one.main == other.main and one.main


def _callers(stack: _Stack) -> Hashable:
    """Of the innermost function, for one of which the symbols are missing."""
    names = tuple(step.name for step in stack.steps[1:_COMPARED])
    return stack.version, stack.kind, stack.words, stack.program, names


def _by_index(crashes: Sequence[Crash]) -> Iterator[tuple[str, frozenset[str]]]:
    members: defaultdict[Hashable, set[str]] = defaultdict(set)
    indexed: dict[str, Hashable] = {}
    for crash in crashes:
        key, cause = (crash.signature.version, crash.program, crash.signature.frames), crash.signature.cause
        if cause == INDEXED:
            indexed[crash.signature.id] = key
        elif cause.startswith("null+"):
            members[key].add(crash.signature.id)
    for name, where in indexed.items():
        if members[where]:
            yield name, frozenset(members[where])


def _alike(one: _Stack, other: _Stack) -> bool:
    """What both said may be one text with other values in it, or cut; or one of them said nothing that is left."""
    shorter, longer = sorted((one.words, other.words), key=len)
    if shorter in longer:
        return True
    first, second = shorter.split(), longer.split()
    common = 0
    while common < len(first) and first[common] == second[common]:
        common += 1
    ending = 0
    while ending < len(first) - common and first[-1 - ending] == second[-1 - ending]:
        ending += 1
    return common + ending >= _LEAST_WORDS and 2 * (common + ending) >= max(len(first), len(second))


def _said_alike(one: _Stack, other: _Stack) -> bool:
    """Where no line proves it: one of them has more of one text, or said nothing that is left."""
    shorter, longer = sorted((one.words, other.words), key=len)
    return shorter in ("", longer) or (len(shorter) >= _LEAST_TEXT and shorter in longer)


def _same(one: str, other: str) -> bool:
    """Debug information gives some functions without the class that they are of."""
    return one == other or one.endswith(f"::{other}") or other.endswith(f"::{one}")


def _last(name: str) -> str:
    return name.rpartition("::")[2]


def _unnamed(step: Step) -> bool:
    return _OFFSET.search(step.name) is not None
