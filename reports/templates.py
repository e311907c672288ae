"""Jinja environments of the pages: everything is escaped, and control characters are shown as codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from reports import text
from reports.compiled import Compiled
from reports.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable


def _finalize(value: Any) -> Any:
    # Runs on every expression of the templates. Markup is what templates and the pages made.
    if value is None:
        raise TypeError("a template shows a value that may be absent without saying what then")
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _short(value: str, longest: int = 240) -> str:
    return visible(value, longest)


def environment(read: Callable[[str], str], page: str | None = None, **names: Any) -> jinja2.Environment:
    """read: the text of a template by its name. page: under which compiled ones are kept. names: what they may call."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=None if page is None else Compiled(__file__, page),
    )
    made.filters.update(short=_short, number=text.number)
    made.globals.update(plural=text.plural, base_name=text.base_name, **names)
    return made
