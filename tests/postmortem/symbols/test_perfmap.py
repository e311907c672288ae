"""Code that a program generated, named by the perf map that it wrote."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

import postmortem

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.corpus

PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int argc, char **argv) {
    /* push %rbp; mov %rsp,%rbp; mov 0x8,%eax; pop %rbp; ret */
    static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x8b, 0x04, 0x25, 8, 0, 0, 0, 0x5d, 0xc3};
    unsigned char *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page + 64, code, sizeof code);
    char path[4096];
    snprintf(path, sizeof path, "%s/tmp/perf-%d.map", argv[1], getpid());
    FILE *map = fopen(path, "w");
    fprintf(map, "%lx %zx *app.handle_request /srv/app.js:12\n", (unsigned long)(page + 64), sizeof code);
    fclose(map);
    return ((int (*)(void))(page + 64))();
}
"""


def test_a_crash_in_generated_code_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "jit.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-O0", "-o", tmp_path / "jit", tmp_path / "jit.c"], check=True)
    root = tmp_path / "root"
    (root / "tmp").mkdir(parents=True)
    run = f"ulimit -c unlimited; cd {tmp_path}; exec ./jit {root}"
    subprocess.run(["/bin/sh", "-c", run], check=False)
    core = next(tmp_path.glob("core*"))
    options = postmortem.Options(sysroot=root, executable=tmp_path / "jit", strict=True)
    report = postmortem.analyze(core, options)
    frames = report.threads[0].frames
    assert frames[0].function == "*app.handle_request /srv/app.js:12+0x4"
    assert frames[1].function == "main"
    assert any("perf-" in problem.where and "proves" in problem.what for problem in report.problems)
    next((root / "tmp").glob("*.map")).unlink()
    assert postmortem.analyze(core, options).threads[0].frames[0].function is None
