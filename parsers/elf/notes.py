"""ELF notes of a Linux core and of a module (gABI "Note Section"; kernel fs/binfmt_elf.c, include/uapi/linux/elf.h)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsers.elf.header import Buffer

NT_PRSTATUS, NT_FPREGSET, NT_PRPSINFO, NT_AUXV = 1, 2, 3, 6
NT_GNU_BUILD_ID = 3
NT_FILE = 0x46494C45
NT_SIGINFO = 0x53494749
NT_X86_XSTATE = 0x202

AT_PHDR, AT_PHNUM, AT_BASE, AT_ENTRY = 3, 5, 7, 9
AT_HWCAP, AT_SECURE, AT_RANDOM, AT_HWCAP2 = 16, 23, 25, 26
AT_EXECFN, AT_SYSINFO_EHDR = 31, 33

_NHDR = struct.Struct("<III")
_WINDOW = 1 << 16


class Note(NamedTuple):
    """One note; `offset` of its descriptor in the buffer it came from."""

    name: bytes
    type: int
    descriptor: memoryview
    offset: int


class MappedFile(NamedTuple):
    """One row of NT_FILE: [start, end) maps `path` from byte `offset`."""

    start: int
    end: int
    offset: int
    path: str


class ProcessInfo(NamedTuple):
    """NT_PRPSINFO. `command` is at most 15 bytes, `arguments` at most 79 (kernel elf_prpsinfo)."""

    pid: int
    ppid: int
    uid: int
    gid: int
    command: str
    arguments: str
    state: str


class SignalInfo(NamedTuple):
    """siginfo_t; the union's meaning depends on `number` and `code` (asm-generic/siginfo.h).

    address: si_addr of a fault, si_call_addr of SIGSYS. pid, uid: the sender. Absent ones are None; so is the code
    where only pr_cursig tells the signal.
    """

    number: int
    errno: int
    code: int | None
    address: int | None
    pid: int | None
    uid: int | None
    syscall: int | None
    arch: int | None


def iterate(data: Buffer, start: int, size: int, align: int = 4) -> Iterator[Note]:
    """Notes in data[start : start + size], as far as they are whole."""
    end = min(start + size, len(data))
    pad = 7 if align == 8 else 3
    position = window_start = start
    window = memoryview(b"")

    def held(offset: int, length: int) -> memoryview | None:
        """These bytes out of a window that moves on with them."""
        nonlocal window, window_start
        if not window_start <= offset <= offset + length <= window_start + len(window):
            window_start, window = offset, memoryview(data[offset : min(end, offset + max(length, _WINDOW))])
        return window[offset - window_start : offset - window_start + length] if length <= len(window) else None

    while position + 12 <= end:
        head = held(position, 12)
        if head is None:
            return
        name_size, descriptor_size, kind = _NHDR.unpack(head)
        name_start = position + 12
        descriptor_start = (name_start + name_size + pad) & ~pad
        descriptor_end = descriptor_start + descriptor_size
        if descriptor_end > end or name_size > LIMITS.string:
            return
        name, descriptor = held(name_start, name_size), held(descriptor_start, descriptor_size)
        if name is None or descriptor is None:
            return
        yield Note(bytes(name).rstrip(b"\0"), kind, descriptor, descriptor_start)
        position = (descriptor_end + pad) & ~pad


def build_id(data: Buffer, start: int, size: int, align: int = 4) -> str | None:
    """The GNU build-id in a note segment, as lower-case hex."""
    for note in iterate(data, start, size, align):
        if note.type == NT_GNU_BUILD_ID and note.name == b"GNU" and 0 < len(note.descriptor) <= 64:
            return bytes(note.descriptor).hex()
    return None


def text(raw: bytes) -> str:
    """Bytes of the process as text; what is not UTF-8 is shown as escapes."""
    return raw.decode("utf-8", "backslashreplace")


def process_info(descriptor: memoryview) -> ProcessInfo | None:
    """NT_PRPSINFO of a 64-bit process (136 bytes)."""
    if len(descriptor) < 136:
        return None
    uid, gid, pid, ppid = struct.unpack_from("<IIii", descriptor, 16)
    command = bytes(descriptor[40:56]).split(b"\0", 1)[0]
    arguments = bytes(descriptor[56:136]).split(b"\0", 1)[0].rstrip(b" ")
    return ProcessInfo(pid, ppid, uid, gid, text(command), text(arguments), chr(descriptor[1]))


def mapped_files(descriptor: memoryview, limits: Limits = LIMITS) -> tuple[list[MappedFile], dict[str, int]]:
    """NT_FILE: count, page size, count × (start, end, page offset), then the names (fill_files_note).

    And, by name of a limit, how many rows or bytes of paths were left out.
    """
    left_out: dict[str, int] = {}
    if len(descriptor) < 16:
        return [], left_out
    claimed, page_size = struct.unpack_from("<QQ", descriptor)
    claimed = min(claimed, (len(descriptor) - 16) // 24)
    count = min(claimed, limits.mapped_files)
    if claimed > count:
        left_out["mapped_files"] = claimed - count
    names = bytes(descriptor[16 + 24 * claimed :])
    left = limits.path_bytes
    known: dict[bytes, str] = {}
    found = []
    at = 0
    for start, end, page in struct.iter_unpack("<QQQ", descriptor[16 : 16 + 24 * count]):
        stop = names.find(b"\0", at)
        if at >= len(names):
            break
        stop = len(names) if stop < 0 else stop
        raw = names[at : min(stop, at + limits.string)]
        at = stop + 1
        left -= len(raw)
        if left < 0:
            left_out["path_bytes"] = len(names) - at
            break
        offset = page * page_size
        if start < end and offset < 1 << 63:
            path = known.get(raw)
            if path is None:
                path = known[raw] = text(raw)
            found.append(MappedFile(start, end, offset, path))
    return found, left_out


def auxiliary_vector(descriptor: memoryview) -> dict[int, int]:
    """NT_AUXV: a_type → a_val up to AT_NULL."""
    vector: dict[int, int] = {}
    whole = min(len(descriptor), LIMITS.auxiliary_bytes) // 16 * 16
    for key, value in struct.iter_unpack("<QQ", descriptor[:whole]):
        if key == 0:
            break
        vector[key] = value
    return vector


_FAULTS = {4, 5, 7, 8, 11}


def signal_info(raw: bytes | memoryview) -> SignalInfo | None:
    """siginfo_t of a 64-bit process, at least 32 bytes: signo, errno, code, pad, then the union at 16."""
    if len(raw) < 32:
        return None
    number, errno, code = struct.unpack_from("<iii", raw)
    address: int | None = None
    pid: int | None = None
    uid: int | None = None
    syscall: int | None = None
    arch: int | None = None
    if code <= 0 and code != -60:
        # SI_USER 0, SI_QUEUE -1, SI_TKILL -6 …: _kill and _rt both begin with pid, uid. SI_TIMER (-2)
        # has a timer id there instead.
        if code != -2:
            pid, uid = struct.unpack_from("<iI", raw, 16)
    elif number == 31:
        address, syscall, arch = struct.unpack_from("<QiI", raw, 16)
    elif number in _FAULTS:
        (address,) = struct.unpack_from("<Q", raw, 16)
    return SignalInfo(number, errno, code, address, pid, uid, syscall, arch)
