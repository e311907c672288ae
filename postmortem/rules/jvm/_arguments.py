"""Arguments of the JVM that bear on a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmortem.model import Report


def boot_path(report: Report) -> str | None:
    """The argument that puts classes before the JDK's own."""
    arguments = report.jvm.arguments if report.jvm is not None else ()
    return next((item for item in arguments if item.startswith(("-Xbootclasspath:", "-Xbootclasspath/p:"))), None)


def boot_remedy(report: Report) -> tuple[str, ...]:
    """For a JVM whose own classes were replaced."""
    found = boot_path(report)
    return (f"Run without {found.partition(':')[0]} first: the classes of the JDK must be its own.",) if found else ()
