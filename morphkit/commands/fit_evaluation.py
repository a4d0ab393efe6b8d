"""`morphkit evaluate-fits`: how near fitted faces come to true ones, in numbers, pictures and a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from morphkit.archive import load_default_model
from morphkit.building.templates import load_template
from morphkit.commands.faces import Face, find_fit, read_face, true_faces, unmatched_fits
from morphkit.commands.fit_evaluation_files import write_evaluation
from morphkit.commands.fit_scores import FitEvaluation, Protocol, score_fit
from morphkit.errors import BadInputError
from morphkit.mesh import Template
from morphkit.scans import find_landmarks

DEFAULT_BASELINE = "default"  # the embedded head's mean


def evaluate_fits(
    truth: str | Path,
    fits: str | Path,
    *,
    output: str | Path | None = None,
    metrical: bool = False,
    crop: float | Literal["now"] = "now",
    neutral: bool = False,
    baseline: str | Path | None = None,
    baseline_landmarks: str | Path | None = None,
    topology: str | Path | None = None,
    topology_landmarks: str | Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> FitEvaluation:
    """Measure fitted faces against true ones, as the NoW benchmark does.

    A fit that is missing, cannot be read, holds NaN, has no landmarks or cannot be aligned is a failure: it
    is counted and named, and no figure leaves it out silently.

    Parameters
    ----------
    truth : a folder of true faces in millimetres, meshes or ``.npz`` of any topology, each with landmarks:
        see `morphkit.commands.faces.read_face`.
    fits : a folder with, for each, ``<stem>/mesh.obj`` and ``landmarks3d.json`` as `morphkit fit` writes,
        or ``<stem>.obj`` (``.ply``, ...) and ``<stem>.landmarks3d.json``.
    output : the folder for ``report.html``, ``scores.json``, ``scores.csv`` and ``cumulative.png``; None
        writes nothing.
    metrical : align by a rigid motion; otherwise scale is free, since one photo does not tell it.
    crop : what is measured: "now" for that benchmark's part of the face, or a radius in millimetres about the
        tip of the nose.
    neutral : measure faces without expression: of fits ``<stem>/neutral.ply``, of ``.npz`` truths
        ``neutral``. Other truths, such as NoW's scans of neutral faces, and loose fits are taken as they are.
    baseline : a mesh or model whose mean is measured in the same way, so that a number means something;
        "default" is the embedded head.
    baseline_landmarks : the baseline's landmarks, where no file beside it or within tells them.
    topology : a mesh or model that true faces (and fits) with as many vertices take triangles and landmarks
        from.
    topology_landmarks : its landmarks: ``{"landmarks68": [vertex numbers]}``, or a landmark file.
    progress : called with a stage, how much of it is done, and how much there is.

    Raises
    ------
    BadInputError
        When a folder, a true face or the baseline cannot be used, or there is no fit of any true face.
    """
    truth_folder, fits_folder = Path(truth), Path(fits)
    paths = true_faces(truth_folder)
    if not fits_folder.is_dir():
        raise BadInputError(f"There is no folder {fits_folder}; name the one that the fits are in.")
    names = [path.stem for path in paths]
    if not any(find_fit(fits_folder, name) for name in names):
        raise BadInputError(
            f"{fits_folder} holds no fit of a face in {truth_folder}; they must be called like the true "
            f"faces, {names[0]}/mesh.obj or {names[0]}.obj, say."
        )
    shared = None if topology is None else _template(topology, topology_landmarks, "--truth-landmarks")
    compared = None if baseline is None else _baseline(baseline, baseline_landmarks)
    protocol = Protocol(metrical, crop, neutral)
    scores = []
    for i, path in enumerate(paths):
        face = read_face(path, shared, neutral=neutral)
        scores.append(score_fit(face, fits_folder, shared, compared, protocol))
        if progress is not None:
            progress("Measuring", i + 1, len(paths))
    result = FitEvaluation(
        truth_folder,
        fits_folder,
        protocol,
        tuple(scores),
        unmatched_fits(fits_folder, names),
        None if compared is None else _name(baseline),
    )
    return result if output is None else replace(result, files=write_evaluation(Path(output), result, shared))


def _baseline(source: str | Path, landmarks: str | Path | None) -> Face:
    if str(source) == DEFAULT_BASELINE:
        template = load_default_model().template()
    else:
        beside = find_landmarks(source) if landmarks is None else landmarks
        template = _template(source, beside, "--baseline-landmarks")
    points = template.landmarks["ibug68"].landmarks(template.mesh.vertices, template.mesh.faces)
    return Face(Path(source), template.mesh.vertices, template.mesh.faces, points)


def _template(source: str | Path, landmarks: str | Path | None, remedy: str) -> Template:
    template = load_template(source, landmarks)
    if "ibug68" not in template.landmarks:
        raise BadInputError(f"{source} comes without landmarks; give them with {remedy}.")
    return template


def _name(source: str | Path | None) -> str:
    return "the default head" if str(source) == DEFAULT_BASELINE else Path(str(source)).name
