"""A fit as files: meshes, camera, coefficients, pictures and a page."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

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

_PACKAGES = ("morphkit-3dmm", "numpy", "torch", "numba")
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
    trust = visibility(result.camera, result.vertices, result.model.faces) * _faded(
        face_mask(result.model), result.model.faces, _FEATHER
    )
    seen = photo_colors(result.photo, result.camera, result.vertices)
    colors = blended_colors(seen, trust, _model_colors(result, seen, trust), result.model.mirror)
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
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
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


def _model_colors(
    result: FitResult, seen: Float[np.ndarray, "v 3"], trust: Float[np.ndarray, "v"]
) -> Float[np.ndarray, "v 3"]:
    """Return the model's colours for what the photo did not show, or where it has none the photo's mean skin.

    The light that a face shows says nothing of the light behind it, so brightness stays near the face's own.
    """
    trusted = trust > 0.5 * trust.max()
    if result.lit_colors is None or result.albedo_colors is None:
        return np.tile(np.median(seen[trusted], axis=0), (len(seen), 1))
    albedo = np.maximum(result.albedo_colors, 1e-3)
    brightness = result.lit_colors / albedo
    usual = np.median(brightness[trusted], axis=0)
    return albedo * brightness.clip(_DIMMEST * usual, _BRIGHTEST * usual)


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


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
