"""Each fact on a real module that has it, and on one that has not."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

import postmortem
from postmortem.forensics import producer
from postmortem.forensics.facts import Facts, facts
from postmortem.forensics.process import examined, wanted
from postmortem.model import Address, Core, Module, Report, Tool
from tests.postmortem import corpus

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")

SOURCE = """
#include <stdio.h>
#include <string.h>
extern int other(void);
int copy(const char *text) { char buffer[32]; strcpy(buffer, text); return puts(buffer); }
"""
PLAIN = ("-shared", "-fPIC", "-O2", "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-fcf-protection=none", "-Wl,-z,lazy")


def build(folder: Path, name: str, *flags: str, source: str = SOURCE) -> Path:
    (folder / f"{name}.c").write_text(source)
    subprocess.run(["gcc", "-w", f"{name}.c", "-o", name, *flags], cwd=folder, check=True, capture_output=True)
    return folder / name


def known(path: Path) -> Facts:
    found = facts(path)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("flags", "member", "value"),
    [
        (("-Wl,-z,relro,-z,now",), "relro", "full"),
        (("-Wl,-z,relro,-z,lazy",), "relro", "partial"),
        (("-Wl,-z,norelro",), "relro", "none"),
        (("-fstack-protector-all",), "canary", True),
        (("-fno-stack-protector",), "canary", False),
        (("-O2", "-D_FORTIFY_SOURCE=2"), "fortified", True),
        (("-U_FORTIFY_SOURCE",), "fortified", False),
        (("-z", "execstack"), "executable_stack", True),
        (("-z", "noexecstack"), "executable_stack", False),
        (("-fno-pic", "-mcmodel=large", "-Wl,-z,notext"), "text_relocations", True),
        (("-fPIC",), "text_relocations", False),
    ],
)
def test_hardening(tmp_path: Path, flags: tuple[str, ...], member: str, value: object) -> None:
    assert getattr(known(build(tmp_path, "made.so", *PLAIN, *flags)).hardening, member) == value


@pytest.mark.parametrize(
    ("flags", "canary", "fortified"),
    [
        # A static libc has __stack_chk_fail in any case, and newer ones have checked forms of their functions: only a
        # program without one is known to have none.
        (("-static", "-fstack-protector-all", "-O2", "-D_FORTIFY_SOURCE=2"), {None}, {None}),
        (("-static", "-fno-stack-protector", "-U_FORTIFY_SOURCE"), {None}, {False, None}),
        (("-static-pie", "-O2", "-D_FORTIFY_SOURCE=2"), {None}, {None}),
        (("-static", "-fstack-protector-all", "-O2", "-D_FORTIFY_SOURCE=2", "-s"), {None}, {None}),
        (("-static", "-nostdlib", "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-DBARE"), {False}, {False}),
        (("-fstack-protector-all", "-O2", "-D_FORTIFY_SOURCE=2", "-s"), {True}, {True}),
    ],
)
def test_checks_of_a_program(
    tmp_path: Path, flags: tuple[str, ...], canary: set[bool | None], fortified: set[bool | None]
) -> None:
    source = (
        "#ifdef BARE\nvoid _start(void) { for (;;); }\n#else\n#include <string.h>\n#include <stdio.h>\n"
        "int main(int count, char **words) { char text[16]; strcpy(text, words[0]); puts(text); return count; }\n"
        "#endif\n"
    )
    found = known(build(tmp_path, "program", *flags, source=source)).hardening
    assert found.canary in canary and found.fortified in fortified


def test_control_flow_protection(tmp_path: Path) -> None:
    # crti.o has the property only where the system was built with it: it is left out here.
    source = "int one(void) { return 1; }"
    flags = ("-shared", "-fPIC", "-nostdlib")
    with_it = known(build(tmp_path, "with.so", *flags, "-fcf-protection=full", source=source)).hardening
    without = known(build(tmp_path, "without.so", *flags, "-fcf-protection=none", source=source)).hardening
    assert (with_it.indirect_branch_tracking, with_it.shadow_stack) == (True, True)
    assert (without.indirect_branch_tracking, without.shadow_stack) == (False, False)
    assert with_it.branch_target_identification is None


def test_position_independent_executables(tmp_path: Path) -> None:
    source = "int main(void) { return 0; }"
    assert known(build(tmp_path, "pie", "-pie", "-fPIE", source=source)).hardening.position_independent
    assert not known(build(tmp_path, "fixed", "-no-pie", source=source)).hardening.position_independent


def test_compiler_flags_and_interpreter(tmp_path: Path) -> None:
    source = "int main(void) { return 0; }"
    made = known(build(tmp_path, "made", "-frecord-gcc-switches", "-O1", source=source))
    assert made.compilers[0].startswith("GCC: ")
    assert made.flags is not None
    assert "-O1" in made.flags
    assert made.interpreter == "/lib64/ld-linux-x86-64.so.2"
    bare = known(build(tmp_path, "bare.so", "-shared", "-fPIC", "-nostdlib", source=source))
    assert bare.interpreter is None
    assert bare.flags is None


OPTIMIZED = ("-shared", "-fPIC", "-O2", "-fno-stack-protector")
ONE = "int one(int value) { return value + 1; }"


@pytest.mark.parametrize(
    "debug", [("-g",), ("-gdwarf-3",), ("-gdwarf-4",), ("-gdwarf-5",), ("-g", "-gdwarf64"), ("-g", "-gz=zlib")]
)
def test_flags_of_debug_information(tmp_path: Path, debug: tuple[str, ...]) -> None:
    made = known(build(tmp_path, "made.so", *OPTIMIZED, *debug, source=ONE))
    assert made.flags is not None
    assert made.flags.startswith("GNU C")
    assert {"-O2", "-fno-stack-protector"} <= set(made.flags.split())


def test_flags_of_units_that_were_compiled_apart(tmp_path: Path) -> None:
    """As where a run-time's object (AddressSanitizer's) is linked in before the program's."""
    objects = []
    for name, option in (("first", "-O1"), ("second", "-O2"), ("third", "-O2")):
        objects.append(build(tmp_path, name, "-c", "-fPIC", "-g", option, source=ONE.replace("one", name)).name)
    subprocess.run(["gcc", "-shared", *objects, "-o", "made.so"], cwd=tmp_path, check=True)
    made = known(tmp_path / "made.so").flags
    assert made is not None
    assert [set(line.split()) & {"-O1", "-O2"} for line in made.split("; ")] == [{"-O1"}, {"-O2"}]


@pytest.mark.parametrize("debug", [("-g0",), ("-g", "-gno-record-gcc-switches"), ("-g", "-gsplit-dwarf")])
def test_no_flags_are_recorded(tmp_path: Path, debug: tuple[str, ...]) -> None:
    assert known(build(tmp_path, "made.so", *OPTIMIZED, *debug, source=ONE)).flags is None


def test_flags_are_those_of_a_compiler_though_an_assembler_comes_first(tmp_path: Path) -> None:
    (tmp_path / "first.s").write_text('.globl first\nfirst: ret\n.section .note.GNU-stack,"",@progbits\n')
    (tmp_path / "made.so.c").write_text(ONE)
    subprocess.run(["gcc", "-c", "-Wa,-g", "first.s", "made.so.c", "-g", *OPTIMIZED[1:]], cwd=tmp_path, check=True)
    subprocess.run(["gcc", "-shared", "first.o", "made.so.o", "-o", "made.so"], cwd=tmp_path, check=True)
    made = known(tmp_path / "made.so")
    assert made.flags is not None
    assert "-fno-stack-protector" in made.flags.split()


CLANG = """
    .section .debug_abbrev,"",%progbits
    .byte 1, 0x11, 0
    .byte 0x25, 0x25, 0x13, 0x05, 0x03, 0x25, 0x72, 0x17, {attribute}
    .byte 0, 0, 0
    .section .debug_info,"",%progbits
    .long end - begin
begin:
    .short 5
    .byte 1, 8
    .long .debug_abbrev
    .byte 1, 0
    .short 12
    .byte 1
    .long base
    {value}
end:
    .section .debug_str_offsets,"",%progbits
    .long 16
    .short 5, 0
base:
    .long producer, file, flags
    .section .debug_str,"MS",%progbits,1
producer: .string "clang version 14.0.6"
file: .string "one.c"
flags: .string "/usr/lib/llvm-14/bin/clang -g -O2 one.c"
    .section .note.GNU-stack,"",%progbits
"""
"""The first DIE as clang -gdwarf-5 -grecord-command-line writes it: DW_FORM_strx1, DW_AT_APPLE_flags."""


def test_flags_that_clang_records(tmp_path: Path) -> None:
    def flags(name: str, attribute: str, value: str) -> str | None:
        (tmp_path / f"{name}.s").write_text(CLANG.format(attribute=attribute, value=value))
        subprocess.run(["gcc", "-shared", "-nostdlib", f"{name}.s", "-o", name], cwd=tmp_path, check=True)
        return known(tmp_path / name).flags

    recorded = "clang version 14.0.6 /usr/lib/llvm-14/bin/clang -g -O2 one.c"
    assert flags("with.so", "0xe2, 0x7f, 0x25", ".byte 2") == recorded
    assert flags("without.so", "0x1b, 0x25", ".byte 1") is None


def test_damaged_debug_information_has_flags_or_none(tmp_path: Path) -> None:
    sections = {}
    made = build(tmp_path, "made.so", *OPTIMIZED, "-g", source=ONE)
    for name in ("info", "abbrev", "str", "line_str"):
        command = ["objcopy", "-O", "binary", "--only-section", f".debug_{name}"]
        command += ["--set-section-flags", f".debug_{name}=alloc", made.name, name]
        subprocess.run(command, cwd=tmp_path, check=True)
        sections[name] = (tmp_path / name).read_bytes()
    whole = producer.flags({name: memoryview(content) for name, content in sections.items()}.get)
    assert whole == known(made).flags
    chance = random.Random(11)
    for _ in range(2000):
        damaged = {name: bytearray(content) for name, content in sections.items()}
        for content in (damaged["info"], damaged["abbrev"]):
            for _ in range(chance.randrange(1, 6)):
                content[chance.randrange(min(len(content), 48))] = chance.randrange(256)
            del content[chance.randrange(1, len(content) + 1) :]
        producer.flags({name: memoryview(content) for name, content in damaged.items()}.get)


BRANCHES = """
    .text
    .globl one
one:
    hint 34
    ret
    .section .note.GNU-stack,"",%progbits
    .section .note.gnu.property,"a"
    .align 3
    .word 4, 16, 5
    .string "GNU"
    .word 0xc0000000, 4, {features}, 0
"""
"""As gcc -mbranch-protection writes it."""


@pytest.mark.needs("aarch64-linux-gnu-as", "aarch64-linux-gnu-ld")
@pytest.mark.parametrize(("features", "protected"), [(3, True), (1, True), (2, False), (None, False)])
def test_branch_target_identification(tmp_path: Path, features: int | None, protected: bool) -> None:
    text = BRANCHES.format(features=features)
    (tmp_path / "one.s").write_text(text if features is not None else text.partition("    .section .note.gnu")[0])
    for command in (("as", "one.s", "-o", "one.o"), ("ld", "-shared", "one.o", "-o", "one.so")):
        subprocess.run([f"aarch64-linux-gnu-{command[0]}", *command[1:]], cwd=tmp_path, check=True)
    hardening = known(tmp_path / "one.so").hardening
    assert hardening.branch_target_identification is protected
    assert (hardening.indirect_branch_tracking, hardening.shadow_stack) == (None, None)


def module(path: Path, start: int, soname: str | None = None) -> Module:
    return Module(
        path=str(path), soname=soname, start=Address(start), end=Address(start + 0x1000), bias=Address(start),
        status="matched", file=str(path),
    )  # fmt: skip


def report(*modules: Module) -> Report:
    return Report(
        tool=Tool(name="postmortem", version="0"), core=Core(path="core", size=1, format="elf-core"), modules=modules
    )


def versioned(folder: Path, name: str, versions: str | None) -> Path:
    flags = ["-shared", "-fPIC", "-Wl,-soname,libprice.so.1"]
    if versions is not None:
        (folder / "versions.map").write_text(versions)
        flags.append("-Wl,--version-script=versions.map")
    return build(folder, name, *flags, source="int price(void) { return 1; } int tax(void) { return 2; }")


def test_versions_and_libraries_that_are_needed_and_not_there(tmp_path: Path) -> None:
    new = versioned(tmp_path, "libprice.so.1", "PRICE_1 { global: price; }; PRICE_2 { global: tax; } PRICE_1;")
    source = "int price(void), tax(void); int main(void) { return price() + tax(); }"
    user = build(tmp_path, "user", "./libprice.so.1", source=source)
    (tmp_path / "old").mkdir()
    old = versioned(tmp_path / "old", "libprice.so.1", "PRICE_1 { global: price; tax; };")
    none = versioned(tmp_path, "unversioned.so", None)
    libc = module(tmp_path / "nowhere" / "libc.so.6", 0x9000, "libc.so.6")

    def lacks(*mapped: Module) -> Module:
        return examined(report(module(user, 0x1000), libc, *mapped), [0]).modules[0]

    assert lacks(module(new, 0x2000, "libprice.so.1")).missing_versions == ()
    assert lacks(module(old, 0x2000, "libprice.so.1")).missing_versions == ("PRICE_2 of libprice.so.1",)
    assert set(lacks(module(none, 0x2000, "libprice.so.1")).missing_versions) == {
        "PRICE_1 of libprice.so.1",
        "PRICE_2 of libprice.so.1",
    }
    assert lacks().missing_libraries == ("libprice.so.1",)
    assert lacks(module(new, 0x2000, "libprice.so.1")).missing_libraries == ()
    assert lacks().libc == "glibc"


def test_the_rule_for_libraries_says_it(tmp_path: Path) -> None:
    from postmortem.rules.engine import run

    made = msgspec.structs.replace(
        module(tmp_path / "user", 0x1000), missing_versions=("PRICE_2 of libprice.so.1",), needed=("libprice.so.1",)
    )
    found = run(report(made), strict=True).findings
    assert [finding.rule for finding in found] == ["mixed-libraries"]
    assert "needs PRICE_2 of libprice.so.1" in found[0].title
    assert run(report(module(tmp_path / "user", 0x1000)), strict=True).findings == ()


def test_nothing_is_examined_where_no_finding_asks() -> None:
    plain = report(module(Path("/bin/true"), 0x1000))
    assert wanted(plain, everything=False) == set()
    assert wanted(plain, everything=True) == {0}


def test_damaged_modules_give_facts_or_none(tmp_path: Path) -> None:
    whole = build(tmp_path, "made.so", *PLAIN).read_bytes()
    chance = random.Random(7)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 30)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path = tmp_path / "damaged.so"
        path.write_bytes(damaged[: chance.randrange(64, len(damaged) + 1)])
        facts(path)


@pytest.mark.corpus
def test_debug_packages_are_named_by_the_note_of_the_package() -> None:
    def commands(name: str) -> list[str]:
        (found,) = [finding for finding in of_corpus(name).findings if finding.rule == "missing-symbols"]
        return [remedy for remedy in found.remedies if remedy.startswith("apt ")]

    assert commands("null-stripped-package") == ["apt install shop-server-dbgsym=2.4-1"]
    assert commands("null-stripped") == []


def of_corpus(name: str) -> Report:
    place = corpus.directory() / name
    return postmortem.analyze(place / "core", postmortem.Options(executable=place / "exe", modules=True, strict=True))
