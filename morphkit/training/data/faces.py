"""Aligned faces in columns: what training reads and what preparing and rendering photos write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Float64, Int, Int32, Int64, UInt8

_Columns = TypeVar("_Columns", "Faces", "Truth")


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of rendered photos; camera and light are those of the crop.

    Attributes
    ----------
    identity, expression, albedo : (n, i), (n, e), (n, a) standard deviations.
    light : (n, 9, 3) radiance, spherical harmonics in camera axes; see ``docs/conventions.md``.
    K, R, t : (n, 3, 3), (n, 3, 3), (n, 3) OpenCV camera of the crop: pixels, rotation, millimetres.
    """

    identity: Float32[np.ndarray, "n i"]
    expression: Float32[np.ndarray, "n e"]
    albedo: Float32[np.ndarray, "n a"]
    light: Float32[np.ndarray, "n 9 3"]
    K: Float64[np.ndarray, "n 3 3"]
    R: Float64[np.ndarray, "n 3 3"]
    t: Float64[np.ndarray, "n 3"]

    def take(self, rows: Int[np.ndarray, " m"]) -> Truth:
        """Return some rows, in the order given."""
        return Truth(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Faces:
    """Aligned faces, a row each.

    Attributes
    ----------
    images : (n, s, s, 3) sRGB, row 0 at the top.
    attention : (n, s, s) how much each pixel counts; 255 counts fully.
    landmarks : (n, 68, 2) iBUG points in crop pixels; NaN where unknown.
    crops : (n, 2, 3) affine map from the photo's pixels to the crop's.
    sizes : (n, 2) width and height of the photo.
    sources : the photo's path below its folder, with ``/``.
    numbers : (n,) which of the photo's faces it is, from 0, the largest.
    people : (n,) who it is; -1 where unknown.
    poses : (n, 3) pitch, yaw and roll in radians: nodding down, to the subject's left, towards the right
        shoulder; `morphkit.geometry.views.turn`.
    tones : (n,) individual typology angle of the skin as photographed, degrees; NaN where unknown.
    embeddings : (n, d) of a face-recognition network, or None.
    truth : of rendered photos, or None.
    """

    images: UInt8[np.ndarray, "n s s 3"]
    attention: UInt8[np.ndarray, "n s s"]
    landmarks: Float32[np.ndarray, "n 68 2"]
    crops: Float64[np.ndarray, "n 2 3"]
    sizes: Int32[np.ndarray, "n 2"]
    sources: tuple[str, ...]
    numbers: Int32[np.ndarray, " n"]
    people: Int64[np.ndarray, " n"]
    poses: Float32[np.ndarray, "n 3"]
    tones: Float32[np.ndarray, " n"]
    embeddings: Float32[np.ndarray, "n d"] | None = None
    truth: Truth | None = None

    def __post_init__(self) -> None:
        counts = {name: len(values) for name, values in _present(self).items()}
        if self.truth is not None:
            counts |= {f"truth.{name}": len(values) for name, values in _present(self.truth).items()}
        wrong = {name: count for name, count in counts.items() if count != len(self.images)}
        if wrong:
            raise ValueError(f"a column must have a row a face, {len(self.images)}; got {wrong}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """The side of the crops, pixels."""
        return int(self.images.shape[1])

    def take(self, rows: Int[np.ndarray, " m"]) -> Faces:
        """Return some faces, in the order given."""
        columns = {name: values[rows] for name, values in _present(self).items() if name != "sources"}
        truth = None if self.truth is None else self.truth.take(rows)
        return Faces(**columns, sources=tuple(self.sources[row] for row in rows), truth=truth)

    @classmethod
    def concatenate(cls, parts: Sequence[Faces]) -> Faces:
        """Return several tables as one.

        Raises
        ------
        ValueError
            When there are none, or their columns or sizes differ.
        """
        if not parts:
            raise ValueError("parts: expected at least one table of faces")
        if len({(part.size, *_present(part), part.truth is None) for part in parts}) > 1:
            raise ValueError("parts: the tables differ in size, embeddings or truth")
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in _present(parts[0])
            if name != "sources"
        }
        sources = tuple(source for part in parts for source in part.sources)
        truths = [part.truth for part in parts if part.truth is not None]
        return cls(**columns, sources=sources, truth=_joined(truths) if truths else None)


def _joined(truths: Sequence[Truth]) -> Truth:
    names = [field.name for field in fields(Truth)]
    return Truth(*(np.concatenate([getattr(truth, name) for truth in truths]) for name in names))


def _present(columns: _Columns) -> dict[str, Any]:
    """Return the columns that are there, by name, but not the truth."""
    values = {field.name: getattr(columns, field.name) for field in fields(columns)}
    return {name: value for name, value in values.items() if value is not None and name != "truth"}
