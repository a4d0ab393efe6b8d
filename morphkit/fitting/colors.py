"""The photometric energy: its value, its linearisation, and the light that starts it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.fitting.blocks import block_details
from morphkit.fitting.dense import DenseModel
from morphkit.fitting.landmark import LandmarkEnergy
from morphkit.fitting.look import Look, Picture
from morphkit.fitting.pose import cross_matrices
from morphkit.fitting.settings import PhotometricSettings
from morphkit.fitting.shading import fit_light, light_prior, reflection_basis, reflection_slope
from morphkit.fitting.window import Window

_FINER = 0.63  # of a sample's worth, from a band to the next finer one
_DARK = 0.004  # linear; keeps the square root's slope finite
_LIGHT_ROUNDS = 4
_LEAST_TYPICAL = 0.02  # deviation of a colour, of the mean one, that is never called an outlier
_HIDDEN = 2.0  # times the deviation of an outlier, at which a pixel is half taken for something else
_MEAN_ABSOLUTE = 1.54  # median length of a standard normal 3-vector


@dataclass(frozen=True, eq=False)
class Trust:
    """How far a window's colours are believed, estimated from a drawn look's own residuals.

    Attributes
    ----------
    weights : (s, s) of each pixel: 0 where nothing is compared, little where hair or glasses disagree.
    deviations : (bands,) standard deviation of a colour in each band.
    shown : (s, s) 0..1 whether a pixel shows the face rather than something before it; 1 where nothing is
        compared.
    """

    weights: Float[np.ndarray, "s s"]
    deviations: Float[np.ndarray, " bands"]
    shown: Float[np.ndarray, "s s"]


def estimate_trust(picture: Picture, window: Window, settings: PhotometricSettings) -> Trust:
    """Return how far colours can be believed, given a drawn look."""
    difference = residuals(picture, window)
    lengths = np.linalg.norm(difference, axis=1)
    level = float(_root(window.image[picture.row, picture.column]).mean()) if len(lengths) else 1.0
    typical = max(_LEAST_TYPICAL * level, _median(lengths) / _MEAN_ABSOLUTE)
    weights = picture.attention / (1.0 + (lengths / (settings.outlier * typical)) ** 2) ** 2
    variances = [
        float((share[:, None] * details**2).sum()) / max(3.0 * float(share.sum()), 1e-6)
        for details, share in _bands(picture, difference, weights, settings)
    ]
    image, shown = np.zeros(window.usable.shape, np.float32), np.ones(window.usable.shape, np.float32)
    image[picture.row, picture.column] = weights
    shown[picture.row, picture.column] = 1.0 / (1.0 + (lengths / (_HIDDEN * settings.outlier * typical)) ** 4)
    bounds = level * settings.least_deviation, level * settings.most_deviation
    deviations = np.clip(np.sqrt(variances), *bounds)
    return Trust(image, deviations, shown)


@dataclass(frozen=True, eq=False)
class PhotometricEnergy:
    """Colour residuals in a window, the landmark energy, and the priors on albedo and light.

    Attributes
    ----------
    model, window : what is compared.
    sparse : the landmark energy, with the priors on shape and focal length.
    settings : weights.
    trust : how far the colours are believed; held while looks are compared.
    """

    model: DenseModel
    window: Window
    sparse: LandmarkEnergy
    settings: PhotometricSettings
    trust: Trust

    def energy(self, look: Look, picture: Picture, among: Bool[np.ndarray, "s s"]) -> float:
        """Return the energy of a drawn look, the pixels outside `among` left out.

        Two looks are comparable where both see the face, see `Picture.compared`.
        """
        weights = (self.trust.weights * among)[picture.row, picture.column]
        bands = _bands(picture, residuals(picture, self.window), weights, self.settings)
        data = sum(
            worth * float((share[:, None] * details**2).sum())
            for worth, (details, share) in zip(self._worth(), bands, strict=True)
        )
        albedo = self.settings.albedo_weight * look.albedo @ look.albedo
        return float(data + albedo) + self._light_energy(look) + self.sparse.energy(look.face)

    def normal_equations(
        self, look: Look, picture: Picture
    ) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"]]:
        """Return JᵀWJ and JᵀWr over (pose, identity, expression, albedo, light), priors included."""
        n = len(picture.row)
        jacobian = self._jacobian(look, picture, np.arange(n))
        parameters = jacobian.shape[2]
        residual = residuals(picture, self.window).astype(np.float32)
        system = np.concatenate([jacobian, residual[:, :, None]], axis=2).reshape(n, -1)
        weights = self.trust.weights[picture.row, picture.column]
        normal = np.zeros((parameters + 1, parameters + 1))
        bands = _bands(picture, system, weights, self.settings)
        for worth, (details, share) in zip(self._worth(), bands, strict=True):
            rows = (details * np.sqrt(worth * share)[:, None].astype(np.float32)).reshape(-1, parameters + 1)
            normal += rows.T @ rows
        return self._with_priors(look, normal[:-1, :-1], normal[:-1, -1])

    def _worth(self) -> Float[np.ndarray, " bands"]:
        """Return what a unit of each band's weighted squared residual counts."""
        finer = np.arange(len(self.trust.deviations))[::-1]  # than the coarsest
        worth: np.ndarray = self.settings.evidence * _FINER**finer / self.trust.deviations**2
        return worth

    def _with_priors(
        self, look: Look, hessian: Float[np.ndarray, "p p"], gradient: Float[np.ndarray, " p"]
    ) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"]]:
        by_face, towards = self.sparse.normal_equations(look.face)
        n, a = len(towards), len(look.albedo)
        hessian, gradient = hessian.copy(), gradient.copy()
        hessian[:n, :n] += by_face
        gradient[:n] += towards
        hessian[n : n + a, n : n + a] += self.settings.albedo_weight * np.eye(a)
        gradient[n : n + a] += self.settings.albedo_weight * look.albedo
        prior, (off, by_light) = self._light_prior(look), self._light_level(look)
        hessian[n + a :, n + a :] += prior + np.outer(by_light, by_light) + 1e-9 * np.eye(27)
        gradient[n + a :] += prior @ look.light.ravel() + off * by_light
        # The prior is relative to the light's mean, which makes a brighter light cheaper.
        excess = float(look.light.ravel() @ prior @ look.light.ravel())
        gradient[n + a : n + a + 3] -= (
            excess * look.light[0] / max(float(look.light[0] @ look.light[0]), 3e-6)
        )
        return hessian, gradient

    def _light_energy(self, look: Look) -> float:
        light = look.light.ravel()
        return float(light @ self._light_prior(look) @ light) + self._light_level(look)[0] ** 2

    def _light_prior(self, look: Look) -> Float[np.ndarray, "27 27"]:
        # Relative to the light's own mean, so that dim light on bright skin is not preferred to the reverse.
        scale = max(float((look.light[0] ** 2).mean()), 1e-6)
        return light_prior(self.settings.light_ridge, self.settings.light_chroma) / scale

    def _light_level(self, look: Look) -> tuple[float, Float[np.ndarray, "27"]]:
        """Return how far, in deviations, the light's mean is from what a photo is exposed for; its slope."""
        level = max(float(look.light[0].mean()), 1e-3)
        deviation = self.settings.light_level_deviation
        slope = np.zeros(27)
        slope[:3] = 1.0 / (3.0 * level * deviation)
        return float(np.log(level / self.settings.light_level)) / deviation, slope

    def _jacobian(
        self, look: Look, picture: Picture, chosen: Int[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n 3 p"]:
        """Return the derivatives of the square-rooted colours of the chosen pixels."""
        seen = _Surface(self.model, look, picture, chosen)
        slope = 0.5 / _root(np.maximum(picture.image[picture.row, picture.column][chosen], 0.0))
        motion = -_picture_slope(picture, self.window, chosen) * self.window.zoom
        by_point, by_pose = look.face.pose.jacobian(seen.points)
        by_normal = (slope * seen.albedo)[:, :, None] * reflection_slope(seen.normals, look.light)
        pose = motion @ by_pose
        pose[:, :, :3] += by_normal @ cross_matrices(-seen.normals)
        shape = seen.by_shape(motion @ by_point, by_normal)
        brightness = slope * (reflection_basis(seen.normals) @ look.light)
        albedo = brightness[:, :, None] * seen.albedo_rows()
        light = (slope * seen.albedo)[:, :, None, None] * np.eye(3)[None, :, None, :]
        light = light * reflection_basis(seen.normals)[:, None, :, None]
        parts = [pose, shape, albedo, light.reshape(len(chosen), 3, 27)]
        return np.concatenate([part.astype(np.float32) for part in parts], axis=2)


@dataclass(frozen=True, eq=False)
class _Surface:
    """The surface that chosen pixels see."""

    model: DenseModel
    look: Look
    picture: Picture
    chosen: Int[np.ndarray, " n"]

    @property
    def _corners(self) -> Float[np.ndarray, "n 3 3"]:
        vertices = self.model.vertices(self.look.face)
        return vertices[self.picture.faces[self.chosen]].astype(np.float64)

    @property
    def points(self) -> Float[np.ndarray, "n 3"]:
        """Head frame, millimetres."""
        return np.einsum("nk,nkd->nd", self.picture.barycentrics[self.chosen], self._corners)

    @property
    def normals(self) -> Float[np.ndarray, "n 3"]:
        """Unit, camera axes."""
        return self.picture.normals[self.chosen].astype(np.float64)

    @property
    def albedo(self) -> Float[np.ndarray, "n 3"]:
        """Linear RGB."""
        return self.picture.albedo[self.chosen]

    def albedo_rows(self) -> Float[np.ndarray, "n 3 a"]:
        """Return the albedo's derivative by its coefficients."""
        weights = self.picture.barycentrics[self.chosen].astype(np.float32)
        faces = self.picture.faces[self.chosen]
        rows = [weights[:, k, None, None] * self.model.albedo[faces[:, k]] for k in range(3)]
        return rows[0] + rows[1] + rows[2]

    def by_shape(
        self, by_point: Float[np.ndarray, "n 3 3"], by_normal: Float[np.ndarray, "n 3 3"]
    ) -> Float[np.ndarray, "n 3 k"]:
        """Return the colours' derivative by the shape coefficients, from those by point and by normal.

        The smooth normal is taken to turn like its triangle's.
        """
        a, b, c = self._corners.transpose(1, 0, 2)
        first, second = b - a, c - a
        area = np.linalg.norm(np.cross(first, second), axis=1)[:, None, None]
        rotation = self.look.face.pose.rotation
        head = self.normals @ rotation
        tangent = np.eye(3) - head[:, :, None] * head[:, None, :]
        turning = by_normal @ rotation @ tangent / np.maximum(area, 1e-9)
        along_first, along_second = turning @ cross_matrices(first), turning @ cross_matrices(second)
        weights = self.picture.barycentrics[self.chosen].T[:, :, None, None]
        by_corner = [
            weights[0] * by_point - along_first + along_second,
            weights[1] * by_point - along_second,
            weights[2] * by_point + along_first,
        ]
        faces = self.picture.faces[self.chosen]
        total = np.zeros((len(faces), 3, self.model.shape.shape[2]), dtype=np.float32)
        for k, weight in enumerate(by_corner):
            total += weight.astype(np.float32) @ self.model.shape[faces[:, k]]
        return total


def residuals(picture: Picture, window: Window) -> Float[np.ndarray, "n 3"]:
    """Return drawn minus photographed colour at the compared pixels, as square roots of linear light."""
    at = picture.row, picture.column
    return _root(np.maximum(picture.image[at], 0.0)) - _root(window.image[at])


def look_light(look: Look, picture: Picture, window: Window, settings: PhotometricSettings) -> Look:
    """Return the look under the light that explains the photo best, outliers weighted down."""
    colors = window.image[picture.row, picture.column].astype(np.float64)
    normals, weights = picture.normals.astype(np.float64), picture.attention.astype(np.float64)
    prior = light_prior(settings.light_ridge, settings.light_chroma) * 1e-3
    light = fit_light(picture.albedo, normals, colors, weights, prior)
    for _ in range(_LIGHT_ROUNDS):
        shaded = np.maximum(picture.albedo * (reflection_basis(normals) @ light), 0.0)
        errors = np.linalg.norm(_root(shaded) - _root(colors), axis=1)
        typical = max(_median(errors), _LEAST_TYPICAL)
        robust = weights / (1.0 + (errors / (settings.outlier * typical)) ** 2) ** 2
        light = fit_light(picture.albedo, normals, colors, robust, prior)
    return replace(look, light=light)


def _picture_slope(
    picture: Picture, window: Window, chosen: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3 2"]:
    """Return the colours' slope by x and y, per pixel: the mean of the drawn and the photographed one."""
    mean = 0.5 * (_root(np.maximum(picture.image, 0.0)) + _root(window.image))
    by_row, by_column = np.gradient(mean, axis=(0, 1))
    at = picture.row[chosen], picture.column[chosen]
    return np.stack([by_column[at], by_row[at]], axis=2)


def _root(linear: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    root: np.ndarray = np.sqrt(linear + _DARK)
    return root


def _bands(
    picture: Picture,
    values: Float[np.ndarray, "n k"],
    weights: Float[np.ndarray, " n"],
    settings: PhotometricSettings,
) -> Iterator[tuple[Float[np.ndarray, "m k"], Float[np.ndarray, " m"]]]:
    bands = 1 + max(0, round(np.log2(len(picture.image) / settings.blocks)))
    return block_details(picture.row, picture.column, values.astype(np.float32, copy=False), weights, bands)


def _median(lengths: Float[np.ndarray, " n"]) -> float:
    return float(np.median(lengths)) if len(lengths) else 0.0
