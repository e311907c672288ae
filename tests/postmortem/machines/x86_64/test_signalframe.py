"""Signal frames that the kernel wrote: of a process that shows its own, and what a trap says against its siginfo."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from postmortem.machines.x86_64 import signalframe
from postmortem.machines.x86_64.registers import DWARF_NAMES
from postmortem.program.memory import AddressSpace, Piece

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static int depth;
extern char fault_read[], fault_write[], fault_trap[], fault_break[], fault_divide[], fault_general[], fault_align[];

#define SET "mov $0x1111,%%rax; mov $0x2222,%%rbx; mov $0x3333,%%rcx; mov $0x4444,%%rdx; mov $0x5555,%%rsi;" \
    "mov $0x7777,%%r8; mov $0x8888,%%r9; mov $0x9999,%%r10; mov $0xaaaa,%%r11;" \
    "mov $0xbbbb,%%r12; mov $0xcccc,%%r13; mov $0xdddd,%%r14; mov $0xeeee,%%r15;"
#define FAULT(name, code) __asm__ volatile(SET ".globl fault_" name "; fault_" name ": " code :: "D"(address) : \
    "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory")

static void fault(char kind, char *address)
{
    switch (kind) {
    case 'r': FAULT("read", "mov (%%rdi),%%rax"); break;
    case 'w': FAULT("write", "mov %%rax,(%%rdi)"); break;
    case 't': FAULT("trap", "ud2"); break;
    case 'b': FAULT("break", "int3"); break;
    case 'd': FAULT("divide", "xor %%ecx,%%ecx; .globl fault_div; fault_div: idiv %%ecx"); break;
    case 'g': FAULT("general", "mov (%%rdi),%%rax"); break;
    case 'a': FAULT("align", "pushfq; orl $0x40000,(%%rsp); popfq;"
        ".globl fault_al; fault_al: mov 1(%%rdi),%%rax"); break;
    }
}

static void put(const void *from, unsigned long size) { if (write(1, from, size) != (long)size) _exit(9); }

static void handler(int number, siginfo_t *info, void *context)
{
    __asm__ volatile("pushfq; andl $~0x40000,(%rsp); popfq");
    extern char fault_div[], fault_al[];
    char *at = (char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    unsigned long head[] = {(unsigned long)context, (unsigned long)info, (unsigned long)at,
        at == fault_read, at == fault_write, at == fault_trap, at == fault_break + 1, at == fault_div,
        at == fault_general, at == fault_al};
    put(head, sizeof head);
    put(context, 304 + 128);
    put(*((char **)context - 1), 9);
    if (!depth++)
        fault('t', 0);
    _exit(0);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
    int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
    for (int i = 0; i < 5; i++)
        sigaction(signals[i], &action, 0);
    char *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char kind = argv[1][0];
    fault(kind, kind == 'r' ? (char *)0x10 : kind == 'g' ? (char *)0x8000000000000000 : page);
    return 8;
}
"""
SET = {
    "rax": 0x1111, "rbx": 0x2222, "rcx": 0x3333, "rdx": 0x4444, "rsi": 0x5555, "r8": 0x7777, "r9": 0x8888,
    "r10": 0x9999, "r11": 0xAAAA, "r12": 0xBBBB, "r13": 0xCCCC, "r14": 0xDDDD, "r15": 0xEEEE,
}  # fmt: skip
_HEAD = struct.Struct("<10Q")
_SIZE = 304 + 128
BASE = 0x7FFC00001000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signalframe")
    source, out = folder / "frames.c", folder / "frames"
    source.write_text(SOURCE)
    subprocess.run(["gcc", "-O1", "-fno-pie", "-no-pie", "-w", "-o", str(out), str(source)], check=True)
    return out


class Shown:
    """What the process wrote of one signal frame: addresses, where it was interrupted, the frame, the restorer."""

    def __init__(self, data: bytes) -> None:
        self.context, self.info, self.pc, *self.at = _HEAD.unpack_from(data)
        self.frame = data[_HEAD.size : _HEAD.size + _SIZE]
        self.restorer = data[_HEAD.size + _SIZE :][: len(signalframe.TRAMPOLINE)]

    @property
    def space(self) -> AddressSpace:
        return AddressSpace([Piece(self.context, self.context + len(self.frame), self.frame, 0)])


def _everywhere(address: int) -> bool:
    return True


def _nowhere(address: int) -> bool:
    return False


def _frames(program: Path, kind: str) -> list[Shown]:
    done = subprocess.run([str(program), kind], capture_output=True, check=False)
    assert done.returncode == 0
    size = _HEAD.size + _SIZE + len(signalframe.TRAMPOLINE)
    return [Shown(done.stdout[at : at + size]) for at in range(0, len(done.stdout), size)]


@pytest.mark.needs("gcc")
@pytest.mark.parametrize(("position", "kind"), list(enumerate("rwtbdga")))
def test_the_interrupted_registers_and_the_trap_are_those_of_the_kernel(
    position: int, kind: str, program: Path
) -> None:
    outer, inner = _frames(program, kind)
    for shown, where in ((outer, position), (inner, 2)):
        assert shown.info - shown.context == signalframe.CONTEXT_SIGINFO
        assert shown.restorer == signalframe.TRAMPOLINE
        restored = signalframe.restore_signal_frame(shown.space, shown.context)
        assert restored is not None
        registers, details = restored
        named = dict(zip(DWARF_NAMES, registers, strict=True))
        changed = {"rcx"} if where == 4 else set()  # the divisor
        assert {name: named[name] for name in SET if name not in changed} == {
            name: value for name, value in SET.items() if name not in changed
        }
        assert named["rip"] == shown.pc
        assert [bool(flag) for flag in shown.at] == [index == where for index in range(7)]
        assert named["rsp"] is not None
        assert details["eflags"] & 2  # a bit that is always set
        number, _, code = struct.unpack_from("<iii", shown.frame, signalframe.CONTEXT_SIGINFO)
        (address,) = struct.unpack_from("<Q", shown.frame, signalframe.CONTEXT_SIGINFO + 16)
        made = signalframe.signal_of_trap(details, shown.pc, _everywhere if where in (1, 6) else _nowhere)
        assert made is not None
        assert (made.number, made.code, made.address) == (number, code, address)
    # The handler runs below what it interrupted, the second below the first.
    first = signalframe.restore_signal_frame(outer.space, outer.context)
    second = signalframe.restore_signal_frame(inner.space, inner.context)
    assert first is not None and second is not None
    assert (first[0][7] or 0) > outer.context > (second[0][7] or 0) > inner.context


def _context(cs: int = 0x33, size: int = 304) -> AddressSpace:
    data = (bytes(40) + struct.pack("<23Q", *range(100, 118), cs, 7, 14, 0, 0x1234)).ljust(size, b"\0")[:size]
    return AddressSpace([Piece(BASE, BASE + len(data), data, 0)])


def test_each_word_goes_to_its_register() -> None:
    """struct sigcontext: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags."""
    restored = signalframe.restore_signal_frame(_context(), BASE)
    assert restored is not None
    order = (*(f"r{number}" for number in range(8, 16)), *"rdi rsi rbp rbx rdx rax rcx rsp rip".split())  # noqa: SIM905
    assert dict(zip(DWARF_NAMES, restored[0], strict=True)) == dict(zip(order, range(100, 117), strict=True))
    assert restored[1] == {"eflags": 117, "err": 7, "trapno": 14, "cr2": 0x1234}


@pytest.mark.parametrize(
    ("cs", "size", "found"),
    [
        (0x33, 304, True),
        (0x23, 304, True),  # 32-bit code
        (0x2B000000000033, 304, True),  # ss lies in the same word
        (0x10, 304, False),  # the kernel's own
        (0, 304, False),
        (0x33, 220, False),  # cut
    ],
)
def test_what_can_be_a_user_context(cs: int, size: int, found: bool) -> None:
    assert (signalframe.restore_signal_frame(_context(cs, size), BASE) is not None) is found


@pytest.mark.parametrize(
    ("trap", "error", "expected"),
    [
        (14, 4, (11, 1, 0xCAFE)),
        (14, 5, (11, 2, 0xCAFE)),
        (14, 1, None),  # the kernel's own access
        (13, 0, (11, 128, 0)),
        (6, 0, (4, 2, 0x401000)),
        (0, 0, (8, 1, 0x401000)),
        (3, 0, (5, 128, 0)),
        (17, 0, (7, 1, 0)),
        (2, 0, None),
        (99, 0, None),
    ],
)
def test_the_siginfo_of_a_trap(trap: int, error: int, expected: tuple[int, int, int] | None) -> None:
    made = signalframe.signal_of_trap({"trapno": trap, "err": error, "cr2": 0xCAFE}, 0x401000, _nowhere)
    assert (None if made is None else (made.number, made.code, made.address)) == expected


@pytest.mark.parametrize(("mapped", "error", "code"), [(True, 6, 2), (False, 6, 1), (False, 7, 2), (True, 7, 2)])
def test_a_page_that_was_never_touched_of_a_mapping_that_forbids_it(mapped: bool, error: int, code: int) -> None:
    details = {"trapno": 14, "err": error, "cr2": 0x601000}
    made = signalframe.signal_of_trap(details, 0x401000, lambda address: mapped and address == 0x601000)
    assert made is not None
    assert made.code == code


def _frame(**changes: int) -> AddressSpace:
    """A frame as the kernel writes it, with the state that XSAVE leaves 16 bytes above siginfo_t."""
    values = {
        "flags": 7, "link": 0, "cs": 0x2B000000000033, "state": BASE + 448, "magic": 0x46505853, "size": 900,
        "end": 0x46505845,
    } | changes  # fmt: skip
    head = struct.pack("<2Q24x", values["flags"], values["link"])
    gregs = struct.pack("<23Q", *range(100, 118), values["cs"], 7, 14, 0, 0x1234)
    data = bytearray(4096)
    data[: len(head) + len(gregs) + 8] = head + gregs + struct.pack("<Q", values["state"])
    struct.pack_into("<2I", data, 448 + 464, values["magic"], values["size"])
    struct.pack_into("<I", data, 448 + 900 - 4, values["end"])
    return AddressSpace([Piece(BASE, BASE + len(data), bytes(data), 0)])


def test_a_frame_of_the_kernel_is_told_without_the_code_of_its_trampoline() -> None:
    assert signalframe.is_signal_frame(_frame(), BASE)
    assert not signalframe.is_signal_frame(_frame(), BASE + 8)


@pytest.mark.parametrize(
    "changed",
    [
        {"flags": 0x1000},
        {"link": 0x55},
        {"cs": 0x33},  # getcontext() leaves ss out
        {"state": BASE + 456},  # not aligned
        {"state": BASE - 64},  # getcontext(): within the structure
        {"magic": 0},
        {"size": 0},
        {"size": 904},
        {"end": 0},
    ],
)
def test_what_no_kernel_wrote_is_no_frame(changed: dict[str, int]) -> None:
    assert not signalframe.is_signal_frame(_frame(**changed), BASE)
