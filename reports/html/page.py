"""The report as one HTML file that asks nobody for anything.

Its Content-Security-Policy allows inline styles and our one script, by its hash; no request can leave. All
text goes through Jinja's autoescape, and before that `visible` turns control characters, bidirectional
overrides and lone surrogates into codes. Every section reads without the script.

Sections that others link to are rendered first: they register the ids they have, so that a link from the
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

import jinja2
from markupsafe import Markup, escape

from postmortem.model.queries import crash
from reports import flamegraph, text
from reports import memorybar as anatomy
from reports.anchors import anchor, cited, resolve
from reports.html.compiled import Compiled
from reports.text import visible, visible_lines
from reports.words import answer, stacks, threads
from reports.words import facts as view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.model import Report, Thread

CRASH_ROWS = 240
GROUP_ROWS = 64
ALL_ROWS = 4800
"""Frames in the threads section; with more groups each shows fewer."""
GROUPS = 600
TABLE_ROWS = 1000
"""Rows of one table; the JSON report has all."""

_TEMPLATES = files("reports.html") / "templates"
_WEB = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9._~:/?#\[\]@!$&()*+,;=%-]*)?")


# Ids of sections, which no fact of the same name inside one may take.
_SECTIONS = frozenset(
    [
        "answer",
        "findings",
        "threads",
        "crash",
        "memory",
        "jvm",
        "modules",
        "mappings",
        "native",
        "core",
        "problems",
        "flame",
        "timings",
    ]
)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; `aside` is the count beside its title in the contents."""

    id: str
    title: str
    body: Markup
    aside: str = ""


def prepare() -> None:
    """Compile the templates now, where they may be kept."""
    environment = _environment()
    kept = environment.bytecode_cache
    assert isinstance(kept, Compiled)
    for path in _TEMPLATES.iterdir():
        if path.name.endswith(".html") and not kept.is_kept(path.name):
            environment.get_template(path.name)


def render(report: Report) -> str:
    """The page."""
    return _Page(report).render()


@functools.cache
def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _finalize(value: Any) -> Any:
    # Runs on every expression of the templates. Markup is what templates and this module made.
    if value is None:
        raise TypeError("a template shows a value that may be absent without saying what then")
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


def _lines(value: str) -> Markup:
    return escape(visible_lines(value))


def _short(value: str, longest: int = 240) -> str:
    return visible(value, longest)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=Compiled(__file__),
    )
    environment.filters.update(
        lines=_lines,
        short=_short,
        size=text.size,
        number=text.number,
        seconds=text.seconds,
        share=view.format_share,
        web=lambda url: bool(_WEB.fullmatch(url)),
    )
    environment.globals.update(
        function_text=stacks.function_text,
        source_text=stacks.source_text,
        brief_source=stacks.brief_source,
        frame_details=stacks.frame_details,
        module_facts=view.module_facts,
        frame_tags=stacks.frame_tags,
        value_text=stacks.value_text,
        source_lines=stacks.source_lines,
        thread_name=threads.thread_name,
        thread_title=threads.thread_title,
        virtual_text=threads.virtual_text,
        thread_state=threads.thread_state,
        wait_text=threads.wait_text,
        base_name=text.base_name,
        plural=text.plural,
        share_of=view.share,
        is_row=lambda row: isinstance(row, stacks.FrameRow),
        is_cycle=lambda row: isinstance(row, stacks.CycleRow),
        quiet=stacks.is_system,
        telling_function=threads.telling_function,
        TRUST=stacks.TRUST,
        STATUS=view.MODULE_STATUS,
        CONFIDENCE=answer.CONFIDENCE,
        CLAIM=answer.CLAIM,
    )
    return environment


class _Page:
    def __init__(self, report: Report) -> None:
        self.report = report
        self.cited = cited(report)
        self.places: set[str] = set()
        self.leads: dict[int, int] = {}
        self.crashing = crash.crashing_thread(report)

    # What templates call.

    def at(self, path: str) -> Markup:
        """The id attribute for a path's place, once."""
        name = anchor(path)
        if not name or name in self.places or name in _SECTIONS:
            return Markup("")
        self.places.add(name)
        return Markup(' id="{}"').format(name)

    def at_cited(self, path: str) -> Markup:
        """As `at`, for rows of which there are many: only where evidence names the path."""
        return self.at(path) if path in self.cited else Markup("")

    def link(self, path: str) -> str:
        """The id that a path leads to, or ""."""
        name = resolve(path, self.places)
        match = re.match(r"threads\[(\d{1,9})\](\..*)", path)
        if match and int(match[1]) in self.leads:
            # The stack is shown once for all threads that have it.
            other = resolve(f"threads[{self.leads[int(match[1])]}]{match[2]}", self.places)
            if name is None or (other is not None and len(other) > len(name)):
                name = other
        return name or ""

    def part(self, template: str, **values: Any) -> Markup:
        made = (
            _environment()
            .get_template(template)
            .render(
                report=self.report,
                page=self,
                at=self.at,
                at_cited=self.at_cited,
                link=self.link,
                **values,
            )
        )
        return Markup(made)

    def rows(self, items: Sequence[Any], path: str, limit: int = TABLE_ROWS) -> list[tuple[int, Any]]:
        """(place, item) of the first `limit` items and of those that evidence names."""
        if len(items) <= limit:
            return list(enumerate(items))
        return [(at, item) for at, item in enumerate(items) if at < limit or f"{path}[{at}]" in self.cited]

    # The page.

    def render(self) -> str:
        # The order is of rendering: what evidence leads to comes before the evidence.
        stack = self._crashing_stack()
        sections = [section for section in self._sections() if section is not None]
        self.places |= {section.id for section in sections}
        findings = self._findings()
        first_screen = self._answer(stack)
        shown = [*([findings] if findings else []), *sections]
        script = _read("report.js")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        return (
            _environment()
            .get_template("report.html")
            .render(
                report=self.report,
                title=answer.title_text(self.report),
                subject=text.base_name(self.report.process.executable or self.report.core.path),
                severity=self.report.verdict.severity if self.report.verdict else "none",
                answer=first_screen,
                sections=shown,
                style=Markup(_read("report.css")),
                script=Markup(script),
                digest=digest,
            )
        )

    def _crashing_stack(self) -> Markup:
        if self.crashing is None:
            return Markup("")
        index, thread = self.crashing
        return self.part(
            "stack.html",
            heading=threads.stack_heading(self.report),
            index=index,
            thread=thread,
            rows=stacks.fold(thread.frames, thread.cycles, CRASH_ROWS),
            handler=stacks.fold(thread.handler_frames or (), (), 64),
            ended=stacks.ended_text(thread),
        )

    def _answer(self, stack: Markup) -> Markup:
        report = self.report
        return self.part(
            "answer.html",
            verdict=report.verdict,
            title=answer.title_text(report),
            summary=answer.summary_text(report),
            signal=answer.signal_text(report.crash.signal, report.process.pid) if report.crash.signal else "",
            fault=answer.fault_text(report.crash),
            handler=answer.handler_text(report),
            why=answer.why(report)[:24],
            rivals=answer.rivals(report)[:6],
            steps=answer.next_steps(report)[:24],
            stack=stack,
        )

    def _findings(self) -> Section | None:
        found = answer.findings_in_order(self.report)
        if not found:
            return None
        body = self.part("findings.html", findings=found[:200], first=answer.verdict_finding(self.report))
        return Section("findings", "Findings", body, text.number(len(found)))

    def _sections(self) -> list[Section | None]:
        report = self.report
        return [
            self._threads(),
            self._fault(),
            self._memory(),
            *self._jvm(),
            self._modules(),
            self._mappings(),
            self._native(),
            self._process(),
            self._problems(),
            self._flame(),
            Section("timings", "Timings", self.part("timings.html")) if report.timings else None,
        ]

    def _threads(self) -> Section | None:
        report = self.report
        if not report.threads:
            return None
        groups = threads.group_threads(report.threads, GROUP_ROWS, crash.was_sent(report))
        limit = max(8, min(GROUP_ROWS, ALL_ROWS // max(1, len(groups))))
        if limit < GROUP_ROWS:
            groups = threads.group_threads(report.threads, limit, crash.was_sent(report))
        for group in groups:
            self.leads |= dict.fromkeys(group.indices, group.indices[0])
        crashing = self.crashing[0] if self.crashing else None
        states = sorted({group.state for group in groups})
        waits = sorted({thread.wait.kind for thread in report.threads if thread.wait})
        body = self.part(
            "threads.html",
            groups=[(group, threads.group_title(group), self._ended(group.threads[0])) for group in groups[:GROUPS]],
            left=len(groups) - GROUPS,
            crashing=crashing,
            states=states,
            waits=waits,
        )
        return Section("threads", "Threads", body, text.number(len(report.threads)))

    @staticmethod
    def _ended(thread: Thread) -> str:
        return stacks.ended_text(thread)

    def _fault(self) -> Section | None:
        crash = self.report.crash
        facts = view.crash_facts(self.report)
        registers = view.register_rows(self.report)
        if not (facts or registers or crash.disassembly or crash.operands):
            return None
        body = self.part("fault.html", crash=crash, facts=facts, registers=registers)
        return Section("crash", "Fault and registers", body)

    def _memory(self) -> Section | None:
        made = anatomy.anatomy(self.report)
        if made is None:
            return None
        body = self.part("memory.html", anatomy=made, summary=anatomy.summary(self.report, made))
        return Section("memory", "Memory", body)

    def _jvm(self) -> list[Section | None]:
        jvm = self.report.jvm
        if jvm is None:
            return []
        flags = self.rows(jvm.flags, "jvm.flags", 2000)
        body = self.part(
            "jvm.html",
            jvm=jvm,
            facts=view.jvm_facts(self.report),
            error=view.error_facts(self.report),
            heap=view.heap_facts(self.report),
            cache=view.code_cache_facts(self.report),
            metaspace=view.metaspace_facts(self.report),
            direct=view.direct_memory_facts(self.report),
            virtual=[
                (index, group, stacks.fold(group.frames))
                for index, group in self.rows(jvm.virtual_threads, "jvm.virtual_threads", 300)
            ],
            set_flags=[(at, flag) for at, flag in flags if flag.origin not in (None, "default")],
            default_flags=[(at, flag) for at, flag in flags if flag.origin in (None, "default")],
        )
        return [Section("jvm", "Java virtual machine", body)]

    def _modules(self) -> Section | None:
        modules = self.report.modules
        if not modules:
            return None
        missing = len(view.unmatched_modules(self.report))
        body = self.part(
            "modules.html",
            modules=self.rows(modules, "modules"),
            missing=missing,
            left=len(modules) - TABLE_ROWS,
            advice=view.module_advice,
        )
        return Section("modules", "Modules", body, text.number(len(modules)))

    def _mappings(self) -> Section | None:
        mappings = self.report.mappings
        if not mappings:
            return None
        body = self.part("mappings.html", mappings=self.rows(mappings, "mappings"), left=len(mappings) - TABLE_ROWS)
        return Section("mappings", "Mappings", body, text.number(len(mappings)))

    def _native(self) -> Section | None:
        facts = view.native_facts(self.report)
        message = self.report.native.runtime_message
        if not facts and not message:
            return None
        return Section("native", "C and C++ runtime", self.part("native.html", facts=facts, message=message or ""))

    def _process(self) -> Section:
        environment = list(self.report.process.environment.items())[:400]
        body = self.part(
            "process.html",
            facts=view.core_facts(self.report),
            host=view.host_facts(self.report),
            environment=environment,
        )
        return Section("core", "Process and core", body)

    def _problems(self) -> Section:
        problems = self.report.problems
        body = self.part(
            "problems.html",
            problems=self.rows(problems, "problems", 400),
            masked=answer.redacted_text(self.report),
        )
        return Section("problems", "What could not be done", body, text.number(len(problems)))

    def _flame(self) -> Section | None:
        graph, note = flamegraph.svg(self.report.threads)
        if not graph:
            return None
        body = self.part("flame.html", graph=Markup(graph), note=note)
        return Section("flame", "Flame graph of all threads", body)
