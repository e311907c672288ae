"""Program or library replaced on disk.

What it finds: a module whose file is another build than the one mapped, or was deleted.
Why it matters: the running code is no longer the file's: restarts and plug-ins loaded later may mix
versions, and symbols of the new file would be wrong for this core.
Evidence it needs: a path that ends in " (deleted)"; or build-ids of the mapped module and of the file, where the C
library here is the one of the core: the file of another machine was not replaced.
False alarms: a machine with the same C library and another version of the program.
Rivals excluded: a file of another machine: the kernel marks the mapping itself as deleted; a file with the same
build-id.
What to do: restart services after an upgrade; fetch the old binary by its build-id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Module, Report
from postmortem.model.queries.files import DELETED, file_name
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = 5


def check(report: Report) -> Iterator[Finding]:
    """At most one finding, for all such modules together."""
    found = [(index, module) for index, module in enumerate(report.modules) if _replaced(report, module)]
    if not found:
        return
    deleted = [module for _, module in found if _deleted(module)]
    names = ", ".join(file_name(module.path) for _, module in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    evidence: list[tuple[str, str]] = []
    for index, _ in found[:SHOWN]:
        evidence += [
            (f"modules[{index}].path", "the module"),
            (f"modules[{index}].build_id", "build-id of the mapped one"),
            (f"modules[{index}].file_build_id", "build-id of the file"),
            (f"modules[{index}].status", "what came of the search"),
        ]
    yield Finding(
        rule=RULE.id,
        title=f"Replaced on disk since it was loaded: {names}{more}",
        severity="medium",
        confidence="certain" if deleted else "likely",
        claim="observation",
        explanation=f"{names}{more}: "
        + (
            "the file was deleted or replaced while the process ran, as an upgrade does."
            if deleted
            else "the file found here has another build-id than the one the process had mapped."
        )
        + " The process kept running the old code. The other file is not used for names and unwinding, so"
        " some may be missing.",
        evidence=proof(report, *evidence),
        remedies=(
            ("Restart services after an upgrade (needrestart, dnf needs-restarting) before looking for other causes."),
            (
                "Fetch the binary that ran by its build-id (debuginfod-find executable BUILD_ID, or the old"
                " package) and give it with --debug-dir or --sysroot."
            ),
        ),
    )


def _deleted(module: Module) -> bool:
    return module.status == "deleted" or module.path.endswith(DELETED)


def _replaced(report: Report, module: Module) -> bool:
    if module.path.startswith("["):
        return False
    if _deleted(module):
        own = [mapping.permissions for mapping in report.mappings if mapping.path == module.path]
        if own and not any("x" in permissions for permissions in own):
            return False  # Data, not a program.
        # Deleted from the start: memory files and such are no program that was replaced.
        return not module.path.startswith(("/memfd:", "/dev/", "/SYSV", "/tmp/.", "anon_inode"))
    differs = bool(module.build_id and module.file_build_id and module.build_id != module.file_build_id)
    return (module.status == "mismatched" or differs) and _is_this_machine(report) and not _was_given(module)


def _is_this_machine(report: Report) -> bool:
    """The C library here is the one that was mapped, and in its own place; else other builds prove no replacement."""
    return any(
        module.status == "matched" and module.file == module.path and _LIBC.fullmatch(file_name(module.path))
        for module in report.modules
    )


def _was_given(module: Module) -> bool:
    """The file that differs is one that was named on the command line: nothing was found at the module's own path."""
    tried = [candidate.path for candidate in module.candidates if candidate.wanted == "module"]
    return bool(tried) and module.path not in tried


_LIBC = Lazy(r"libc[.-].*so.*|ld-(?:linux|musl)[\w.-]*\.so.*")


RULE = Rule(id="replaced-binary", group="process", specificity=15, check=check, documentation=__doc__ or "")
