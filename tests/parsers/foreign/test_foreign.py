"""Files of other kinds: each is told by what it is; a Linux core and a HotSpot log are no such file."""

# ruff: noqa: E501 (lines as other programs print them)
from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.foreign import identify
from tests.build.core import CoreBuilder
from tests.parsers.hs_err import texts

TEXTS = {
    "coredumpctl info": """           PID: 931 (gatewayd)
           UID: 994 (gateway)
        Signal: 6 (ABRT)
     Timestamp: Tue 2026-02-03 04:05:06 UTC (2 days ago)
  Command Line: /usr/sbin/gatewayd --serve
       Storage: /var/lib/systemd/coredump/core.gatewayd.994.b0.931.1770091506000000.zst (present)
       Message: Process 931 (gatewayd) of user 994 dumped core.

                Stack trace of thread 931:
                #0  0x00007f6f6a2a5ce1 raise (libc.so.6 + 0x38ce1)
                #1  0x00007f6f6a28f537 abort (libc.so.6 + 0x22537)
""",
    "the list of coredumpctl": "TIME                          PID  UID  GID SIG     COREFILE EXE            SIZE\n",
    "a journal message of systemd-coredump": "Feb 03 04:05:06 h systemd-coredump[99]: [🡕] Process 931 (gatewayd) of "
    "user 994 dumped core.\n",
    "a kernel message about a process": "[ 1212.5] worker[88]: segfault at 18 ip 000055d0a0401136 sp 00007ffd1c0 "
    "error 4 in worker[55d0a0401000+1000]\n",
    "a kernel message of the out-of-memory killer": "[9.1] Out of memory: Killed process 88 (java) total-vm:9000kB\n",
    "messages of a kernel that crashed": "[ 3.1] BUG: unable to handle page fault for address: ffffb0\n",
    "a backtrace that gdb": "#0  0x00005555555551a9 in parse (text=0x0) at tree.c:12\n#1  0x0000555555555201 in main ()\n",
    "a backtrace that lldb": "* thread #1, name = 'x', stop reason = signal SIGSEGV\n  * frame #0: 0x0000 x`f + 4\n",
    "the output of eu-stack": "PID 88 - core\nTID 88:\n#0  0x00007f1 raise\n",
    "a javacore of an OpenJ9": "NULL\n0SECTION       TITLE subcomponent dump routine\nNULL  ====\n1TISIGINFO  Dump\n",
    "the console output of an OpenJ9": "Unhandled exception\nType=Segmentation error vmState=0x00020002\n"
    "J9Generic_Signal_Number=00000018 Signal_Number=0000000b\n",
    "a report of apport": "ProblemType: Crash\nArchitecture: amd64\nCoreDump: base64\n H4sICAAAAAAC/0NvcmVEdW1wAA==\n",
    "the report of a sanitizer": "=====\n==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x60 at pc 0x1\n",
    "the report of valgrind": "==7== Memcheck, a memory error detector\n==7== Invalid read of size 4\n",
    "a crash report of macOS": "Process:   x [7]\nIncident Identifier: 0-1\nException Type:  EXC_BAD_ACCESS (SIGSEGV)\n",
    "an Android tombstone": "*** *** *** *** *** *** *** *** *** *** *** *** *** *** *** ***\nBuild fingerprint: 'a/b'\n",
    "the crash report of a native image": "[ [ SubstrateSegfaultHandler caught a segfault in thread 0x0000021143541000 ] ]\n",
    "the last words of glibc": "*** Error in `/opt/jdk/bin/java': double free or corruption (out): 0x00007fa944d77220 ***\n",
    "the last words of a .NET": "Unhandled exception. System.NullReferenceException: Object reference not set\n",
    "a report of Windows Error": "Problem signature:\n  Problem Event Name:\tAPPCRASH\n  Application Name:\tjavaw.exe\n",
    "a replay file": "version 2\nJvmtiExport can_access_local_variables 0\n",
    "a thread dump": 'Full thread dump OpenJDK 64-Bit Server VM (17.0.9+9 mixed mode):\n\n"main" #1 prio=5\n',
    "a log of a JVM's garbage": "[0.012s][info][gc] Using G1\n[0.5s][info][gc] GC(0) Pause Young\n",
    "the traceback of a Go": "panic: runtime error: index out of range [3]\n\ngoroutine 1 [running]:\nmain.main()\n",
    "the panic message of a Rust": "thread 'main' panicked at src/main.rs:3:5:\nboom\n",
    "the traceback of a Python": 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n',
    "the stack trace of a Java exception": 'Exception in thread "main" java.lang.IllegalStateException: x\n\tat a.B.c\n',
    "a Git LFS pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n",
    "a report that this program made (JSON)": '{"schema_version":"1.0","tool":{"name":"postmortem","version":"1"},"core":{}}',
    "the message of a JVM that did not start": "Error occurred during initialization of VM\nCould not reserve enough space\n",
    "an HTML page": "<!DOCTYPE html><html><body>404</body></html>",
}
BINARY = {
    "a minidump": b"MDMP\x93\xa7\x00\x00" + bytes(64),
    "a Windows kernel": b"PAGEDU64" + bytes(64),
    "a kernel crash dump (kdump": b"KDUMP   " + bytes(64),
    "a heap dump of a JVM": b"JAVA PROFILE 1.0.2\0" + bytes(64),
    "a JFR recording": b"FLR\0\0\2" + bytes(64),
    "a zip archive": b"PK\x03\x04" + bytes(64),
    "a tar archive": bytes(257) + b"ustar\0" + bytes(300),
    "a core dump of macOS": struct.pack("<IIII", 0xFEEDFACF, 0x01000007, 3, 4) + bytes(64),
    "a macOS executable": struct.pack("<IIII", 0xFEEDFACF, 0x01000007, 3, 2) + bytes(64),
    "a Java class file": b"\xca\xfe\xba\xbe\0\0\0\x3d" + bytes(64),
    "a Windows executable": b"MZ\x90\0" + bytes(64),
}


@pytest.mark.parametrize("what", TEXTS)
def test_text_of_another_kind_is_told(what: str) -> None:
    found = identify(TEXTS[what].encode())
    assert found is not None and found.text is ("this program made" not in what)
    assert what in found.what and found.instead
    assert "\n" not in found.what + found.instead
    assert identify(TEXTS[what].replace("\n", "\r\n").encode()) == found


PASTED = {
    "a backtrace that gdb": "> #0  0x00007ffbbb848387 in __GI_raise (sig=6) at raise.c:55\n"
    "#1  0x00007ffbbb849a78 in __GI_abort () at abort.c:90\n",
    "the output of `coredumpctl info`": "PID: 931 (java)\n           UID: 0 (root)\n        Signal: 6 (ABRT)\n"
    "       Boot ID: 9cda61b7\n",
    "a crash report of macOS": "Thread 13:: Java: C2 CompilerThread1\n"
    "0   libjvm.dylib                    0x0000000110103c7b Type::hash() const + 15\n",
    "an Android tombstone": "07-13 23:28:15.178: A/libc(29018): Fatal signal 11 (SIGSEGV), code 1, fault addr 0x28\n",
    "the last words of glibc": "INFO | jvm 1 | 2017/12/24 | *** glibc detected *** java: double free or corruption (!prev):\n",
}


MIDST = {
    "a backtrace that gdb": "#6  0x00007f04f4c3acff in JVM_handle_linux_signal () from /opt/jdk/lib/server/libjvm.so\n"
    "No symbol table info available.\n#7  <signal handler called>\n",
    "an excerpt of an Android tombstone": "app.depot.Table.put(Native Method)\n"
    "2 #01 pc 00022c8d /data/app/app.depot-1/lib/arm/libtable.so [armeabi-v7a]\n",
    "the last words of a JVM that native code": "JDWP exit error AGENT_ERROR_NO_THREAD(203): list corrupted [:2148]\n",
}


@pytest.mark.parametrize("what", MIDST)
def test_an_excerpt_from_the_midst_of_another_kind_is_told(what: str) -> None:
    found = identify(MIDST[what].encode())
    assert found is not None
    assert found.what.startswith(what)


@pytest.mark.parametrize(
    "text",
    [
        "#6 0x1f is a number in a list\n#7 0x2f is another\n",
        "ticket #01 pc 12 of the library\n",
        "an exit error of JDWP\n",
    ],
)
def test_words_that_only_look_like_it_are_not(text: str) -> None:
    assert identify(text.encode()) is None


@pytest.mark.parametrize("what", PASTED)
def test_text_of_another_kind_is_told_as_it_is_pasted(what: str) -> None:
    found = identify(PASTED[what].encode())
    assert found is not None and what in found.what


def test_a_log_between_the_words_of_others_is_no_other_kind() -> None:
    for words in (TEXTS["the last words of glibc"], "free(): invalid pointer\n"):
        found = identify((words + texts.JDK17_LINUX).encode())
        assert found is not None and found.text
    assert identify(b"Thread 13: it waits\n0   is what it returns\n") is None
    assert identify(b"PID: 931 (java)\nrestarts of the service: 3\n") is None


@pytest.mark.parametrize("what", BINARY)
def test_a_binary_file_is_told_by_its_magic_number(what: str) -> None:
    found = identify(BINARY[what])
    assert found is not None and not found.text
    assert found.what.startswith(what)


def test_a_core_of_linux_and_a_log_are_none() -> None:
    assert identify(CoreBuilder().thread(1).bytes()) is None
    for text in (texts.JDK17_LINUX, texts.JDK8_WINDOWS, texts.JDK21_MACOS, texts.OUT_OF_MEMORY):
        assert identify(text.encode()) is None
    assert identify(b"") is None
    assert identify(b"Meeting notes\n" * 20) is None


def test_the_core_that_coredumpctl_names_is_what_to_give() -> None:
    found = identify(TEXTS["coredumpctl info"].encode())
    assert found is not None
    assert "/var/lib/systemd/coredump/core.gatewayd.994.b0.931.1770091506000000.zst" in found.instead
    gone = identify(TEXTS["coredumpctl info"].replace("(present)", "(missing)").encode())
    assert gone is not None and "is gone" in gone.instead


@given(
    data=st.binary(max_size=400),
    mark=st.sampled_from([b"", b"\x7fELF", b"\x7fELF\2\1\1", *BINARY.values()]),
)
@settings(max_examples=300)
def test_any_bytes_give_an_answer(data: bytes, mark: bytes) -> None:
    found = identify(mark + data)
    assert found is None or found.what


def test_real_logs_are_no_foreign_files() -> None:
    logs = sorted((Path(__file__).resolve().parents[3] / "fixtures" / "logs").glob("*.log"))
    assert logs
    assert all(identify(path.read_bytes()) is None for path in logs)


_LINES = (
    "#0 a\n",
    "panic: \n",
    "{ ",
    "==1== ",
    '"a" ',
    "[1][",
    "\n ",
    " ",
    "\t\n",
    "TID 1:\n#0 ",
    "   PID: 1\n",
    "<a>",
    "*** ",
    "a: ",
)


@pytest.mark.parametrize("line", _LINES)
def test_hostile_text_costs_time_in_proportion(line: str) -> None:
    def spent(size: int) -> float:
        data = (line * (size // len(line))).encode()
        start = time.process_time()
        identify(data)
        return time.process_time() - start

    spent(1 << 10)
    assert spent(1 << 15) < 32 * spent(1 << 12) + 0.5  # eight times the text
