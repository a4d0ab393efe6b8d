"""`morphkit demo`: raw scans to a model and a photo to a face, with the truth known and everything shown."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import morphkit
from morphkit.archive import load_default_model
from morphkit.building import BuildResult, build_basis
from morphkit.building.batch import Progress, quiet
from morphkit.building.reporting import scan_rows
from morphkit.building.store import data_path, load_registered
from morphkit.building.synthetic import scan_head
from morphkit.commands.fit import fit
from morphkit.errors import BadInputError
from morphkit.export.build_pictures import contact_sheet, portrait
from morphkit.export.build_report import model_values, scan_values
from morphkit.export.fit_pictures import turned_view
from morphkit.export.html import image_uri, render_report
from morphkit.export.turntable import Skin, Turntable, turntable_values
from morphkit.fitting import FitResult
from morphkit.fitting.evidence import model_openings, photo_mesh
from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.similarity import Similarity
from morphkit.io.atomic import write_json
from morphkit.io.images import read_image
from morphkit.io.meshes import read_mesh, write_mesh
from morphkit.mesh import Mesh
from morphkit.morphable import LinearModel, MorphableModel

_SEED = 2019
_SHOWN_IN_DETAIL = 4
_COLUMNS = 8
_MILD_EXPRESSION = 0.25  # of a unit's full strength, at most, and of few units
_DARKEST, _CLIPPED_SHARE = 0.02, 0.01  # of linear colours
_PHOTO = "astronaut.jpg"
_MARKER = ".morphkit-demo.json"
_PHOTO_CREDIT = "Photo: Eileen Collins, NASA, public domain."


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes
    ----------
    report : the page.
    scans, built : how many scans there were, and how many went into the model.
    correspondence_error : mean distance of registered face vertices from the truth, millimetres.
    seconds : the whole took.
    """

    report: Path
    scans: int
    built: int
    correspondence_error: float
    seconds: float


@dataclass(frozen=True, eq=False)
class _Person:
    """A simulated scan's truth: the head in the default model's topology, in the scan's pose."""

    name: str
    path: Path
    vertices: Float[np.ndarray, "v 3"]
    pose: Similarity


def demo(
    output: str | Path = "morphkit-demo",
    *,
    count: int = 24,
    jobs: int | None = None,
    photometric: bool = True,
    progress: Progress | None = None,
) -> DemoResult:
    """Simulate raw scans, build a model from them, fit a photo, and show it all in ``report.html``.

    Parameters
    ----------
    output : the folder to fill: ``scans/``, ``work/``, ``model.h5``, ``fit/``, ``report.html``.
    count : scans to simulate.
    jobs : scans registered at once; None takes one a core, at most 8.
    photometric : refine the fit on the photo's pixels.
    progress : called with a stage's name, its finished steps and all its steps.

    Raises
    ------
    BadInputError
        When `output` holds anything but an earlier demo.
    """
    start = time.perf_counter()
    folder, report = Path(output), progress or quiet
    _claim(folder)
    head = load_default_model()
    people = _simulate(head, folder / "scans", count, report)
    built = build_basis(
        folder / "scans",
        folder / "model.h5",
        work_dir=folder / "work",
        jobs=jobs,
        progress=report,
    )
    report("Fitting the photo", 0, 1)
    with resources.as_file(resources.files("morphkit") / "data" / _PHOTO) as photo:
        fitted = fit(photo, folder / "fit", photometric=photometric)
    report("Fitting the photo", 1, 1)
    report("Drawing the page", 0, 1)
    errors = _errors(head, people, folder / "work")
    seconds = time.perf_counter() - start
    page = folder / "report.html"
    render_report(
        "demo.html.jinja",
        page,
        minutes=f"{seconds / 60:.1f} minutes",
        tiles=_tiles(built, errors, fitted.landmark_error),
        errors=[(name, *(f"{value:.2f}" for value in row)) for name, row in errors.items()],
        **_scan_pictures(head, people, built, folder),
        **model_values(built.model),
        **_fit_pictures(fitted, folder / "fit"),
    )
    report("Drawing the page", 1, 1)
    used = sum(scan.usable for scan in built.scans)
    return DemoResult(page, len(people), used, errors["registered"][0], time.perf_counter() - start)


def _claim(folder: Path) -> None:
    """Mark the folder as a demo's, so that a later demo may overwrite it and nobody else's files."""
    marker = folder / _MARKER
    if folder.exists() and not marker.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInputError(f"{folder} is not empty and holds no earlier demo; choose another folder.")
    write_json(marker, {"morphkit": morphkit.__version__})


def _simulate(head: MorphableModel, folder: Path, count: int, report: Progress) -> list[_Person]:
    """Write raw scans of random people, and return the truth about them."""
    for stale in folder.glob("head_*.ply"):  # of an earlier demo with more scans
        stale.unlink()
    people = []
    for i in range(count):
        report("Simulating raw scans", i, count)
        rng = np.random.default_rng([_SEED, i])
        mesh = _random_person(head, rng)
        scan = scan_head(mesh, _face_center(head, mesh), rng)
        path = folder / f"head_{i:02d}.ply"
        write_mesh(path, scan.mesh)
        people.append(_Person(path.stem, path, scan.pose.apply(mesh.vertices), scan.pose))
    report("Simulating raw scans", count, count)
    return people


def _random_person(head: MorphableModel, rng: np.random.Generator) -> Mesh:
    identity = np.clip(rng.standard_normal(head.identity.n_components), -2.5, 2.5)
    albedo = None if head.albedo is None else _natural_albedo(head.albedo, rng)
    expression = None
    if head.expression is not None and head.expression_units is not None:
        names = rng.choice(head.expression_units.names, 3, replace=False)
        expression = head.expression_units.combine({str(n): rng.uniform(0, _MILD_EXPRESSION) for n in names})
    return replace(head.mesh(identity, expression, albedo), uv=None)


def _natural_albedo(group: LinearModel, rng: np.random.Generator) -> Float[np.ndarray, " k"]:
    """Return random albedo coefficients, drawn towards the mean until hardly a colour leaves 0..1.

    Skin tones are not Gaussian: the tails of a linear model are darker than black.
    """
    coefficients = rng.standard_normal(group.n_components)
    allowed = _out_of_gamut(group, np.zeros(0)) + _CLIPPED_SHARE  # pupils and nostrils are black
    for shrinkage in 0.85 ** np.arange(12):
        if _out_of_gamut(group, shrinkage * coefficients) <= allowed:
            return shrinkage * coefficients
    return np.zeros_like(coefficients)


def _out_of_gamut(group: LinearModel, coefficients: Float[np.ndarray, " c"]) -> float:
    """Return the share of colour values that lie (nearly) outside 0..1."""
    colors = group.instance(coefficients)
    return float(((colors < _DARKEST) | (colors > 1.0)).mean())


def _face_center(head: MorphableModel, mesh: Mesh) -> Float[np.ndarray, "3"]:
    center: Float[np.ndarray, "3"] = mesh.vertices[head.masks["face"]].mean(axis=0)
    return center


def _errors(
    head: MorphableModel, people: Sequence[_Person], work: Path
) -> dict[str, tuple[float, float, float]]:
    """Return (mean, median, 95 %) distances in millimetres of face vertices from the truth.

    "mean head, placed" is the template moved rigidly onto the truth, the error that one starts from;
    "registered" is what was built, over the whole face and where the scan has data.
    """
    face = head.masks["face"]
    mean = head.instance()
    placed, registered, supported = [], [], []
    for person in people:
        if not data_path(work, person.name).exists():
            continue
        result = load_registered(work, person.name, head.mesh())
        rigid = fit_similarity(mean[face], person.vertices[face], scale=False).apply(mean)
        errors = np.linalg.norm(result.mesh_mm.vertices - person.vertices, axis=1)
        registered.append(errors[face])
        supported.append(errors[face & result.valid])
        placed.append(np.linalg.norm(rigid - person.vertices, axis=1)[face])
    sets = {
        "mean head, placed": placed,
        "registered": registered,
        "registered, where the scan has data": supported,
    }
    return {name: _summary(np.concatenate(values)) for name, values in sets.items()}


def _summary(values: Float[np.ndarray, " n"]) -> tuple[float, float, float]:
    return float(values.mean()), float(np.median(values)), float(np.quantile(values, 0.95))


def _tiles(
    built: BuildResult, errors: dict[str, tuple[float, float, float]], landmark_error: float
) -> list[tuple[str, str]]:
    used = sum(scan.usable for scan in built.scans)
    return [
        (f"of {len(built.scans)} raw scans registered", str(used)),
        ("from the truth, mean over the face", f"{errors['registered'][0]:.2f} mm"),
        ("modes of shape", str(built.model.identity.n_components)),
        ("landmark error in the photo", f"{100 * landmark_error:.1f} %"),
    ]


def _scan_pictures(
    head: MorphableModel, people: Sequence[_Person], built: BuildResult, folder: Path
) -> dict[str, Any]:
    raw = [portrait(read_mesh(person.path), size=150) for person in people]
    registered = []
    for scan in built.scans:
        if scan.usable:
            result = load_registered(folder / "work", scan.name, head.mesh())
            clay = Mesh(result.mesh.vertices, result.mesh.faces)
            registered.append(portrait(clay, result.rotation, size=150))
    return {
        **scan_values(scan_rows(built.scans[:_SHOWN_IN_DETAIL])),
        "scan_count": len(people),
        "scans_folder": str(folder / "scans"),
        "scan_sheet": image_uri(contact_sheet(raw, _COLUMNS)),
        "registered_sheet": image_uri(contact_sheet(registered, _COLUMNS)),
        "build_report": built.report.name,
    }


def _fit_pictures(fitted: FitResult, folder: Path) -> dict[str, Any]:
    mesh = replace(photo_mesh(fitted), uv=fitted.model.uv, texture=read_image(folder / "texture.png"))
    closed = model_openings(fitted.model).closed(mesh)
    still = np.concatenate([turned_view(closed, yaw, size=360) for yaw in (-0.6, 0.6)], axis=1)
    skins = [Skin("photo", closed.colors, closed.texture, lit=False), Skin("shape")]
    face = Turntable("The fitted head", closed.vertices, closed.faces, skins, still, uv=closed.uv)
    return {
        "photo": image_uri(fitted.photo),
        "overlay": image_uri(read_image(folder / "overlay.png")),
        "face": turntable_values(face),
        "photo_credit": _PHOTO_CREDIT,
        "fit_folder": str(folder),
    }
