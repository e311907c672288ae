"""Libraries in a process with a JVM that belong to neither the JVM nor the system."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries.files import present

if TYPE_CHECKING:
    from postmortem.model import Report

MOST = 5
_LIBJVM = re.compile(r"(.+?)(?:/jre)?/lib/(?:\w+/)?(?:server|client)/libjvm\.so")
_SYSTEM = re.compile(r"(?:/usr)?/lib(?:32|64|x32)?/(?:[\w-]+-linux-gnu\w*/)?[^/]+|\[.*\]|linux-vdso.*")


def foreign_libraries(report: Report) -> tuple[str, ...]:
    """Their names, in the order of the modules; () without a JVM whose home is known."""
    paths = [present(module.path) for module in report.modules]
    homes = [match[1] for path in paths if (match := _LIBJVM.fullmatch(path))]
    if not homes:
        return ()
    executable = report.process.executable
    found = (
        path.rsplit("/", 1)[-1]
        for path in paths
        if ".so" in path and path != executable and not path.startswith(f"{homes[0]}/") and not _SYSTEM.fullmatch(path)
    )
    return tuple(dict.fromkeys(found))


def suspects(report: Report) -> str:
    """A sentence that names them, with a blank before it; "" where there are none."""
    names = foreign_libraries(report)
    if not names:
        return ""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f" Native libraries here that are neither the JDK's nor the system's: {', '.join(names[:MOST])}{more}."
