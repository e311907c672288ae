"""Paths of the dead process: without what the kernel puts behind them, and their last part."""

from __future__ import annotations

DELETED = " (deleted)"
"""What the kernel puts behind the path of a file that has no name any more (proc(5), maps)."""


def present(path: str) -> str:
    """The path without " (deleted)"."""
    return path.removesuffix(DELETED)


def file_name(path: str) -> str:
    """Last part of a Unix or Windows path, without " (deleted)"."""
    return present(path).replace("\\", "/").rsplit("/", 1)[-1]
