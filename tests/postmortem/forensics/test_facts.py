"""Each fact on a real module that has it, and on one that has not."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

import postmortem
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
