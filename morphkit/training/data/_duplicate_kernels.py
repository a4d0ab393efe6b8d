"""The loop that compares each picture with all that are kept."""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
@no_type_check
def first_near(bits, details, order, bound, likeness, kept, repeats):
    """Write which kept one each picture repeats, or -1 if it is kept itself; taken in `order`."""
    count = 0
    for j in order:
        repeats[j] = -1
        for k in range(count):
            i = kept[k]
            if _differing(bits[i] ^ bits[j]) <= bound and _likeness(details[i], details[j]) >= likeness:
                repeats[j] = i
                break
        if repeats[j] < 0:
            kept[count] = j
            count += 1


@numba.njit(cache=True, nogil=True)
@no_type_check
def _differing(x):
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _likeness(a, b):
    across = own = other = 0
    for k in range(len(a)):
        x, y = np.int64(a[k]), np.int64(b[k])
        across += x * y
        own += x * x
        other += y * y
    return across / np.sqrt(np.float64(own) * np.float64(other) + 1e-300)
