# SPDX-License-Identifier: BSD-3-Clause
"""A link that is as far as it is told to be: bytes arrive half a round trip after they were sent, in any number."""
import collections
import os
import select
import socket
import threading
import time


class DelayedLink:
    """Listens at `path` and connects to `address`; `round_trip` in seconds. Bandwidth is not limited."""

    def __init__(self, address, round_trip, path):
        self.address, self.delay, self.path = address, round_trip / 2, path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
            far.connect(self.address)
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(a, b), daemon=True).start()

    def _carry(self, a, b):
        under_way = collections.deque()
        ended = False
        while not ended or under_way:
            wait = max(under_way[0][0] - time.monotonic(), 0) if under_way else None
            readable = [] if ended else select.select([a], [], [], wait)[0]
            if ended and wait:
                time.sleep(wait)
            try:
                if readable:
                    data = a.recv(1 << 20)
                    ended = not data
                    under_way.append((time.monotonic() + self.delay, data))
                while under_way and under_way[0][0] <= time.monotonic():
                    data = under_way.popleft()[1]
                    if data:
                        b.sendall(data)
                    else:
                        b.shutdown(socket.SHUT_WR)
            except OSError:
                a.close()
                b.close()
                return

    def close(self):
        self.listener.close()
        os.unlink(self.path)
