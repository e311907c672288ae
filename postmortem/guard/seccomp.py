"""seccomp: system calls that no analysis needs are refused: the network, other programs, other processes.

Classic BPF over struct seccomp_data (include/uapi/linux/seccomp.h, linux/bpf_common.h). What is refused is listed,
not what is allowed: libc and the libraries below us may use any call that computes, maps memory or reads a file,
and which files is Landlock's part.
"""

from __future__ import annotations

import ctypes
import os
import struct

from postmortem.guard import syscalls

_SET_MODE_FILTER = 1
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16  # offsets in seccomp_data; of an argument the low half
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x00050000 | 1, 0x00050000 | 38
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_SIGNALLING = {"x86_64": (62, 234), "aarch64": (129, 131)}  # kill, tgkill

# By name: the numbers of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl) and AArch64 (asm-generic/unistd.h).
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "accept4": (288, 242), "bind": (49, 200),
    "listen": (50, 201), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269), "socketpair": (53, 199),
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440),
    "kcmp": (312, 272), "link": (86, None), "symlink": (88, None), "symlinkat": (266, 36), "mknod": (133, None),
    "mknodat": (259, 33), "chmod": (90, None), "fchmodat": (268, 53), "chown": (92, None), "lchown": (94, None),
    "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "unshare": (272, 97), "setns": (308, 268), "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145),
    "setregid": (114, 143), "setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159),
    "capset": (126, 91), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142),
    "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "acct": (163, 89), "quotactl": (179, 60), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266), "syslog": (103, 116),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262), "personality": (135, 92), "modify_ldt": (154, None), "shmget": (29, 194),
    "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "vhangup": (153, 58),
}  # fmt: skip


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict() -> str:
    """Refuse the calls of the table to this process for good; what is in force, in words.

    Needs no_new_privs. Raises OSError where the kernel or this program knows no filter for the machine.
    """
    machine = os.uname().machine
    if machine not in _AUDIT:
        raise OSError(f"no table of system calls for {machine}")
    code = _filter(machine)
    program = _Program(len(code) // 8, code)
    syscalls.call(_SECCOMP[machine], ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(0), ctypes.byref(program))
    return f"seccomp with {len(REFUSED)} calls refused"


def _filter(machine: str) -> bytes:
    column = tuple(_AUDIT).index(machine)
    code = [
        _statement(_LOAD, _ARCHITECTURE),
        _jump(_IF_EQUAL, _AUDIT[machine], 1, 0),
        _statement(_RETURN, _KILL),
        _statement(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        code += [_jump(_IF_AT_LEAST, _X32, 0, 1), _statement(_RETURN, _ENOSYS)]
    for numbers in REFUSED.values():
        number = numbers[column]
        if number is not None:
            code += [_jump(_IF_EQUAL, number, 0, 1), _statement(_RETURN, _EPERM)]
    # Flags of clone3 lie in memory, where no filter sees them: libc falls back on clone.
    code += [_jump(_IF_EQUAL, _CLONE3, 0, 1), _statement(_RETURN, _ENOSYS)]
    # Threads, but no processes; signals, but only to itself (abort).
    code += _unless(_CLONE[machine], _jump(_IF_ANY_BIT, _CLONE_THREAD, 1, 0))
    for number in _SIGNALLING[machine]:
        code += _unless(number, _jump(_IF_EQUAL, os.getpid(), 1, 0))
    code.append(_statement(_RETURN, _ALLOW))
    return b"".join(code)


def _unless(number: int, test: bytes) -> list[bytes]:
    """Refuse the call unless its first argument passes the test, which jumps over the refusal then."""
    return [
        _jump(_IF_EQUAL, number, 0, 4),
        _statement(_LOAD, _ARGUMENT),
        test,
        _statement(_RETURN, _EPERM),
        _statement(_RETURN, _ALLOW),
    ]


def _statement(operation: int, value: int) -> bytes:
    return _jump(operation, value, 0, 0)


def _jump(operation: int, value: int, yes: int, no: int) -> bytes:
    """struct sock_filter: operation, how many instructions to skip if so and if not, value."""
    return struct.pack("<HBBI", operation, yes, no, value)
