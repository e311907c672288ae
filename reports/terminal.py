"""The verdict and the crashing stack on a terminal; plain text where there is none."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from postmortem.model.queries import crash
from reports.text import plural, visible
from reports.words import answer, facts, stacks, threads

if TYPE_CHECKING:
    from rich.console import Console
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
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    def line(text: str, style: str = "", indent: int = 0) -> None:
        # Text, never markup: what stands in brackets in crash data must not be taken as a style.
        console.print(Padding(Text(visible(text), style), (0, 0, 0, indent)), soft_wrap=False)

    def more(left: int) -> None:
        if left > 0:
            line(f"and {left} more", "dim", 2)

    severity = report.verdict.severity if report.verdict else "info"
    line(answer.title_text(report), _STYLE.get(severity, "bold"))
    for problem in report.problems:
        if problem.stage == "options":
            line(answer.problem_text(problem), "bold yellow")
    if words := answer.confidence_text(report):
        line(words, "dim")
    line(answer.summary_text(report))
    if report.crash.signal is not None:
        line("")
        line(answer.signal_text(report.crash.signal, report.process.pid), "bold")
    for text in (answer.fault_text(report.crash), answer.handler_text(report)):
        if text:
            line(text)
    if report.crash.instruction:
        line(f"Instruction: {report.crash.instruction}")
    if time := facts.time_text(report.crash):
        line(f"Time: {time}", "dim")

    if evidence := answer.why(report):
        line("")
        line("Why", "bold")
        for item in evidence[:10]:
            line(f"{item.value}  {item.text}".rstrip(), indent=2)
        more(len(evidence) - 10)
    if rivals := answer.rivals(report):
        line("")
        line("Not excluded", "bold")
        for rival in rivals[:6]:
            line(rival, indent=2)
        more(len(rivals) - 6)
    if steps := answer.next_steps(report):
        line("")
        line("What to do", "bold")
        for at, step in enumerate(steps[:8], 1):
            line(f"{at}. {step}", indent=2)
        more(len(steps) - 8)

    found = crash.crashing_thread(report)
    if found is not None:
        _, thread = found
        line("")
        line(f"{threads.stack_heading(report)}: {threads.thread_title(thread)}", "bold")
        grid = Table.grid(padding=(0, 1))
        grid.add_column(justify="right", no_wrap=True, style="dim")
        grid.add_column(overflow="fold", ratio=1)
        for row in stacks.fold(thread.frames, thread.cycles, _FRAMES):
            if isinstance(row, stacks.FrameRow):
                grid.add_row(f"#{row.index}", _frame(row))
                if row.index < _FRAMES_WITH_VALUES:
                    for text in (*stacks.value_lines(row.frame, _VALUES), *stacks.source_lines(row.frame)):
                        grid.add_row("", Text(visible(text, 300)))
            else:
                grid.add_row("", Text(visible(row.text), "italic yellow"))
                if isinstance(row, stacks.CycleRow):
                    for inner in row.rows[:_FRAMES]:
                        grid.add_row(f"│ #{inner.index}", _frame(inner))
                    if len(row.rows) > _FRAMES:
                        grid.add_row(
                            "│", Text(f"{plural(len(row.rows) - _FRAMES, 'frame')} of the cycle not shown", "dim")
                        )
        console.print(Padding(grid, (0, 0, 0, 2)))
        if text := stacks.ended_text(thread):
            line(text, "dim", 2)
        if thread.handler_frames:
            line(f"{plural(len(thread.handler_frames), 'frame')} of the signal handler not shown.", "dim", 2)

    if crash.was_sent(report):
        groups = threads.telling_groups(report)
        distinct = len(threads.group_threads(report.threads, _FRAMES, crash.was_sent(report))) - 1
        for group in groups[:_GROUPS]:
            line("")
            wait = f", waits for {group.wait}" if group.wait else ""
            line(f"{threads.group_title(group)}: {group.state}{wait}", "bold")
            for text in threads.brief_lines(group, _GROUP_FRAMES):
                line(text, indent=2)
        if distinct > len(groups[:_GROUPS]):
            line("")
            line(f"{plural(distinct - len(groups[:_GROUPS]), 'further stack')} in HTML, JSON and Markdown", "dim")

    others = [finding for finding in answer.findings_in_order(report) if finding is not answer.verdict_finding(report)]
    if others:
        line("")
        line("Other findings", "bold")
        for finding in others[:8]:
            line(f"{finding.severity}, {answer.claim_text(finding)}: {finding.title}", indent=2)
        more(len(others) - 8)
    if report.problems:
        line("")
        line("What could not be done", "bold")
        for problem in report.problems[:6]:
            line(answer.problem_text(problem), indent=2)
        more(len(report.problems) - 6)
    if masked := answer.redacted_text(report):
        line("")
        line(masked, "dim")


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
