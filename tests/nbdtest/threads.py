# SPDX-License-Identifier: BSD-3-Clause
"""Threads of a process: one can be held as by a debugger, while the others run."""
import contextlib
import ctypes
import os

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # of waitpid(): threads, too
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def thread_named(pid, name):
    found = [int(tid) for tid in os.listdir(f"/proc/{pid}/task")
             if open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii").read() == f"{name}\n"]
    assert len(found) == 1, f"{len(found)} threads {name} in process {pid}"
    return found[0]


@contextlib.contextmanager
def held(pid, name):
    """The thread of that name stands still inside the `with`. The process must be this one's child."""
    tid = thread_named(pid, name)
    assert _libc.ptrace(PTRACE_SEIZE, tid, None, None) == 0, os.strerror(ctypes.get_errno())
    assert _libc.ptrace(PTRACE_INTERRUPT, tid, None, None) == 0
    os.waitpid(tid, WALL)
    try:
        yield
    finally:
        assert _libc.ptrace(PTRACE_DETACH, tid, None, None) == 0
