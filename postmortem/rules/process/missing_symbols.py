"""Modules without symbols on the crashing stack.

What it finds: frames of the crashing thread whose function could not be named, and their modules.
Why it matters: the stack names no function there, and rules that look for functions are blind.
Evidence it needs: the crashing thread's frames and the modules.
False alarms: code without a module (generated code) cannot have symbols and does not count.
Rivals excluded: code without a module, which can't have symbols; a frame that has its name.
What to do: install the debug packages, or let debuginfod fetch them by build-id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Module, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = 6


def check(report: Report) -> Iterator[Finding]:
    """At most one finding, for all modules together."""
    if views.is_log(report):
        return  # Files would not help: the JVM wrote the names.
    nameless: dict[str, int] = {}
    count = 0
    for number, frame in enumerate(views.crashing_frames(report)):
        if frame.function is None and frame.module is not None and frame.kind == "native":
            count += 1
            nameless.setdefault(frame.module, number)
    if not nameless:
        return
    modules = {module.path: index for index, module in enumerate(report.modules)}
    names = ", ".join(file_name(path) for path in list(nameless)[:SHOWN])
    places: list[tuple[str, str]] = []
    commands: list[str] = []
    for path, position in list(nameless.items())[:SHOWN]:
        places.append((views.frame_path(report, position, "module"), "a frame without a name"))
        if path not in modules:
            continue
        index = modules[path]
        module = report.modules[index]
        places += [
            (f"modules[{index}].symbols", "where names came from"),
            (f"modules[{index}].status", "the file found for it"),
        ]
        if command := _debug_package(module):
            places.append((f"modules[{index}].package.name", "the package that it is of"))
            commands.append(command)
        if module.build_id:
            commands.append(f"debuginfod-find debuginfo {module.build_id}  # {file_name(path)}")
    yield Finding(
        rule=RULE.id,
        title=f"No symbols for {names} on the crashing stack",
        severity="info",
        confidence="certain",
        claim="observation",
        explanation=(
            f"{count} frames of the crashing thread lie in {len(nameless)} modules without a symbol for them:"
            f" {names}. They are shown as module and offset."
        ),
        evidence=proof(report, *places),
        remedies=(
            *commands,
            (
                "Install the debug packages of these modules, or fetch them by build-id with debuginfod-find and give"
                " their folder with --debug-dir; for your own builds keep the unstripped file and give it with --exe"
                " or --debug-dir."
            ),
        ),
    )


def _debug_package(module: Module) -> str | None:
    """The command that installs a module's debug symbols, by its package note; None for other kinds of packages."""
    name, version = module.package.get("name"), module.package.get("version")
    if not name or not _PLAIN.fullmatch(name) or (version and not _PLAIN.fullmatch(version)):
        return None
    kind = module.package.get("type")
    if kind == "deb":
        return f"apt install {name}-dbgsym{f'={version}' if version else ''}"
    if kind == "rpm":
        return f"dnf debuginfo-install {name}{f'-{version}' if version else ''}"
    return None


_PLAIN = Lazy(r"[A-Za-z0-9.+~:_-]{1,128}")

RULE = Rule(id="missing-symbols", group="process", specificity=2, check=check, documentation=__doc__ or "")
