"""Stack frames (os::print_C_frame, frame::print_on_error of runtime/frame.cpp; nativeStackPrinter.cpp).

V  [libjvm.so+0x9e62f8]  PhaseChaitin::Split(unsigned int, ResourceArea*)+0x1138  (reg_split.cpp:527)
C  0x00007f84216d27f4
j  java.lang.Thread.run()V+11 java.base@17.0.15
J 302 c2 java.util.zip.ZipFile.getEntry(J[BZ)J java.base@11.0.2 (38 bytes) @ 0x… [0x…+0xce]
v  ~StubRoutines::call_stub 0x…
"""

from __future__ import annotations

import re

from parsers.hs_err.model import Frame
from parsers.hs_err.reader import HEX, address
from parsers.limits import LIMITS

_KIND = re.compile(r"([VCvJjAM])(?: {1,3}|\t)(?=\S)")
_MODULE = re.compile(rf"\[([^\]\[]{{1,1024}}?)\+({HEX})(?:\](?:  ?(.*))?)?$")
"""Of the last line of an excerpt the end may be missing."""
_SOURCE = re.compile(r"\(([^()\s]{1,512}):(\d{1,9})\)$")
_TYPE = re.compile(r"(?:(?:un)?signed )?(?:bool|char|short|int|long(?: long)?|(?:long )?double|float|void|__int128)")
"""What a demangler makes of a symbol that is no mangled name, as of "x" or "f": no function."""
_OFFSET = re.compile(rf"\+({HEX})$")
_PLAIN = re.compile(rf"({HEX})\s*$")
_COMPILED = re.compile(
    rf"(?:(\d{{1,9}})(%)?\s+)?(?:(c1|c2|C1|C2|jvmci|JVMCI|graal|aot\[\d+\])\s+)?"
    rf"(\S[^(]{{0,4096}})\(([^)]{{0,8192}})\)(\S{{0,2048}})(?:\s+([\w.$-]{{1,200}}(?:@\S{{1,200}})?))?"
    rf"\s+\((\d{{1,9}}) bytes\)\s+@ ({HEX})(?: \[({HEX})\+({HEX})\])?"
)
_INTERPRETED = re.compile(
    r"(\S[^(]{0,4096})\(([^)]{0,8192})\)(\S{0,2048}?)\+(-?\d{1,9})(?:\s+([\w.$-]{1,200}(?:@\S{1,200})?))?\s*$"
)
_OLD = re.compile(r"([^\s(]{1,4096})\(([^)]{0,8192})\)(\S{1,2048})$")
"""JDK 5 to 7: J  a.B.m(I)V"""
_CUT = re.compile(r"(?:(\d{1,9})(%)?\s+)?(c1|c2|C1|C2|jvmci|JVMCI)\s+([^\s(]{1,4096}\.[^\s(]{1,512})\([^)]{0,8192}")
"""The start of a compiled frame's line that was cut or broken."""
_CUT_METHOD = re.compile(r"([^\s(]{1,4096})\([\w/$;\[]{0,8192}$")
"""The start of an interpreted frame's line."""
_STUB = re.compile(rf"{HEX}$")
_LONGEST = LIMITS.frames_longest


def parse(text: str) -> Frame | None:
    """The frame on a line, or None if the line is no frame."""
    found = _KIND.match(text)
    if not found or len(text) > _LONGEST:
        return None
    kind, rest = found[1], text[found.end() :].strip()
    if kind in "JA":
        return _compiled(kind, text, rest)
    if kind == "j":
        return _interpreted(text, rest)
    if kind == "v":
        name, _, pc = rest.rpartition(" ")
        at = address(pc) if _STUB.match(pc) else None
        return Frame(kind=kind, text=text, function=rest if at is None else name.strip() or None, address=at)
    if kind == "M":
        return Frame(kind=kind, text=text, function=rest)
    return _native(kind, text, rest)


def _native(kind: str, text: str, rest: str) -> Frame | None:
    pc = None
    plain = re.match(rf"({HEX})\s+(?=\[)", rest)
    if plain:
        pc, rest = address(plain[1]), rest[plain.end() :]
    module = _MODULE.match(rest)
    if module:
        function, offset, file, line = _function(module[3])
        return Frame(
            kind=kind,
            text=text,
            address=pc,
            module=module[1],
            module_offset=address(module[2]),
            function=function,
            offset=offset,
            source_file=file,
            source_line=line,
        )
    plain = _PLAIN.match(rest)
    if plain:
        return Frame(kind=kind, text=text, address=address(plain[1]))
    function, offset, file, line = _function(rest)
    if offset is None:
        return None
    return Frame(kind=kind, text=text, function=function, offset=offset, source_file=file, source_line=line)


def _function(text: str | None) -> tuple[str | None, int | None, str | None, int | None]:
    """Name, offset, file and line of "name+0x12  (file.cpp:34)"."""
    text = (text or "").strip().removesuffix("(no source info available)").rstrip()
    file: str | None = None
    line: int | None = None
    source = _SOURCE.search(text[-560:])
    if source:
        file, line = source[1], int(source[2])
        text = text[: len(text) - len(source[0])].rstrip()
    offset = _OFFSET.search(text[-24:])
    if not offset:
        return text or None, None, file, line
    name = text[: len(text) - len(offset[0])]
    return None if _TYPE.fullmatch(name) else name or None, address(offset[1]), file, line


def _compiled(kind: str, text: str, rest: str) -> Frame | None:
    m = _COMPILED.match(rest)
    if not m:
        plain = _PLAIN.match(rest)
        stub = re.match(rf"(\d{{1,9}})?\s*(.{{0,512}}?)\s*({HEX})$", rest)
        if plain:
            return Frame(kind=kind, text=text, address=address(plain[1]))
        if stub:
            return Frame(
                kind=kind,
                text=text,
                compile_id=int(stub[1]) if stub[1] else None,
                method=stub[2] or None,
                address=address(stub[3]),
            )
        old = _OLD.match(rest)
        if old:
            return Frame(kind=kind, text=text, method=old[1], signature=f"({old[2]}){old[3]}")
        cut = _CUT.match(rest)
        if cut:
            compile_id = int(cut[1]) if cut[1] else None
            return Frame(kind=kind, text=text, compile_id=compile_id, osr=bool(cut[2]), level=cut[3], method=cut[4])
        return None
    return Frame(
        kind=kind,
        text=text,
        compile_id=int(m[1]) if m[1] else None,
        osr=bool(m[2]),
        level=m[3],
        method=m[4].strip(),
        signature=f"({m[5]}){m[6]}",
        java_module=m[7],
        bytecode_size=int(m[8]),
        address=address(m[9]),
        code_start=address(m[10]) if m[10] else None,
        offset=address(m[11]) if m[11] else None,
    )


def _interpreted(text: str, rest: str) -> Frame | None:
    m = _INTERPRETED.match(rest)
    if not m:
        plain, cut = _PLAIN.match(rest), _CUT_METHOD.match(rest)
        if cut:
            return Frame(kind="j", text=text, method=cut[1])
        return Frame(kind="j", text=text, address=address(plain[1])) if plain else None
    return Frame(kind="j", text=text, method=m[1].strip(), signature=f"({m[2]}){m[3]}", bci=int(m[4]), java_module=m[5])
