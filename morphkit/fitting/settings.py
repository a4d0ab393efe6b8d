"""Every number that steers a fit, in one frozen place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from morphkit.fitting.gradient_settings import GradientSettings
from morphkit.morphable import MorphableModel

_MOST_BLOCKS = 96  # a side; the covariance of all their pairs takes a third of a gigabyte


@dataclass(frozen=True)
class LandmarkSettings:
    """How the landmark fit weighs what it sees against what it believes.

    Attributes
    ----------
    focal_length : the focal length expected when nothing is known, in units of the photo's longer side;
        1.4 is what a 50 mm lens gives on 35 mm film.
    focal_deviation : how far it may be off, as the standard deviation of its logarithm.
    exif_focal_deviation : the same when the photo's EXIF names the focal length.
    feature_deviation : standard deviation of a landmark on eyes, brows, nose or lips, millimetres.
    dense_deviation : of MediaPipe's points on cheeks and forehead, which follow no visible feature.
    contour_deviation : of the jaw line's points, across the silhouette.
    iris_deviation : of the irises' points.
    given_deviation : of points that the user gave.
    lip_gap_deviation, lid_gap_deviation, mouth_width_deviation : of how far the lips, or the lids of an eye,
        are seen apart, and the corners of the mouth; infinite to leave them out.
    detector_points : how many independent points a detector's 478 are worth: their errors go together.
    huber : residuals beyond this many standard deviations count linearly.
    identity_weight, expression_weight : of the squared coefficients.
    expression_spread : root mean square motion of the face that a photo's expression is expected to bring at
        most, millimetres; a model whose expressions are wilder is held tighter. None takes the model's word.
    rounds : how often the silhouette's correspondence is renewed.
    iterations : Levenberg–Marquardt steps in each round.
    tolerance : a round ends when the energy's relative decrease falls below this.
    """

    focal_length: float = 1.4
    focal_deviation: float = 0.3
    exif_focal_deviation: float = 0.05
    feature_deviation: float = 2.5
    dense_deviation: float = 20.0
    contour_deviation: float = 5.0
    iris_deviation: float = 2.5
    given_deviation: float = 2.0
    lip_gap_deviation: float = 1.3
    lid_gap_deviation: float = 1.0
    mouth_width_deviation: float = 2.5
    detector_points: float = 100.0
    huber: float = 2.0
    identity_weight: float = 1.0
    expression_weight: float = 1.0
    expression_spread: float | None = 2.0
    rounds: int = 5
    iterations: int = 12
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        deviations = [name for name in self.__dataclass_fields__ if name.endswith("_deviation")]
        above = [*deviations, "focal_length", "detector_points", "huber"]
        _check(self, above, lambda value: value > 0.0, "above 0")
        _check(self, ("identity_weight", "expression_weight"), lambda value: value >= 0.0, "0 or more")
        _check(self, ("rounds", "iterations"), lambda value: value >= 1, "1 or more")
        if self.expression_spread is not None:
            _check(self, ("expression_spread",), lambda value: value > 0.0, "above 0, or None")


@dataclass(frozen=True)
class UnexplainedSettings:
    """What a model's albedo and light are expected to leave unexplained (`morphkit.fitting.unexplained`).

    Deviations are shares of the colour that a face without features would show there; the first two are
    raised to what a photo's own residuals say, where that is more.

    Attributes
    ----------
    fine_deviation, fine_length : of freckles, brows, lips, and the millimetres over which they fade.
    coarse_deviation, coarse_length : of complexion, shine and shadows.
    noise_deviation : of each pixel for itself.
    most_deviation : bound of the first two; without it, a photo that once fits badly would be given up.
    symmetry : correlation of the face's two halves.
    chroma : deviation of colour relative to brightness.
    """

    fine_deviation: float = 0.07
    fine_length: float = 3.5
    coarse_deviation: float = 0.07
    coarse_length: float = 15.0
    noise_deviation: float = 0.05
    most_deviation: float = 0.4
    symmetry: float = 0.95
    chroma: float = 0.6

    def __post_init__(self) -> None:
        above = ("fine_deviation", "fine_length", "coarse_deviation", "coarse_length", "chroma")
        _check(self, above, lambda value: value > 0.0, "above 0")
        _check(self, ("noise_deviation",), lambda value: value >= 0.0, "0 or more")
        _check(self, ("symmetry",), lambda value: 0.0 <= value <= 1.0, "0 to 1")
        least = max(self.fine_deviation, self.coarse_deviation)
        _check(self, ("most_deviation",), lambda value: value >= least, f"at least {least:g}")


@dataclass(frozen=True)
class PhotometricSettings:
    """How the photo's colours refine the landmark fit.

    Colours are compared as square roots of linear light, which treats dark and light skin alike; how far
    they are believed, `morphkit.fitting.trust` says.

    Attributes
    ----------
    sizes : side of the face's window in pixels; one for each level of the pyramid.
    iterations : Gauss–Newton steps at each level, at most.
    blocks : how many blocks across the window the coarse part of the residuals has, which is believed as far
        as `unexplained` says; finer details are judged band by band (`morphkit.fitting.blocks`).
    detail : what a sample of the coarse part would be worth if it were judged like a detail. A detail's worth
        falls by a third from band to band, while their number grows fourfold.
    least_detail : bound of the details' standard deviations, which are estimated from the photo, as a share
        of the face's mean colour.
    unexplained : what the coarse part is not asked to explain.
    outlier : residuals beyond so many standard deviations lose their say (Geman–McClure): hair, glasses, a
        microphone.
    landmark_share : of the landmarks' weight that stays once colours are compared.
    albedo_weight : of the squared albedo coefficients.
    light_ridge : of the light's directional bands, relative to its mean.
    light_chroma : of the light's departure from white, relative to its mean.
    light_level : the light's mean radiance that photos are exposed for; without it dark skin would be taken
        for pale skin in dim light.
    light_level_deviation : how far it may be off, as the standard deviation of its logarithm.
    tolerance : a level ends when the energy's relative decrease falls below this.
    """

    sizes: tuple[int, ...] = (48, 96, 192)
    iterations: int = 15
    blocks: int = 48
    detail: float = 0.014
    least_detail: float = 0.006
    unexplained: UnexplainedSettings = field(default_factory=UnexplainedSettings)
    outlier: float = 3.0
    landmark_share: float = 0.25
    albedo_weight: float = 1.0
    light_ridge: float = 10.0
    light_chroma: float = 100.0
    light_level: float = 2.5
    light_level_deviation: float = 0.4
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"sizes: expected pixels, at least one size, got {self.sizes}")
        _check(self, ("iterations",), lambda value: value >= 1, "1 or more")
        _check(self, ("blocks",), lambda value: 1 <= value <= _MOST_BLOCKS, f"1 to {_MOST_BLOCKS}")
        above = ("least_detail", "outlier", "light_level", "light_level_deviation")
        _check(self, above, lambda value: value > 0.0, "above 0")
        weights = ("detail", "landmark_share", "albedo_weight", "light_ridge", "light_chroma", "tolerance")
        _check(self, weights, lambda value: value >= 0.0, "0 or more")


@dataclass(frozen=True)
class FitSettings:
    """Settings of `morphkit.fitting.fit_image`.

    Attributes
    ----------
    landmark : the landmark fit.
    photometric : the refinement by colour, or None to leave it out.
    gradient : the polish by the gradient of the paper's energy that may follow; None leaves it out. For
        single photos with a model that has albedo.
    inflation : of the posterior's standard deviations: what a model cannot explain goes together over more
        than its processes say, which the curvature does not know. Measured on renders of another population.
    model_deviation : of real faces from the nearest that a model can show, along the surface's normal, mm.
    """

    landmark: LandmarkSettings = field(default_factory=LandmarkSettings)
    photometric: PhotometricSettings | None = field(default_factory=PhotometricSettings)
    gradient: GradientSettings | None = None
    inflation: float = 1.3
    model_deviation: float = 0.65

    def for_model(self, model: MorphableModel) -> FitSettings:
        """Return the settings with `expression_spread` put in terms of a model's own statistics.

        Models state the spread of posed expressions, trained or drawn at full strength; photos mostly show
        mild ones, and what an expression may explain the identity does not.
        """
        spread = self.landmark.expression_spread
        if spread is None or model.expression is None:
            return self
        own = float(np.sqrt((model.expression.vertex_deviations()[model.face_mask] ** 2).mean()))
        weight = self.landmark.expression_weight * max(1.0, own / spread) ** 2
        return replace(
            self, landmark=replace(self.landmark, expression_weight=weight, expression_spread=None)
        )


def _check(settings: object, names: Sequence[str], fits: Callable[[float], bool], wanted: str) -> None:
    """Raise ValueError for the first of a dataclass's numbers that does not fit; NaN never does."""
    for name in names:
        value = getattr(settings, name)
        if not fits(value):
            raise ValueError(f"{name}: expected {wanted}, got {value}")
