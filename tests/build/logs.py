"""Fatal error logs in HotSpot's own layout, from the few facts that a test is about.

The layout is VMError::report's (src/hotspot/share/utilities/vmError.cpp); texts and addresses are made up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LIBJVM = 0x7F1A50000000
LIBC = 0x7F1A60000000
THREAD = 0x7F1A48024000
STACK = (0x7F1A40000000, 0x7F1A40100000)


@dataclass(frozen=True, kw_only=True)
class Log:
    """What the log says. `error`: the head's second line in place of a signal; `head`: lines before it.

    frames, java: as the log prints them. siginfo "" leaves the line out. sections: text to go into PROCESS.
    """

    signal: str = "SIGSEGV (0xb)"
    error: str | None = None
    head: tuple[str, ...] = ()
    pc: int = LIBJVM + 0x1234
    version: str = "17.0.9+9"
    platform: str = "linux-amd64"
    gc: str = "g1 gc"
    problematic: str | None = None
    thread: str = 'JavaThread "main" [_thread_in_native, id=4242, stack(0x00007f1a40000000,0x00007f1a40100000)]'
    sp: int = STACK[1] - 0x2000
    siginfo: str = "si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x00006b2f1e4c7018"
    frames: tuple[str, ...] = ()
    java: tuple[str, ...] = ()
    operation: str | None = None
    task: str | None = None
    registers: dict[str, int] = field(default_factory=dict)
    locations: tuple[str, ...] = ()
    instructions: str | None = None
    sections: str = ""
    libraries: tuple[str, ...] = ()
    arguments: str = ""
    handlers: tuple[str, ...] = ()
    os: str = "Debian GNU/Linux 12 (bookworm)"
    uname: str = "Linux 6.1.0-13-amd64 #1 SMP x86_64"
    libc: str | None = "glibc 2.36 NPTL 2.36"
    meminfo: tuple[str, ...] = ()
    limits: str | None = None
    memory: str = "4k page, physical 16384000k(9000000k free), swap 4096000k(4096000k free)"
    system: tuple[str, ...] = ()

    def text(self) -> str:
        """The whole log."""
        eight = self.version.startswith("1.8")
        lines = [*self._head(eight), "", "---------------  T H R E A D  ---------------", ""]
        lines += [f"Current thread (0x{THREAD:016x}):  {self.thread}", ""]
        if self.task:
            lines += ["Current CompileTask:", self.task, ""]
        if self.operation:
            lines += [f"VM_Operation (0x00007f1a3fffe000): {self.operation}, mode: safepoint, requested by thread"
                      f" 0x{THREAD:016x}", ""]  # fmt: skip
        lines += [f"Stack: [0x{STACK[0]:016x},0x{STACK[1]:016x}],  sp=0x{self.sp:016x},  free space=1016k"]
        lines += ["Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)", *self.frames, ""]
        if self.java:
            lines += ["Java frames: (J=compiled Java code, j=interpreted, Vv=VM code)", *self.java, ""]
        if self.siginfo:
            lines += [f"siginfo: {self.siginfo}", ""]
        if self.locations:
            lines += ["Register to memory mapping:", "", *self.locations, ""]
        if self.registers:
            lines += ["Registers:", *(f"{name}=0x{value:016x}" for name, value in self.registers.items()), ""]
        if self.instructions:
            lines += [f"Instructions: (pc=0x{self.pc:016x})", f"0x{self.pc:016x}:   {self.instructions}", ""]
        lines += ["", "---------------  P R O C E S S  ---------------", "", *self.sections.splitlines(), ""]
        lines += ["Dynamic libraries:", *self._libraries(), ""]
        lines += ["VM Arguments:", f"jvm_args: {self.arguments}", "java_command: shop.Main", ""]
        if self.handlers:
            lines += ["Signal Handlers:", *self.handlers, ""]
        lines += ["", "---------------  S Y S T E M  ---------------", "", f"OS: {self.os}"]
        lines += [f"uname: {self.uname}", *([f"libc: {self.libc}"] if self.libc else [])]
        lines += [f"rlimit (soft/hard): {self.limits}"] if self.limits else []
        lines += ["", "/proc/meminfo:", *self.meminfo, ""] if self.meminfo else []
        lines += [*self.system, f"Memory: {self.memory}", ""]
        lines += [f"vm_info: OpenJDK 64-Bit Server VM ({self.version}) for {self.platform} JRE ({self.version})", ""]
        return "\n".join([*lines, "END.", ""])

    def _head(self, eight: bool) -> list[str]:
        lines = ["#", *(f"# {line}" for line in self.head)]
        if not self.head:
            lines += ["# A fatal error has been detected by the Java Runtime Environment:"]
        fault = f"{self.signal} at pc=0x{self.pc:016x}, pid=4240, tid=4242"
        lines += ["#", f"#  {fault if self.error is None else f'{self.error}, pid=4240, tid=4242'}", "#"]
        runtime = "1.8.0_392-b08" if eight else self.version
        number = "8.0_392-b08" if eight else self.version
        modern = f"{self.version}, mixed mode, tiered, compressed oops, {self.gc},"
        machine = "25.392-b08 mixed mode" if eight else modern
        lines += [f"# JRE version: OpenJDK Runtime Environment ({number}) (build {runtime})"]
        lines += [f"# Java VM: OpenJDK 64-Bit Server VM ({machine} {self.platform})"]
        first = self.problematic or (self.frames[0] if self.frames and self.error is None else None)
        lines += ["# Problematic frame:", f"# {first}"] if first else []
        return [*lines, "#"]

    def _libraries(self) -> tuple[str, ...]:
        if self.libraries or not self.platform.startswith("linux"):
            return self.libraries
        return (
            f"{LIBJVM:x}-{LIBJVM + 0x1200000:x} r-xp 00000000 08:01 11 /usr/lib/jvm/java/lib/server/libjvm.so",
            f"{LIBC:x}-{LIBC + 0x200000:x} r-xp 00000000 08:01 12 /lib/x86_64-linux-gnu/libc.so.6",
        )
