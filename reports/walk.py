"""A report with its strings changed; parts in which nothing changes are shared with the original."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def map_strings(value: T, change: Callable[[str, str, str], str]) -> T:
    """The value with change(struct name, field, text) for each string in it.

    A dict's entry comes with the field "field:key", its key with "field:". The depth of calls is that of
    the model's types, not of the input.
    """
    made: T = _map(value, type(value).__name__, "", change)
    return made


def _map(value: Any, owner: str, field: str, change: Callable[[str, str, str], str]) -> Any:
    if isinstance(value, str):
        return change(owner, field, value)
    if isinstance(value, tuple):
        items = tuple(_map(item, owner, field, change) for item in value)
        return value if all(map(_is, items, value)) else items
    if isinstance(value, dict):
        entries = {
            change(owner, f"{field}:", key): _map(item, owner, f"{field}:{key}", change)
            for key, item in value.items()
        }
        same = len(entries) == len(value) and all(entries.get(key) is item for key, item in value.items())
        return value if same else entries
    if isinstance(value, msgspec.Struct):
        name = type(value).__name__
        changed = {}
        for key in value.__struct_fields__:
            old = getattr(value, key)
            if isinstance(old, (str, tuple, dict, msgspec.Struct)):
                new = _map(old, name, key, change)
                if new is not old:
                    changed[key] = new
        return msgspec.structs.replace(value, **changed) if changed else value
    return value


def _is(one: object, other: object) -> bool:
    return one is other
