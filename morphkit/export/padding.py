"""Fill what a picture lacks from what is around it, so that mip-maps and filters bleed nothing foreign."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

_GUTTER = 2  # pixels; blocks up to this size are filled as a whole, and none that an eye would see


def padded(picture: Float[np.ndarray, "s s d"], known: Bool[np.ndarray, "s s"]) -> Float[np.ndarray, "s s d"]:
    """Return a picture with its unknown pixels filled, smoothly, from the known ones near them.

    Each unknown pixel takes the mean of the known ones in the smallest block of 2, 4, 8, … pixels around it
    that has any (the pull and push of Gortler et al. 1996, section 3.2.3, with a box for a filter), from
    blocks of 8 on interpolated between them; so the first two mip-maps of the result are the means of the
    known pixels alone, and the next ones nearly.

    Parameters
    ----------
    picture : (s, s, d).
    known : (s, s); if nothing is, the picture is returned as it is.
    """
    if known.all() or not known.any():
        return picture.copy()
    size = 1 << (len(picture) - 1).bit_length()
    weighted = np.zeros((size, size, picture.shape[2] + 1), picture.dtype)
    weighted[: len(picture), : len(picture), -1] = known
    np.multiply(picture, known[..., None], out=weighted[: len(picture), : len(picture), :-1])
    filled = _filled(weighted, 1)[: len(picture), : len(picture)]
    return np.where(known[..., None], picture, filled)


def _filled(weighted: np.ndarray, block: int) -> np.ndarray:
    """Return a level's values, from values times weight with the weight last; the unknown from coarser ones.

    `block` is how many pixels of the picture, across, one of this level's stands for.
    """
    weight = weighted[..., -1:]
    values = weighted[..., :-1] / np.maximum(weight, 1e-12)
    known = weight > 0
    if len(weighted) == 1 or known.all():
        return values
    halves = weighted[0::2] + weighted[1::2]
    coarse = _filled(halves[:, 0::2] + halves[:, 1::2], 2 * block)
    grown = (
        coarse.repeat(2, axis=0).repeat(2, axis=1) if block <= _GUTTER else _doubled(_doubled(coarse, 0), 1)
    )
    return np.where(known, values, grown)


def _doubled(picture: np.ndarray, axis: int) -> np.ndarray:
    """Return a picture twice as large along an axis, interpolated."""
    rows = np.moveaxis(picture, axis, 0)
    before, after = np.concatenate([rows[:1], rows[:-1]]), np.concatenate([rows[1:], rows[-1:]])
    pairs = np.stack([0.75 * rows + 0.25 * before, 0.75 * rows + 0.25 * after], axis=1)
    return np.moveaxis(pairs.reshape(-1, *rows.shape[1:]), 0, axis)
