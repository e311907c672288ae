"""Compressed cores as systemd-coredump and artifact stores leave them: .zst .xz .gz .lz4 .bz2.

Recognized by magic number, not by name. A stream that ends early gives what came before.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, cast

from parsers.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = {
    b"\x28\xb5\x2f\xfd": "zst",
    b"\xfd7zXZ\x00": "xz",
    b"\x1f\x8b": "gz",
    b"\x04\x22\x4d\x18": "lz4",
    b"BZh": "bz2",
}
CHUNK = 1 << 16


def compression(head: bytes) -> str | None:
    """The compression that a file's first bytes announce: zst, xz, gz, lz4, bz2, or None."""
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    return None


def chunks(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Decompressed pieces of `file`, of CHUNK bytes each but the last.

    Raises EOFError after the last good byte when the stream is cut or damaged.
    """
    errors: tuple[type[BaseException], ...]
    if name == "zst":
        import zstandard

        stream = cast("IO[bytes]", zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
        errors = (zstandard.ZstdError,)
    elif name == "xz":
        import lzma

        stream = cast("IO[bytes]", lzma.LZMAFile(filename=file))  # noqa: SIM115 - the caller closes `file`
        errors = (lzma.LZMAError,)
    elif name == "gz":
        import gzip
        import zlib

        stream = cast("IO[bytes]", gzip.GzipFile(fileobj=file))
        errors = (zlib.error,)
    elif name == "lz4":
        import lz4.frame

        stream = cast("IO[bytes]", lz4.frame.open(file))
        errors = (RuntimeError,)
    elif name == "bz2":
        import bz2

        stream = cast("IO[bytes]", bz2.BZ2File(filename=file))
        errors = ()
    else:
        known = ", ".join(_MAGIC.values())
        raise Unsupported("compressed file", 0, f"{name} is not one of {known}", hint="decompress it first")
    held = bytearray()
    while True:
        try:
            # What one read of the file gives: a longer read that fails at last would give nothing.
            piece = stream.read1(CHUNK - len(held))  # type: ignore[attr-defined]
        except (OSError, EOFError, ValueError, *errors) as damage:
            if held:
                yield bytes(held)
            raise EOFError(str(damage)) from damage
        held += piece
        if held and (not piece or len(held) == CHUNK):
            yield bytes(held)
            held.clear()
        if not piece:
            return
