"""A stand-in for the store shared by JAX's processes, for the threads of a test: the interface of each one's client."""

from __future__ import annotations

import threading
import time


class Store:
    """Keys and values, shared by all."""

    def __init__(self):
        self._values, self._changed = {}, threading.Condition()

    def key_value_set(self, key, value, allow_overwrite=False):
        with self._changed:
            assert allow_overwrite or key not in self._values, key
            self._values[key] = value
            self._changed.notify_all()

    def blocking_key_value_get(self, key, milliseconds):
        deadline = time.monotonic() + min(milliseconds / 1000, 20)
        with self._changed:
            while key not in self._values:
                assert self._changed.wait(deadline - time.monotonic()), f"nobody has set {key}"
            return self._values[key]

    def key_value_dir_get(self, folder):
        with self._changed:
            return [(key, value) for key, value in self._values.items() if key.startswith(f"{folder}/")]
