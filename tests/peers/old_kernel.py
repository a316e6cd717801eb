"""old_kernel.py COMMAND...: runs a command as if on Linux 3.2: what came later isn't there.

The numbers of system calls are given out in the order in which they came to Linux, so all above the last one of 3.2 are
refused as an old kernel does, with ENOSYS. Flags that came later are refused where the program has a use for them. No
more memory may be locked than a package on a NAS may.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
import sys

# By machine: AUDIT_ARCH_*, the last system call of Linux 3.2 (of 3.7 where Linux is no older), fcntl, and fcntl64.
MACHINES = {
    "x86_64": (0xC000003E, 311, 72, 72),
    "aarch64": (0xC00000B7, 271, 25, 25),
    "i686": (0x40000003, 348, 55, 221),
    "armv7l": (0x40000028, 377, 55, 221),
}
# F_OFD_GETLK, F_OFD_SETLK and F_OFD_SETLKW, of Linux 3.15.
LATER_LOCKS = (36, 37, 38)
LOCKED_BYTES = 64 << 10

PR_CAPBSET_DROP, CAP_IPC_LOCK = 24, 14
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
KILL, ALLOW, ERRNO = 0x00000000, 0x7FFF0000, 0x00050000
# Instructions of the filter: load a word, compare it with a constant, end with an answer.
LOAD, EQUAL, GREATER, END = 0x20, 0x15, 0x25, 0x06
# Where the filter finds the call's number, its machine, and the second argument.
NUMBER, MACHINE, COMMAND = 0, 4, 24


def filter_of(machine):
    arch, last, fcntl, fcntl64 = MACHINES[machine]
    jump = lambda test, value, then, otherwise: (test, then, otherwise, value)
    program = [
        (LOAD, 0, 0, MACHINE),
        jump(EQUAL, arch, 1, 0),
        (END, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        jump(GREATER, last, 7, 0),
        jump(EQUAL, fcntl, 1, 0),
        jump(EQUAL, fcntl64, 0, 4),
        (LOAD, 0, 0, COMMAND),
        jump(EQUAL, LATER_LOCKS[0], 4, 0),
        jump(EQUAL, LATER_LOCKS[1], 3, 0),
        jump(EQUAL, LATER_LOCKS[2], 2, 0),
        (END, 0, 0, ALLOW),
        (END, 0, 0, ERRNO | errno.ENOSYS),
        (END, 0, 0, ERRNO | errno.EINVAL),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def main(*command):
    code = filter_of(platform.machine())
    program = Program(len(code) // 8, code)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (LOCKED_BYTES, LOCKED_BYTES))
    # Refused to whoever isn't root, and has no such right anyway.
    prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)
    for call in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))):
        if prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "the filter of system calls can't be set")
    os.execvp(command[0], command)


main(*sys.argv[1:])
