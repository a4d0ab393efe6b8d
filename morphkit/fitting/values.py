"""What a fit's ``camera.json`` and ``params.json`` say."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import morphkit
from morphkit.export.blender import blender_camera
from morphkit.export.camera import CONVENTIONS
from morphkit.export.morphs import unit_strengths
from morphkit.fitting.result import FitResult

_PACKAGES = ("numpy", "torch", "numba")


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
        "blender": blender_camera(camera),
    }


def parameters(result: FitResult) -> dict[str, Any]:
    """Return what ``params.json`` says."""
    return {
        "photo": None if result.source is None else result.source.name,
        "model": {
            "name": result.model.provenance.get("name", result.model.provenance.get("source")),
            "file": _text(result.model.source),
            "vertices": result.model.n_vertices,
            "digest": result.model.digest,
        },
        **({} if result.predicted_by is None else {"predicted_by": result.predicted_by}),
        "identity": result.identity,
        "expression": result.expression,
        "expression_units": unit_strengths(result.model, result.expression),
        "albedo": result.albedo,
        "sh_coefficients": result.sh_coefficients,
        "posterior": _posterior_values(result),
        "landmark_error": result.landmark_error,
        "landmark_energies": result.landmark_energies,
        "photometric_energies": result.photometric_energies,
        "polish_energies": dict(result.polish_energies),
        "converged": result.converged,
        "seconds": dict(result.timings),
        "notes": result.notes,
        "versions": {
            "morphkit": morphkit.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
    }


def _posterior_values(result: FitResult) -> dict[str, Any] | None:
    """Return how sure the coefficients and vertices are: standard deviations, in σ of the model and in mm."""
    if result.posterior is None or result.vertex_deviations is None:
        return None
    shape = np.sqrt(np.diag(result.posterior.shape_covariance))
    face = result.vertex_deviations[result.model.face_mask]
    return {
        "identity_deviations": shape[: result.posterior.identity],
        "expression_deviations": shape[result.posterior.identity :],
        "face_vertex_deviation_mm": {
            "median": float(np.median(face)),
            "percentile_95": float(np.percentile(face, 95)),
        },
    }


def _text(path: Path | None) -> str | None:
    """Return a path as text; bytes that are none are lost, and with them the way back."""
    if path is None:
        return None
    named = path if path.name not in ("", "..") else path.resolve()
    return os.fsencode(named).decode("utf-8", "replace")
