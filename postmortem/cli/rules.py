"""postmortem rules, postmortem schema: what the reports are made by and of."""

from __future__ import annotations

import click


@click.command()
@click.argument("identity", required=False, metavar="[ID]")
def rules(identity: str | None) -> None:
    """List the rules with what they were proven on, or explain one."""
    from postmortem.rules import proven
    from postmortem.rules.engine import every_rule

    found, problems = every_rule()
    for problem in problems:
        click.echo(f"postmortem: {problem.where}: {problem.what}", err=True)
    if identity is None:
        for rule in found:
            evidence = proven.of(rule.id)
            words = "external" if evidence is None else evidence.words()
            headline = rule.documentation.strip().partition("\n")[0]
            click.echo(f"{rule.id:28} {rule.group:8} {words:26} {headline}")
        return
    for rule in found:
        if rule.id == identity:
            click.echo(rule.documentation.strip())
            evidence = proven.of(rule.id)
            if evidence is not None:
                click.echo(f"Proven on: {', '.join(evidence.fires)}.")
                click.echo(f"Silent on: {', '.join(evidence.silent)}.")
            return
    raise click.UsageError(f"there is no rule {identity!r}; `postmortem rules` lists them")


@click.command()
@click.option("--triage", "of_triage", is_flag=True, help="That of triage.json instead.")
def schema(of_triage: bool) -> None:
    """Print the JSON Schema of the report."""
    import json

    from postmortem.model import json_schema
    from postmortem.model.triage import triage_schema

    click.echo(json.dumps(triage_schema() if of_triage else json_schema(), indent=2, sort_keys=True))
