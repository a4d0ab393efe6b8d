"""Pixels in nested blocks: what differs within each, from fine to coarse (a Haar transform)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse


def block_details(
    row: Int[np.ndarray, " n"],
    column: Int[np.ndarray, " n"],
    values: Float[np.ndarray, "n k"],
    weights: Float[np.ndarray, " n"],
    bands: int,
) -> Iterator[tuple[Float[np.ndarray, "m k"], Float[np.ndarray, " m"]]]:
    """Yield, band by band from fine to coarse, how values differ from the mean of their 2×2 block.

    Band 0 holds pixels against blocks of 2×2, band 1 these blocks against ones of 4×4, and so on; the last
    holds the coarsest blocks as they are. The transform is linear in `values`.

    Parameters
    ----------
    row, column : of the pixels; they need not fill their blocks.
    values : what they show.
    weights : of the pixels. A block weighs like the mean of the four in it, missing ones as zero, so that
        the sum of a band's weights counts its independent samples.
    bands : at least 1.
    """
    weights = weights.astype(np.float32)
    for _ in range(bands - 1):
        corner, member = np.unique(np.stack([row // 2, column // 2]), axis=1, return_inverse=True)
        own = member.ravel()
        shares = sparse.csr_matrix((weights, (own, np.arange(len(own)))), shape=(corner.shape[1], len(own)))
        total = np.asarray(shares.sum(axis=1)).ravel()
        means = (shares @ values) / np.maximum(total, 1e-9)[:, None].astype(np.float32)
        yield values - means[own], weights
        values, weights, (row, column) = means, 0.25 * total, corner
    yield values, weights
