"""A real crash of the host's JVM: native frames of all threads, and the original fault behind the JVM's handler."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import postmortem

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.jdk, pytest.mark.needs("javac")]

SOURCE = """
import java.lang.reflect.Field;
import sun.misc.Unsafe;

public class Boom {
    public static void main(String[] arguments) throws Exception {
        Field field = Unsafe.class.getDeclaredField("theUnsafe");
        field.setAccessible(true);
        Thread idle = new Thread(() -> { synchronized (field) { try { field.wait(); } catch (Exception e) { } } });
        idle.setDaemon(true);
        idle.start();
        Thread.sleep(300);
        ((Unsafe) field.get(null)).putInt(0x40L, 1);
    }
}
"""


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("jvm")
    (place / "Boom.java").write_text(SOURCE)
    subprocess.run(["javac", "-nowarn", "Boom.java"], cwd=place, check=True, capture_output=True)

    def unlimited() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    command = ["java", "-Xmx64m", "-Xint", "-XX:ErrorFile=hs_err.log", "Boom"]
    subprocess.run(command, cwd=place, check=False, capture_output=True, timeout=120, preexec_fn=unlimited)
    assert (place / "core").is_file(), "the kernel's core_pattern is not `core`"
    return place


def test_the_original_fault_is_shown(crash: Path) -> None:
    report = postmortem.analyze(crash / "core", postmortem.Options(strict=True))
    log = (crash / "hs_err.log").read_text()
    match = re.search(r"SIGSEGV \(0xb\) at pc=(0x[0-9a-f]+), pid=(\d+), tid=(\d+)", log)
    assert match is not None
    assert report.crash.unwrapped
    assert report.crash.signal is not None
    assert (report.crash.signal.name, report.crash.signal.code_name) == ("SIGSEGV", "SEGV_MAPERR")
    assert report.crash.fault_address == 0x40
    assert report.crash.handler_signal is not None and report.crash.handler_signal.name == "SIGABRT"
    assert report.crash.pc == int(match[1], 16)
    assert report.process.pid == int(match[2])
    assert report.crash.tid == int(match[3])
    handler = [frame.function or "" for frame in report.threads[0].handler_frames or ()]
    assert any("VMError::report_and_die" in name for name in handler)
    functions = [frame.function for frame in report.threads[0].frames]
    assert functions[0] == "Unsafe_PutInt"
    assert "JavaMain" in functions
    # start_thread and clone3 have names only where the C library's file has its symbol table.
    assert all("libc.so" in (frame.module or "") for frame in report.threads[0].frames[-2:])
    assert report.threads[0].ended == "bottom"


def test_every_walk_ends_at_the_bottom(crash: Path) -> None:
    report = postmortem.analyze(crash / "core", postmortem.Options(strict=True))
    assert len(report.threads) > 10
    assert {thread.ended for thread in report.threads} == {"bottom"}


def test_memory_stays_small(crash: Path) -> None:
    """The core is hundreds of MB; only the pages of threads and tables are touched."""
    # VmHWM is of the new program alone; ru_maxrss would count the test process that it was forked from.
    script = (
        "import atexit; from pathlib import Path; from postmortem.cli.group import cli; "
        "atexit.register(lambda: print(Path('/proc/self/status').read_text())); cli()"
    )
    command = [sys.executable, "-c", script, "analyze", str(crash / "core"), "-o", str(crash / "report.json")]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    peak = re.search(r"VmHWM:\s+(\d+) kB", output)
    assert peak is not None
    assert int(peak[1]) < 200 * 1024
