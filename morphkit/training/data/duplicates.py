"""Near duplicates: the same photo of a face twice, scaled, compressed or recoloured.

A hash of a picture's lowest waves finds what may be one quickly, but aligned faces of one sitting share it,
whatever their expressions: what decides is the correlation of the face's details.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int8, Int64, UInt8, UInt64
from PIL import Image
from scipy import ndimage
from scipy.fft import dctn

from morphkit.training.data._duplicate_kernels import first_near

SAME_BITS = 8  # of 64 that may differ
SAME_DETAIL = 0.985  # least correlation

_SIDE = 32  # pixels whose waves are hashed
_BITS = 64
_DETAIL_SIDE, _BORDER = 48, 9  # pixels of which the middle is compared
_FINEST, _COARSEST = 0.5, 3.0  # pixels; details lie between
_DARK = 10.0  # codes, below which the logarithm would show noise
_STEPS = 16.0  # to a standard deviation


def fingerprint(image: UInt8[np.ndarray, "s s 3"]) -> int:
    """Return 64 bits that stay nearly the same when a picture is scaled, compressed or recoloured.

    The signs about their median of a cosine transform's lowest waves but the mean, of brightness ("pHash").
    """
    waves = dctn(_grey(image, _SIDE), norm="ortho").reshape(-1)[_LOWEST]
    return int.from_bytes(np.packbits(waves > np.median(waves)).tobytes(), "big")


def details(image: UInt8[np.ndarray, "s s 3"]) -> Int8[np.ndarray, "900"]:
    """Return the fine pattern of a crop's middle, without its light: a band of its logarithm."""
    light = np.log(_grey(image, _DETAIL_SIDE) + _DARK)
    band = ndimage.gaussian_filter(light, _FINEST) - ndimage.gaussian_filter(light, _COARSEST)
    middle = band[_BORDER:-_BORDER, _BORDER:-_BORDER]
    scaled = _STEPS * (middle - middle.mean()) / max(float(middle.std()), 1e-6)
    return np.rint(scaled.clip(-127, 127)).astype(np.int8).reshape(-1)


def find_duplicates(
    fingerprints: UInt64[np.ndarray, " n"],
    patterns: Int8[np.ndarray, "n d"],
    preference: Float[np.ndarray, " n"],
) -> Int64[np.ndarray, " n"]:
    """Return, for each picture, which better one it repeats; -1 where it is kept.

    Pictures are taken from the most preferred on (the first among equals); each is kept unless it is near a
    kept one. Each is compared with all that are kept: a hundred thousand take some seconds.

    Parameters
    ----------
    fingerprints, patterns : `fingerprint` and `details` of the pictures.
    preference : the higher, the rather kept.
    """
    order = np.lexsort((np.arange(len(preference)), -preference))
    kept, repeats = np.empty((2, len(order)), dtype=np.int64)
    first_near(fingerprints, patterns, order, np.uint64(SAME_BITS), SAME_DETAIL, kept, repeats)
    return repeats


def _grey(image: UInt8[np.ndarray, "s s 3"], side: int) -> Float[np.ndarray, "r r"]:
    picture = Image.fromarray(image).convert("L").resize((side, side), Image.Resampling.BOX)
    return np.asarray(picture, dtype=np.float64)


def _lowest() -> Bool[np.ndarray, " n"]:
    """Return which of the transform's waves are hashed: a triangle of the lowest, without the mean."""
    down, across = np.mgrid[:_SIDE, :_SIDE]
    order = np.argsort((down + across + 1e-3 * down).reshape(-1), kind="stable")
    chosen = np.zeros(_SIDE * _SIDE, dtype=bool)
    chosen[order[1 : 1 + _BITS]] = True
    return chosen


_LOWEST = _lowest()
