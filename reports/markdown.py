"""The report as Markdown for a ticket: the answer first, never more than 30 kB.

Text from the crash stands in code spans or fences longer than any run of backticks in it; prose is escaped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries import crash
from reports.text import number, plural, size, visible
from reports.words import answer, stacks, threads
from reports.words import facts as view

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from postmortem.model import Report

LIMIT = 29_500
"""UTF-8 bytes of the whole, the closing note aside."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#])")
_TICKS = re.compile(r"`+")


def prose(text: str, longest: int = 1200) -> str:
    """Text outside code: what Markdown or HTML would take as markup is escaped."""
    return _SPECIAL.sub(lambda match: f"\\{match[1]}", visible(text, longest).replace("&", "&amp;"))


def code(text: str, longest: int = 300) -> str:
    """A code span, its fence longer than any run of backticks inside."""
    shown = visible(text, longest)
    if not shown:
        return ""
    fence = "`" * (1 + max((len(run) for run in _TICKS.findall(shown)), default=0))
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def cell(text: str, longest: int = 160) -> str:
    """A code span for a table's cell, in which a bar would end the cell."""
    return code(text, longest).replace("|", "\\|")


class _Page:
    """Lines within the limit; what doesn't fit is left out, and the closing note says so."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.left = LIMIT
        self.cut = False

    def add(self, *lines: str) -> bool:
        """Adds all of the lines or, if they don't fit, none."""
        cost = sum(len(line.encode("utf-8", "replace")) + 1 for line in lines)
        if cost > self.left:
            self.cut = True
            return False
        self.left -= cost
        self.lines += lines
        return True

    def rows(self, head: Sequence[str], rows: Iterable[str]) -> None:
        """A heading with rows, as many as fit; nothing when not even one does."""
        rows = list(rows)
        if not rows or not self.add(*head, rows[0]):
            return
        for row in rows[1:]:
            if not self.add(row):
                return
        self.add("")

    def fence(self, head: Sequence[str], lines: Sequence[str], share: int = LIMIT) -> None:
        """A fenced block within `share` bytes; its fence is closed whatever fits."""
        shown = [visible(line, 240) for line in lines]
        ticks = "`" * max(3, 1 + max((len(run) for line in shown for run in _TICKS.findall(line)), default=0))
        # The lines are counted with their fences, so that closing them can't overrun the limit.
        budget = min(share, self.left) - sum(len(line.encode()) + 1 for line in head) - 2 * len(ticks) - 80
        kept: list[str] = []
        for index, line in enumerate(shown):
            budget -= len(line.encode("utf-8", "replace")) + 1
            if budget < 0:
                self.cut = True
                if not kept:
                    return
                kept.append(f"… {plural(len(shown) - index, 'more line')}")
                break
            kept.append(line)
        self.add(*head, ticks + "text", *kept, ticks, "")


def render(report: Report) -> str:
    """The report as Markdown, under 30 kB."""
    page = _Page()
    _answer(page, report)
    _findings(page, report)
    _threads(page, report)
    _modules(page, report)
    _problems(page, report)
    facts = view.core_facts(report) + view.native_facts(report) + view.jvm_facts(report) + view.host_facts(report)
    page.rows(["## Facts", "", "| | |", "|---|---|"], (f"| {fact.label} | {cell(fact.value)} |" for fact in facts))
    if page.cut:
        page.lines += ["", "*Shortened to fit a ticket: the HTML or JSON report has the rest.*"]
    page.lines += ["", f"<sub>{prose(report.tool.name, 60)} {prose(report.tool.version, 60)}</sub>", ""]
    return "\n".join(page.lines)


def _answer(page: _Page, report: Report) -> None:
    page.add(f"# {prose(answer.title_text(report), 300)}", "")
    if words := answer.confidence_text(report):
        page.add(f"**{words[0].upper()}{words[1:]}.** {prose(answer.summary_text(report))}", "")
    else:
        page.add(prose(answer.summary_text(report)), "")
    signal = report.crash.signal
    said = (
        [code(answer.signal_text(signal, report.process.pid, number=answer.numbered(report)))]
        if signal is not None
        else []
    )
    said += [
        prose(text, 600)
        for text in (answer.fault_text(report.crash), answer.handler_text(report), answer.others_text(report.crash))
        if text
    ]
    if report.crash.instruction:
        said.append(f"Instruction: {code(report.crash.instruction)}")
    if said:
        page.add("  \n".join(said), "")
    evidence = answer.why(report)
    page.rows(
        ["## Why", ""],
        (f"- {code(item.value)} {prose(item.text, 400)} ({code(item.where, 120)})" for item in evidence[:12]),
    )
    page.rows(["## Not excluded", ""], (f"- {prose(rival, 400)}" for rival in answer.rivals(report)[:6]))
    steps = answer.next_steps(report)
    page.rows(["## What to do", ""], (f"{at}. {prose(step, 500)}" for at, step in enumerate(steps[:10], 1)))
    found = crash.crashing_thread(report)
    if found is None:
        return
    _, thread = found
    lines = stacks.stack_lines(stacks.fold(thread.frames, thread.cycles, 60))
    if ended := stacks.ended_text(thread):
        lines.append(ended)
    title = f"## {threads.stack_heading(report)}: {prose(threads.thread_title(thread), 120)}"
    page.fence([title, ""], lines or ["no frames"], 9000)
    if thread.handler_frames:
        lines = stacks.stack_lines(stacks.fold(thread.handler_frames, (), 12))
        head = ["<details><summary>Frames of the signal handler</summary>", ""]
        if sum(len(line.encode("utf-8", "replace")) for line in lines) < 3500:
            page.fence(head, lines, 4000)
            page.add("</details>", "")


def _findings(page: _Page, report: Report) -> None:
    page.rows(
        ["## Findings", "", "| severity | confidence | claim | finding | rule |", "|---|---|---|---|---|"],
        (
            f"| {found.severity} | {found.confidence} | {found.claim} | {prose(found.title, 200)} "
            f"| {cell(found.rule)} |"
            for found in answer.findings_in_order(report)[:30]
        ),
    )


def _threads(page: _Page, report: Report) -> None:
    groups = [
        group for group in threads.group_threads(report.threads, 40, threads.first_state(report)) if not group.crashed
    ]
    if not groups:
        return
    count = sum(len(group.threads) for group in groups)
    page.add(f"## Other threads: {number(count)} with {plural(len(groups), 'different stack')}", "")
    for group in sorted(groups, key=lambda group: -len(group.threads))[:20]:
        wait = f": {prose(group.wait, 160)}" if group.wait else ""
        head = f"**{plural(len(group.threads), 'thread')}** ({prose(group.state, 40)}{wait}): "
        head += prose(threads.group_title(group), 200)
        page.fence([head, ""], threads.brief_lines(group, 10) or ["no frames"], 1100)
    if len(groups) > 20:
        page.cut = True


def _modules(page: _Page, report: Report) -> None:
    missing = view.unmatched_modules(report)
    page.rows(
        ["## Modules not matched", "", "| module | status | build-id |", "|---|---|---|"],
        (
            f"| {cell(module.path)} | {view.MODULE_STATUS.get(module.status, module.status)} "
            f"| {cell(module.build_id or '')} |"
            for _, module in missing[:25]
        ),
    )
    if len(missing) > 25:
        page.cut = True


def _problems(page: _Page, report: Report) -> None:
    page.rows(
        ["## What could not be done", ""],
        (
            f"- {prose(problem.what, 400)} ({code(problem.where, 120)})"
            + (f" {prose(problem.hint, 300)}" if problem.hint else "")
            for problem in report.problems[:25]
        ),
    )
    if report.core.truncated:
        page.add(f"The core is truncated: {size(report.core.lost)} are lost.", "")
    if masked := answer.redacted_text(report):
        page.add(f"{masked}.", "")
