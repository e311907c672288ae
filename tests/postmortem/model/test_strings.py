"""Which fields of the model may hold free text, told from their annotations as they are written."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest

from postmortem.model import Frame, Report, Thread
from postmortem.model.strings import _text_fields, map_strings
from postmortem.model.thread import Value
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
    names, flat = _text_fields(kind)
    assert names == tuple(field.name for field in fields)
    plain = all(set(get_args(field.type) or (field.type,)) <= {str, type(None)} or _of_plain(field) for field in fields)
    comparable = plain and all(get_origin(field.type) is not dict for field in fields)
    assert (flat is not None) == (bool(fields) and comparable)


def _of_plain(field: msgspec.structs.FieldInfo) -> bool:
    """A sequence of structs whose texts can be compared."""
    items = get_args(field.type)
    if get_origin(field.type) is not tuple or not (isinstance(items[0], type) and issubclass(items[0], msgspec.Struct)):
        return False
    return _text_fields(items[0])[1] is not None


def test_a_secret_in_a_value_of_one_frame_among_equal_ones_is_changed() -> None:
    plain = Frame(pc=None, sp=None, function="f")
    held = Frame(pc=None, sp=None, function="f", locals=(Value(name="a", text="secret"),))
    frames = (plain, plain, held, plain)
    thread = Thread(tid=1, crashed=True, frames=frames, handler_frames=(plain, plain))
    changed = map_strings(thread, lambda owner, field, text: "***" if text == "secret" else text)
    assert changed.frames[2].locals[0].text == "***"
    assert changed.frames[0] is plain and changed.handler_frames == thread.handler_frames


def test_what_does_not_change_is_the_same_value() -> None:
    report = build.jvm()
    assert map_strings(report, lambda owner, field, text: text) is report
