"""A report with findings, verdict and signature, and with what the files of the modules say where it bears on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.forensics.process import with_forensics
from postmortem.rules.engine import run as run_rules
from postmortem.signature.signature import signed

if TYPE_CHECKING:
    from postmortem.model import Report
    from postmortem.options import Options
    from postmortem.stages import Stages


def judged_by_rules(report: Report, options: Options, stages: Stages) -> Report:
    """The rules are run again where the modules that the first verdict names had something to add."""

    def judged(unjudged: Report) -> Report:
        return signed(run_rules(unjudged, strict=options.strict))

    first = stages.run("rules", lambda: judged(report), report)
    examined = stages.run("forensics", lambda: with_forensics(first, options.modules), first)
    return first if examined is first else stages.run("rules", lambda: judged(examined), examined)
