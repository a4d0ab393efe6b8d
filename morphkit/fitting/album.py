"""Photos of one person, each with its own fit: what they share, and what each knows about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from morphkit.fitting.consensus import PersonEvidence, pooled
from morphkit.fitting.dense import DenseModel, dense_model
from morphkit.fitting.fit import SingleFit
from morphkit.fitting.joint import PhotoComparison, Problem, lowest_start, moved
from morphkit.fitting.landmark import FocalPrior, LandmarkEnergy
from morphkit.fitting.look import Look
from morphkit.fitting.photometric import Colors, face_pixels
from morphkit.fitting.settings import FitSettings, LandmarkSettings
from morphkit.fitting.sharing import Quadratic, Sharing
from morphkit.fitting.window import cut_window
from morphkit.rendering.rasterizer import Rasterizer

_START_DAMPINGS = (0.0, 0.2, 2.0)  # photos that agree start at the first, strangers at the second


@dataclass(frozen=True, eq=False)
class Album:
    """Photos of one person, each with its own fit.

    Attributes
    ----------
    singles : the photos' own fits.
    settings, rasterizer : of the fits to come.
    dense : the model, where colours are compared.
    sharing : what the photos have in common.
    """

    singles: tuple[SingleFit, ...]
    settings: FitSettings
    rasterizer: Rasterizer
    dense: DenseModel | None
    sharing: Sharing

    @staticmethod
    def of(
        singles: tuple[SingleFit, ...],
        settings: FitSettings,
        rasterizer: Rasterizer,
        shared_focal: bool | None,
    ) -> Album:
        """Return the album of these fits; see `morphkit.fitting.fit_images` for `shared_focal`.

        Raises
        ------
        ValueError
            When one lens is to have taken photos of different sizes.
        """
        model, face = singles[0].model, singles[0].sparse.face
        colored = any(single.colors is not None for single in singles)
        sharing = Sharing(
            len(face.identity),
            len(face.expression),
            max(len(single.colors.look.albedo) if single.colors else 0 for single in singles),
            settings.landmark.identity_weight,
            1.0 if settings.photometric is None else settings.photometric.albedo_weight,
            _one_lens(singles, settings.landmark, shared_focal),
        )
        return Album(singles, settings, rasterizer, dense_model(model) if colored else None, sharing)

    @property
    def tolerance(self) -> float:
        """The relative decrease of the energy below which a descent ends."""
        fine = self.settings.photometric
        return self.settings.landmark.tolerance if fine is None else fine.tolerance

    def start(self) -> tuple[Look, ...]:
        """Return the photos' own looks; with one lens, all have the focal length that the prior expects."""
        looks = tuple(_look(single, self.sharing.albedo) for single in self.singles)
        if self.sharing.focal is None:
            return looks
        focal = float(np.exp(np.mean([np.log(look.face.pose.focal) for look in looks])))
        return tuple(_with_focal(look, focal) for look in looks)

    def comparisons(self, looks: Sequence[Look]) -> list[PhotoComparison]:
        """Return what each photo compares, its window and contour renewed for its look."""
        return [self._comparison(single, look) for single, look in zip(self.singles, looks, strict=True)]

    def knowledge(self, looks: Sequence[Look]) -> Knowledge:
        """Return what each photo says, linearised at its look."""
        problems, quadratics = [], []
        for comparison, look in zip(self.comparisons(looks), looks, strict=True):
            picture = comparison.draw(look)
            problems.append(comparison.problem(look, picture))
            quadratics.append(problems[-1].quadratic(look, picture))
        return Knowledge(self.sharing, tuple(looks), problems, quadratics)

    def _comparison(self, single: SingleFit, look: Look) -> PhotoComparison:
        seen, fine = single.observer(look.face), self.settings.photometric
        lens = single.focal_prior if self.sharing.focal is None else self.sharing.focal
        sparse = LandmarkEnergy(seen, lens, self.settings.landmark)
        if fine is None or self.dense is None or single.colors is None:
            return PhotoComparison(sparse, self.sharing, None)
        seen = replace(seen, whitening=seen.whitening * fine.landmark_share**0.5)
        window = cut_window(single.photo, face_pixels(self.dense, look.face), fine.sizes[-1])
        colors = Colors(self.dense, window, fine, self.rasterizer)
        return PhotoComparison(replace(sparse, seen=seen), self.sharing, colors)


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What photos say about what they share, each linearised at its look.

    Attributes
    ----------
    sharing : what that is.
    looks : of the photos.
    problems : the photos' energies, and `quadratics` what they are about the looks.
    """

    sharing: Sharing
    looks: tuple[Look, ...]
    problems: list[Problem]
    quadratics: list[Quadratic]

    @property
    def evidence(self) -> list[PersonEvidence]:
        """What each photo says by itself."""
        pairs = zip(self.quadratics, self.looks, strict=True)
        return [quadratic.evidence(self.sharing.at(look)) for quadratic, look in pairs]

    def agreed(self, weights: Float[np.ndarray, " p"]) -> tuple[Look, ...]:
        """Return the photos' looks as one person: the parameters that they agree on, and their answers.

        What the photos say is believed as far as it was linearised for; the farther they are apart, the
        less that may hold. So damped agreements are tried as well, in which each photo stays nearer to its
        own fit (with ever more damping: the mean of the fits, each parameter by its precision, nothing else
        moved), and the one of the lowest energy is taken.
        """
        starts = [self.shared_looks(weights, damping) for damping in _START_DAMPINGS]
        return lowest_start(self.problems, weights, starts)

    def shared_looks(self, weights: Float[np.ndarray, " p"], damping: float) -> tuple[Look, ...]:
        """Return the looks at the least of the photos' quadratics, each damped about its own look."""
        at = [self.sharing.at(look) for look in self.looks]
        damped = [quadratic.damped(damping) for quadratic in self.quadratics]
        mean, _ = pooled([one.evidence(place) for one, place in zip(damped, at, strict=True)], weights)
        looks = [
            moved(look, self.sharing, quadratic, mean - place)
            for look, quadratic, place in zip(self.looks, damped, at, strict=True)
        ]
        return tuple(same_person(look, looks[0], self.sharing) for look in looks)


def _look(single: SingleFit, albedo: int) -> Look:
    if single.colors is not None:
        return single.colors.look
    return Look(single.sparse.face, np.zeros(albedo), np.zeros((9, 3)))


def same_person(look: Look, first: Look, sharing: Sharing) -> Look:
    """Return a look whose shared parameters are those of `first`, to the last bit."""
    face = replace(look.face, identity=first.face.identity)
    shared = replace(look, face=face, albedo=first.albedo)
    return shared if sharing.focal is None else _with_focal(shared, first.face.pose.focal)


def _with_focal(look: Look, focal: float) -> Look:
    return replace(look, face=replace(look.face, pose=replace(look.face.pose, focal=focal)))


def _one_lens(
    singles: tuple[SingleFit, ...], settings: LandmarkSettings, wanted: bool | None
) -> FocalPrior | None:
    """Return the focal length's prior where all photos share one lens."""
    sizes = {single.photo.shape[:2] for single in singles}
    if wanted and len(sizes) > 1:
        raise ValueError(f"shared_focal: photos of one lens are of one size, got {sorted(sizes)}")
    priors = {single.focal_prior for single in singles}
    exif = singles[0].focal_prior.deviation == settings.exif_focal_deviation
    named = len(sizes) == len(priors) == 1 and exif
    one = len(singles) > 1 and (named if wanted is None else wanted)
    return singles[0].focal_prior if one else None
