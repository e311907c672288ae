"""Two builds of one library in the process.

What it finds: two modules with the same soname and different builds, or different releases of libraries
that belong together (libc and its threads library, libstdc++ copies); a module that needs what nothing mapped
provides, or that was built for glibc in a process whose libc is musl.
Why it matters: data of one build reaches code of the other; layouts and global state differ.
Evidence it needs: soname and build-id of the mapped modules.
False alarms: plug-ins that carry private copies and never pass data across; hence likely only.
What to do: load one build: fix rpath, LD_LIBRARY_PATH or the bundle.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from postmortem.model import Finding, Module, Report
from postmortem.model.queries import crash
from postmortem.model.queries.files import file_name
from postmortem.model.queries.paths import proof
from postmortem.model.queries.systems import system
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """One finding for each soname, and for each module that needs what is not there."""
    yield from _unmet(report)
    yield from _of_other_libc(report)
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
        listed = _lacks(module)
        if not listed or (module.libc == "glibc" and system(report).musl):
            continue
        name = file_name(module.path)
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


def _lacks(module: Module) -> str:
    lacks = [*module.missing_versions, *(f"the library {library}" for library in module.missing_libraries)]
    return ", ".join(lacks[:4]) + (f" and {len(lacks) - 4} more" if len(lacks) > 4 else "")


def _of_other_libc(report: Report) -> Iterator[Finding]:
    """One finding for each module that was examined and was built for glibc, where the process has musl."""
    if not system(report).musl:
        return
    for index, module in enumerate(report.modules):
        if module.libc != "glibc":
            continue
        name = file_name(module.path)
        caller = _unbound_in(report, module)
        listed = _lacks(module)
        called = "" if caller is None else f" {_CALLED.format(pc=report.crash.pc or 0, name=name)}"
        yield Finding(
            rule=RULE.id,
            title=f"{name} was built for glibc, and the libc of the process is musl"
            + (": it called a function that was not bound" if called else ""),
            severity="critical" if called else "medium",
            confidence="likely",
            claim="cause" if called else "observation",
            specificity=74 if called else None,
            explanation=(
                f"{name} needs libraries of glibc{f' ({listed})' if listed else ''}. musl puts itself in their place,"
                " whatever the version, and goes on where it has no function of that name; others take other"
                f" structures or behave differently.{called}"
            ),
            rivals=("A function pointer that was overwritten, or taken from a table of offsets.",) if called else (),
            evidence=proof(
                report,
                (f"modules[{index}].libc", f"what {name} was built for"),
                (f"modules[{index}].missing_versions[0]" if module.missing_versions else "", "is not defined there"),
                (f"modules[{index}].missing_libraries[0]" if module.missing_libraries else "", "is not mapped"),
                ("crash.pc" if called else "", "an address of its file, in no mapping"),
                ("" if caller is None else crash.frame_path(report, caller, "module"), "the caller"),
            ),
            remedies=(
                f"Use a build of {name} for musl, or run the program in an image with glibc.",
                f"ldd {module.path}, by musl's loader, lists the symbols that it does not find.",
            ),
        )


_CALLED = (
    "The pc {pc:#x} lies in no mapping: the slot of a function that could not be bound still holds an address as it"
    " stands in {name}, before the loader adds where it lies."
)


def _unbound_in(report: Report, module: Module) -> int | None:
    """The frame of the module that jumped to an address of its own file. A JVM's rules say more of that."""
    pc = report.crash.pc
    frames = crash.crashing_frames(report)
    if report.jvm is not None or pc is None or not crash.FIRST_PAGE <= pc < module.end - module.start:
        return None
    if not crash.pc_is_fault(report) or crash.mapping_at(report, pc) is not None or len(frames) < 2:
        return None
    return 1 if frames[1].module == module.path and frames[1].trust != "scan" else None


def _file_soname(module: Module) -> str | None:
    """The file's name where it looks like a versioned library: "libfoo.so.1"."""
    name = file_name(module.path)
    return name if name.startswith("lib") and ".so" in name else None


def _build(module: Module) -> str:
    return module.build_id or module.path


RULE = Rule(id="mixed-libraries", group="process", specificity=14, check=check, documentation=__doc__ or "")
