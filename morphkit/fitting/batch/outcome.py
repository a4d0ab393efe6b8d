"""What became of a photo: the line that a person reads about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from morphkit.fitting.result import FitResult

Status = Literal["fitted", "reused", "failed", "pending"]


@dataclass(frozen=True)
class FitFigures:
    """A fit in a few numbers.

    Attributes
    ----------
    landmark_error : see `FitResult`; NaN where it is unknown.
    focal_length : of the photo's camera, pixels.
    yaw, pitch, roll : of the head against the camera, degrees: to its left, nodding down, towards its right
        shoulder; see `morphkit.geometry.views.turn`.
    distance : from the camera to the head frame's origin, millimetres.
    identity_rms : of the identity coefficients, standard deviations; near 1 for an ordinary face.
    converged : whether the optimisation settled.
    notes : what was left out or is doubtful, one sentence each.
    """

    landmark_error: float = float("nan")
    focal_length: float = float("nan")
    yaw: float = float("nan")
    pitch: float = float("nan")
    roll: float = float("nan")
    distance: float = float("nan")
    identity_rms: float = float("nan")
    converged: bool = True
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> FitFigures:
        """Return the figures that `asdict` made, after JSON turned NaN into null.

        Raises
        ------
        TypeError, KeyError
            When they are not such figures.
        """
        numbers = {
            field.name: float("nan") if values[field.name] is None else float(values[field.name])
            for field in fields(cls)
            if field.name not in ("converged", "notes")
        }
        return cls(**numbers, converged=bool(values["converged"]), notes=tuple(map(str, values["notes"])))


@dataclass(frozen=True)
class PhotoOutcome:
    """What became of one photo.

    Attributes
    ----------
    name : of its results, among the batch's.
    photo : the image file.
    status : "fitted"; "reused" if an earlier run's result still holds; "failed"; or, in a summary of a run
        that was cut short, "pending".
    folder : with the result's files; None where there are none.
    figures : of the fit; None where there is none.
    error : why it failed, one sentence; else empty.
    seconds : that it took; of a reused result, in its time.
    exit_code : what a command that was asked for this photo alone would return.
    trace : of an internal error, for its report; else empty.
    """

    name: str
    photo: Path
    status: Status
    folder: Path | None = None
    figures: FitFigures | None = None
    error: str = ""
    seconds: float = 0.0
    exit_code: int = 0
    trace: str = ""

    @property
    def usable(self) -> bool:
        """Whether there is a fit."""
        return self.figures is not None

    def row(self) -> dict[str, Any]:
        """Return what a summary's row says, by column: numbers, texts, and a list of notes."""
        figures = asdict(self.figures or FitFigures())
        known = self.figures is not None
        return {
            "name": self.name,
            "photo": str(self.photo),
            "status": self.status,
            "error": self.error,
            "landmark_error": figures["landmark_error"],
            "focal_length_px": figures["focal_length"],
            "yaw_degrees": figures["yaw"],
            "pitch_degrees": figures["pitch"],
            "roll_degrees": figures["roll"],
            "distance_mm": figures["distance"],
            "identity_rms": figures["identity_rms"],
            "converged": figures["converged"] if known else None,
            "seconds": round(self.seconds, 3) if known or self.error else None,
            "notes": list(figures["notes"]),
            "folder": None if self.folder is None else str(self.folder),
        }


def fit_figures(result: FitResult) -> FitFigures:
    """Return a fit's figures."""
    camera = result.camera
    yaw, pitch, roll = head_angles(camera.R)
    identity = result.identity
    return FitFigures(
        landmark_error=float(result.landmark_error),
        focal_length=float(camera.K[0, 0]),
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        distance=float(np.linalg.norm(camera.t)),
        identity_rms=float(np.sqrt(np.mean(identity**2))) if len(identity) else 0.0,
        converged=result.converged,
        notes=result.notes,
    )


def head_angles(rotation: Float[np.ndarray, "3 3"]) -> tuple[float, float, float]:
    """Return yaw, pitch and roll in degrees of a head that a camera sees.

    Parameters
    ----------
    rotation : (3, 3) from the head frame to the camera (x right, y down, z forward); it is
        ``diag(1, -1, -1) @ turn(yaw, pitch, roll)`` of `morphkit.geometry.views.turn`.
    """
    turned = np.diag([1.0, -1.0, -1.0]) @ rotation
    yaw = np.arctan2(-turned[2, 0], turned[2, 2])
    pitch = np.arcsin(np.clip(turned[2, 1], -1.0, 1.0))
    roll = np.arctan2(-turned[0, 1], turned[1, 1])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))
