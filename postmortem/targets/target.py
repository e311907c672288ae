"""What is analyzed: the bytes of a core or log out of their container, and which of the two they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsers.elf import core as core_parser
from parsers.errors import ParseError, Unsupported
from parsers.foreign import identify
from parsers.identity import identity
from parsers.limits import LIMITS
from postmortem import model
from postmortem.errors import AnalysisError

if TYPE_CHECKING:
    from pathlib import Path

    from parsers.elf.core import Core
    from parsers.filebytes import FileBytes
    from parsers.hs_err import HsErrLog
    from postmortem.model import Problem

_LOG_HEAD = 4096
_ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """content: the core or log, out of its container. size: bytes of the file as given. compression: zst, xz …"""

    path: Path
    size: int
    content: FileBytes
    compression: str | None = None
    problems: tuple[Problem, ...] = ()

    def described(self, core: Core) -> model.Core:
        """The input as the report shows it. core: what it holds."""
        return model.Core(
            path=str(self.path),
            size=self.size,
            format="elf-core" if self.compression is None else f"elf-core.{self.compression}",
            machine=core.machine,
            truncated=core.truncated or bool(self.problems),
            lost=core.lost,
            content=None if self.compression is None else identity(self._read, len(self.content)),
        )

    def _read(self, offset: int, length: int) -> bytes:
        return bytes(self.content[offset : offset + length])


def log_in(target: Target) -> HsErrLog | None:
    """The fatal error log that the input is, whole or an excerpt without its head; None when it is none."""
    head = bytes(target.content[:_LOG_HEAD])
    kind = identify(target.content)
    if head.startswith(_ELF) or (kind is not None and not kind.text):
        return None
    from parsers.hs_err import parse

    try:
        return parse(target.content[: LIMITS.target_log], excerpt=kind is None)
    except ParseError:
        return None


def core_in(target: Target) -> Core:
    """The core that the input is. Raises AnalysisError when it is none that can be read, or has no thread."""
    try:
        core = core_parser.parse(target.content)
    except Unsupported as error:
        raise AnalysisError(f"{target.path}: {error.why}", error.hint) from error
    except ParseError as error:
        raise AnalysisError(f"{target.path}: not a core this program can read: {error}", error.hint) from error
    if core.threads:
        return core
    # Without registers there is no stack and no fault to report.
    if core.truncated:
        raise AnalysisError(
            f"{target.path}: the core is cut after {core.size} bytes and holds no thread: no registers, no stacks",
            "get the whole file; ulimit -c, a full disk or an interrupted copy cut it",
        )
    raise AnalysisError(
        f"{target.path}: the core holds no thread (no NT_PRSTATUS): no registers, no stacks",
        "get a core that the kernel or gcore wrote",
    )
