"""How far a photo's colours are believed: which pixels show the face, and how much their residuals say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.fitting.blocks import block_details
from morphkit.fitting.dense import DenseModel
from morphkit.fitting.look import DARK, Look, Picture, color_root, residuals
from morphkit.fitting.settings import PhotometricSettings
from morphkit.fitting.shading import reflection_basis
from morphkit.fitting.unexplained import Whitening, whiten
from morphkit.fitting.window import Window
from morphkit.geometry.robust import robust_weight

_FINER = 0.63  # of a sample's worth, from a band to the next finer one
_LEAST_TYPICAL = 0.02  # deviation of a colour, of the mean one, that is never called an outlier
_HIDDEN = 2.0  # times the deviation of an outlier, at which a pixel is half taken for something else
_MEAN_ABSOLUTE = 1.54  # median length of a standard normal 3-vector


@dataclass(frozen=True, eq=False)
class Judgement:
    """Which of a drawn look's pixels show the face, by their own residuals.

    Attributes
    ----------
    weights : (n,) of the compared pixels: little where hair or glasses disagree.
    shown : (s, s) 0..1 whether a pixel shows the face rather than something before it; 1 where nothing is
        compared.
    """

    weights: Float[np.ndarray, " n"]
    shown: Float[np.ndarray, "s s"]


def judge_pixels(picture: Picture, window: Window, outlier: float) -> Judgement:
    """Return which pixels show the face, given a drawn look.

    Parameters
    ----------
    picture, window : the look, and the photo it is compared with.
    outlier : residuals beyond so many typical ones lose their say (Geman–McClure).
    """
    lengths = np.linalg.norm(residuals(picture, window), axis=1)
    shown = np.ones(window.usable.shape, np.float32)
    if not len(lengths):
        return Judgement(lengths, shown)
    level = float(color_root(window.image[picture.row, picture.column]).mean())
    typical = max(_LEAST_TYPICAL * level, float(np.median(lengths)) / _MEAN_ABSOLUTE)
    weights = picture.attention * robust_weight(lengths, outlier * typical)
    shown[picture.row, picture.column] = 1.0 / (1.0 + (lengths / (_HIDDEN * outlier * typical)) ** 4)
    return Judgement(weights, shown)


@dataclass(frozen=True, eq=False)
class Trust:
    """How much residuals say, estimated from those of a drawn look; other looks are judged by it.

    Attributes
    ----------
    row, column : (n,) the compared pixels, and `weights` how far each shows the face.
    residuals : (n, 3) of the look.
    worths : of a squared residual in each band but the coarsest, from fine to coarse.
    whitening : makes the coarsest band's residuals independent, of unit deviation.
    """

    row: Int[np.ndarray, " n"]
    column: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    residuals: Float[np.ndarray, "n 3"]
    worths: tuple[float, ...]
    whitening: Whitening

    def white_residuals(
        self, picture: Picture, window: Window, among: Bool[np.ndarray, "s s"]
    ) -> Float[np.ndarray, " m"]:
        """Return a look's residuals, whitened; at pixels outside `among` it is given those of the first."""
        place = np.full(among.shape, -1)
        place[self.row, self.column] = np.arange(len(self.row))
        place[~among] = -1
        at = place[picture.row, picture.column]
        values = self.residuals.astype(np.float32)
        values[at[at >= 0]] = residuals(picture, window)[at >= 0]
        return self.whiten(values[:, :, None])[:, 0]

    def whiten(self, values: Float[np.ndarray, "n 3 k"]) -> Float[np.ndarray, "m k"]:
        """Return the pixels' residuals, or their derivatives, as independent ones of unit deviation."""
        if not len(values):
            return np.zeros((0, values.shape[2]), np.float32)
        flat = values.astype(np.float32, copy=False).reshape(len(values), -1)
        *bands, (coarse, _) = block_details(self.row, self.column, flat, self.weights, len(self.worths) + 1)
        rows = [
            (details * np.sqrt(worth * share)[:, None].astype(np.float32)).reshape(-1, values.shape[2])
            for (details, share), worth in zip(bands, self.worths, strict=True)
        ]
        return np.concatenate([*rows, self.whitening(coarse.reshape(-1, *values.shape[1:]))])


def estimate_trust(
    look: Look, picture: Picture, model: DenseModel, window: Window, settings: PhotometricSettings
) -> Trust:
    """Return how much the residuals of a look that was drawn say."""
    off, weights = residuals(picture, window), judge_pixels(picture, window, settings.outlier).weights
    if not len(off):
        nothing = Whitening(np.zeros((0, 0), np.float32), np.eye(3))
        return Trust(picture.row, picture.column, weights, off, (), nothing)
    points = np.einsum("nk,nkd->nd", picture.barycentrics, model.mean[picture.faces])
    values = np.concatenate([off, points, _bare_colors(look, picture)[:, None]], axis=1)
    finer = max(0, round(np.log2(len(picture.image) / settings.blocks)))
    bands = block_details(picture.row, picture.column, values.astype(np.float32), weights, finer + 1)
    *fine, (coarse, share) = bands
    level = float(color_root(window.image[picture.row, picture.column]).mean())
    worths = _worths([(details[:, :3], part) for details, part in fine], level, settings)
    whitening = whiten(coarse[:, 3:6], coarse[:, 6], coarse[:, :3], share, settings.unexplained)
    return Trust(picture.row, picture.column, weights, off, worths, whitening)


def _bare_colors(look: Look, picture: Picture) -> Float[np.ndarray, " n"]:
    """Return the brightness that each pixel would show of a face without features, as a square root."""
    shading = (reflection_basis(picture.normals.astype(np.float64)) @ look.light).mean(axis=1)
    bare: np.ndarray = np.sqrt(np.maximum(shading, 0.0) * float(picture.albedo.mean()) + DARK)
    return bare


def _worths(
    bands: Sequence[tuple[Float[np.ndarray, "_ 3"], Float[np.ndarray, " _"]]],
    level: float,
    settings: PhotometricSettings,
) -> tuple[float, ...]:
    """Return what a unit of each band's weighted squared residual counts, from fine to coarse."""
    least = (level * settings.least_detail) ** 2
    worths = []
    for finer, (details, share) in zip(range(len(bands), 0, -1), bands, strict=True):
        variance = float((share[:, None] * details**2).sum()) / max(3.0 * float(share.sum()), 1e-6)
        worths.append(settings.detail * _FINER**finer / max(least, variance))
    return tuple(worths)
