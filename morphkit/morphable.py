"""The morphable model: linear statistics of shape, expression and albedo on one topology."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.mesh import LandmarkEmbedding


@dataclass(frozen=True, eq=False)
class LinearModel:
    """One coefficient group: instance = mean + basis · (standard_deviations ⊙ coefficients).

    Attributes
    ----------
    mean : (v, 3) float32.
    basis : (3v, k) float32, orthonormal columns, xyz interleaved; kept Fortran-ordered, so that a
        component is contiguous in memory.
    standard_deviations : (k,) float64, descending.
    noise_variance : variance per coordinate outside the basis (PPCA's sigma squared).
    """

    mean: Float[np.ndarray, "v 3"]
    basis: Float[np.ndarray, "d k"]
    standard_deviations: Float[np.ndarray, "k"]
    noise_variance: float = 0.0


@dataclass(frozen=True, eq=False)
class NamedDirections:
    """Named directions in a group's coefficient space, such as the 52 expression units.

    Attributes
    ----------
    names : n names.
    coefficients : (n, k) float64; row i, given to the group as its coefficients, is unit i at full strength.
    """

    names: tuple[str, ...]
    coefficients: Float[np.ndarray, "n k"]


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """A 3D morphable model in plain numpy. Shape = identity + expression, in millimetres.

    Attributes
    ----------
    faces : (f, 3) int32.
    identity : the shape statistics of neutral faces.
    expression : additive offsets (mean usually zero), or None.
    albedo : linear RGB in 0..1, or None.
    expression_units : the named units as directions in the expression group, or None.
    uv : (f, 3, 2) float32 per-corner texture coordinates, or None.
    landmarks : embeddings by set name ("ibug68", "mediapipe478").
    masks : (v,) boolean regions by name ("face", "narrow_face", "skin", "eyes", "lips", "ears", "neck").
    mirror : (v,) int32, the vertex at the mirrored place, or None.
    provenance : what it was made from: licence, sources, settings, versions; JSON-serialisable.
    """

    faces: Int[np.ndarray, "f 3"]
    identity: LinearModel
    expression: LinearModel | None = None
    albedo: LinearModel | None = None
    expression_units: NamedDirections | None = None
    uv: Float[np.ndarray, "f 3 2"] | None = None
    landmarks: Mapping[str, LandmarkEmbedding] = field(default_factory=dict)
    masks: Mapping[str, Bool[np.ndarray, "v"]] = field(default_factory=dict)
    mirror: Int[np.ndarray, "v"] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
