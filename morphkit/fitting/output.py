"""A fit as files: meshes, camera, coefficients, pictures and a page."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

import morphkit
from morphkit.export.appearance import blended_colors, photo_colors, visibility
from morphkit.export.camera import CONVENTIONS
from morphkit.export.fit_report import FitPictures, fit_pictures, write_fit_report
from morphkit.fitting.dense import face_mask
from morphkit.fitting.result import FitResult
from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.topology import dilate
from morphkit.io.atomic import write_json
from morphkit.io.images import write_image
from morphkit.io.meshes import write_mesh
from morphkit.mesh import Mesh
from morphkit.morphable import MorphableModel

_PACKAGES = ("numpy", "torch", "numba")
_MOUTH = 35.0  # millimetres around the lips that belong to the mouth and what is in it
_DISAGREEMENT = 3.0  # times the usual colour error at which a border vertex is half taken for hair or wall
_DIMMEST, _BRIGHTEST = 0.75, 1.3  # of the face's usual light, for what the photo did not show
_FEATHER = 4  # rings of triangles over which the photo's colours fade out beyond the face
_EDGE = 2  # rings over which the overlay fades out within it


def write_fit(result: FitResult, folder: Path | str) -> None:
    """Write everything that a fit found into a folder, each file atomically.

    ``mesh.obj`` and ``mesh.glb`` (millimetres, head frame; coloured by `photo_mesh`), ``overlay.png`` (the
    lit model over the whole photo), ``side_by_side.png``, ``params.json``, ``camera.json``,
    ``landmarks3d.json`` (the seven NoW points) and ``report.html``.
    """
    folder = Path(folder)
    mesh = photo_mesh(result)
    pictures = draw_fit(result, mesh)
    write_mesh(folder / "mesh.obj", mesh)
    write_mesh(folder / "mesh.glb", mesh)
    write_image(folder / "overlay.png", pictures.overlay)
    write_image(folder / "side_by_side.png", pictures.strip)
    write_json(folder / "params.json", parameters(result))
    write_json(folder / "camera.json", camera_values(result))
    write_json(folder / "landmarks3d.json", result.landmarks3d)
    _write_report(result, pictures, folder / "report.html")


def photo_mesh(result: FitResult) -> Mesh:
    """Return the fitted mesh in the photo's colours, with their light.

    A vertex that the photo saw squarely has the photo's colour; one that it did not see has that of its
    mirrored vertex in this side's light, and failing that (and off the face, where hair and background lie)
    the model's albedo under the photo's light.
    """
    seen = photo_colors(result.photo, result.camera, result.vertices)
    trust = visibility(result.camera, result.vertices, result.model.faces)
    trust = trust * _faded(_pictured(result.model), result.model.faces, _FEATHER)
    model = _model_colors(result, seen, trust)
    trust = trust * _agreement(result.model, seen, model, trust)
    colors = blended_colors(seen, trust, model, result.model.mirror)
    return Mesh(result.vertices, result.model.faces, colors=colors.astype(np.float32), source=result.source)


def draw_fit(result: FitResult, mesh: Mesh) -> FitPictures:
    """Return the pictures of a fit; `mesh` is what the turned views show."""
    normals = vertex_normals(result.vertices, result.model.faces)
    opacity = _faded(face_mask(result.model), result.model.faces, -_EDGE)
    return fit_pictures(result.photo, result.camera, mesh, normals, result.lit_colors, opacity)


def camera_values(result: FitResult) -> dict[str, Any]:
    """Return what ``camera.json`` says."""
    camera = result.camera
    return {
        "K": camera.K,
        "R": camera.R,
        "t": camera.t,
        "width": camera.width,
        "height": camera.height,
        "conventions": CONVENTIONS,
    }


def parameters(result: FitResult) -> dict[str, Any]:
    """Return what ``params.json`` says."""
    return {
        "photo": None if result.source is None else result.source.name,
        "identity": result.identity,
        "expression": result.expression,
        "expression_units": _unit_strengths(result),
        "albedo": result.albedo,
        "sh_coefficients": result.sh_coefficients,
        "landmark_error": result.landmark_error,
        "landmark_energies": result.landmark_energies,
        "photometric_energies": result.photometric_energies,
        "converged": result.converged,
        "seconds": dict(result.timings),
        "notes": result.notes,
        "versions": {
            "morphkit": morphkit.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
    }


def _unit_strengths(result: FitResult) -> dict[str, float]:
    """Return how strong each named expression unit is, 1 being full strength, in the least-squares sense."""
    units = result.model.expression_units
    if units is None or len(result.expression) == 0:
        return {}
    strengths = np.linalg.lstsq(units.coefficients.T, result.expression, rcond=1e-6)[0]
    return dict(zip(units.names, strengths.round(4).tolist(), strict=True))


def _faded(mask: Bool[np.ndarray, "v"], faces: Int[np.ndarray, "f 3"], rings: int) -> Float[np.ndarray, "v"]:
    """Return 1 in a region, falling to 0 over `rings` rings of triangles outside it (inside, if negative)."""
    region = mask if rings > 0 else ~mask
    grown = [dilate(region, faces, n) for n in range(abs(rings) + 1)]
    faded: np.ndarray = np.mean(grown, axis=0)
    return faded if rings > 0 else 1.0 - faded


def _pictured(model: MorphableModel) -> Bool[np.ndarray, "v"]:
    """Return what a photo of a face shows of it: the face, the eyes, and what an open mouth lets see."""
    region = face_mask(model)
    for name in ("eyes", "lips"):
        region = region | model.masks.get(name, region)
    if "lips" in model.masks:
        mouth = model.identity.mean[model.masks["lips"]].mean(axis=0)
        region = region | (np.linalg.norm(model.identity.mean - mouth, axis=1) < _MOUTH)
    return region


def _agreement(
    model: MorphableModel,
    seen: Float[np.ndarray, "v 3"],
    expected: Float[np.ndarray, "v 3"],
    trust: Float[np.ndarray, "v"],
) -> Float[np.ndarray, "v"]:
    """Return 1 in the middle of the face; towards its border, less where hair or wall is seen for skin."""
    inner = model.masks.get("narrow_face")
    if inner is None or not (inner & (trust > 0.5)).any():
        return np.ones(len(seen))
    errors = np.linalg.norm(np.sqrt(seen) - np.sqrt(np.maximum(expected, 0.0)), axis=1)
    usual = max(float(np.median(errors[inner & (trust > 0.5)])), 0.02)
    agreement: np.ndarray = 1.0 / (1.0 + (errors / (_DISAGREEMENT * usual)) ** 4)
    middle = _faded(inner, model.faces, _FEATHER)
    return middle + (1.0 - middle) * agreement


def _model_colors(
    result: FitResult, seen: Float[np.ndarray, "v 3"], trust: Float[np.ndarray, "v"]
) -> Float[np.ndarray, "v 3"]:
    """Return the model's colours where the photo showed nothing; if it has none, the photo's usual skin.

    The light that a face shows says nothing of the light behind it, so brightness stays near the face's own.
    """
    trusted = trust > 0.5 * trust.max()
    if result.albedo_colors is None:
        return np.tile(np.median(seen[trusted], axis=0), (len(seen), 1))
    albedo = np.maximum(result.albedo_colors, 1e-3)
    usual = np.median(seen[trusted] / albedo[trusted], axis=0)
    if result.lit_colors is None:
        return albedo * usual
    shading = (result.lit_colors / albedo).mean(axis=1, keepdims=True)
    shading = shading / np.median(shading[trusted])
    return albedo * usual * shading.clip(_DIMMEST, _BRIGHTEST)


def _write_report(result: FitResult, pictures: FitPictures, path: Path) -> None:
    name = "the photo" if result.source is None else result.source.name
    pose = result.camera
    seconds = sum(result.timings.values())
    angle = 2.0 * np.degrees(np.arctan(0.5 * max(pose.width, pose.height) / pose.K[0, 0]))
    tiles = [
        ("landmark error, of the eye distance", _percent(result.landmark_error)),
        ("field of view, longer side", f"{angle:.0f}°"),
        ("distance to the camera", f"{np.linalg.norm(pose.t) / 1000.0:.2f} m"),
        ("to fit", f"{seconds:.1f} s"),
    ]
    facts = [
        ("Photo", f"{pose.width} × {pose.height} pixels"),
        ("Landmarks fitted", f"{len(result.seen.names)} ({result.seen.set_name})"),
        ("Identity", f"{len(result.identity)} coefficients, rms {_rms(result.identity):.2f} σ"),
        ("Expression", f"{len(result.expression)} coefficients, rms {_rms(result.expression):.2f} σ"),
        ("Albedo", f"{len(result.albedo)} coefficients, rms {_rms(result.albedo):.2f} σ"),
        ("Settled", "yes" if result.converged else "no: stopped at its number of steps"),
        *((f"Seconds, {stage}", f"{value:.2f}") for stage, value in result.timings.items()),
    ]
    write_fit_report(path, pictures, name=name, tiles=tiles, facts=facts, notes=result.notes)


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f} %" if np.isfinite(share) else "unknown"


def _rms(values: Float[np.ndarray, "n"]) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
