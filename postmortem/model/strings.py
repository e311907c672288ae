"""A report with its strings changed; parts in which nothing changes are shared with the original."""

from __future__ import annotations

import functools
import operator
import re
import sys
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_origin

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def map_strings(
    value: T, change: Callable[[str, str, str], str], passed_over: Callable[[str, str], bool] | None = None
) -> T:
    """The value with change(struct name, field, text) for each free text in it.

    passed_over(struct name, field) is True for fields in which nothing is looked for.

    A dict's entry comes with the field "field:key", its key with "field:"; a value or text that stands beside a name
    comes as "value:name", or as "value:name of type T". Choices out of a fixed set are
    no free text. The depth of calls is that of the model's types, not of the input.
    """
    made: T = _Mapper(change, passed_over).map(value, type(value).__name__, "")
    return made


class _Mapper:
    def __init__(self, change: Callable[[str, str, str], str], passed_over: Callable[[str, str], bool] | None) -> None:
        self._change = change
        self._passed_over = passed_over
        self._plans: dict[type[msgspec.Struct], _Plan] = {}
        # A hundred thousand frames are of a few hundred functions, and the registers of every thread have the same
        # names: what is known to stay is not looked at again. Key names of dicts of numbers; texts by type.
        self._unchanged: set[tuple[type, Any]] = set()
        self._texts: dict[type, set[Any]] = {}

    def map(self, value: Any, owner: str, field: str) -> Any:
        if isinstance(value, str):
            made = self._change(owner, field, value)
            # An equal text is no change, whichever object it is.
            return value if made == value else made
        if isinstance(value, tuple):
            if value and self._all_unchanged(value):
                return value
            struct, map_ = self._struct, self.map
            items = tuple(
                [struct(item) if isinstance(item, msgspec.Struct) else map_(item, owner, field) for item in value]
            )
            return value if all(map(_is, items, value)) else items
        if isinstance(value, dict):
            return self._dict(value, owner, field)
        if isinstance(value, msgspec.Struct):
            return self._struct(value)
        return value

    def _all_unchanged(self, values: tuple[Any, ...]) -> bool:
        """Whether these are values of one type whose texts are all known to stay."""
        kind: type[msgspec.Struct] = type(values[0])
        known = self._texts.get(kind)
        if known is None:
            return False
        flat = self._plan(kind).flat
        return flat is not None and all(type(value) is kind for value in values) and known.issuperset(map(flat, values))

    def _dict(self, value: dict[str, Any], owner: str, field: str) -> dict[str, Any]:
        names = type(next(iter(value.values()), None)), tuple(value)
        if names in self._unchanged:
            return value
        entries = {
            self._change(owner, f"{field}:", key): self.map(item, owner, f"{field}:{key}")
            for key, item in value.items()
        }
        same = len(entries) == len(value) and all(entries.get(key) is item for key, item in value.items())
        if same and not any(isinstance(item, (str, tuple, dict, msgspec.Struct)) for item in value.values()):
            self._unchanged.add(names)
        return value if same else entries

    def _plan(self, kind: type[msgspec.Struct]) -> _Plan:
        plan = self._plans.get(kind)
        if plan is None:
            names, plain = _text_fields(kind)
            if self._passed_over is not None:
                names = tuple(name for name in names if not self._passed_over(kind.__name__, name))
            flat = operator.attrgetter(*names) if names and plain.issuperset(names) else None
            plan = self._plans[kind] = _Plan(names, _OF_LABEL.intersection(names), flat)
        return plan

    def _struct(self, value: msgspec.Struct) -> msgspec.Struct:
        kind = type(value)
        plan = self._plans.get(kind) or self._plan(kind)
        texts = None
        if plan.flat is not None:
            texts = plan.flat(value)
            if texts in self._texts.setdefault(kind, set()):
                return value
        label = _label(value) if plan.labelled else ""
        changed = {}
        for key in plan.names:
            old = getattr(value, key)
            if old is None:
                continue
            field = f"{key}:{label}" if label and key in plan.labelled else key
            if type(old) is str:
                made = self._change(kind.__name__, field, old)
                new = old if made == old else made
            else:
                new = self.map(old, kind.__name__, field)
            if new is not old:
                changed[key] = new
        if changed:
            return msgspec.structs.replace(value, **changed)
        if plan.flat is not None:
            self._texts[kind].add(texts)
        return value


class _Plan(NamedTuple):
    """names: of the fields that may hold free text. labelled: those that are said to be the value of something.

    flat: gets them all, where they can be compared.
    """

    names: tuple[str, ...]
    labelled: frozenset[str]
    flat: Callable[[Any], Any] | None


OF_TYPE = " of type "
"""Between the name and the type of a value, where it has one."""
_OF_LABEL = frozenset(["value", "text", "points_to"])


def _label(value: msgspec.Struct) -> str:
    """What the value of this is the value of; empty when nothing says so."""
    label = getattr(value, "name", None) or getattr(value, "where", None)
    if not isinstance(label, str):
        return ""
    type_ = getattr(value, "type", None)
    return label.rpartition(".")[2] + (f"{OF_TYPE}{type_}" if isinstance(type_, str) else "")


@functools.cache
def _text_fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The fields of a type that may hold free text, and those of them that can be compared as a whole: plain texts,
    and sequences of structs that have nothing else.

    By the annotations as they are written: evaluating those of the whole model would take longer than a run needs here.
    """
    written: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        written.update(vars(base).get("__annotations__", {}))
    known = vars(sys.modules[kind.__module__])
    names = tuple(name for name in kind.__struct_fields__ if _may_hold_text(written[name], known))
    return names, frozenset(name for name in names if _is_comparable(written[name], known))


def _is_comparable(annotation: str, known: dict[str, Any]) -> bool:
    if annotation in ("str", "str | None"):
        return True
    items = _SEQUENCE.fullmatch(annotation)
    found = known.get(items[1]) if items is not None else None
    if not (isinstance(found, type) and issubclass(found, msgspec.Struct) and found.__struct_config__.frozen):
        return False
    names, comparable = _text_fields(found)
    return comparable.issuperset(names) and "dict" not in " ".join(vars(found)["__annotations__"].values())


_CHOICE = re.compile(r"Literal\[[^\]]*\]")
_NAME = re.compile(r"[A-Za-z_]\w*")
_SEQUENCE = re.compile(r"tuple\[(\w+), \.\.\.\]")
_NO_TEXT = frozenset(["None", "int", "float", "bool", "tuple", "dict"])


def _may_hold_text(annotation: str, known: dict[str, Any]) -> bool:
    """known: the names of the module that it stands in."""
    for name in _NAME.findall(_CHOICE.sub("", annotation)):
        if name in ("str", "Any"):
            return True
        if name in _NO_TEXT:
            continue
        found = known[name]
        if isinstance(found, type):
            if issubclass(found, msgspec.Struct):
                return True
        elif get_origin(found) is not Literal:
            return True
    return False


def _is(one: object, other: object) -> bool:
    return one is other
