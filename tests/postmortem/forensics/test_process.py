"""What modules need of each other, on processes that crashed with it, and on their near misses."""

from __future__ import annotations

import resource
import subprocess
from typing import TYPE_CHECKING

import pytest

import postmortem

if TYPE_CHECKING:
    from pathlib import Path

    from postmortem.model import Module, Report

pytestmark = pytest.mark.needs("gcc", "musl-gcc")

PROGRAM = """
#include <dlfcn.h>
#include <stdio.h>
int main(void)
{
    void *plugin = dlopen("./plugin.so", RTLD_LAZY);
    int (*total)(const char *) = plugin ? (int (*)(const char *))dlsym(plugin, "total") : 0;
    return total("12");
}
"""
PRICED = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
int begin(pthread_t *thread, void *(*work)(void *)) { return pthread_create(thread, 0, work, 0); }
int total(const char *text)
{
    char *copy = strdup(text);
    int value = (int)strtol(copy, NULL, 10);
    fprintf(stderr, "%s\\n", copy);
    return value + *(volatile int *)8;
}
"""
TAXED = """
int price(void), tax(void);
int total(const char *text) { return price() + tax() + *(volatile int *)8; }
"""
LIBRARY = """
int getpid(void);
int price(void) { return getpid(); }
int tax(void) { return 2; }
"""
NEW = "PRICE_1 { global: price; }; PRICE_2 { global: tax; } PRICE_1;"
OLD = "PRICE_1 { global: price; tax; };"


def compiled(folder: Path, compiler: str, name: str, source: str, *flags: str) -> None:
    (folder / f"{name}.c").write_text(source)
    command = [compiler, "-w", "-g", f"{name}.c", "-o", name, "-Wl,--build-id=sha1", *flags]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def shared(folder: Path, compiler: str, name: str, source: str, *flags: str) -> None:
    compiled(folder, compiler, name, source, "-shared", "-fPIC", *flags)


def crashed(folder: Path, *, modules: bool = False) -> Report:
    def unlimited() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    environment = {"LD_LIBRARY_PATH": "."}
    subprocess.run(
        [folder / "exe"], cwd=folder, env=environment, check=False, preexec_fn=unlimited, capture_output=True
    )
    assert (folder / "core").is_file(), "the kernel's core_pattern is not `core`"
    options = postmortem.Options(executable=folder / "exe", modules=modules, strict=True)
    return postmortem.analyze(folder / "core", options)


def plugin(report: Report) -> Module:
    (found,) = [module for module in report.modules if module.path.endswith("/plugin.so")]
    return found


def verdict(report: Report) -> str:
    return report.findings[0].rule


def mixed(report: Report) -> list[str]:
    return [finding.title for finding in report.findings if finding.rule == "mixed-libraries"]


def test_a_library_for_glibc_calls_what_musl_has_not(tmp_path: Path) -> None:
    compiled(tmp_path, "musl-gcc", "exe", PROGRAM)
    shared(tmp_path, "gcc", "plugin.so", PRICED, "-O2", "-D_FORTIFY_SOURCE=2")  # __fprintf_chk is glibc's alone
    report = crashed(tmp_path)
    assert verdict(report) == "mixed-libraries"
    assert report.findings[0].claim == "cause"
    assert report.findings[0].confidence == "likely"
    assert mixed(report) == [
        "plugin.so was built for glibc, and the libc of the process is musl: it called a function that was not bound"
    ]
    assert (plugin(report).libc, plugin(report).missing_libraries) == ("glibc", ())
    assert "GLIBC_2.34 of libc.so.6" in plugin(report).missing_versions  # pthread_create's
    assert report.modules[0].libc == "musl"
    assert report.modules[0].interpreter == "/lib/ld-musl-x86_64.so.1"


def test_a_library_for_glibc_beside_musl_is_a_remark_where_it_calls_what_both_have(tmp_path: Path) -> None:
    compiled(tmp_path, "musl-gcc", "exe", PROGRAM)
    # C23 as gcc 15 takes it for its default makes strtol glibc's own __isoc23_strtol.
    shared(tmp_path, "gcc", "plugin.so", PRICED, "-O1", "-U_FORTIFY_SOURCE", "-std=gnu17")
    report = crashed(tmp_path, modules=True)
    assert verdict(report) == "null-dereference"
    assert mixed(report) == ["plugin.so was built for glibc, and the libc of the process is musl"]


@pytest.mark.parametrize("compiler", ["musl-gcc", "gcc"])
def test_a_library_for_the_libc_of_its_process(tmp_path: Path, compiler: str) -> None:
    compiled(tmp_path, compiler, "exe", PROGRAM)
    shared(tmp_path, compiler, "plugin.so", PRICED, "-O1")
    report = crashed(tmp_path, modules=True)
    assert verdict(report) == "null-dereference"
    assert mixed(report) == []
    assert plugin(report).libc == {"musl-gcc": "musl", "gcc": "glibc"}[compiler]
    assert all((module.missing_libraries, module.missing_versions) == ((), ()) for module in report.modules)


def test_a_jump_to_such_an_address_in_a_process_with_one_libc(tmp_path: Path) -> None:
    compiled(tmp_path, "musl-gcc", "exe", PROGRAM)
    shared(tmp_path, "musl-gcc", "plugin.so", "int total(void) { return ((int (*volatile)(void))0x1046)() + 1; }")
    report = crashed(tmp_path)
    assert plugin(report).libc is None or plugin(report).libc == "musl"
    assert mixed(report) == []


def price(folder: Path, compiler: str, versions: str | None) -> None:
    flags = ["-Wl,-soname,libprice.so.1"]
    if versions is not None:
        (folder / "versions.map").write_text(versions)
        flags.append("-Wl,--version-script=versions.map")
    shared(folder, compiler, "libprice.so.1", LIBRARY, *flags)


@pytest.mark.parametrize(
    ("compiler", "there", "missing"),
    [
        # glibc refuses the old one. musl looks at no version; glibc goes on where a library defines none.
        ("musl-gcc", OLD, {"PRICE_2 of libprice.so.1"}),
        ("gcc", None, {"PRICE_1 of libprice.so.1", "PRICE_2 of libprice.so.1"}),
        ("musl-gcc", NEW, set()),
        ("gcc", NEW, set()),
    ],
)
def test_versions_that_the_mapped_library_does_not_define(
    tmp_path: Path, compiler: str, there: str | None, missing: set[str]
) -> None:
    price(tmp_path, compiler, NEW)
    shared(tmp_path, compiler, "plugin.so", TAXED, "./libprice.so.1")
    price(tmp_path, compiler, there)
    compiled(tmp_path, compiler, "exe", PROGRAM)
    report = crashed(tmp_path, modules=True)
    assert verdict(report) == "null-dereference"
    assert set(plugin(report).missing_versions) == missing
    assert len(mixed(report)) == bool(missing)


def test_glibc_refuses_a_version_that_is_not_defined(tmp_path: Path) -> None:
    """The library is not mapped then, so that nothing is said of it: what the program does without it is the crash."""
    price(tmp_path, "gcc", NEW)
    shared(tmp_path, "gcc", "plugin.so", TAXED, "./libprice.so.1")
    price(tmp_path, "gcc", OLD)
    compiled(tmp_path, "gcc", "exe", PROGRAM, "-ldl")
    report = crashed(tmp_path, modules=True)
    assert verdict(report) == "null-function-call"
    assert all(not module.path.endswith("/plugin.so") for module in report.modules)
    assert mixed(report) == []
