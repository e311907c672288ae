"""The guarded worker: a job that reads hostile input, in a process that can come to harm alone.

`run(job, limits)` does any job in a worker; `analysis.analyze(request, limits)` does an analysis, again without the
stage that killed a worker if need be.
"""

from __future__ import annotations

from postmortem.guard.limits import WorkerLimits
from postmortem.guard.worker import End, Job, Link, Outcome, run

__all__ = ["End", "Job", "Link", "Outcome", "WorkerLimits", "run"]
