"""Which fields of the model may hold free text, told from their annotations as they are written."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest

from postmortem.model import Frame, Report, Thread, Value
from postmortem.model.strings import _text_fields, map_strings
from tests.build import reports as build


def _structs(kind: Any, found: dict[type, None]) -> dict[type, None]:
    """All types of values that a report is made of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
        found[kind] = None
        for field in msgspec.structs.fields(kind):
            _structs(field.type, found)
    for part in get_args(kind):
        _structs(part, found)
    return found


def _evaluated(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return False
    if arguments := get_args(kind):
        return any(_evaluated(part) for part in arguments if part is not Ellipsis)
    return kind in (str, Any) or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))


@pytest.mark.parametrize("kind", _structs(Report, {}), ids=lambda kind: kind.__name__)
def test_the_fields_are_those_of_the_evaluated_types(kind: type[msgspec.Struct]) -> None:
    fields = [field for field in msgspec.structs.fields(kind) if _evaluated(field.type)]
    names, plain = _text_fields(kind)
    assert names == tuple(field.name for field in fields)
    kinds = {field.name: (set(get_args(field.type) or (field.type,)), get_origin(field.type)) for field in fields}
    assert plain == {
        name
        for name, (parts, of) in kinds.items()
        if of is not dict and (parts <= {str, type(None)} or (of is tuple and _all_comparable(parts - {Ellipsis})))
    }


def _all_comparable(kinds: set[Any]) -> bool:
    """A sequence of frozen structs whose fields with text are all comparable."""
    if any(not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)) for kind in kinds):
        return False
    return all(
        kind.__struct_config__.frozen
        and all(_evaluated(f.type) is False or f.name in _text_fields(kind)[1] for f in msgspec.structs.fields(kind))
        and not any("dict" in str(f.type) for f in msgspec.structs.fields(kind))
        for kind in kinds
    )


def test_what_does_not_change_is_the_same_value() -> None:
    report = build.jvm()
    assert map_strings(report, lambda owner, field, text: text) is report


def test_a_secret_in_a_value_of_one_frame_among_equal_ones_is_changed() -> None:
    plain = Frame(pc=None, sp=None, function="f")
    held = Frame(pc=None, sp=None, function="f", locals=(Value(name="a", text="secret"),))
    frames = (plain, plain, held, plain)
    thread = Thread(tid=1, crashed=True, frames=frames, handler_frames=(plain, plain))
    changed = map_strings(thread, lambda owner, field, text: "***" if text == "secret" else text)
    assert changed.frames[2].locals[0].text == "***"
    assert changed.frames[0] is plain
    assert changed.handler_frames == thread.handler_frames
