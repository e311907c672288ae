"""What triage keeps of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.model.triage import Crash, Step
from postmortem.signature import frames as stack
from postmortem.signature.causes import cause
from postmortem.signature.signature import first, signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from postmortem.model import Frame, Module, Report
    from postmortem.model.process import OtherFault

STEPS = 16
_LOOKED_AT = 200
_NOT_RANDOM = (0x7FFF_F000_0000, 0x7FFF_FFFF_F000)
"""Where libraries lie when a process's addresses are not randomized: in that of each the same."""


def crash_of(
    report: Report, identity: str, shown: str, stored: str, facts: Mapping[str, str], partial: str | None = None
) -> Crash:
    """The record of a report. facts: what is known of the input beside its content."""
    main = _main_module(report)
    host = facts.get("host") or report.process.environment.get("HOSTNAME")
    verdict = report.verdict
    kind: Literal["core", "log"] = "log" if views.is_log(report) else "core"
    package = _package(facts)
    build_id = main.build_id if main is not None else None
    return Crash(
        id=identity,
        path=shown,
        report=stored,
        kind=kind,
        size=report.core.size,
        pid=report.process.pid or _number(facts.get("pid")),
        content=(report.core.content or identity) if kind == "core" else None,
        process=_process(report),
        host=host,
        attributed_by=facts.get("attributed_by") or ("environment" if host else None),
        time=float(facts["time"]) if "time" in facts else None,
        time_source=facts.get("time_source"),
        uptime=report.jvm.uptime if report.jvm is not None else None,
        program=_program(report),
        version=_version(report, build_id, package),
        build_id=build_id,
        package=package,
        kernel=report.host.kernel if report.host is not None else None,
        cpu=report.host.cpu if report.host is not None else None,
        rule=verdict.rule if verdict is not None else None,
        title=verdict.title if verdict is not None else "no finding",
        severity=verdict.severity if verdict is not None else None,
        confidence=verdict.confidence if verdict is not None else None,
        signature=report.signature or signature(report),
        steps=tuple(_steps(report)),
        others=tuple(dict.fromkeys(f"{other.signal.name} in {_place(other)}" for other in report.crash.others)),
        partial=partial,
    )


def _process(report: Report) -> str | None:
    """Its pid and where libjvm lies, which the kernel chooses anew for each process."""
    libjvm = next((module for module in report.modules if file_name(module.path) == "libjvm.so"), None)
    if report.process.pid is None or libjvm is None or _NOT_RANDOM[0] <= libjvm.start < _NOT_RANDOM[1]:
        return None
    return f"{report.process.pid}@{libjvm.start:#x}"


def _place(other: OtherFault) -> str:
    return stack.native_name(other.function) if other.function else "a function that is not known"


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _package(facts: Mapping[str, str]) -> str | None:
    if "package_name" not in facts:
        return None
    return " ".join((facts["package_name"], facts.get("package_version", ""))).strip()


def _main_module(report: Report) -> Module | None:
    executable = report.process.executable
    return next((module for module in report.modules if module.path == executable), None)


def _program(report: Report) -> str | None:
    command = report.jvm.java_command if report.jvm is not None else None
    if command and command.split():
        return file_name(command.split()[0])
    name = report.process.executable or report.process.command
    return file_name(name) if name else None


def _version(report: Report, build_id: str | None, package: str | None) -> str | None:
    if package is not None:
        return package
    if report.jvm is not None and report.jvm.version:
        return f"JVM {report.jvm.version}"
    return f"build {build_id[:12]}" if build_id else None


def _steps(report: Report) -> Iterator[Step]:
    """The program's own functions of the crashing thread and its entry, with lines; repetitions once."""
    found = views.crashing_thread(report)
    start = first(report, cause(report)[0])
    frames = () if found is None else found[1].frames[start : start + _LOOKED_AT]
    told = [
        (name, frame)
        for frame in stack.with_tail_calls(frames)
        if _counts(frame) and (name := stack.name(frame)) is not None
    ]
    if not told:
        for name in report.signature.frames if report.signature is not None else ():
            if not name.startswith("in "):  # the program, where no function is known: nothing of a stack
                yield Step(name=name)
    for name, frame in stack.collapsed(told, key=lambda item: item[0])[:STEPS]:
        yield Step(name=name, file=file_name(frame.file) if frame.file else None, line=frame.line)


def _counts(frame: Frame) -> bool:
    if frame.trust == "scan" or frame.kind == "signal":
        return False
    kind = stack.classify(frame)
    return kind == "own" or (kind == "entry" and frame.function == "main")
