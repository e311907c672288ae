"""Cores that this program does not read, told by their ELF header and the owners of their notes.

EI_CLASS, EI_DATA, EI_OSABI: System V gABI, "ELF Identification". x32 is class 32 with EM_X86_64 (x32 psABI). Owners of
notes: NetBSD core(5) "NetBSD-CORE", FreeBSD and OpenBSD their names; VMCOREINFO (kernel, admin-guide/kdump/vmcoreinfo),
"QEMU" of dump-guest-memory, and "Xen" mark the memory of a kernel or of a virtual machine.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsers.elf.header import Buffer

_SYSTEMS = {2: "NetBSD", 6: "Solaris", 7: "AIX", 8: "IRIX", 9: "FreeBSD", 11: "Modesto", 12: "OpenBSD"}
_OWNERS = (
    (b"NetBSD-CORE", "NetBSD"),
    (b"FreeBSD", "FreeBSD"),
    (b"OpenBSD", "OpenBSD"),
    (b"DragonFly", "DragonFly BSD"),
    (b"QNX", "QNX"),
    (b"win32thread", "Cygwin"),
)
_SOLARIS_NOTES = frozenset((10, 13, 14, 15, 16))
"""NT_PSTATUS, NT_PSINFO, NT_PRCRED, NT_UTSNAME, NT_LWPSTATUS (illumos sys/elf.h), under the owner CORE."""
_KERNEL = (b"VMCOREINFO", b"QEMU", b"Xen", b".note.Xen")
_MACHINES = {
    2: "sparc", 3: "i386", 4: "m68k", 8: "mips", 15: "parisc", 18: "sparc", 20: "ppc", 21: "ppc64", 22: "s390",
    40: "arm", 42: "sh", 43: "sparcv9", 50: "ia64", 62: "x86_64", 183: "aarch64", 243: "riscv", 258: "loongarch",
    0x9026: "alpha",
}  # fmt: skip
_X86_64 = 62
_CORE, _PT_NOTE = 4, 4
READS = "cores of 64-bit x86-64 Linux processes"


class Foreign(NamedTuple):
    """what: "is a core of …". hint: what reads it."""

    what: str
    hint: str


def foreign(data: Buffer) -> Foreign | None:
    """What an ELF core is that this program does not read; None for one that it does, and for what is no core."""
    ident = bytes(data[:20])
    if len(ident) < 20 or ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        return None
    order = "<" if ident[5] == 1 else ">"
    kind, number = struct.unpack_from(f"{order}HH", ident, 16)
    if kind != _CORE:
        return None
    notes = set(_owners(data, order, wide=ident[4] == 2))
    owners = {owner for owner, _ in notes}
    machine = _MACHINES.get(number, f"machine {number}")
    if number == _X86_64 and ident[4] == 1:
        machine = "x32 (x86_64 with 32-bit pointers)"
    if any(owner in owners for owner in _KERNEL):
        return Foreign(
            f"is the memory of a kernel or virtual machine ({machine}), not a core of a process",
            "read it with crash or drgn and the vmlinux of that kernel",
        )
    system = _SYSTEMS.get(ident[7]) or next((name for owner, name in _OWNERS if owner in owners), None)
    if system is None and sum((b"CORE", kind) in notes for kind in _SOLARIS_NOTES) > 1:
        system = _SYSTEMS[6]
    if system is not None:
        return Foreign(
            f"is a core of a {system} process ({machine}); this program reads {READS}",
            f"read it with the debugger of {system}, with lldb or with gdb-multiarch",
        )
    if number == _X86_64 and ident[4] == 2 and ident[5] == 1:
        return None
    size, ends = 32 if ident[4] == 1 else 64, "little" if ident[5] == 1 else "big"
    return Foreign(
        f"is a core of another machine: {machine}, {size}-bit, {ends}-endian; this program reads {READS}",
        "read it with gdb-multiarch or lldb, and the program's files",
    )


def _owners(data: Buffer, order: str, wide: bool) -> Iterator[tuple[bytes, int]]:
    """(owner, type) of the notes, as far as the headers are sound."""
    try:
        head = bytes(data[:64])
        (table,) = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", head, 32 if wide else 28)
        size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
        if size != (56 if wide else 32):
            return
        left = LIMITS.foreign_notes
        for index in range(min(count, LIMITS.foreign_headers)):
            entry = bytes(data[table + index * size : table + (index + 1) * size])
            if wide:
                kind, _, offset, _, _, length = struct.unpack_from(f"{order}IIQQQQ", entry)
            else:
                kind, offset, _, _, length = struct.unpack_from(f"{order}IIIII", entry)
            end = min(offset + length, len(data))
            while kind == _PT_NOTE and offset + 12 <= end and left > 0:
                left -= 1
                name, descriptor, number = struct.unpack(f"{order}III", data[offset : offset + 12])
                owner = bytes(data[offset + 12 : offset + 12 + min(name, LIMITS.foreign_owner)])
                yield owner.split(b"\0")[0].split(b"@")[0], number
                offset += 12 + (name + 3 & ~3) + (descriptor + 3 & ~3)
    except struct.error:
        return
