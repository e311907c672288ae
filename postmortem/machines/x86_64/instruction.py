"""The faulting instruction: decoded by capstone, its memory operands evaluated from the registers.

Alignment demands: Intel SDM volume 1, 14.9 "Memory Alignment"; VEX-encoded forms but the aligned moves
demand none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from parsers.limits import LIMITS
from postmortem.machines.machine import Decoded
from postmortem.model import Address, Operand

if TYPE_CHECKING:
    from collections.abc import Callable

    from postmortem.program.memory import AddressSpace

_MASK = 0xFFFFFFFFFFFFFFFF
_LONGEST = 15
_BEFORE, _AFTER = 8, 5
_ALIGNED = re.compile(r"^v?(movaps|movapd|movdqa\w*|movntps|movntpd|movntdqa?)$")
_UNALIGNED_SSE = re.compile(
    r"^(movups|movupd|movdqu|lddqu|movss|movsd|movhps|movlps|movhpd|movlpd|movq|movd|cvt\w+|ucomis[sd]|comis[sd]|pinsr\w|pextr\w|pcmp[ei]str[im]|\w+s[sd])$"
)
_CHANGES = re.compile(r"^(ro[lr]|rc[lr]|cmpxchg\w*)$")
_STORES = re.compile(r"^(v?stmxcsr|fi?stt?p?|fbstp|fnst\w+|fnsave)$")
_COMPARES = re.compile(r"^(cmp[bwdqs]?|cmps[bwdq]|scas[bwdq]|lods[bwdq]|outs[bwd]|test|bt)$")
_MEMORY = re.compile(r"(?:\w+ )*(?:ptr )?(?:[fg]s:)?\[[^]]*\]")
_SUB = {
    "rax": ("eax", "ax", "al", "ah"), "rbx": ("ebx", "bx", "bl", "bh"), "rcx": ("ecx", "cx", "cl", "ch"),
    "rdx": ("edx", "dx", "dl", "dh"), "rsi": ("esi", "si", "sil"), "rdi": ("edi", "di", "dil"),
    "rbp": ("ebp", "bp", "bpl"), "rsp": ("esp", "sp", "spl"),
} | {f"r{n}": (f"r{n}d", f"r{n}w", f"r{n}b") for n in range(8, 16)}  # fmt: skip
_WHOLE = {part: whole for whole, parts in _SUB.items() for part in parts}
_LEFT_OUT = {"cmpxchg": ("rax",), "xlatb": ("rax",), "syscall": ("rax", "rcx", "r11")}

Access = Literal["read", "write", "read-write", "execute"]


def engine(detail: bool) -> Any:
    """A decoder of x86-64 instructions; detail: with operands and groups."""
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs

    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.detail = detail
    return decoder


def whole(name: str | None) -> str | None:
    """The 64-bit register that a general register is part of; None for others."""
    return name if name in _SUB else _WHOLE.get(name or "")


def register(registers: dict[str, int], name: str) -> int | None:
    """The value of a register or of its low part."""
    if name in registers:
        return registers[name]
    of = _WHOLE.get(name)
    value = registers.get(of) if of else None
    if value is None or of is None:
        return None
    if name == _SUB[of][0]:
        return value & 0xFFFFFFFF
    if name == _SUB[of][1]:
        return value & 0xFFFF
    return value >> 8 & 0xFF if name.endswith("h") else value & 0xFF


def registers_written(instruction: Any) -> frozenset[str]:
    """The whole registers that an instruction, decoded with detail, changes; with those that capstone 5 omits."""
    written = {str(instruction.reg_name(number)) for number in instruction.regs_access()[1]}
    written.update(_LEFT_OUT.get(instruction.mnemonic.split()[-1], ()))
    return frozenset(whole(name) or name for name in written)


def canonical(address: int) -> bool:
    """Whether bits 47 to 63 are equal: what x86-64 with 4-level paging takes for an address."""
    return address >> 47 in (0, 0x1FFFF)


def decode(space: AddressSpace, pc: int, registers: dict[str, int], mapped: Callable[[int], bool]) -> Decoded | None:
    """The instruction at pc, or None when its bytes are not at hand or make none."""
    code = space.read_some(pc, _LONGEST)
    if not code:
        return None
    instruction = next(engine(True).disasm(code, pc, 1), None)
    if instruction is None:
        return None
    from capstone import CS_GRP_PRIVILEGE
    from capstone.x86 import X86_OP_MEM

    operands: list[Operand] = []
    mnemonic = instruction.mnemonic.split()[-1]
    for position, operand in enumerate(instruction.operands):
        if operand.type == X86_OP_MEM:
            evaluated = _memory(instruction, position, registers, mnemonic, mapped)
            if evaluated is not None:
                operands.append(evaluated)
    operands.extend(_implicit(mnemonic, instruction, registers, mapped))
    return Decoded(
        f"{instruction.mnemonic} {instruction.op_str}".strip(),
        _whole(code, instruction.size) if mnemonic in ("ud0", "ud1") else bytes(instruction.bytes),
        mnemonic,
        tuple(operands),
        _values(instruction, mnemonic, registers, space, operands),
        _access(mnemonic, operands),
        _target(instruction, mnemonic, registers, space, operands),
        CS_GRP_PRIVILEGE in instruction.groups or mnemonic in _PRIVILEGED,
    )


def _whole(code: bytes, size: int) -> bytes:
    """ud0 and ud1 with their operand, which capstone leaves out: clang puts the number of a check there."""
    if size >= len(code):
        return code[:size]
    mode, base = code[size] >> 6, code[size] & 7
    operand = 1 + (mode != 3 and base == 4)
    operand += {0: 4 if base == 5 else 0, 1: 1, 2: 4, 3: 0}[mode]
    return code[: size + operand]


_PRIVILEGED = frozenset(
    ("hlt", "cli", "sti", "in", "out", "lgdt", "lidt", "invlpg", "wrmsr", "rdmsr", "invd", "wbinvd", "clts")
)


def _memory(
    instruction: Any, position: int, registers: dict[str, int], mnemonic: str, mapped: Callable[[int], bool]
) -> Operand | None:
    if mnemonic in ("lea", "nop"):
        return None
    operand = instruction.operands[position]
    memory = operand.mem
    base = instruction.reg_name(memory.base) if memory.base else None
    index = instruction.reg_name(memory.index) if memory.index else None
    total = memory.disp
    base_value = index_value = None
    if base == "rip":
        base_value = instruction.address + instruction.size
    elif base:
        base_value = register(registers, base)
        if base_value is None:
            return None
    if index in ("riz", "eiz"):
        index = None
    if index:
        index_value = register(registers, index)
        if index_value is None:
            return None  # a vector index: one address for each element
    total += (base_value or 0) + (index_value or 0) * memory.scale
    segment = instruction.reg_name(memory.segment) if memory.segment else None
    if segment in ("fs", "gs"):
        total += registers.get(f"{segment}_base", 0)
    address = total & _MASK
    return Operand(
        text=_operand_text(instruction.op_str, position),
        address=Address(address),
        size=operand.size,
        access=_kind(operand.access, mnemonic, destination=position == 0 and len(instruction.operands) > 1),
        base=base,
        base_value=None if base_value is None else Address(base_value),
        index=index,
        index_value=None if index_value is None else Address(index_value),
        scale=memory.scale,
        displacement=memory.disp,
        canonical=canonical(address),
        mapped=mapped(address),
        alignment=_alignment(mnemonic, operand.size),
    )


def _operand_text(operands: str, position: int) -> str:
    """The memory operand as the instruction's text has it; string moves have two."""
    found = _MEMORY.findall(operands)
    return found[min(position, len(found) - 1)] if found else operands


def _kind(access: int, mnemonic: str, destination: bool) -> Access:
    """By the operand's place: capstone 5 calls most stores of SSE, AVX and the x87 reads, and frstor a write.

    access: capstone's. destination: whether it is the first of several operands.
    """
    if mnemonic.startswith(("call", "jmp")) or mnemonic == "frstor":
        return "read"
    if _CHANGES.match(mnemonic):
        return "read-write"
    if access == 1 and (_STORES.match(mnemonic) or (destination and not _COMPARES.match(mnemonic))):
        return "write"
    return "read-write" if access == 3 else "write" if access == 2 else "read"


def _alignment(mnemonic: str, size: int) -> int | None:
    if mnemonic.startswith(("fxsave", "fxrstor", "cmpxchg16b")):
        return 16
    if mnemonic.startswith(("xsave", "xrstor")):
        return 64
    if _ALIGNED.match(mnemonic):
        return size if size >= 16 else None
    if size == 16 and not mnemonic.startswith("v") and not _UNALIGNED_SSE.match(mnemonic):
        return 16  # legacy SSE arithmetic with a memory operand
    return None


def _implicit(
    mnemonic: str, instruction: Any, registers: dict[str, int], mapped: Callable[[int], bool]
) -> list[Operand]:
    """Stack and string operands that the text does not show. String operations show theirs to capstone."""
    sp = registers.get("rsp")
    if sp is None:
        return []
    if mnemonic.startswith("push") or mnemonic == "call":
        address, access, text = (sp - 8) & _MASK, "write", "[rsp - 8]"
    elif mnemonic.startswith(("pop", "ret")):
        address, access, text = sp, "read", "[rsp]"
    elif mnemonic == "leave":
        frame = registers.get("rbp")
        if frame is None:
            return []
        return [
            Operand(
                text="[rbp]", address=Address(frame), size=8, access="read", base="rbp", base_value=Address(frame),
                canonical=canonical(frame), mapped=mapped(frame),
            )
        ]  # fmt: skip
    else:
        return []
    return [
        Operand(
            text=text, address=Address(address), size=8, access=access,  # type: ignore[arg-type]
            base="rsp", base_value=Address(sp), displacement=address - sp if address <= sp else 0,
            canonical=canonical(address), mapped=mapped(address),
        )
    ]  # fmt: skip


def _access(mnemonic: str, operands: list[Operand]) -> Literal["read", "write"] | None:
    """What the instruction does to memory, told by the operands that can't be reached first."""
    ordered = sorted(operands, key=lambda operand: operand.mapped and operand.canonical)
    if not ordered:
        return None
    return "write" if ordered[0].access in ("write", "read-write") else "read"


def _values(
    instruction: Any, mnemonic: str, registers: dict[str, int], space: AddressSpace, operands: list[Operand]
) -> dict[str, int]:
    """divisor, dividend (low half), dividend_high, quotient_bits of div and idiv."""
    if mnemonic not in ("div", "idiv") or len(instruction.operands) != 1:
        return {}
    from capstone.x86 import X86_OP_REG

    operand = instruction.operands[0]
    size = operand.size
    if operand.type == X86_OP_REG:
        divisor = register(registers, instruction.reg_name(operand.reg))
    else:
        divisor = space.unsigned(operands[0].address, size) if operands else None
    values = {"quotient_bits": 8 * size}
    if divisor is not None:
        values["divisor"] = divisor & ((1 << 8 * size) - 1)
    low, high = {1: ("al", "ah"), 2: ("ax", "dx"), 4: ("eax", "edx"), 8: ("rax", "rdx")}[size]
    for name, part in (("dividend", low), ("dividend_high", high)):
        value = register(registers, part)
        if value is not None:
            values[name] = value
    return values


def _target(
    instruction: Any, mnemonic: str, registers: dict[str, int], space: AddressSpace, operands: list[Operand]
) -> int | None:
    """Where a call, jump or return goes."""
    if mnemonic.startswith("ret"):
        sp = registers.get("rsp")
        return None if sp is None else space.word(sp)
    if mnemonic not in ("call", "jmp") or not instruction.operands:
        return None
    from capstone.x86 import X86_OP_IMM, X86_OP_REG

    operand = instruction.operands[0]
    if operand.type == X86_OP_REG:
        return register(registers, instruction.reg_name(operand.reg))
    if operand.type == X86_OP_IMM:
        return int(operand.imm) & _MASK
    read = [candidate for candidate in operands if candidate.access == "read"]
    return space.word(read[0].address) if read else None


def listing(space: AddressSpace, pc: int, start: int | None) -> tuple[tuple[Address, str], ...]:
    """Instructions around pc. `start`: a known instruction boundary at or below pc (the function's first)."""
    decoder = engine(False)
    rows: list[tuple[Address, str]] = []
    if start is not None and 0 < pc - start <= LIMITS.instruction_function:
        before = _lines(decoder, space.read_some(start, pc - start), start, pc)
        rows = before[-_BEFORE:] if before is not None else []
    if not rows:
        # No known boundary: the longest run of instructions that ends exactly at pc.
        for back in range(48, 0, -1):
            before = _lines(decoder, space.read_some(pc - back, back), pc - back, pc)
            if before:
                rows = before[-_BEFORE:]
                break
    code = space.read_some(pc, _LONGEST * (_AFTER + 1))
    rows += [
        (Address(at), f"{mnemonic} {operands}".strip())
        for at, _, mnemonic, operands in decoder.disasm_lite(code, pc, _AFTER + 1)
    ]
    return tuple(rows)


def _lines(decoder: Any, code: bytes, start: int, end: int) -> list[tuple[Address, str]] | None:
    """Instructions that fill [start, end) exactly, or None."""
    rows = []
    reached = start
    for at, size, mnemonic, operands in decoder.disasm_lite(code, start):
        rows.append((Address(at), f"{mnemonic} {operands}".strip()))
        reached = at + size
    return rows if reached == end else None


def call_before(space: AddressSpace, address: int) -> str | None:
    """The call instruction that ends at a return address, with its own address."""
    for size in (5, 2, 3, 6, 7, 4):
        found = _call_of(space, address, size)
        if found is not None:
            # With REX.B before it, it is one through r8 to r15.
            prefix = space.read(address - size - 1, 1)
            longer = _call_of(space, address, size + 1) if prefix == b"\x41" and size != 5 else None
            return longer or found
    return None


def _call_of(space: AddressSpace, address: int, size: int) -> str | None:
    """The call of this size that ends at an address."""
    code = space.read(address - size, size)
    if code is None:
        return None
    for at, length, mnemonic, operands in engine(False).disasm_lite(code, address - size, 1):
        if mnemonic == "call" and length == size:
            return f"{at:#x}: call {operands}"
    return None
