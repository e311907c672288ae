"""A crash by what people call it: a file, a stored report, or the beginning of an id of the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from postmortem.errors import AnalysisError
from postmortem.model.triage import Crash
from postmortem.triage import store as tables
from postmortem.triage.work import Task, analyze, recorded

if TYPE_CHECKING:
    from collections.abc import Callable

_HEAD = 1


class Lookup:
    """Crashes of a store, if there is one, and of files."""

    def __init__(self, store: str | None, away: Callable[[str], None]) -> None:
        """Raises AnalysisError when the store can't be had."""
        self._buckets: dict[str, str | None] = {}
        self.others: list[Crash] = []
        self.links: list[tuple[str, str]] = []
        if store is not None:
            if "://" not in store and not Path(store).is_file():
                raise AnalysisError(f"{store}: no such store", "name that of a triage with --store")
            with tables.opened(tables.url_of(store, Path()), away) as opened:
                found = opened.transaction(lambda connection: list(tables.crashes_in(connection, sa.true())))
                self.links = opened.transaction(tables.linked)
            self.others = [crash for crash, _, _ in found]
            self._buckets = {crash.id: bucket for crash, bucket, _ in found}

    def crash(self, name: str) -> Crash:
        """Raises AnalysisError when it is not known, or could be several."""
        path = Path(name)
        if path.is_file():
            return self._of_file(path)
        found = [crash for crash in self.others if name and crash.id.startswith(name)]
        if not found:
            found = [crash for crash in self.others if name and self._is_of(crash, name)][:1]
        if len(found) != 1:
            words = f"{len(found)} inputs begin so" if found else "is no file, and nothing in the store begins so"
            raise AnalysisError(f"{name}: {words}", "name a core, a log, a stored report, or give --store")
        return found[0]

    def _is_of(self, crash: Crash, name: str) -> bool:
        return (self._buckets.get(crash.id) or "").startswith(name) or crash.signature.id.startswith(name)

    def _of_file(self, path: Path) -> Crash:
        task = Task(id=str(path), path=path.absolute(), shown=str(path), report="")
        try:
            with path.open("rb") as file:
                stored = file.read(_HEAD) == b"{"
            answer = recorded(task, path.read_bytes(), None) if stored else analyze((task,))[0]
        except OSError as error:
            raise AnalysisError(f"{path}: {error.strerror}", "check the path and its permissions") from None
        if answer.failure is not None:
            raise AnalysisError(answer.failure, "name a core, a log or a stored report")
        return msgspec.json.decode(answer.crash, type=Crash)
