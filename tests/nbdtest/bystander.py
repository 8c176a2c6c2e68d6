# SPDX-License-Identifier: BSD-3-Clause
"""A good client that works all the time while others misbehave, and notices if it is not served."""
import os
import threading
import time

from . import wire
from .rawclient import RawClient


class Bystander:
    """Writes and reads back 4 KiB in a loop, on its own connection and at its own offset."""

    def __init__(self, address, offset=512 << 10, slowest=5.0, tls=None):
        self.slowest = slowest
        self.worst = 0.0
        self.turns = 0
        self.failure = None
        self._stop = threading.Event()
        self._client = RawClient(address, timeout=30, tls=tls)
        self._client.start()
        self._offset = offset
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        try:
            while not self._stop.is_set():
                data = os.urandom(4096)
                begin = time.monotonic()
                assert self._client.write(self._offset, data) == 0
                assert self._client.read(self._offset, 4096) == data
                self.worst = max(self.worst, time.monotonic() - begin)
                self.turns += 1
                time.sleep(0.005)
            self._client.request(wire.DISC)
            self._client.expect_close()
        except Exception as e:  # pylint: disable=broad-except
            self.failure = repr(e)
        finally:
            self._client.close()

    def served(self, more=3, timeout=10):
        """It has been served again since this was called."""
        target = self.turns + more
        end = time.monotonic() + timeout
        while self.turns < target and not self.failure and time.monotonic() < end:
            time.sleep(0.01)
        assert not self.failure, self.failure
        assert self.turns >= target, f"the good client made only {self.turns} of {target} turns"

    def stop(self):
        self.served()
        self._stop.set()
        self._thread.join(35)
        assert not self.failure, self.failure
        assert self.worst < self.slowest, f"the good client waited {self.worst:.2f} s for a turn"
