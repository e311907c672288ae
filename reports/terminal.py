"""The verdict and the crashing stack on a terminal; plain text where there is none."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from postmortem.model.queries import crash
from reports.text import plural, visible
from reports.words import answer, facts, stacks, threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from postmortem.model import Report

_STYLE = {
    "critical": "bold red",
    "high": "bold red",
    "medium": "bold yellow",
    "low": "bold cyan",
    "info": "bold",
}
_WIDTH = 100
_FRAMES = 40
_FRAMES_WITH_VALUES, _VALUES = 10, 6
_GROUPS = 10
_GROUP_FRAMES = 10


def render(report: Report, width: int = _WIDTH) -> str:
    """The text without colour, `width` columns wide."""
    from rich.console import Console

    stream = io.StringIO()
    show(report, Console(file=stream, width=width, no_color=True, force_terminal=False, legacy_windows=False))
    # Padding fills lines with blanks, which only a terminal with colours needs.
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().split("\n")).rstrip() + "\n"


def show(report: Report, console: Console) -> None:
    """Writes to a console, which knows its own width and whether it has colours."""
    screen = _Screen(console)
    for part in (_headline, _reasons, _crashing_stack, _others, _rest):
        part(report, screen)


class _Screen:
    """A console that takes text, never markup: what stands in brackets in crash data must not be taken as a style."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str, style: str = "", indent: int = 0) -> None:
        from rich.text import Text

        self.block(Text(visible(text), style), indent)

    def block(self, made: Text | Table, indent: int) -> None:
        from rich.padding import Padding

        self._console.print(Padding(made, (0, 0, 0, indent)), soft_wrap=False)

    def listed(self, heading: str, lines: Sequence[str], most: int) -> None:
        """A heading and the first lines below it; nothing where there are none."""
        if not lines:
            return
        self.heading(heading)
        for text in lines[:most]:
            self.line(text, indent=2)
        if len(lines) > most:
            self.line(f"and {len(lines) - most} more", "dim", 2)

    def heading(self, text: str) -> None:
        self.line("")
        self.line(text, "bold")


def _headline(report: Report, screen: _Screen) -> None:
    severity = report.verdict.severity if report.verdict else "info"
    screen.line(answer.title_text(report), _STYLE.get(severity, "bold"))
    for problem in report.problems:
        if problem.stage == "options":
            screen.line(answer.problem_text(problem), "bold yellow")
    if words := answer.confidence_text(report):
        screen.line(words, "dim")
    screen.line(answer.summary_text(report))
    if report.crash.signal is not None:
        screen.heading(answer.signal_text(report.crash.signal, report.process.pid, number=answer.numbered(report)))
    for text in (answer.fault_text(report.crash), answer.handler_text(report), answer.others_text(report.crash)):
        if text:
            screen.line(text)
    if report.crash.instruction:
        screen.line(f"Instruction: {report.crash.instruction}")
    if time := facts.time_text(report.crash):
        screen.line(f"Time: {time}", "dim")


def _reasons(report: Report, screen: _Screen) -> None:
    screen.listed("Why", [f"{item.value}  {item.text}".rstrip() for item in answer.why(report)], 10)
    screen.listed("Not excluded", answer.rivals(report), 6)
    screen.listed("What to do", [f"{at}. {step}" for at, step in enumerate(answer.next_steps(report), 1)], 8)


def _crashing_stack(report: Report, screen: _Screen) -> None:
    found = crash.crashing_thread(report)
    if found is None:
        return
    _, thread = found
    screen.heading(f"{threads.stack_heading(report)}: {threads.thread_title(thread)}")
    screen.block(_grid(stacks.fold(thread.frames, thread.cycles, _FRAMES)), 2)
    if text := stacks.ended_text(thread):
        screen.line(text, "dim", 2)
    if thread.handler_frames:
        screen.line(f"{plural(len(thread.handler_frames), 'frame')} of the signal handler not shown.", "dim", 2)


def _grid(rows: Sequence[stacks.Row]) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", no_wrap=True, style="dim")
    grid.add_column(overflow="fold", ratio=1)
    for row in rows:
        if isinstance(row, stacks.FrameRow):
            grid.add_row(f"#{row.depth}", _frame(row))
            if row.index < _FRAMES_WITH_VALUES:
                for text in (*stacks.value_lines(row.frame, _VALUES), *stacks.source_lines(row.frame)):
                    grid.add_row("", Text(visible(text, 300)))
            continue
        grid.add_row("", Text(visible(row.text), "italic yellow"))
        if isinstance(row, stacks.CycleRow):
            for inner in row.rows[:_FRAMES]:
                grid.add_row(f"│ #{inner.depth}", _frame(inner))
            if len(row.rows) > _FRAMES:
                left = f"{plural(len(row.rows) - _FRAMES, 'frame')} of the cycle not shown"
                grid.add_row("│", Text(left, "dim"))
    return grid


def _others(report: Report, screen: _Screen) -> None:
    """Threads that the verdict is about, and others where the one shown first tells no more than they do."""
    groups = threads.telling_groups(report)[:_GROUPS]
    for group in groups:
        wait = f", waits for {group.wait}" if group.wait else ""
        screen.heading(f"{threads.group_title(group)}: {group.state}{wait}")
        for text in threads.brief_lines(group, _GROUP_FRAMES):
            screen.line(text, indent=2)
    left = len(threads.group_threads(report.threads, _FRAMES, threads.first_state(report))) - 1 - len(groups)
    if groups and left > 0:
        screen.line("")
        screen.line(f"{plural(left, 'further stack')} in HTML, JSON and Markdown", "dim")


def _rest(report: Report, screen: _Screen) -> None:
    first = answer.verdict_finding(report)
    others = [finding for finding in answer.findings_in_order(report) if finding is not first]
    lines = [f"{finding.severity}, {answer.claim_text(finding)}: {finding.title}" for finding in others]
    screen.listed("Other findings", lines, 8)
    screen.listed("What could not be done", [answer.problem_text(problem) for problem in report.problems], 6)
    if masked := answer.redacted_text(report):
        screen.line("")
        screen.line(masked, "dim")


def _frame(row: stacks.FrameRow) -> Text:
    from rich.text import Text

    frame = row.frame
    text = Text(visible(stacks.function_text(frame), 400), "bold" if frame.function else "")
    if source := stacks.source_text(frame):
        text.append(f" at {visible(source, 200)}", "cyan")
    if frame.function and (module := stacks.module_text(frame)):
        text.append(f" in {visible(module, 200)}", "dim")
    if tags := stacks.frame_tags(frame):
        text.append(f" [{', '.join(tags)}]", "yellow")
    if frame.note:
        text.append(f" ({visible(frame.note, 200)})", "dim")
    return text
