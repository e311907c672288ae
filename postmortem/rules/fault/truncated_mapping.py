"""Access behind the end of a mapped file.

What it finds: SIGBUS on a page of a file mapping that the file no longer has, that could not be read, or for which the
file system had no room.
Why it matters: the program's pointer is right; somebody shortened or replaced the file under it.
Evidence it needs: SIGBUS with BUS_ADRERR and an address in a file mapping.
False alarms: an input/output error and a full tmpfs raise the same signal; the explanation names them.
What to do: write a new file and rename it over the old one; never truncate a file that is mapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Mapping, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries.files import DELETED, file_name
from postmortem.model.queries.paths import proof
from postmortem.model.queries.variables import operand_evidence
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

TMPFS = ("/dev/shm/", "/memfd:", "/run/shm/", "/SYSV")


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
    name = file_name(mapping.path)
    # Any mapped file counts as a module until its file is seen, which may be gone; code makes it one.
    module = any(m.path == mapping.path and "x" in m.permissions for m in report.mappings)
    # A write asks the file system for a page that the file does not have yet; in a tmpfs a read does, too.
    shared = mapping.path.startswith(TMPFS)
    full = not module and (shared or ("w" in mapping.permissions and views.access_word(report) != "read"))
    covers = mapping.file_size is not None and offset < mapping.file_size
    if covers:
        length = f"The file has {mapping.file_size} bytes here and now, which cover that byte. "
    elif mapping.file_size is not None:
        length = f"The file has {mapping.file_size} bytes here and now: it ends before that byte. "
        full = False
    else:
        length = ""
    yield Finding(
        rule=RULE.id,
        title=_title(report, name, offset, full, covers),
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"{address:#x} is byte {offset} of {mapping.path}, inside its mapping, and the kernel could not"
            f" supply that page. {length}{_why(mapping, module, full, covers)}"
        ),
        rivals=tuple(_rivals(full, covers, "w" in mapping.permissions)),
        evidence=proof(
            report,
            *operand_evidence(report),
            ("crash.signal.code_name", "mapped, but the page cannot be had"),
            (views.fault_address_path(report), "the address that was touched"),
            ("crash.access", "what was done to it"),
            (f"mappings[{index}].path", "the file"),
            (f"mappings[{index}].offset", "its offset at the start of the mapping"),
            (f"mappings[{index}].file_size", "bytes of the file now"),
            (views.blamed_path(report), "the function"),
        ),
        remedies=_remedies(name, full),
    )


def _title(report: Report, name: str, offset: int, full: bool, covers: bool) -> str:
    done = f"byte {offset:#x} that is {_verb(report)} through its mapping{views.inside(report)}"
    if full:
        return f"No page for {name}, {done}: the file system was full" + ("" if covers else ", or the file was cut")
    if covers:
        return f"No page for {name}, {done}: the disk failed, the file system was full, or the file was cut for a while"
    return f"{name} ends before {done}"


def _why(mapping: Mapping, module: bool, full: bool, covers: bool) -> str:
    path = mapping.path or ""
    shared = path.startswith(TMPFS)
    where = "tmpfs" if shared else "file system"
    if full:
        why = (
            f"An access through a shared mapping asks the {where} for each page that the file does not have yet (a hole"
            f" of a sparse file, ftruncate): the {where} had none left."
        )
        why += "" if covers else " A file that was truncated after it was mapped gives the same signal."
    elif covers:
        why = (
            "The disk or network failed, a tmpfs was full (there a read of a hole takes a page, too), or another"
            " process cut the file and wrote it anew."
        )
    elif module:
        why = "The file is a program or library: it was overwritten while in use, instead of replaced by a rename."
    else:
        why = "The file is shorter than its mapping: it was truncated after it was mapped, or mapped beyond its end."
    if path.endswith(DELETED):
        why += " It has been deleted since."
    return why


def _remedies(name: str, full: bool) -> tuple[str, ...]:
    truncates = f"Find who truncates or rewrites {name}: it must write a new file and rename it over the old one."
    if full:
        return (
            f"Look at the free space of the file system that has {name} (df; for /dev/shm and /tmp their size= and the"
            " container's limits), and at quotas.",
            "Reserve the pages before mapping: posix_fallocate() fails with ENOSPC where ftruncate() makes a hole.",
            truncates,
        )
    return (
        truncates,
        "Check dmesg for input/output errors, and df for a full tmpfs (/dev/shm) or disk.",
        "Have the reader compare fstat's size with the mapping before it reads, or use read() instead of mmap.",
    )


def _rivals(full: bool, covers: bool, writable: bool) -> Iterator[str]:
    if full and not covers:
        yield "The file was truncated after it was mapped."
    elif full:
        yield "The file was truncated after it was mapped, and extended again since."
    elif writable and not covers:
        yield "A full file system: a page of a sparse file that was never written has no room to be stored."
    yield "An input/output error of the disk, or a network file system that dropped the file; the kernel log tells."


def _verb(report: Report) -> str:
    return {"read": "read", "write": "written"}.get(views.access_word(report), "touched")


RULE = Rule(id="truncated-mapping", group="fault", specificity=78, check=check, documentation=__doc__ or "")
