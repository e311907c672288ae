"""The VM's warnings, which stand before its head on the console (warning() of utilities/debug.cpp; log_warning)."""

from __future__ import annotations

import re

from parsers.hs_err.model import Console, FailedCommit, FailedThread
from parsers.hs_err.reader import HEX, Draft, Section, address
from parsers.limits import LIMITS

_FAILED_THREAD = re.compile(
    r"Failed to start (?:the )?(?:native )?thread(?: \"(.{0,200}?)\")?(?: - |: )\w{1,40} failed \((\w{1,20})\)"
)
_FAILED_COMMIT = re.compile(
    rf"os::commit_memory\(({HEX}), (\d{{1,20}}), [^()]{{1,60}}\) failed; error='([^']{{0,200}})' \(errno=(\d{{1,6}})\)"
)
_MOST = LIMITS.console_most


class ConsoleSection(Section):
    """Each line by itself."""

    headings = (
        ("warning", r"(?:OpenJDK|Java HotSpot)\b[^:]{0,60} VM warning: "),
        ("warning", r"\[[\d.,]{1,16}m?s?\](?:\[[^\[\]]{1,40}\]){0,3}\[(?:warning|error) *\]\["),
        ("warning", r"java\.lang\.OutOfMemoryError: (?:unable to create|Unable to create)"),
        ("warning", r"Failed to start (?:the )?(?:native )?thread"),
    )

    def __init__(self) -> None:
        self.facts = Draft(Console, _MOST)

    def open(self, name: str, text: str) -> bool:
        """A warning, and the failure that it tells of."""
        self.facts.add("warnings", text.strip())
        thread, commit = _FAILED_THREAD.search(text), _FAILED_COMMIT.search(text)
        if thread:
            self.facts.add("failed_threads", FailedThread(text=text.strip(), name=thread[1], error=thread[2]))
        if commit:
            self.facts.add(
                "failed_commits",
                FailedCommit(
                    text=text.strip(),
                    address=address(commit[1]),
                    size=int(commit[2]),
                    error=commit[3] or None,
                    errno=int(commit[4]),
                ),
            )
        return True

    def feed(self, name: str, text: str) -> bool:
        """Nothing belongs below."""
        return False

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut
