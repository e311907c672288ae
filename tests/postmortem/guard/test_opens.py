"""What a run on a hostile core opens, executes and connects to, as strace sees it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.build.core import CoreBuilder
from tests.postmortem import corpus

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("strace")

_OPEN = re.compile(r'(?:openat2?|open|creat)\((?:AT_FDCWD, |[0-9]+, )?"((?:[^"\\]|\\.)*)", ([^)]*)\) += +(-?[0-9]+)')
# What the interpreter, its libraries and libc read of themselves.
_OWN = (
    *{os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, corpus.ROOT)},
    *(path for path in sys.path if path), sys.prefix, sys.base_prefix, "/proc/self", "/sys/devices/system/cpu",
    "/sys/fs/cgroup", "/dev/null", "/dev/urandom", "/etc/ld.so", "/etc/localtime", "/usr/share/zoneinfo",
    "/usr/share/locale", "/usr/lib/locale", "/etc/ssl", "/usr/lib/ssl", "/usr/lib/python3", "/etc/terminfo",
    "/lib/terminfo", "/proc/cpuinfo", "/proc/meminfo", "/proc/sys",
)  # fmt: skip
_LOADED = re.compile(r"/(?:usr/)?lib(?:64)?/(?:[\w-]+/)?(?:lib[\w+.-]+\.so[\d.]*|gconv/.*)")


def _hostile(folder: Path, *names: str) -> Path:
    """A core whose mapped files have these names, each with the beginning of an ELF file in memory."""
    page = b"\x7fELF\x02\x01\x01".ljust(64, b"\0").ljust(4096, b"\0")
    builder = CoreBuilder().thread(1, rip=0x400010)
    builder = builder.files(*((0x400000 + 0x100000 * i, 0x401000 + 0x100000 * i, 0, n) for i, n in enumerate(names)))
    for i in range(len(names)):
        builder = builder.memory(0x400000 + 0x100000 * i, page, flags=5)
    path = folder / "cores" / "core"
    path.parent.mkdir()
    path.write_bytes(builder.bytes())
    return path


@pytest.mark.parametrize("with_sysroot", [True, False])
def test_only_what_the_core_maps_inside_the_root(with_sysroot: bool, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\x7fELF" + b"secret" * 1000)
    root = tmp_path / "root"
    root.mkdir()
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to(secret)
    (tmp_path / "link").symlink_to("/etc/shadow")
    names = (
        "/pipe", "/link", f"/../..{secret}", "/dev/zero", "/dev/tty", "/proc/self/mem", "/proc/1/environ",
        "relative/name", str(tmp_path / "pipe"), str(tmp_path / "link"), "/dev/shm", "//etc//passwd", "/etc/hostname\n",
        "$(touch /tmp/x)",
    )  # fmt: skip
    core = _hostile(tmp_path, *names)
    trace = tmp_path / "trace"
    (tmp_path / "out").mkdir()
    (tmp_path / "cache").mkdir(mode=0o700)
    command = [sys.executable, "-B", "-m", "postmortem", "analyze", str(core), "-o", str(tmp_path / "out" / "r.html")]
    if with_sysroot:
        command += ["--sysroot", str(root)]
    done = subprocess.run(
        ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=%file,%network,%process", "-o", str(trace), *command],
        cwd=corpus.ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "POSTMORTEM_CACHE": str(tmp_path / "cache"), "POSTMORTEM_CONFIG": ""},
    )  # fmt: skip
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    lines = trace.read_text(errors="replace").splitlines()
    assert not [line for line in lines if re.search(r"\b(socket|connect|bind|sendto|sendmsg)\(", line)]
    executed = [line for line in lines if re.search(r"\bexecve(at)?\(", line) and " = 0" in line]
    assert len(executed) == 1, executed
    allowed = (*_OWN, str(core.parent), str(tmp_path / "out"), str(tmp_path / "cache"))
    mapped = {"/etc/passwd"}  # a regular file that the core names, where the root is the machine's
    odd = []
    seen = set()
    for line in lines:
        found = _OPEN.search(line)
        if found is None or int(found[3]) < 0 or "O_PATH" in found[2] or "O_TMPFILE" in found[2]:
            continue
        path = os.path.normpath(str(corpus.ROOT / found[1]))
        seen.add(path)
        if path.startswith(allowed) or _LOADED.fullmatch(path) or path == f"/proc/{line.split(maxsplit=1)[0]}/maps":
            continue  # its own map: glibc tells the interpreter the bounds of the stack from it
        if with_sysroot and path.startswith(str(root)):
            assert path not in (str(root / "pipe"), str(root / "link")), line
            continue
        if not with_sysroot and path in mapped:
            continue
        odd.append(line)
    assert not odd, odd
    assert str(core) in seen
    assert "secretsecret" not in (tmp_path / "out" / "r.html").read_text()
