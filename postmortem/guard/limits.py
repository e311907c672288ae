"""What a worker may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """seconds: of wall time, and of CPU time. stage_seconds: of wall time for one stage that a report can do without.
    memory: bytes of private writable memory. output: bytes handed over.

    Memory is bounded as RLIMIT_DATA counts it, since a mapped core of 20 GB is no use of memory.
    """

    seconds: float = 600.0
    stage_seconds: float = 300.0
    memory: int = 4 << 30
    output: int = 1 << 30
