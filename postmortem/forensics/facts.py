"""How a module was built, and what it needs of others, from its file by lief.

lief is imported when the first module is looked at: its import takes longer than the analysis of a small core.
Sources: gABI "Dynamic Section"; LSB "Symbol Versioning"; x86-64 psABI and AArch64 ELF, "Program Property".
"""

from __future__ import annotations

import functools
import re
import struct
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from parsers.elf.header import SectionHeader
from parsers.elf.sections import SHF_COMPRESSED, section_bytes
from parsers.errors import ParseError
from parsers.limits import LIMITS
from postmortem.forensics import producer
from postmortem.model import Hardening

if TYPE_CHECKING:
    from pathlib import Path

_DF_TEXTREL, _DF_BIND_NOW, _DF_1_NOW, _DF_1_PIE = 4, 8, 1, 1 << 27
_PF_X = 1
_X86_FEATURES, _AARCH64_FEATURES = 0xC0000002, 0xC0000000
_IBT, _SHSTK, _BTI, _PAC = 1, 2, 1, 2
_CHECKED = re.compile(r"__\w+_chk$")
_CHECKED_STRING = re.compile(rb"\0(__\w{1,64}_chk)(?=\0)")
_FAILS = "__stack_chk_fail"
_VER_FLG_WEAK = 2


class Needed(NamedTuple):
    """A symbol version that a module needs of a library."""

    library: str
    version: str


class Facts(NamedTuple):
    """What one file says. provides: the versions that it defines."""

    needed: tuple[str, ...]
    versions: tuple[Needed, ...]
    provides: tuple[str, ...]
    interpreter: str | None
    compilers: tuple[str, ...]
    flags: str | None
    hardening: Hardening


def facts(path: Path) -> Facts | None:
    """Of the ELF file at `path`; None when it is too large, or lief can't read it."""
    try:
        if path.stat().st_size > LIMITS.forensic_file:
            return None
    except OSError:
        return None
    import lief

    lief.logging.disable()
    config = lief.ELF.ParserConfig()
    config.parse_relocations = config.parse_symtab_symbols = config.parse_overlay = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers that lief has no name for
            binary: Any = lief.ELF.parse(str(path), config)
            return None if binary is None else _facts(binary)
    except (RuntimeError, ValueError, TypeError, OverflowError, SystemError, UnicodeError, struct.error):
        return None  # of a damaged file


def _facts(binary: Any) -> Facts:
    most = LIMITS.forensic_names
    versions = [
        Needed(_name(requirement.name), _name(version.name))
        for requirement in list(binary.symbols_version_requirement)[:most]
        for version in list(requirement.get_auxiliary_symbols())[:most]
        if not version.flags & _VER_FLG_WEAK
    ]
    # The first version that a file defines is its own name (VER_FLG_BASE).
    provides = [
        _name(symbol.name)
        for definition in list(binary.symbols_version_definition)[:most]
        for symbol in list(definition.auxiliary_symbols)[:1]
    ]
    tags = {int(entry.tag): int(entry.value) for entry in list(binary.dynamic_entries)[:most]}
    return Facts(
        needed=tuple(_name(name) for name in list(binary.libraries)[:most]),
        versions=tuple(versions[:most]),
        provides=tuple(provides),
        interpreter=_name(binary.interpreter) if binary.has_interpreter else None,
        compilers=tuple(_strings(binary, ".comment")[:8]),
        flags=_flags(binary),
        hardening=_hardening(binary, tags),
    )


def _name(name: str | bytes) -> str:
    text = name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
    return text[: LIMITS.string]


def _strings(binary: Any, section: str) -> list[str]:
    """The strings of a section, each once."""
    found = binary.get_section(section) if binary.has_section(section) else None
    if found is None or found.size > LIMITS.package_note:
        return []
    parts = bytes(found.content).split(b"\0")
    return list(dict.fromkeys(part.decode("utf-8", "backslashreplace") for part in parts if part))


def _flags(binary: Any) -> str | None:
    """Of -frecord-gcc-switches, else of the debug information."""
    # Units share their sections, which may have to be decompressed.
    debug = functools.cache(lambda name: _debug(binary, name))
    text = " ".join(_strings(binary, ".GCC.command.line")) or producer.flags(debug)
    return text[: LIMITS.string] if text else None


def _debug(binary: Any, name: str) -> memoryview | None:
    """The content of .debug_<name>; a view of what lief holds unless it is compressed."""
    found = binary.get_section(f".debug_{name}") if binary.has_section(f".debug_{name}") else None
    if found is None:
        return None
    content = memoryview(found.content).cast("B")
    if not int(found.flags) & SHF_COMPRESSED:
        return content
    header = SectionHeader(0, 0, SHF_COMPRESSED, 0, 0, len(content), 0, 0, 0, 0)
    try:
        return memoryview(section_bytes(content, header, LIMITS.forensic_section))
    except ParseError:
        return None


def _hardening(binary: Any, tags: dict[int, int]) -> Hardening:
    import lief

    segments = {int(segment.type) & 0xFFFFFFFF: segment for segment in binary.segments}
    stack = segments.get(int(lief.ELF.Segment.TYPE.GNU_STACK) & 0xFFFFFFFF)
    relro = segments.get(int(lief.ELF.Segment.TYPE.GNU_RELRO) & 0xFFFFFFFF)
    dynamic = lief.ELF.DynamicEntry.TAG
    flags = tags.get(int(dynamic.FLAGS), 0)
    now = (
        int(dynamic.BIND_NOW) in tags
        or bool(flags & _DF_BIND_NOW)
        or bool(tags.get(int(dynamic.FLAGS_1), 0) & _DF_1_NOW)
    )
    canary, fortified = _checks(binary)
    x86, arm = _features(binary, _X86_FEATURES), _features(binary, _AARCH64_FEATURES)
    machine = str(binary.header.machine_type)
    intel = machine.endswith("X86_64")
    return Hardening(
        relro="none" if relro is None else "full" if now else "partial",
        canary=canary,
        fortified=fortified,
        executable_stack=stack is not None and bool(int(stack.flags) & _PF_X),
        text_relocations=int(dynamic.TEXTREL) in tags or bool(flags & _DF_TEXTREL),
        position_independent=str(binary.header.file_type).endswith("DYN"),
        indirect_branch_tracking=bool(x86 & _IBT) if intel else None,
        shadow_stack=bool(x86 & _SHSTK) if intel else None,
        branch_target_identification=bool(arm & _BTI) if machine.endswith("AARCH64") else None,
    )


def _checks(binary: Any) -> tuple[bool | None, bool | None]:
    """(it has canaries, it calls checked forms of libc's functions), by the names of the functions that it calls.

    Those of an executable that has libc within are in .symtab alone, and libc's own code has canaries in any case, and
    may have checked forms: that these are there tells nothing of the program's, only that they are not does.
    """
    if binary.has_interpreter or list(binary.libraries)[:1] or not _is_program(binary):
        names = {_name(symbol.name) for symbol in list(binary.dynamic_symbols)[: LIMITS.symbols]}
        return _FAILS in names, any(_CHECKED.match(name) for name in names if name != _FAILS)
    section = binary.get_section(".strtab") if binary.has_section(".strtab") else None
    if section is None:
        return None, None
    strings = bytes(section.content)
    found = {match[1].decode() for match in _CHECKED_STRING.finditer(strings)} - {"__chk_fail"}
    return (None if _FAILS.encode() in strings else False), (None if found else False)


def _is_program(binary: Any) -> bool:
    """An executable, also one that is position-independent and has libc within (-static-pie)."""
    if not str(binary.header.file_type).endswith("DYN"):
        return True
    import lief

    flags = [int(item.value) for item in list(binary.dynamic_entries)[: LIMITS.forensic_names]
             if int(item.tag) == int(lief.ELF.DynamicEntry.TAG.FLAGS_1)]  # fmt: skip
    return any(value & _DF_1_PIE for value in flags)


def _features(binary: Any, wanted: int) -> int:
    """The FEATURE_1_AND word of .note.gnu.property: type, size, bits, each property padded to 8 bytes."""
    for note in list(binary.notes)[: LIMITS.forensic_names]:
        if _name(note.name) != "GNU" or "PROPERTY" not in str(note.type):
            continue
        data = bytes(note.description)
        position = 0
        while position + 12 <= len(data):
            kind, size, bits = struct.unpack_from("<III", data, position)
            if kind == wanted and size >= 4:
                return int(bits)
            position += 8 + (size + 7 & ~7)
    return 0
