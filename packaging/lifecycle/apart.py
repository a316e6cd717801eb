"""Runs a function apart from the machine: as the root of a user namespace, with mounts, processes and ports of its own.

All that it mounts, registers and starts ends with it, whatever happens; the machine never sees it.
"""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
# With root's help there are other users in there, too.
USERS = 65536 if os.geteuid() == 0 else 1


def run(function) -> bool:
    """Whether the function came to its end."""
    ready, go = os.pipe(), os.pipe()
    child = _fork(lambda: _outer(function, ready, go))
    os.close(ready[1])
    if not os.read(ready[0], 1):
        sys.exit("needs a kernel that lets users make namespaces (sysctl user.max_user_namespaces)")
    if USERS == 1:
        _write(f"/proc/{child}/setgroups", "deny")
    _write(f"/proc/{child}/uid_map", f"0 {os.geteuid()} {USERS}")
    _write(f"/proc/{child}/gid_map", f"0 {os.getegid()} {USERS}")
    os.write(go[1], b".")
    for end in [ready[0], *go]:
        os.close(end)
    return _ended_well(child)


def _outer(function, ready, go):
    """Makes the namespaces; those of processes begin with the next child."""
    _check(LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET))
    os.write(ready[1], b".")
    os.read(go[0], 1)
    return _ended_well(_fork(lambda: _first(function)))


def _first(function):
    """The first process in there: it takes in what loses its parent; when it ends, all end."""
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    child = _fork(function)
    while True:
        ended, status = os.wait()
        if ended == child:
            return status == 0


def _fork(function) -> int:
    """Runs a function in a process of its own, which fails when the function answers False or raises something."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        failed = True
        try:
            failed = function() is False
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(failed)
    return child


def _ended_well(child: int) -> bool:
    return os.waitpid(child, 0)[1] == 0


def _check(answer: int):
    if answer != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _write(path: str, text: str):
    with open(path, "w") as file:
        file.write(text)
