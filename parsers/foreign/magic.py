"""Binary files by their magic numbers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.foreign.kind import Foreign

if TYPE_CHECKING:
    from parsers.elf.header import Buffer

_UNPACK = "unpack it and give the core or the log that is in it"
_WINDOWS = "a Windows dump is read by WinDbg, or by Visual Studio"
_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (
        0,
        b"MDMP",
        "a minidump (Windows, Breakpad, Crashpad)",
        "minidump-stackwalk or WinDbg reads it; of a JVM, give the hs_err_pid*.log of the same crash",
    ),
    (0, b"PAGEDU64", "a Windows kernel or full memory dump", _WINDOWS),
    (0, b"PAGEDUMP", "a Windows kernel or full memory dump (32-bit)", _WINDOWS),
    (
        0,
        b"KDUMP   ",
        "a kernel crash dump (kdump, compressed by makedumpfile)",
        "crash or drgn reads it; this program reads cores of processes",
    ),
    (0, b"DISKDUMP", "a kernel crash dump (diskdump)", "crash reads it; this program reads cores of processes"),
    (
        0,
        b"makedumpfile",
        "a kernel crash dump (makedumpfile, flattened)",
        "restore it with makedumpfile -R and read it with crash; this program reads cores of processes",
    ),
    (0, b"minidump FreeBSD", "a kernel crash dump of FreeBSD", "kgdb reads it; this program reads Linux cores"),
    (
        0,
        b"JAVA PROFILE 1.0",
        "a heap dump of a JVM (hprof)",
        "Eclipse MAT or VisualVM reads it; of a crash, give the core or the hs_err_pid*.log",
    ),
    (
        0,
        b"FLR\0",
        "a JFR recording",
        "jfr or JDK Mission Control reads it; of a crash, give the core or the hs_err_pid*.log",
    ),
    (2, b"portable heap dump", "a heap dump of an OpenJ9 JVM (PHD)", "Eclipse MAT with DTFJ reads it"),
    (0, b"UTTH", "a trace file of an OpenJ9 JVM (Snap)", "traceformat reads it; OpenJ9 JVMs are not supported"),
    (0, b"PK\x03\x04", "a zip archive", _UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (0, b"070701", "a cpio archive", _UNPACK),
    (0, b"070702", "a cpio archive", _UNPACK),
    (0, b"!<arch>\n", "an ar archive (a static library or a Debian package)", "give the core file"),
    (0, b"\xed\xab\xee\xdb", "an RPM package", "give the core file; debug files go into --debug-dir, unpacked"),
    (0, b"hsqs", "a squashfs image", "give the core file; a mounted image goes with --sysroot"),
    (0, b"\x1f\x9d", "a file packed by compress (.Z)", "decompress it first, with gzip -d"),
    (0, b"\x02\x21\x4c\x18", "a legacy lz4 stream", "decompress it first, with lz4 -d"),
    (0, b"\x89LZO\0", "a file packed by lzop", "decompress it first, with lzop -d"),
    (0, b"\x04\x22\x4d\x18", "an lz4 stream inside of another", "decompress it once, and give the result"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd stream inside of another", "decompress it once, and give the result"),
    (0, b"PERFILE2", "a recording of perf", "perf report reads it; give the core of the crash"),
    (0, b"\0asm", "a WebAssembly module", "give the core file"),
    (0, b"SQLite format 3\0", "an SQLite database", "give the core file"),
    (0, b"%PDF-", "a PDF document", "give the core file, or the log as text"),
    (0, b"\x89PNG\r\n", "a picture (PNG)", "give the core file, or the log as text"),
    (0, b"\xff\xd8\xff", "a picture (JPEG)", "give the core file, or the log as text"),
    (0, b"MZ", "a Windows executable or library", "give the crash dump or the log"),
)

_MACH = {
    b"\xfe\xed\xfa\xce": ">",
    b"\xfe\xed\xfa\xcf": ">",
    b"\xce\xfa\xed\xfe": "<",
    b"\xcf\xfa\xed\xfe": "<",
}
_MH_CORE = 4
"""mach-o/loader.h, filetype."""
_FIRST_CLASS_VERSION = 45


def identify(data: Buffer) -> Foreign | None:
    """By the first bytes, or those at 257 for tar."""
    head = bytes(data[:512])
    for offset, magic, what, instead in _MAGIC:
        if head.startswith(magic, offset):
            return Foreign(what, instead)
    order = _MACH.get(head[:4])
    if order is not None and len(head) >= 16:
        (kind,) = struct.unpack_from(f"{order}I", head, 12)
        if kind == _MH_CORE:
            return Foreign("a core dump of macOS (Mach-O)", "lldb -c reads it; this program reads Linux (ELF) cores")
        return Foreign("a macOS executable or library (Mach-O)", "give the crash report or the log")
    if head.startswith(b"\xca\xfe\xba\xbe") and len(head) >= 8:
        (major,) = struct.unpack_from(">H", head, 6)
        if major >= _FIRST_CLASS_VERSION:
            return Foreign("a Java class file", "give the core or the hs_err_pid*.log")
        return Foreign("a macOS universal binary", "give the crash report or the log")
    return None
