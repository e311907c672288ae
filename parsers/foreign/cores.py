"""ELF cores that are not of a 64-bit Linux process: other systems, kernels, guests, 32-bit and big-endian machines.

Sources: gABI (e_ident); NetBSD sys/sys/exec_elf.h and core(5); FreeBSD sys/sys/elf_common.h; OpenBSD core(5); illumos
sys/elf.h and core(5); Linux Documentation/admin-guide/kdump/vmcoreinfo.rst; QEMU dump/dump.c.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parsers.elf.header import MACHINES
from parsers.foreign.kind import Foreign
from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsers.elf.header import Buffer

ELF = b"\x7fELF"
_ET_CORE = 4
_PT_NOTE = 4
_EM_X86_64 = 62
_SYSTEMS = {
    1: "HP-UX",
    2: "NetBSD",
    6: "Solaris or illumos",
    7: "AIX",
    8: "IRIX",
    9: "FreeBSD",
    10: "Tru64 UNIX",
    12: "OpenBSD",
    13: "OpenVMS",
}
"""EI_OSABI."""
_OWNERS = (
    (b"NetBSD", "NetBSD"),
    (b"FreeBSD", "FreeBSD"),
    (b"OpenBSD", "OpenBSD"),
    (b"DragonFly", "DragonFly BSD"),
    (b"QNX", "QNX"),
    (b"Haiku", "Haiku"),
    (b"win32", "Cygwin"),
)
_KERNELS = (
    (b"VMCOREINFO", "a crash dump of the Linux kernel (vmcore)"),
    (b"QEMU", "a memory dump of a virtual machine (QEMU)"),
    (b"Xen", "a memory dump of a Xen domain"),
    (b".note.Xen", "a memory dump of a Xen domain"),
)
_SOLARIS_NOTES = frozenset((10, 13, 14, 15, 16))
"""NT_PSTATUS, NT_PSINFO, NT_PRCRED, NT_UTSNAME, NT_LWPSTATUS, under the owner CORE."""
_LONGEST_OWNER = 64
_MOST_NOTES = 4096
_MOST_HEADERS = 4096
_NATIVE = "a debugger of that system reads it; this program reads cores of Linux processes"
_READS = (
    "this program reads cores of 64-bit little-endian Linux processes (x86-64); a JVM's hs_err_pid*.log is read of any"
)


def identify(data: Buffer) -> Foreign | None:
    """None for a core of Linux on a 64-bit little-endian machine, and for an ELF file of another type."""
    ident = bytes(data[:20])
    if len(ident) < 20 or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        return None
    wide, order = ident[4] == 2, "<" if ident[5] == 1 else ">"
    kind, machine = struct.unpack_from(f"{order}HH", ident, 16)
    if kind != _ET_CORE:
        return None
    owners = list(_owners(data, wide, order))
    for mark, what in _KERNELS:
        if any(owner.startswith(mark) for owner, _ in owners):
            return Foreign(what, "crash, drgn or gdb with vmlinux reads it; this program reads cores of processes")
    system = next((words for mark, words in _OWNERS if any(owner.startswith(mark) for owner, _ in owners)), None)
    if system is None and sum(owner == b"CORE" and number in _SOLARIS_NOTES for owner, number in owners) > 1:
        system = _SYSTEMS[6]
    system = system or _SYSTEMS.get(ident[7])
    if system is not None:
        return Foreign(f"a core dump of {system}", _NATIVE)
    name = MACHINES.get(machine, f"machine {machine}")
    if not wide and machine == _EM_X86_64:
        return Foreign("a core dump of an x32 process (32-bit pointers on x86-64)", _READS)
    if not wide:
        return Foreign(f"a core dump of a 32-bit process ({name})", _READS)
    if order == ">":
        return Foreign(f"a core dump of a big-endian machine ({name})", _READS)
    return None


def _owners(data: Buffer, wide: bool, order: str) -> Iterator[tuple[bytes, int]]:
    """(owner, type) of the notes, the first _MOST_NOTES."""
    header, entry = ("QQ", "II QQQQQQ") if wide else ("II", "IIIIIIII")
    offset = 32 if wide else 28
    table_at = struct.Struct(f"{order}{header}")
    if len(data) < 64:
        return
    head = bytes(data[:64])
    (table, _) = table_at.unpack_from(head, offset)
    (size, count) = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    row = struct.Struct(f"{order}{entry.replace(' ', '')}")
    if size < row.size:
        return
    left = _MOST_NOTES
    for index in range(min(count, _MOST_HEADERS)):
        at = table + index * size
        if at + row.size > len(data):
            return
        fields = row.unpack(bytes(data[at : at + row.size]))
        if fields[0] != _PT_NOTE:
            continue
        start, length = (fields[2], fields[5]) if wide else (fields[1], fields[4])
        end = min(start + min(length, LIMITS.note_bytes), len(data))
        while start + 12 <= end and left:
            left -= 1
            note = bytes(data[start : start + 12 + _LONGEST_OWNER])
            (namesz, descsz, number) = struct.unpack_from(f"{order}III", note)
            yield note[12 : 12 + namesz].split(b"\0")[0], number
            start += 12 + (namesz + 3 & ~3) + (descsz + 3 & ~3)
