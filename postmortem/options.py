"""What a caller may choose."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from postmortem.targets.buildids import BuildIds
from postmortem.targets.files import SearchPath
from postmortem.targets.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Mode = Literal["auto", "cfi", "fp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller may choose. Paths: see targets.files.SearchPath. strict: a failing rule raises.

    source_maps: (what a path in debug info begins with, the directory where that source is).
    frames: "ends" leaves turns of deep recursions out of the middle of stacks; cycles[] count them.
    modules: whether all modules' files are examined.
    values: of which threads arguments and locals are read. on_stage: told each stage as it begins.
    watch: told what takes long: decompression and the histogram.
    redact, masks: whether secrets are masked, and patterns (regular expressions) of what else is.
    without: the stages to leave out, with the reason: what guard.analysis lost in a former attempt.
    """

    executable: Path | None = None
    sysroot: Path | None = None
    debug_dirs: tuple[Path, ...] = ()
    hs_err: Path | None = None
    unwind: Mode = "auto"
    frames: Literal["all", "ends"] = "all"
    histogram: bool = False
    watch: Watch = field(default_factory=Watch)
    cache_dir: Path | None = None
    values: Literal["none", "crashing", "all"] = "crashing"
    modules: bool = False
    source_maps: tuple[tuple[str, Path], ...] = ()
    strict: bool = False
    redact: bool = True
    masks: tuple[str, ...] = ()
    on_stage: Callable[[str], None] | None = None
    without: Mapping[str, str] = field(default_factory=dict)

    def search(self, closed: bool) -> SearchPath:
        """Where files of the dead process may come from. closed: from nowhere."""
        return SearchPath(
            executable=self.executable,
            sysroot=self.sysroot,
            debug_dirs=self.debug_dirs,
            closed=closed,
            by_build_id=None if closed or not self.debug_dirs else BuildIds(self.debug_dirs, self.sysroot),
        )

    @property
    def debug_directories(self) -> tuple[Path, ...]:
        """Where separate debug files may lie: those named, then the system's own inside the root."""
        return (*self.debug_dirs, (self.sysroot or Path("/")) / "usr" / "lib" / "debug")
