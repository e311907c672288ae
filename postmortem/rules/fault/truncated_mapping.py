"""Access behind the end of a mapped file.

What it finds: SIGBUS on a page of a file mapping that the file no longer has, or that could not be read.
Why it matters: the program's pointer is right; somebody shortened or replaced the file under it.
Evidence it needs: SIGBUS with BUS_ADRERR and an address in a file mapping.
False alarms: an input/output error and a full tmpfs raise the same signal; the explanation names them.
What to do: write a new file and rename it over the old one; never truncate a file that is mapped.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.paths import proof
from postmortem.model.queries.variables import operand_evidence
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

DELETED = " (deleted)"


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    address = views.fault_address(report)
    if not views.signal_is(report, views.SIGBUS) or views.code(report) != views.BUS_ADRERR or address is None:
        return
    found = views.mapping_at(report, address)
    if found is None:
        return
    index, mapping = found
    if mapping.path is None or mapping.path.startswith("["):
        return
    offset = address - mapping.start + (mapping.offset or 0)
    name = PurePosixPath(mapping.path.removesuffix(DELETED)).name
    shared = mapping.path.startswith(("/dev/shm/", "/memfd:", "/run/shm/"))
    module = any(m.path == mapping.path for m in report.modules)
    why = "The file is shorter than its mapping: it was truncated after it was mapped, or mapped beyond its end."
    if shared:
        why = "The file lies in tmpfs: it was truncated, or the tmpfs is full and has no page to give."
    elif module:
        why = (
            "The file is a program or library: it was overwritten in place while in use, instead of replaced"
            " by a rename."
        )
    if mapping.path.endswith(DELETED):
        why += " It has been deleted since."
    yield Finding(
        rule=RULE.id,
        title=(
            f"{name} ends before byte {offset:#x} that is {_verb(report)} through its mapping{views.inside(report)}"
        ),
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"{address:#x} is byte {offset} of {mapping.path}, inside its mapping, and the kernel could not"
            f" supply that page. {why} An input/output error of the disk or network file system gives the"
            " same signal; the kernel log would show it."
        ),
        rivals=tuple(_rivals("w" in mapping.permissions)),
        evidence=proof(
            report,
            *operand_evidence(report),
            ("crash.signal.code_name", "mapped, but the page cannot be had"),
            (views.fault_address_path(report), "the address that was touched"),
            (f"mappings[{index}].path", "the file"),
            (f"mappings[{index}].offset", "its offset at the start of the mapping"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=(
            (f"Find who truncates or rewrites {name}: it must write a new file and rename it over the old one."),
            "Check dmesg for input/output errors, and df for a full tmpfs (/dev/shm) or disk.",
            ("Have the reader compare fstat's size with the mapping before it reads, or use read() instead of mmap."),
        ),
    )


def _rivals(writable: bool) -> Iterator[str]:
    if writable:
        yield "A full file system: a page of a sparse file that was never written has no room to be stored."
    yield "An input/output error of the disk, or a network file system that dropped the file; the kernel log tells."


def _verb(report: Report) -> str:
    return {"read": "read", "write": "written"}.get(views.access_word(report), "touched")


RULE = Rule(id="truncated-mapping", group="fault", specificity=78, check=check, documentation=__doc__ or "")
