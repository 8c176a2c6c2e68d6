# SPDX-License-Identifier: BSD-3-Clause
"""A machine that has other things to do: two busy loops, and one who writes to the same disk."""
import contextlib
import os

BUSY_LOOPS = 2
WRITER = 'while dd if=/dev/zero of="$0" bs=1M count=128 conv=notrunc,fdatasync 2>/dev/null; do :; done'


@contextlib.contextmanager
def strained(processes, folder):
    path = os.path.join(folder, "strain")
    started = [processes.start(["sh", "-c", "while :; do :; done"], name="busy")
               for _ in range(BUSY_LOOPS)]
    started.append(processes.start(["sh", "-c", WRITER, path], name="writer"))
    try:
        yield
    finally:
        for process in started:
            process.kill()
        if os.path.exists(path):
            os.unlink(path)
