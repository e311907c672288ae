"""Small logs in the forms that HotSpot's versions and systems print, written for the tests."""

from __future__ import annotations

JDK17_LINUX = """\
#
# A fatal error has been detected by the Java Runtime Environment:
#
#  SIGSEGV (0xb) at pc=0x00007f0000a12344, pid=321, tid=322
#
# JRE version: OpenJDK Runtime Environment Temurin-17.0.9+9 (17.0.9+9) (build 17.0.9+9)
# Java VM: OpenJDK 64-Bit Server VM Temurin-17.0.9+9 (17.0.9+9, mixed mode, sharing, tiered, \
compressed oops, compressed class ptrs, g1 gc, linux-amd64)
# Problematic frame:
# C  [libdemo.so+0x2344]  demo_sum+0x14
#
# Core dump will be written. Default location: /srv/app/core.321
#
# If you would like to submit a bug report, please visit:
#   https://example.org/bugs
# The crash happened outside the Java Virtual Machine in native code.
# See problematic frame for where to report the bug.
#

---------------  S U M M A R Y ------------

Command Line: -Xmx64m -Dkey=some value demo.Main --port 1

Host: Example CPU @ 2.00GHz, 4 cores, 15G, Example Linux 1.0
Time: Mon Jan  5 10:11:12 2026 UTC elapsed time: 12.500000 seconds (0d 0h 0m 12s)

---------------  T H R E A D  ---------------

Current thread (0x00007f0010001000):  JavaThread "pool "1" [x]" daemon [_thread_in_native, id=322, \
stack(0x00007f0020000000,0x00007f0020100000)]

Stack: [0x00007f0020000000,0x00007f0020100000],  sp=0x00007f00200fe000,  free space=1016k
Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)
C  [libdemo.so+0x2344]  demo_sum+0x14  (demo.c:41)
C  0x00007f00deadbeef
j  demo.Main.sum([II)J+0
J 302 c2 demo.Main.twice(I)J demo.base@1.2 (38 bytes) @ 0x00007f0030000ace [0x00007f0030000a00+0x00000000000000ce]
J 77% c1 demo.Main.loop()V (120 bytes) @ 0x00007f0030001010 [0x00007f0030001000+0x0000000000000010]
v  ~StubRoutines::call_stub 0x00007f0030000100
V  [libjvm.so+0x8282d2]  JavaCalls::call_helper(JavaValue*, methodHandle const&)+0x302
...<more frames>...

Java frames: (J=compiled Java code, j=interpreted, Vv=VM code)
j  java.lang.Thread.run()V+11 java.base@17.0.9

siginfo: si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x0000000000000000

Registers:
RAX=0x0000000000000000, RBX=0x00007f0010001000, RCX=0x0000000000000040, RDX=0x0000000000000001
R8 =0x00000000ffffffe0, RIP=0x00007f0000a12344, EFLAGS=0x0000000000010246
  TRAPNO=0x000000000000000e

XMM[0]=0x0000000000000001 0x0000000000000002
  MXCSR=0x00001fa0

Register to memory mapping:

RAX=0x0 is NULL
RBX=0x00007f0010001000 is a thread
RCX=0x00007f00a0000010: memcpy+0x0000000000000010 in /lib/libc.so.6 at 0x00007f00a0000000
RDX=0x00007f00200fe000 is pointing into the stack for thread: 0x00007f0010001000
RSI=0x00000000f0001000 is an oop: demo.Box
{0x00000000f0001000} - klass: 'demo/Box'
 - ---- fields (total size 2 words):

Top of Stack: (sp=0x00007f00200fe000)
0x00007f00200fe000:   00007f0000000001 0000000000000000

Instructions: (pc=0x00007f0000a12344)
0x00007f0000a12344:   0f b6 ?? 00

Stack slot to memory mapping:
stack at sp + 0 slots: 0x0000000000000007 is an unknown value

---------------  P R O C E S S  ---------------

Threads class SMR info:
_java_thread_list=0x00007f0010009000, length=2, elements={
0x00007f0010001000, 0x00007f0010002000
}

Java Threads: ( => current thread )
=>0x00007f0010001000 JavaThread "pool "1" [x]" daemon [_thread_in_native, id=322, \
stack(0x00007f0020000000,0x00007f0020100000)]
  0x00007f0010002000 JavaThread "main" [_thread_blocked, id=321, stack(0x00007f0021000000,0x00007f0021100000)]

Other Threads:
  0x00007f0010003000 VMThread "VM Thread" [stack: 0x00007f0022000000,0x00007f0022100000] [id=330]

Threads with active compile tasks:
C2 CompilerThread0      734   88   !   4       demo.Main::loop @ 5 (120 bytes)

VM state: at safepoint (normal execution)

VM Mutex/Monitor currently owned by a thread:  ([mutex/lock_event])
[0x00007f0010000aa0] Threads_lock - owner thread: 0x00007f0010003000

OutOfMemory and StackOverflow Exception counts:
StackOverflowErrors=3

Heap address: 0x00000000fc000000, size: 64 MB, Compressed Oops mode: 32-bit

Narrow klass base: 0x0000000800000000, Narrow klass shift: 0, Narrow klass range: 0x100000000

GC Precious Log:
 CPUs: 4 total, 4 available
 Heap Region Size: 1M

Heap:
 garbage-first heap   total 65536K, used 948K [0x00000000fc000000, 0x0000000100000000)
  region size 1024K, 1 young (1024K), 0 survivors (0K)
 Metaspace       used 224K, committed 448K, reserved 1114112K

Heap Regions: E=young(eden), S=young(survivor), O=old
|   0|0x00000000fc000000, 0x00000000fc0a0000, 0x00000000fc100000| 62%| O|  |TAMS 0x00000000fc000000| Untracked

Polling page: 0x00007f0001000000

Metaspace:

Usage:
  Non-class:    213.25 KB used.

Virtual space:
  Non-class space:       64.00 MB reserved,     320.00 KB ( <1%) committed,  1 nodes.

CodeHeap 'non-nmethods': size=5692Kb used=1079Kb max_used=1090Kb free=4612Kb
 bounds [0x00007f0030000000, 0x00007f0030270000, 0x00007f003058f000]
 total_blobs=416 nmethods=73 adapters=258
 compilation: enabled
              stopped_count=1, restarted_count=2
 full_count=3

Compilation events (2 events):
Event: 0.059 Thread 0x00007f0010004000   52       3       demo.Main::get (13 bytes)
Event: 0.061 Thread 0x00007f0010004000 nmethod 52 0x00007f0030005000 code [0x00007f0030005100, 0x00007f0030005200]

GC Heap History (1 events):
Event: 1.250 GC heap before
{Heap before GC invocations=0 (full 0):
 garbage-first heap   total 65536K, used 7168K [0x00000000fc000000, 0x0000000100000000)
}

Deoptimization events (0 events):
No events

Dynamic libraries:
fc000000-fc100000 rw-p 00000000 00:00 0
7f0000a10000-7f0000a14000 r-xp 00001000 fe:00 4711                       /srv/app/lib demo/libdemo.so
Total number of mappings: 2

VM Arguments:
jvm_args: -Xmx64m -Dkey=some value
java_command: demo.Main --port 1
java_class_path (initial): /srv/app/demo.jar
Launcher Type: SUN_STANDARD

[Global flags]
   size_t MaxHeapSize                              = 67108864                                  {product} {command line}
     bool UseG1GC                                  = true                                      {product} {ergonomic}

Logging:
Log output configuration:
 #0: stdout all=warning uptime,level,tags

Environment Variables:
PATH=/usr/bin
LANG=C.UTF-8

Active Locale:
LC_ALL=C

Signal Handlers:
   SIGSEGV: crash_handler in libjvm.so, mask=11100100010111111101111111111110, flags=SA_RESTART|SA_SIGINFO, unblocked
    SIGINT: SIG_IGN, mask=00000000000000000000000000000000, flags=none, blocked

Periodic native trim disabled

---------------  S Y S T E M  ---------------

OS:
PRETTY_NAME="Example Linux 1.0"
uname: Linux 6.1.0 #1 SMP x86_64
OS uptime: 1 days 2:33 hours
libc: glibc 2.36 NPTL 2.36
rlimit (soft/hard): STACK 8192k/infinity , CORE 0k/infinity
load average: 0.30 0.13 0.04

/proc/meminfo:
MemTotal:       16000000 kB
HugePages_Total:       0

/sys/kernel/mm/transparent_hugepage/enabled: always [madvise] never
/proc/sys/vm/max_map_count (maximum number of memory map areas a process may have): 65530

Process Memory:
Resident Set Size: 44572K (peak: 44572K)
Swapped out: 0K

container (cgroup) information:
container_type: cgroupv2
memory_limit_in_bytes: 1048576 k

KVM virtualization detected
Steal ticks since vm start: 0

CPU: total 4 (initial active 4) family 6 model 85 stepping 4
CPU Model and flags from /proc/cpuinfo:
model name	: Example CPU @ 2.00GHz

Memory: 4k page, physical 16000000k(8000000k free), swap 0k(0k free)

vm_info: OpenJDK 64-Bit Server VM (17.0.9+9) for linux-amd64 JRE (17.0.9+9), built on Oct 17 2023 by "x" with gcc 11.2.0

END.
"""

JDK8_WINDOWS = """\
#
# A fatal error has been detected by the Java Runtime Environment:
#
#  EXCEPTION_ACCESS_VIOLATION (0xc0000005) at pc=0x00007ffc10001234, pid=1500, tid=0x0000000000002f48
#
# JRE version: Java(TM) SE Runtime Environment (8.0_202-b08) (build 1.8.0_202-b08)
# Java VM: Java HotSpot(TM) 64-Bit Server VM (25.202-b08 mixed mode windows-amd64 compressed oops)
# Problematic frame:
# C  [demo.dll+0x1234]
#
# Failed to write core dump. Minidumps are not enabled by default on client versions of Windows
#

---------------  T H R E A D  ---------------

Current thread (0x0000000002222800):  JavaThread "main" [_thread_in_native, id=12104, \
stack(0x0000000002100000,0x0000000002200000)]

siginfo: ExceptionCode=0xc0000005, writing address 0x0000000000000008

Registers:
RAX=0x0000000000000008, RBX=0x0000000000000001

---------------  P R O C E S S  ---------------

VM state:not at safepoint (normal execution)

Heap:
 PSYoungGen      total 38400K, used 3328K [0x00000000d5f80000, 0x00000000d8a00000, 0x0000000100000000)
  eden space 33280K, 10% used [0x00000000d5f80000,0x00000000d62c01a8,0x00000000d8000000)

CodeCache: size=245760Kb used=1147Kb max_used=1154Kb free=244612Kb

Dynamic libraries:
0x00007ff6a0000000 - 0x00007ff6a0037000 \tC:\\Java\\bin\\java.exe
0x00007ffc10000000 - 0x00007ffc10010000 \tC:\\app dir\\demo.dll

VM Arguments:
java_command: demo.Main

Environment Variables:
USERNAME=someone
OS=Windows_NT

---------------  S Y S T E M  ---------------

OS: Windows 10.0 , 64 bit Build 17763 (10.0.17763.1)

CPU:total 8 (initial active 8) (4 cores per cpu, 2 threads per core) family 6 model 158 stepping 9

Memory: 4k page, physical 16000000k(9000000k free), swap 18000000k(8000000k free)

vm_info: Java HotSpot(TM) 64-Bit Server VM (25.202-b08) for windows-amd64 JRE (1.8.0_202-b08), built on Dec 15 2018

time: Mon Jan  5 10:11:12 2026
timezone: W. Europe Standard Time
elapsed time: 3 seconds (0d 0h 0m 3s)
"""

JDK21_MACOS = """\
#
# A fatal error has been detected by the Java Runtime Environment:
#
#  Internal Error (codeCache.cpp:654), pid=900, tid=5891
#  assert(heap != nullptr) failed: no heap for blob
#
# JRE version: OpenJDK Runtime Environment Zulu21.30+15-CA (21.0.1+12) (build 21.0.1+12-LTS)
# Java VM: OpenJDK 64-Bit Server VM Zulu21.30+15-CA (21.0.1+12-LTS, mixed mode, tiered, compressed oops, \
compressed class ptrs, z gc, bsd-aarch64)
# No core dump will be written. Core dumps have been disabled. To enable core dumping, try "ulimit -c unlimited"
#

---------------  T H R E A D  ---------------

Current thread (0x000000012f008200):  JavaThread "C2 CompilerThread0" daemon [_thread_in_native, id=24067, \
stack(0x0000000170a00000,0x0000000170c03000) (2060K)]

Current CompileTask:
C2:   1301 41032 %  b  4       demo.Main::spin @ 7 (210 bytes)

Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)
V  [libjvm.dylib+0x8f0a10]  VMError::report_and_die(int, char const*)+0x5a0
C  [libsystem_pthread.dylib+0x6fa8]  _pthread_start+0x94

siginfo: si_signo: 5 (SIGTRAP), si_code: 0 (SI_USER), si_pid: 77, si_uid: 501

Registers:
 x0=0x0000000000000001  x1=0x0000000000000002
 fp=0x0000000170bff000 lr=0x0000000104000000 sp=0x0000000170bfef00
 pc=0x0000000104000010 cpsr=0x0000000060001000

---------------  P R O C E S S  ---------------

Heap:
 ZHeap           used 6M, capacity 128M, max capacity 256M

ZGC Page Table:
 Small   0x0000000000000000 0x0000000000040000 0x0000000000200000  Allocating

Dynamic libraries:
0x0000000104000000 \t/Library/Java/zulu-21.jdk/Contents/Home/lib/server/libjvm.dylib

JVMTI agents: none

[error occurred during error reporting (printing ring buffers), id 0xa, SIGBUS (0xa) at pc=0x0000000104000020]
"""

OUT_OF_MEMORY = """\
#
# There is insufficient memory for the Java Runtime Environment to continue.
# Native memory allocation (mmap) failed to map 65536 bytes. Error detail: committing reserved memory.
# Possible reasons:
#   The system is out of physical RAM or swap space
# Possible solutions:
#   Reduce memory load on the system
# This output file may be truncated or incomplete.
#
#  Out of Memory Error (os_linux.cpp:2798), pid=12, tid=0x0000000000000abc
#
# JRE version:  (8.0_382-b05) (build )
# Java VM: OpenJDK 64-Bit Server VM (25.382-b05 mixed mode linux-amd64 )
#

Native Memory Tracking:

Total: reserved=1000KB, committed=400KB
-                 Java Heap (reserved=600KB, committed=300KB)
                            (mmap: reserved=600KB, committed=300KB)
"""
