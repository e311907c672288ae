"""Compressed cores as systemd-coredump and artifact stores leave them: .zst .xz .gz .lz4 .bz2.

Recognized by magic number, not by name. A stream that ends early gives what came before.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, cast

from parsers.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 1 << 16


class _Reader(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class Form(NamedTuple):
    """magic: a file's first bytes. opened: the stream in a file, and what its reads raise on damage besides OSError,
    EOFError and ValueError. Libraries are imported when a file needs them."""

    name: str
    magic: bytes
    opened: Callable[[IO[bytes]], tuple[_Reader, tuple[type[Exception], ...]]]


def _zst(file: IO[bytes]) -> tuple[_Reader, tuple[type[Exception], ...]]:
    import zstandard

    stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return cast("_Reader", stream), (zstandard.ZstdError,)


def _xz(file: IO[bytes]) -> tuple[_Reader, tuple[type[Exception], ...]]:
    import lzma

    return lzma.LZMAFile(filename=file), (lzma.LZMAError,)


def _gz(file: IO[bytes]) -> tuple[_Reader, tuple[type[Exception], ...]]:
    import gzip
    import zlib

    return gzip.GzipFile(fileobj=file), (zlib.error,)


def _lz4(file: IO[bytes]) -> tuple[_Reader, tuple[type[Exception], ...]]:
    import lz4.frame

    return cast("_Reader", lz4.frame.open(file)), (RuntimeError,)


def _bz2(file: IO[bytes]) -> tuple[_Reader, tuple[type[Exception], ...]]:
    import bz2

    return bz2.BZ2File(filename=file), ()


FORMS = (
    Form("zst", b"\x28\xb5\x2f\xfd", _zst),
    Form("xz", b"\xfd7zXZ\x00", _xz),
    Form("gz", b"\x1f\x8b", _gz),
    Form("lz4", b"\x04\x22\x4d\x18", _lz4),
    Form("bz2", b"BZh", _bz2),
)


def compression(head: bytes) -> str | None:
    """The compression that a file's first bytes announce: zst, xz, gz, lz4, bz2, or None."""
    return next((form.name for form in FORMS if head.startswith(form.magic)), None)


def chunks(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Decompressed pieces of `file`, of CHUNK bytes each but the last.

    Raises EOFError after the last good byte when the stream is cut or damaged.
    """
    form = next((form for form in FORMS if form.name == name), None)
    if form is None:
        known = ", ".join(form.name for form in FORMS)
        raise Unsupported("compressed file", 0, f"{name} is not one of {known}", hint="decompress it first")
    stream, also = form.opened(file)
    errors: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, *also)
    held = bytearray()
    while True:
        try:
            # What one read of the file gives: a longer read that fails at last would give nothing.
            piece = stream.read1(CHUNK - len(held))
        except errors as damage:
            if held:
                yield bytes(held)
            raise EOFError(str(damage)) from damage
        held += piece
        if held and (not piece or len(held) == CHUNK):
            yield bytes(held)
            held.clear()
        if not piece:
            return
