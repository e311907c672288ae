"""What findings advise: only what this tool and the system of the dead process have."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import pytest

from postmortem import rules
from postmortem.cli.group import cli
from postmortem.model import Core, Host, Mapping, Report
from postmortem.model.address import Address
from postmortem.model.queries.systems import System, system
from postmortem.rules import advice
from postmortem.rules.engine import run
from tests.postmortem.rules.jvm_cases import JVM_CASES
from tests.postmortem.rules.jvm_state_cases import JVM_STATE_CASES
from tests.postmortem.rules.reports import report

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHERS = {
    "--errors": "ras-mc-ctl",
    "--security-opt": "docker run",
    "--tool": "valgrind",
    "--version-info": "readelf",
    "--enable-debug": "configure of jemalloc",
    "--heapsnapshot-near-heap-limit": "node",
    "--max-old-space-size": "node",
    "--sun-misc-unsafe-memory-access": "java",
}
"""Options of other programs that remedies name."""
UNIX_WORDS = re.compile(
    r"ulimit|overcommit|LD_PRELOAD|addr2line|/proc/|cgroup|control group|dmesg|memtest86|mcelog|libasan|journalctl"
)


def _strings() -> Iterator[tuple[str, str]]:
    folder = Path(rules.__file__).parent
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path.name, node.value


def _options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from parameter.opts
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from _options(found)


def test_a_remedy_names_no_option_that_we_lack() -> None:
    known = {*_options(cli), *OTHERS}
    named = {
        f"{place}: {option}"
        for place, text in _strings()
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", text)
        if option not in known
    }
    assert not named


def test_a_remedy_names_no_command_that_we_lack() -> None:
    commands = set(cli.list_commands(click.Context(cli)))
    for place, text in _strings():
        for name in re.findall(r"\bpostmortem ([a-z]+) (?:--|[A-Z]|on\b)", text):
            assert name in commands, f"{place}: {name}"


LOGS = [
    pytest.param(
        msgspec.structs.replace(item, core=Core(path="hs_err", size=1, format="hs_err")), id=f"{rule}-{number}"
    )
    for rule, cases in {**JVM_CASES, **JVM_STATE_CASES}.items()
    for number, item in enumerate(cases.fires)
]


@pytest.mark.parametrize("item", LOGS)
@pytest.mark.parametrize("platform", ["windows-amd64", "bsd-aarch64"])
def test_advice_fits_the_system(item: Report, platform: str) -> None:
    host = msgspec.structs.replace(item.host or Host(), platform=platform)
    result = run(msgspec.structs.replace(item, host=host, mappings=()), strict=True)
    for finding in result.findings:
        for remedy in (finding.title, finding.explanation, *finding.rivals, *finding.remedies):
            macos = platform.startswith("bsd") and "ulimit" in remedy  # which it has
            assert macos or not UNIX_WORDS.search(remedy), remedy
        assert finding.remedies, finding.title


MUSL = Mapping(start=Address(1 << 30), end=Address(2 << 30), permissions="r-x", path="/lib/ld-musl-x86_64.so.1")
QEMU = Mapping(start=Address(1 << 30), end=Address(2 << 30), permissions="r-x", path="/usr/bin/qemu-aarch64-static")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (report(), System(name="linux")),
        (report(mappings=(MUSL,)), System(name="linux", musl=True)),
        (report(mappings=(QEMU,)), System(name="linux", emulator="qemu")),
        (report(host=Host(platform="windows-x86")), System(name="windows", bits=32)),
        (report(host=Host(platform="linux-amd64-musl", memory_limit=1 << 30)), System("linux", False, True, 64, True)),
        (
            report(core=Core(path="x", size=1, format="hs_err"), host=Host(operating_system="Darwin, macOS 14")),
            System(name="macos"),
        ),
        (report(core=Core(path="x", size=1, format="hs_err")), System()),
    ],
)
def test_the_system_is_told(item: Report, expected: System) -> None:
    assert system(item) == expected


def test_what_a_system_lacks_is_left_out() -> None:
    windows = report(host=Host(platform="windows-amd64"))
    assert not advice.fits(windows, "Look at ulimit -v.") and advice.fits(report(), "Look at ulimit -v.")
    assert not advice.fits(report(mappings=(MUSL,)), "Set GLIBC_TUNABLES.")
    assert advice.chained_handlers(windows) == ()
