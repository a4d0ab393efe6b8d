"""The two small networks that come in the package, run by LiteRT."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Float

_LOADING = threading.Lock()


class Network:
    """A TensorFlow Lite network from `morphkit/data`: one picture in, its output tensors out.

    Calls are serialised by a lock, since an interpreter owns its tensors.
    """

    def __init__(self, name: str) -> None:
        content = (files("morphkit") / "data" / name).read_bytes()
        with _silent_stderr():
            self._interpreter = Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]
        self._lock = threading.Lock()

    def __call__(self, picture: Float[np.ndarray, "h w 3"]) -> tuple[Float[np.ndarray, "..."], ...]:
        """Return the outputs in the network's own order."""
        with self._lock:
            self._interpreter.set_tensor(self._input, picture[None].astype(np.float32))
            self._interpreter.invoke()
            return tuple(self._interpreter.get_tensor(index) for index in self._outputs)


@functools.cache
def load_network(name: str) -> Network:
    """Return the network `name`, loaded once in this process."""
    return Network(name)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Silence the C library, which announces its CPU delegate on standard error unconditionally."""
    with _LOADING:
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
