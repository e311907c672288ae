"""Templates compiled once, beside the bytecode of our modules: to compile them takes longer than all else of a page.

Kept where Python keeps its own bytecode and under the same conditions, so whoever could put something else there could
change the program itself. What was made by another Jinja or for another environment is made anew.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from jinja2.bccache import Bucket

_FOLDER = Path(__file__).parent


class Compiled(jinja2.BytecodeCache):
    """Bytecode of templates. made_by: the file of the module that makes their environment. page: whose they are."""

    def __init__(self, made_by: str, page: str) -> None:
        state = os.stat(made_by)  # noqa: PTH116 - as the bytecode of modules, valid for one time and size of the source
        self._stamp = f"{jinja2.__version__} {state.st_mtime_ns} {state.st_size}\n".encode()
        self._page = page

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """The template's name: there is one loader."""
        return name

    def load_bytecode(self, bucket: Bucket) -> None:
        """What is kept; nothing where it is of another time."""
        with contextlib.suppress(OSError, ValueError), self._path(bucket.key).open("rb") as file:
            if file.readline(256) == self._stamp:
                bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it, where Python would keep a module's."""
        if sys.dont_write_bytecode:
            return
        path = self._path(bucket.key)
        new = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(exist_ok=True)
            with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), "wb") as file:
                file.write(self._stamp)
                bucket.write_bytecode(file)
            new.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink()

    def is_kept(self, name: str) -> bool:
        """Whether a template need not be compiled; its source may have changed since."""
        return self._path(name).exists()

    def _path(self, name: str) -> Path:
        return Path(cache_from_source(str(_FOLDER / f"{self._page}-{name}")))
