"""Paths into a report, as evidence names them.

Grammar: a field name, then any number of ".name" (a field, or the key of a mapping) and "[index]".
"threads[0].frames[2].function", "crash.operand_values.divisor", "native.abort_message".
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from postmortem.model import Address, Evidence, Report

LONGEST_VALUE = 400
"""Characters of a value that evidence quotes; the rest is in the report."""

_STEP = re.compile(r"(?:^|\.)([^.\[\]]+)|\[(\d+)\]")


def resolve(report: Report, where: str) -> Any:
    """The value at `where`. Raises LookupError when there is no such place in this report."""
    value: Any = report
    position = 0
    for step in _STEP.finditer(where):
        if step.start() != position:
            break
        position = step.end()
        name, index = step.groups()
        value = _item(value, int(index), where) if index is not None else _member(value, name, where)
    if position != len(where) or not where:
        raise LookupError(f"not a path: {where!r}")
    return value


def _item(value: Any, index: int, where: str) -> Any:
    if isinstance(value, tuple | list):
        return value[index]
    raise LookupError(f"no item {index} in {where!r}")


def _member(value: Any, name: str, where: str) -> Any:
    if isinstance(value, dict):
        return value[name]
    if isinstance(value, msgspec.Struct) and name in value.__struct_fields__:
        return getattr(value, name)
    raise LookupError(f"no {name!r} in {where!r}")


def show(value: Any) -> str:
    """A value as a report writes it; a collection is shown by its length."""
    if isinstance(value, Address):
        return hex(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list | dict):
        return f"{len(value)} entries"
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def proof(report: Report, *places: tuple[str, str]) -> tuple[Evidence, ...]:
    """Evidence for each (where, text) at which this report has a value; the others are left out."""
    return tuple(
        Evidence(where=where, value=show(value), text=text)
        for where, text in places
        if (value := _value(report, where)) is not None
    )


def _value(report: Report, where: str) -> Any:
    try:
        return resolve(report, where)
    except LookupError:
        return None
