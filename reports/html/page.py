"""The report as one HTML file that asks nobody for anything.

Its Content-Security-Policy allows inline styles and our one script, by its hash; no request can leave. All
text goes through Jinja's autoescape, and before that `visible` turns control characters, bidirectional
overrides and lone surrogates into codes. Every panel reads without the script.

Panels that others link to are rendered first: they register the ids they have, so that a link from the
evidence is only made to a place which exists.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from postmortem.model.queries import crash
from reports import templates, text
from reports.anchors import anchor, cited, resolve
from reports.compiled import Compiled
from reports.html.panel import PANELS, TABLE_ROWS, load
from reports.text import visible_lines
from reports.words import answer, facts, stacks, threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jinja2

    from postmortem.model import Report
    from reports.html.panel import Panel

CRASH_ROWS = 240
_HANDLER_ROWS = 64

_PANELS = "reports.html.panels"
_WEB = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9._~:/?#\[\]@!$&()*+,;=%-]*)?")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; `aside` is the count beside its title in the contents."""

    id: str
    title: str
    body: Markup
    aside: str = ""


def render(report: Report, panels: Sequence[str] = PANELS, home: str = _PANELS) -> str:
    """The page. panels, home: the files of its panels and the package that has them."""
    return _Page(report, panels, home).render()


def prepare() -> None:
    """Compile the templates now, where they may be kept."""
    environment = _environment(_PANELS)
    kept = environment.bytecode_cache
    assert isinstance(kept, Compiled)
    for folder in (files("reports.html") / "templates", files(_PANELS)):
        for path in folder.iterdir():
            if path.name.endswith(".html") and not kept.is_kept(path.name):
                environment.get_template(path.name)


@functools.cache
def read(name: str, home: str = _PANELS) -> str:
    """The text of a template, stylesheet or script of the page."""
    shared = files("reports.html") / "templates" / name
    return (shared if shared.is_file() else files(home) / name).read_text(encoding="utf-8")


def styles(panels: Sequence[str], home: str = _PANELS) -> str:
    """The stylesheets of the page and of those panels that have one."""
    own = [f"{name}.css" for name in panels if (files(home) / f"{name}.css").is_file()]
    return "".join(read(name, home) for name in ("report.css", *own))


def _lines(value: str) -> Markup:
    return escape(visible_lines(value))


@functools.cache
def _environment(home: str) -> jinja2.Environment:
    environment = templates.environment(
        functools.partial(read, home=home),
        page="html" if home == _PANELS else None,
        function_text=stacks.function_text,
        source_text=stacks.source_text,
        brief_source=stacks.brief_source,
        frame_details=stacks.frame_details,
        module_facts=facts.module_facts,
        frame_tags=stacks.frame_tags,
        value_text=stacks.value_text,
        source_lines=stacks.source_lines,
        thread_name=threads.thread_name,
        thread_title=threads.thread_title,
        virtual_text=threads.virtual_text,
        thread_state=threads.thread_state,
        wait_text=threads.wait_text,
        share_of=facts.share,
        is_row=lambda row: isinstance(row, stacks.FrameRow),
        is_cycle=lambda row: isinstance(row, stacks.CycleRow),
        quiet=stacks.is_system,
        telling_function=threads.telling_function,
        TRUST=stacks.TRUST,
        STATUS=facts.MODULE_STATUS,
        CONFIDENCE=answer.CONFIDENCE,
        CLAIM=answer.CLAIM,
    )
    environment.filters.update(
        lines=_lines,
        size=text.size,
        seconds=text.seconds,
        share=facts.format_share,
        web=lambda url: bool(_WEB.fullmatch(url)),
    )
    return environment


class _Page:
    """A page as it is made; `panel.Page` is what panels see of it."""

    def __init__(self, report: Report, panels: Sequence[str], home: str) -> None:
        self.report = report
        self.same_stack: dict[int, int] = {}
        found = crash.crashing_thread(report)
        self.crashing = None if found is None else found[0]
        self._panels = {name: load(name, home) for name in panels}
        self._environment = _environment(home)
        self._style = styles(panels, home)
        self._ids = {"answer", *(panel.id for panel in self._panels.values())}  # no fact inside one may take these
        self._cited = cited(report)
        self._places: set[str] = set()

    # What templates call.

    def at(self, path: str) -> Markup:
        """The id attribute for a path's place, once."""
        name = anchor(path)
        if not name or name in self._places or name in self._ids:
            return Markup("")
        self._places.add(name)
        return Markup(' id="{}"').format(name)

    def at_cited(self, path: str) -> Markup:
        """As `at`, for rows of which there are many: only where evidence names the path."""
        return self.at(path) if path in self._cited else Markup("")

    def link(self, path: str) -> str:
        """The id that a path leads to, or ""."""
        name = resolve(path, self._places)
        match = re.match(r"threads\[(\d{1,9})\](\..*)", path)
        if match and int(match[1]) in self.same_stack:
            # The stack is shown once for all threads that have it.
            other = resolve(f"threads[{self.same_stack[int(match[1])]}]{match[2]}", self._places)
            if name is None or (other is not None and len(other) > len(name)):
                name = other
        return name or ""

    def rows(self, items: Sequence[Any], path: str, limit: int = TABLE_ROWS) -> list[tuple[int, Any]]:
        """(place, item) of the first `limit` items and of those that evidence names."""
        if len(items) <= limit:
            return list(enumerate(items))
        return [(at, item) for at, item in enumerate(items) if at < limit or f"{path}[{at}]" in self._cited]

    # The page.

    def _part(self, template: str, **values: Any) -> Markup:
        names = {"report": self.report, "page": self, "at": self.at, "at_cited": self.at_cited, "link": self.link}
        return Markup(self._environment.get_template(template).render(names | values))

    def render(self) -> str:
        """The page: the crashing stack and the panels before what links to places in them."""
        stack = self._crashing_stack()
        sections: dict[str, Section] = {}
        for citing in (False, True):
            for name, panel in self._panels.items():
                section = self._section(name, panel) if panel.cites == citing else None
                if section is not None:
                    sections[name] = section
            self._places |= {section.id for section in sections.values()}
        first_screen = self._answer(stack)
        script = read("report.js")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        return self._part(
            "report.html",
            title=answer.title_text(self.report),
            subject=text.base_name(self.report.process.executable or self.report.core.path),
            severity=self.report.verdict.severity if self.report.verdict else "none",
            answer=first_screen,
            sections=[sections[name] for name in self._panels if name in sections],
            style=Markup(self._style),
            script=Markup(script),
            digest=digest,
        )

    def _section(self, name: str, panel: Panel) -> Section | None:
        shown = panel.build(self)
        if shown is None:
            return None
        return Section(panel.id, panel.title, self._part(f"{name}.html", **shown.values), shown.aside)

    def _crashing_stack(self) -> Markup:
        if self.crashing is None:
            return Markup("")
        thread = self.report.threads[self.crashing]
        return self._part(
            "stack.html",
            heading=threads.stack_heading(self.report),
            index=self.crashing,
            thread=thread,
            rows=stacks.fold(thread.frames, thread.cycles, CRASH_ROWS),
            handler=stacks.fold(thread.handler_frames or (), (), _HANDLER_ROWS),
            ended=stacks.ended_text(thread),
        )

    def _answer(self, stack: Markup) -> Markup:
        report = self.report
        return self._part(
            "answer.html",
            verdict=report.verdict,
            title=answer.title_text(report),
            summary=answer.summary_text(report),
            signal=answer.signal_text(report.crash.signal, report.process.pid, number=answer.numbered(report))
            if report.crash.signal
            else "",
            fault=answer.fault_text(report.crash),
            handler=answer.handler_text(report),
            others=answer.others_text(report.crash),
            why=answer.why(report)[:24],
            rivals=answer.rivals(report)[:6],
            steps=answer.next_steps(report)[:24],
            stack=stack,
        )
