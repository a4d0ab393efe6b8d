"""What a network said of photos, in the terms of a fit: a result, a person, or where a fit starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from morphkit.fitting import FitResult, FitSettings, SubjectFit
from morphkit.fitting.assembling import PhotoFace, assembled
from morphkit.fitting.initial import InitialFace
from morphkit.fitting.landmark import POSE
from morphkit.fitting.seen import seen_ibug68
from morphkit.fitting.shading import reflection_basis
from morphkit.fitting.uncertainty import FacePosterior, vertex_deviations
from morphkit.fitting.verdict import FailedPhoto
from morphkit.geometry.normals import vertex_normals
from morphkit.io.color import linear_to_srgb, srgb_to_linear
from morphkit.morphable import MorphableModel
from morphkit.training.predict import Predictor
from morphkit.training.prediction import PersonPrediction, Prediction

_SETTINGS = FitSettings()


def prediction_result(prediction: Prediction, predictor: Predictor) -> FitResult:
    """Return a prediction as `morphkit.fitting.write_fit` takes it."""
    model = predictor.model
    linear = prediction.shading == "linear"
    face = PhotoFace(
        photo=prediction.photo,
        source=prediction.source,
        model=model,
        seen=seen_ibug68(prediction.landmarks, _SETTINGS.landmark.feature_deviation, _SETTINGS.landmark),
        points68=prediction.landmarks,
        camera=prediction.camera,
        identity=prediction.identity,
        expression=prediction.expression,
        albedo=None if model.albedo is None else prediction.albedo,
        light=prediction.light if linear else None,
    )
    told = (
        f"A network's prediction ({predictor.name}): the photo was seen once, and nothing was fitted to it."
    )
    result = assembled(face, (told, *prediction.notes), prediction.seconds)
    result = replace(result, predicted_by=predictor.name)
    if linear or result.albedo_colors is None:
        return result
    return replace(result, lit_colors=_displayed(result, prediction))


def _displayed(result: FitResult, prediction: Prediction) -> Float[np.ndarray, "v 3"]:
    """Return linear colours under a light that multiplies sRGB codes, as the paper has it."""
    if result.albedo_colors is None:
        raise ValueError("result: expected one with albedo")
    normals = vertex_normals(result.vertices, result.model.faces) @ result.camera.R.T
    shown = linear_to_srgb(result.albedo_colors) * (reflection_basis(normals) @ prediction.light)
    colors: np.ndarray = srgb_to_linear(shown.clip(0.0, 1.0)).astype(np.float64)
    return colors


def initial_face(prediction: Prediction, predictor: Predictor) -> InitialFace:
    """Return a prediction as a fit starts from it."""
    return InitialFace(
        prediction.identity, prediction.identity_deviations, prediction.expression, predictor.name
    )


def person_result(person: PersonPrediction, predictor: Predictor, names: Sequence[str]) -> SubjectFit:
    """Return a person as `morphkit.fitting.write_subject` takes it.

    Parameters
    ----------
    person : seen in photos.
    predictor : that saw them.
    names : what a reader calls each of the given photos.
    """
    photos = tuple(prediction_result(one, predictor) for one in person.photos)
    failures = tuple(FailedPhoto(index, names[index], error) for index, error in person.failures)
    albedo = np.sum([w * one.albedo for w, one in zip(person.weights, person.photos, strict=True)], axis=0)
    neutral, deviations = photos[0].neutral, person.photos[0].identity_deviations
    return SubjectFit(
        photos=photos,
        indices=person.indices,
        identity=person.identity,
        albedo=albedo,
        neutral=neutral,
        neutral_deviations=_deviations(predictor.model, neutral, deviations),
        weights=person.weights / person.weights.max(),
        disagreements=np.full(len(photos), np.nan),
        failures=failures,
        notes=(
            f"A network's prediction ({predictor.name}): nothing was fitted.",
            *(failure.note for failure in failures),
        ),
        converged=True,
    )


def _deviations(
    model: MorphableModel, neutral: Float[np.ndarray, "v 3"], deviations: Float[np.ndarray, " i"] | None
) -> Float[np.ndarray, " v"]:
    """Return how far each point of a neutral face is off, from one photo, as measured on other people."""
    if deviations is None:
        return np.full(len(neutral), np.nan)
    count = len(deviations)
    whole = np.zeros((POSE + count, POSE + count))
    whole[POSE:, POSE:] = np.diag(np.maximum(deviations, 1e-6) ** 2)
    still = replace(model, expression=None, expression_units=None)
    posterior = FacePosterior(whole, count, 0)
    return vertex_deviations(still, neutral, posterior, _SETTINGS.model_deviation)
