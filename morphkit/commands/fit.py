"""`morphkit fit`: a photo to a face, and to files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from morphkit.fitting import FitResult, FitSettings, fit_image, write_fit
from morphkit.fitting.models import model_to_fit
from morphkit.morphable import MorphableModel


def fit(
    photo: str | Path,
    output: str | Path | None = None,
    *,
    model: MorphableModel | str | Path | None = None,
    landmarks: str | Path | None = None,
    rasterizer: Literal["numba", "torch", "nvdiffrast"] = "numba",
    photometric: bool = True,
    settings: FitSettings | None = None,
    init: str | Path | None = None,
) -> FitResult:
    """Fit a morphable model to the largest face of a photo.

    Parameters
    ----------
    photo : the image file.
    output : the folder that gets the files of `morphkit.fitting.write_fit`: meshes, GLB, texture, camera,
        coefficients, overlay and ``report.html``; None writes nothing.
    model : a model, its file, or None for the embedded head; landmarks that it lacks are found on it.
    landmarks : a file with the 68 iBUG points in the photo's pixels, in place of detected ones.
    rasterizer : what draws; "nvdiffrast" needs a GPU.
    photometric : refine on the photo's colours after the landmarks.
    settings : weights; the default ones if None.
    init : weights of a network that `morphkit train` wrote for this model: the fit starts from its
        prediction, and is drawn to the identity that it sees; None for the mean face.

    Raises
    ------
    NoFaceError
        When no face is found.
    BadInputError
        When a file cannot be used, or the network is of another model.
    """
    chosen = settings or FitSettings()
    if not photometric:
        chosen = replace(chosen, photometric=None)
    if init is None:
        result = fit_image(
            photo, model_to_fit(model), landmarks=landmarks, settings=chosen, rasterizer=rasterizer
        )
    else:
        from morphkit.commands.predict import fit_predicted
        from morphkit.training.predict import Predictor

        predictor = Predictor.load(init, model)
        result = fit_predicted(photo, predictor, landmarks=landmarks, settings=chosen, rasterizer=rasterizer)
    if output is not None:
        write_fit(result, output)
    return result
