"""Colours for a whole surface from the parts of it that photos show: without seams.

A surface's colour is a base (what the model shows there) times a ratio. Photos give the ratio where they saw
the surface; a smooth field on the mesh carries it on to the rest, and what the other side of the face shows
adds its detail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse.linalg import splu

from morphkit.export.atlas import Sites
from morphkit.export.sighting import Sighting, smooth_step
from morphkit.geometry.laplacian import cotangent_laplacian, vertex_areas

_DARKEST = 1e-3  # linear, below which colours have no ratio
_FOLLOWS = 8.0  # millimetres over which the smooth field averages what was seen
_CARRIES = 70.0  # millimetres over which it forgets, where nothing was seen
_MIRRORED = 0.2  # weight of the other side beside what is seen itself
_DETAIL = 3.0  # the most by which mirrored detail may brighten or darken
_LEAST_LIGHT = 0.01  # of a white surface, below which a face is not told from black
_SHADE = (0.1, 0.3)  # of the usual shading: below the first, nothing is known; above the second, all
_SPREAD = 4.0  # times the saturated share of what was seen by which trust falls
_BRIGHTER = (1.15, 1.7)  # than usual, in every colour, between which a spot is taken for a mirrored light
_PLAUSIBLE = 1.4  # times the model's albedo that a face's may be
_WHITER = (1.05, 1.3)  # by the ratio of the weakest colour to the strongest
_PREFERENCE = 4.0  # power by which the sharper of several photos is preferred


@dataclass(frozen=True, eq=False)
class Layer:
    """The ratio of seen colours to a base, at points.

    Attributes
    ----------
    ratio : (n, 3) float32; anything where trust is zero.
    trust : (n,) float32, 0..1.
    sharpness : (n,) float32, pixels of the photo per millimetre of skin.
    """

    ratio: Float[np.ndarray, "n 3"]
    trust: Float[np.ndarray, " n"]
    sharpness: Float[np.ndarray, " n"]


def ratio_layer(sighting: Sighting, base: Float[np.ndarray, "n 3"]) -> Layer:
    """Return how much brighter than a base the seen colours are."""
    ratio = np.maximum(sighting.colors, _DARKEST) / np.maximum(base, _DARKEST)
    return Layer(ratio.astype(np.float32), sighting.trust, sighting.sharpness)


class SmoothField:
    """Fields on a mesh that follow scattered values and carry them on: a screened Poisson equation.

    Parameters
    ----------
    vertices, faces : the mesh.
    """

    def __init__(self, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> None:
        areas = np.maximum(vertex_areas(vertices, faces), 1e-6)
        self._areas = areas
        forgetting = sparse.diags_array((_FOLLOWS / _CARRIES) ** 2 * areas)
        self._smooth = sparse.csc_array(_FOLLOWS**2 * cotangent_laplacian(vertices, faces) + forgetting)

    def solve(
        self, values: Float[np.ndarray, "v d"], weights: Float[np.ndarray, " v"]
    ) -> Float[np.ndarray, "v d"]:
        """Return the field g of least Σ area (weight (g − value)² + ℓ² |∇g|² + (ℓ / L)² g²).

        ℓ is how far it averages, L how far it carries a value on before it returns to zero.
        """
        pull = self._areas * weights
        factors = splu(
            sparse.csc_array(self._smooth + sparse.diags_array(pull)),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        solved: np.ndarray = factors.solve(pull[:, None] * values.astype(np.float64))
        return solved


@dataclass(frozen=True, eq=False)
class Paint:
    """What is needed to colour any points of a surface.

    Attributes
    ----------
    base : (v, 3) the model's colours.
    field : (v, 3) smooth ratios to it.
    """

    base: Float[np.ndarray, "v 3"]
    field: Float[np.ndarray, "v 3"]

    def plain(self, sites: Sites) -> Float[np.ndarray, "n 3"]:
        """Return linear RGB where nothing was seen."""
        return sites.of(np.maximum(self.base, _DARKEST) * self.field)

    def colors(
        self, sites: Sites, own: Layer, mirrored: Layer | None, mirror: Int[np.ndarray, " v"] | None
    ) -> Float[np.ndarray, "n 3"]:
        """Return linear RGB: as seen where trusted, else the smooth field with the other side's detail.

        Parameters
        ----------
        sites : n points.
        own : what was seen there.
        mirrored : what was seen at the same points of the other side.
        mirror : (v,) the vertex on the other side.
        """
        ratio = sites.of(self.field)
        if mirrored is not None:
            detail = mirrored.ratio / sites.of(self.field[mirror])
            np.clip(detail, 1.0 / _DETAIL, _DETAIL, out=detail)
            ratio *= 1.0 + mirrored.trust[:, None] * (detail - 1.0)
        ratio += own.trust[:, None] * (own.ratio - ratio)
        return np.maximum(sites.of(self.base), _DARKEST) * ratio


def mix_paint(
    smooth: SmoothField,
    base: Float[np.ndarray, "v 3"],
    own: Layer,
    mirror: Int[np.ndarray, " v"] | None,
) -> Paint:
    """Return a surface's paint from what was seen at its vertices.

    Parameters
    ----------
    smooth : of the mesh.
    base : (v, 3) the model's colours.
    own : at the vertices.
    mirror : the vertex on the other side, or None for a model that does not say.
    """
    values, weights = np.log(own.ratio), own.trust.astype(np.float64)
    if mirror is not None:
        rest = _MIRRORED * (1.0 - weights) * weights[mirror]
        total = np.maximum(weights + rest, 1e-12)[:, None]
        values = (weights[:, None] * values + rest[:, None] * values[mirror]) / total
        weights = weights + rest
    return Paint(base, np.exp(smooth.solve(values, weights)))


def merged(layers: Sequence[Layer], gains: Sequence[Float[np.ndarray, "3"]]) -> Layer:
    """Return what several photos of one face say together, the sharpest and squarest preferred.

    Parameters
    ----------
    layers : one a photo, of the same points.
    gains : what each photo's ratios are multiplied by, see `matched_gains`.
    """
    if len(layers) == 1:
        return layers[0]
    sharpness = np.stack([layer.sharpness for layer in layers])
    preference = (sharpness / np.maximum(sharpness.max(axis=0), 1e-9)) ** _PREFERENCE
    trust = np.stack([layer.trust for layer in layers])
    share = trust * preference
    share /= np.maximum(share.sum(axis=0), 1e-9)
    ratio = np.zeros_like(layers[0].ratio)
    for weight, layer, gain in zip(share, layers, gains, strict=True):
        ratio += weight[:, None] * layer.ratio * gain.astype(np.float32)
    return Layer(np.maximum(ratio, _DARKEST), trust.max(axis=0), sharpness.max(axis=0))


def matched_gains(layers: Sequence[Layer]) -> list[Float[np.ndarray, "3"]]:
    """Return per-colour gains that make several photos' exposure and white balance agree with the first's.

    Each photo is compared with the mean of those before it, at the points that both saw; one that shares none
    with them keeps its colours.
    """
    gains = [np.ones(3)]
    if len(layers) < 2:
        return gains
    trust = layers[0].trust.astype(np.float64)
    summed = trust[:, None] * np.log(layers[0].ratio)
    for layer in layers[1:]:
        values = np.log(layer.ratio)
        both = np.minimum(trust, layer.trust) > 0.25
        gain = np.zeros(3)
        if both.any():
            gain = np.median(summed[both] / trust[both, None] - values[both], axis=0)
        gains.append(np.exp(gain))
        summed += layer.trust[:, None] * (values + gain)
        trust += layer.trust
    return gains


def delit(sighting: Sighting, shading: Float[np.ndarray, "n 3"], usual: float) -> Sighting:
    """Return albedo in place of colours: what was seen, divided by its light.

    Trust falls where there is too little light to tell, and where the photo is saturated.

    Parameters
    ----------
    sighting : colours under light.
    shading : (n, 3) the light on each point, as it would make a white surface look.
    usual : the face's median shading.
    """
    usual = max(usual, _LEAST_LIGHT)
    brightness = shading.mean(axis=1) / usual
    light = np.maximum(shading, _SHADE[0] * usual)
    lit = np.clip((brightness - _SHADE[0]) / (_SHADE[1] - _SHADE[0]), 0.0, 1.0)
    clear = np.clip(1.0 - _SPREAD * sighting.saturated, 0.0, 1.0)  # a little white spoils much
    trust = sighting.trust * lit * clear
    colors = (sighting.colors / light).astype(np.float32)
    return replace(sighting, colors=colors, trust=trust.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Usual:
    """What most of a face looks like without light.

    Attributes
    ----------
    ratio : (3,) of its albedo to the model's.
    color : (3,) its albedo.
    """

    ratio: Float[np.ndarray, "3"]
    color: Float[np.ndarray, "3"]


def usual_look(layer: Layer, base: Float[np.ndarray, "n 3"]) -> Usual:
    """Return the medians of what was seen; `base` is the model's albedo there."""
    trusted = layer.trust > 0.5 * layer.trust.max(initial=0.0)
    if not trusted.any():
        return Usual(np.ones(3), np.median(base, axis=0))
    ratio = layer.ratio[trusted]
    return Usual(np.median(ratio, axis=0), np.median(ratio * base[trusted], axis=0))


def plausible_albedo(
    layer: Layer, base: Float[np.ndarray, "n 3"], usual: Usual, on_face: Bool[np.ndarray, " n"]
) -> Layer:
    """Return a layer of plausible brightness, trusted less where a light is mirrored.

    There it is much brighter than usual, and whiter. How bright skin is in all a photo cannot tell, since
    light and skin may trade: that is the model's to say, and a light that makes the skin far brighter or
    darker than the model's is scaled.

    Matte shading cannot explain highlights; left in, they would be taken for white skin. Where the base is
    white itself (eyes, teeth) nothing is taken for one, nor what is merely no darker than skin where the
    model expects brows or irises.

    Parameters
    ----------
    layer : ratios of albedo to the model's.
    base : (n, 3) the model's albedo.
    usual : the face's usual look.
    on_face : (n,) whether a point is the face's; in its openings, white is an eye's or a tooth's.
    """
    expected = np.maximum(base * usual.ratio, usual.color).astype(np.float32)
    relative = layer.ratio * base / expected
    scale = float(usual.ratio.mean())
    scale /= min(max(scale, 1.0 / _PLAUSIBLE), _PLAUSIBLE)
    rows = np.arange(len(relative))
    whiter = relative[rows, expected.argmin(axis=1)] / np.maximum(
        relative[rows, expected.argmax(axis=1)], 1e-6
    )
    glare = smooth_step(relative.min(axis=1), *_BRIGHTER) * smooth_step(whiter, *_WHITER)
    trust = (layer.trust * (1.0 - glare * on_face)).astype(np.float32)
    return replace(layer, ratio=layer.ratio / np.float32(scale), trust=trust)
