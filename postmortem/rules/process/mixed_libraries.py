"""Two builds of one library in the process.

What it finds: two modules with the same soname and different builds, or different releases of libraries
that belong together (libc and its threads library, libstdc++ copies).
Why it matters: data of one build reaches code of the other; layouts and global state differ.
Evidence it needs: soname and build-id of the mapped modules.
False alarms: plug-ins that carry private copies and never pass data across; hence likely only.
What to do: load one build: fix rpath, LD_LIBRARY_PATH or the bundle.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from postmortem.model import Finding, Module, Report
from postmortem.model.queries.files import file_name
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """One finding for each soname, and for each module that needs what is not there."""
    yield from _unmet(report)
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, module in enumerate(report.modules):
        name = module.soname or _file_soname(module)
        if name:
            groups[name].append(index)
    for name, members in groups.items():
        builds = {_build(report.modules[index]) for index in members}
        if len(members) < 2 or len(builds) < 2:
            continue
        paths = ", ".join(report.modules[index].path for index in members[:4])
        places = [
            (f"modules[{index}].{member}", text)
            for index in members[:4]
            for member, text in (("path", "a build of it"), ("build_id", "its build-id"))
        ]
        yield Finding(
            rule=RULE.id,
            title=f"Two builds of {name} in one process",
            severity="medium",
            confidence="likely",
            claim="observation",
            explanation=(
                f"{name} is mapped {len(members)} times, in {len(builds)} builds: {paths}. Objects made by"
                " one and used by the other have different layouts, and each has its own global state;"
                " crashes in either may come from that."
            ),
            evidence=proof(report, *places),
            remedies=(
                ("See who loads which (LD_DEBUG=libs, lddtree) and make it one: rpath, LD_LIBRARY_PATH, the package."),
                (
                    "If a plug-in needs its own copy, link it with -Wl,-Bsymbolic and hidden symbols, and"
                    " pass no objects across."
                ),
            ),
        )


def _unmet(report: Report) -> Iterator[Finding]:
    """One finding for each module that was examined and needs what is not there."""
    for index, module in enumerate(report.modules):
        if not module.missing_libraries and not module.missing_versions:
            continue
        name = file_name(module.path)
        lacks = [*module.missing_versions, *(f"the library {library}" for library in module.missing_libraries)]
        listed = ", ".join(lacks[:4]) + (f" and {len(lacks) - 4} more" if len(lacks) > 4 else "")
        yield Finding(
            rule=RULE.id,
            title=f"{name} needs {listed}, which nothing that is mapped provides",
            severity="medium",
            confidence="likely",
            claim="observation",
            explanation=(
                f"{name} was linked against other builds of the libraries than those in the process: {listed} is"
                " missing. Its calls may reach functions with other arguments or layouts than it was compiled for."
            ),
            evidence=proof(
                report,
                (f"modules[{index}].path", "the module"),
                (f"modules[{index}].missing_versions[0]" if module.missing_versions else "", "is not defined there"),
                (f"modules[{index}].missing_libraries[0]" if module.missing_libraries else "", "is not mapped"),
            ),
            remedies=(
                f"Install the releases that {name} was built against, or rebuild it on the oldest system.",
                f"readelf --version-info {module.path} lists what it needs; ldd -v says where each comes from.",
            ),
        )


def _file_soname(module: Module) -> str | None:
    """The file's name where it looks like a versioned library: "libfoo.so.1"."""
    name = file_name(module.path)
    return name if name.startswith("lib") and ".so" in name else None


def _build(module: Module) -> str:
    return module.build_id or module.path


RULE = Rule(id="mixed-libraries", group="process", specificity=14, check=check, documentation=__doc__ or "")
