"""Left-right symmetric statistics: every shape counts together with its mirror image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import h5py
import numpy as np
from jaxtyping import Float, Int

from morphkit.basis.gram import Mapper
from morphkit.basis.pca import PCA, fit_pca, short_note
from morphkit.basis.poses import chunks
from morphkit.basis.samples import Samples, as_samples

_FLIP = np.array([-1.0, 1.0, 1.0])


def mirror_image(
    values: Float[np.ndarray, "*n v 3"], mirror: Int[np.ndarray, " v"], flip: bool
) -> Float[np.ndarray, "*n v 3"]:
    """Return per-vertex triples as the mirror shows them, x negated if they are positions (`flip`).

    Parameters
    ----------
    values : (..., v, 3) in the template's frame, whose plane of symmetry is x = 0.
    mirror : (v,) the vertex at the mirrored place.
    flip : positions and offsets turn their x; colours do not.
    """
    image: np.ndarray = values[..., mirror, :]
    return image * _FLIP.astype(values.dtype) if flip else image


def mirror_images(
    values: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    mirror: Int[np.ndarray, " v"],
    flip: bool,
    output: h5py.Group | None = None,
) -> Float[np.ndarray, "n v 3"] | h5py.Dataset:
    """Return the mirror images of all shapes; of a data set, as the data set "mirror_images" of `output`."""
    if isinstance(values, np.ndarray):
        return mirror_image(values, mirror, flip)
    images = _created(output, "mirror_images", values)
    for rows in chunks(*values.shape[:2]):
        images[rows] = mirror_image(values[rows], mirror, flip)
    return images


def symmetric(
    values: Float[np.ndarray, "v 3"], mirror: Int[np.ndarray, " v"], flip: bool = True
) -> Float[np.ndarray, "v 3"]:
    """Return the mean of a shape and its mirror image, exactly its own mirror image."""
    return (values + mirror_image(values, mirror, flip)) / 2


def fit_mirrored(
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    mirror: Int[np.ndarray, " v"],
    components: int | float | None = None,
    *,
    weights: Float[np.ndarray, " n"] | None = None,
    centered: bool = True,
    method: str = "exact",
    flip: bool = True,
    output: h5py.Group | None = None,
    mapper: Mapper = map,
) -> PCA:
    """Return the principal components of shapes and their mirror images; all of (n, 3v).

    A shape is the sum of its symmetric and its antisymmetric part, and over a set that holds every mirror
    image the two do not correlate. So each part has its own components, and every one of them, and the mean,
    is exactly symmetric or exactly antisymmetric, even where two variances are the same.

    Parameters
    ----------
    shapes : (n, v, 3) in the frame whose plane of symmetry is x = 0.
    mirror : (v,) the vertex at the mirrored place; its own inverse.
    components : how many, or the share of the variance (then all are held in memory at first).
    weights, method, mapper : as for `fit_pca`.
    centered : subtract the mean of the symmetric parts; that of the antisymmetric ones is zero.
    flip : the values are positions or offsets, not colours.
    output : an open group for the mirror images, needed if `shapes` is a data set.

    Raises
    ------
    ValueError
        If `mirror` is not its own inverse, or as `fit_pca`.
    """
    if not np.array_equal(mirror[mirror], np.arange(len(mirror))):
        raise ValueError("mirror: expected a map that is its own inverse")
    direct, image = as_samples(shapes), as_samples(mirror_images(shapes, mirror, flip, output))
    wanted = None if isinstance(components, float) else components
    parts = [
        fit_pca(
            _Part(direct, image, sign),
            wanted,
            weights=weights,
            method=method,
            centered=centered and sign > 0,
            mapper=mapper,
        )
        for sign in (1, -1)
    ]
    even, odd = (_exact(part, mirror, sign, flip) for part, sign in zip(parts, (1, -1), strict=True))
    return _merged(even, odd, components)


@dataclass(eq=False)
class _Part(Samples):
    """The symmetric (sign 1) or antisymmetric (-1) parts of samples."""

    direct: Samples
    image: Samples
    sign: int

    def __post_init__(self) -> None:
        self.shape, self.dtype = self.direct.shape, self.direct.dtype

    def columns(self, block: slice, out: np.ndarray | None = None) -> np.ndarray:
        """Return half the sum or difference."""
        combine = np.add if self.sign > 0 else np.subtract
        part: np.ndarray = combine(self.direct.columns(block), self.image.columns(block), out=out)
        part *= self.dtype.type(0.5)
        return part

    def granule(self) -> int:
        """Return that of the samples."""
        return self.direct.granule()


def _exact(pca: PCA, mirror: np.ndarray, sign: int, flip: bool) -> PCA:
    """Return the components without the rounding by which they are not symmetric, or antisymmetric."""
    basis = np.empty_like(pca.components, order="F")
    for i in range(basis.shape[1]):
        column = pca.components[:, i].reshape(-1, 3)
        image = mirror_image(column, mirror, flip)
        basis[:, i] = ((column + sign * image) / 2).reshape(-1)
    mean = symmetric(pca.mean.reshape(-1, 3), mirror, flip).reshape(-1)
    return replace(pca, components=basis, mean=mean if sign > 0 else np.zeros_like(mean))


def _created(output: h5py.Group | None, name: str, like: h5py.Dataset) -> h5py.Dataset:
    """Return a new data set of the shape and precision of another."""
    if output is None:
        raise ValueError("output: expected an open HDF5 group, since the shapes are a data set")
    return output.create_dataset(name, shape=like.shape, dtype=like.dtype)


def _merged(even: PCA, odd: PCA, components: int | float | None) -> PCA:
    """Return the strongest components of two fits that share no direction."""
    variances = np.concatenate([even.variances, odd.variances])
    order = np.argsort(-variances, kind="stable")
    total = even.total_variance + odd.total_variance
    if isinstance(components, float):
        share = np.cumsum(variances[order]) / max(total, 1e-300)
        order = order[: int(np.searchsorted(share, components * (1 - 1e-12))) + 1]
    elif components is not None:
        order = order[:components]
    basis = np.empty((len(even.mean), len(order)), even.components.dtype, order="F")
    for place, i in enumerate(order):
        k = len(even.variances)
        basis[:, place] = even.components[:, i] if i < k else odd.components[:, i - k]
    left = len(even.mean) - len(order)
    rest = max(total - float(variances[order].sum()), 0.0)
    return replace(
        even,
        components=basis,
        variances=variances[order],
        noise_variance=rest / left if left else 0.0,
        total_variance=total,
        notes=(*short_note(components, len(order), even.n_samples),),
    )
