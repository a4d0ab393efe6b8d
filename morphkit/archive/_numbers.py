"""What the numbers of any model file must be: finite, and in the range of lengths and colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from morphkit.errors import BadInputError

LARGEST = 1e15
"""Beyond this no length or variance is meant, in any unit, and squares overflow in single precision."""

Complaint = Callable[[str], BadInputError]
"""What makes an error about a file out of a clause."""


def ensure_finite(values: np.ndarray, name: str, bad: Complaint) -> None:
    """Raise what `bad` makes of it when a float is NaN, infinite, or beyond `LARGEST`."""
    if values.dtype.kind != "f" or not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise bad(f"{name} holds NaN or infinite values")
    if max(-low, high) > LARGEST:
        raise bad(f"{name} holds {max(high, low, key=abs):.3g}, which is no length and no colour")
