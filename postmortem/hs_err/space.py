"""The address space as far as a log shows it: memory map, modules, and the bytes it dumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Address, Mapping, Module
from postmortem.program.memory import AddressSpace, Piece

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from parsers.hs_err import HsErrLog
    from parsers.hs_err import model as log


def mappings(told: HsErrLog) -> tuple[Mapping, ...]:
    """The rows of `Dynamic libraries`, ascending; those in a thread's stack are named for it."""
    stacks = sorted(
        (thread.stack.start, thread.stack.end, thread.kind or "")
        for thread in (*told.process.java_threads, *told.process.other_threads)
        if thread.stack is not None
    )
    found: list[Mapping] = []
    for row in sorted(told.libraries.mappings, key=lambda row: row.start):
        if row.end is None or row.end <= row.start or (found and row.start < found[-1].end):
            continue
        found.append(
            Mapping(
                start=Address(row.start),
                end=Address(row.end),
                permissions=(row.permissions or "").removesuffix("p"),
                offset=row.offset,
                path=row.path,
                kind=_kind(row, stacks),
            )
        )
    return tuple(found)


def _kind(row: log.Mapping, stacks: Sequence[tuple[int, int, str]]) -> str | None:
    if row.path is not None:
        if row.path.startswith("["):
            return row.path
        return "module" if ".so" in row.path or "x" in (row.permissions or "") else "file"
    for start, end, kind in stacks:
        if start <= row.start < end:
            return "java thread stack" if "JavaThread" in kind or "CompilerThread" in kind else "vm thread stack"
    return None


def modules(told: HsErrLog) -> tuple[Module, ...]:
    """Files that the process had mapped to execute; on systems whose logs give bases alone, all that are listed."""
    spans: dict[str, tuple[int, int, bool]] = {}
    for row in told.libraries.mappings:
        if row.path is None or row.path.startswith("["):
            continue
        start, end, code = spans.get(row.path, (row.start, row.start, False))
        code = code or row.permissions is None or "x" in row.permissions
        spans[row.path] = (min(start, row.start), max(end, row.end or row.start), code)
    return tuple(
        Module(path=path, start=Address(start), end=Address(end), bias=Address(start))
        for path, (start, end, code) in sorted(spans.items(), key=lambda item: item[1][0])
        if code
    )


def memory(told: HsErrLog) -> AddressSpace:
    """The bytes around pc and at the top of the stack."""
    return AddressSpace(_pieces((*told.thread.instructions, *told.thread.stack_top)))


def _pieces(rows: Iterable[log.Words]) -> Iterator[Piece]:
    end = 0
    for row in sorted(rows, key=lambda row: row.address):
        data = bytearray()
        for value in row.values:
            if value is None or value >> 8 * row.unit:
                break
            data += value.to_bytes(row.unit, "little")
        if data and row.address >= end and row.address + len(data) < 1 << 64:
            end = row.address + len(data)
            yield Piece(row.address, end, bytes(data), 0)
