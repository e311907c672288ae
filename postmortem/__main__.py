"""The one entry, for the console script and for `python -m postmortem` alike.

An interruption is provided for before anything else. `parsers` and `reports` are plain top-level names, so before
anything more of ours is imported this makes sure that Python would import ours and not a stranger's from the working
directory or from PYTHONPATH.
"""

from __future__ import annotations

from postmortem import interruption

interruption.install()

import gc  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from importlib.util import find_spec  # noqa: E402
from pathlib import Path  # noqa: E402


def _drop_foreign_working_directory(home: Path) -> None:
    """`python -m` puts the working directory first on sys.path; nothing of ours is taken from there."""
    if sys.flags.safe_path or not sys.path:
        return
    first = Path(sys.path[0] or ".").resolve()
    if first == Path.cwd().resolve() and first != home:
        del sys.path[0]


def _strangers(home: Path) -> list[str]:
    found = []
    for name in ("parsers", "reports"):
        spec = find_spec(name)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if origin is None or origin.parent.parent != home:
            found.append(f"{name} would come from {origin or 'nowhere'}")
    return found


def _open_standard_streams() -> None:
    """Where the caller closed one, the next file opened would be taken for it."""
    for standard in (0, 1, 2):
        try:
            os.fstat(standard)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def main() -> None:
    """Run the command line."""
    _open_standard_streams()
    home = Path(__file__).resolve().parent.parent
    _drop_foreign_working_directory(home)
    strangers = _strangers(home)
    if strangers:
        sys.stderr.write(
            f"postmortem: another package stands in the way: {'; '.join(strangers)}, not from {home}. "
            "Unset PYTHONPATH, leave this directory, or install postmortem in an environment of its own.\n"
        )
        raise SystemExit(3)
    # A run builds one large tree of values that lives until it ends: looking for cycles in it would take a
    # quarter of the time, and taking it apart some more.
    gc.disable()
    from postmortem.cli.group import cli

    try:
        cli()
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else 1 if end.code else 0)


def _leave(code: int) -> None:
    """End the process with its output written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)


if __name__ == "__main__":
    main()
