"""Runs the rules over a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from postmortem.model import Finding, Problem, Report
from postmortem.model.queries.crash import is_log, java_process
from postmortem.model.queries.systems import system
from postmortem.rules import ROWS, advice, external, ranking
from postmortem.rules import rules as our_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postmortem.rules.rule import Rule


def every_rule(*, jvm: bool = True) -> tuple[tuple[Rule, ...], tuple[Problem, ...]]:
    """Our own rules and those of other distributions, and what is wrong with the latter. jvm: with those about JVMs."""
    others, problems = external.load(frozenset(row.rpartition(".")[2].replace("_", "-") for row in ROWS))
    return (*our_rules(jvm=jvm), *others), problems


def run(report: Report, rules: Sequence[Rule] | None = None, strict: bool = False) -> Report:
    """The report with its findings, ranked, and its verdict; those it had before are replaced.

    rules: default all that can be about it; those about JVMs need one in the process, or its log.

    A rule that raises costs its own findings only: it becomes a Problem of stage "rules". With `strict`
    it raises instead, which is how tests run.
    """
    findings: list[Finding] = []
    problems = [problem for problem in report.problems if problem.stage != "rules"]
    if rules is None:
        rules, unusable = every_rule(jvm=java_process(report) or is_log(report))
        problems += unusable
    for rule in rules:
        try:
            findings += [_complete(finding, rule, report) for finding in rule.check(report)]
        # Any exception: a defect of one rule must not cost the others.
        except Exception as error:
            if strict:
                raise
            problems.append(
                Problem(
                    stage="rules",
                    where=rule.id,
                    what=type(error).__name__,
                    hint="a defect of this rule; its findings are missing",
                )
            )
    ranked = ranking.order(ranking.silence(findings))
    return msgspec.structs.replace(report, findings=ranked, verdict=ranking.verdict(ranked), problems=tuple(problems))


def _complete(finding: Finding, rule: Rule, report: Report) -> Finding:
    specificity = rule.specificity if finding.specificity is None else finding.specificity
    remedies = tuple(remedy for remedy in finding.remedies if advice.fits(report, remedy))
    settled = finding.claim == "cause" and finding.confidence == "certain"
    rivals = () if settled else finding.rivals
    emulator = system(report).emulator
    if emulator is not None and finding.severity == "critical" and not settled:
        rivals = (*rivals, f"A defect of {emulator}, which translates the CPU's instructions for this process.")
        remedies = (*remedies, f"Run an image that is built for this machine's CPU, without {emulator}.")
    return msgspec.structs.replace(finding, specificity=specificity, remedies=remedies, rivals=rivals)
