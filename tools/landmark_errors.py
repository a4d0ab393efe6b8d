"""Measure how wrong detected scan landmarks are, for the table that `morphkit.landmarks` takes them from.

    python tools/landmark_errors.py [--count 240] [--jobs 2] [--output morphkit/data/landmark_errors.npz]

Simulated clay scans of samples of the default head, whose truth is known, go through `detect_scan_landmarks`.
A point's true place is the place on the template's surface where it is found on the average, so what is
measured is how its error varies from head to head. Left and right share their errors.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import joblib
import numpy as np
from jaxtyping import Float, Int

from morphkit.archive import load_default_model
from morphkit.building.synthetic import scan_head
from morphkit.errors import NoFaceError
from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.landmarks import ScanLandmarks, detect_scan_landmarks
from morphkit.landmarks.sighting import canonical_points
from morphkit.mesh import LandmarkEmbedding, Mesh
from morphkit.morphable import MorphableModel

_WILD = 8.0  # millimetres; errors beyond are left to the robust weights of whoever uses the landmarks
_NEVER_SEEN = 8.0  # millimetres, of a point that no view of any head shows on its surface
_EXPRESSION = 0.5  # standard deviations of every third head's expression
_OUTPUT = Path(__file__).parent.parent / "morphkit" / "data" / "landmark_errors.npz"

Sample = tuple[np.ndarray, ScanLandmarks]  # the head's vertices in the scan's frame, and what was found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", type=Path, default=_OUTPUT)
    arguments = parser.parse_args()
    tasks = (joblib.delayed(sample)(seed) for seed in range(arguments.count))
    samples = [found for found in joblib.Parallel(arguments.jobs)(tasks) if found is not None]
    covariances, spread = measure(samples)
    rows, columns = np.triu_indices(3)
    np.savez(
        arguments.output,
        covariances=covariances[:, rows, columns].astype(np.float32),
        spread=spread.astype(np.float32),
    )
    deviations = np.sqrt(np.trace(covariances, axis1=1, axis2=2) / 3)
    print(f"{len(samples)} scans; deviations {np.quantile(deviations, [0, 0.25, 0.5, 0.75, 1]).round(2)} mm")


def sample(seed: int) -> Sample | None:
    """Return a simulated head and the landmarks found on its scan; None when none were."""
    rng = np.random.default_rng(seed)
    model = load_default_model()
    expression = _EXPRESSION * _normal(rng, model.expression.n_components) if seed % 3 == 0 else None
    vertices = model.instance(identity=_normal(rng, model.identity.n_components), expression=expression)
    center = model.landmarks["ibug68"].landmarks(vertices, model.faces).points[27:48].mean(axis=0)
    scan = scan_head(Mesh(vertices, model.faces), center, rng)
    try:
        return scan.pose.apply(vertices), detect_scan_landmarks(scan.mesh)
    except NoFaceError:
        return None


def measure(samples: list[Sample]) -> tuple[Float[np.ndarray, "478 3 3"], Float[np.ndarray, "478"]]:
    """Return the covariances of the errors in the canonical face's frame, and the usual spread of views."""
    model = load_default_model()
    truth = usual_places(model, samples)
    errors = np.stack([_errors(model, truth, vertices, found) for vertices, found in samples])
    mirrored = errors[:, mirror_order()] * (-1, 1, 1)
    errors = np.concatenate([errors, mirrored])
    known = np.isfinite(errors[..., 0])
    errors = np.nan_to_num(errors)
    weights = known / (1 + (np.linalg.norm(errors, axis=2) / _WILD) ** 2)
    total = weights.sum(axis=0)[:, None, None]
    covariances = np.einsum("sn,sni,snj->nij", weights, errors, errors)
    covariances = np.where(total > 0, covariances / np.maximum(total, 1e-9), _NEVER_SEEN**2 * np.eye(3))
    spread = np.stack([found.spread / found.pose.scale for _, found in samples])
    return covariances, np.median(np.where(np.isfinite(spread), spread, 0), axis=0)


def usual_places(model: MorphableModel, samples: list[Sample]) -> LandmarkEmbedding:
    """Return where on the template the points are found on the average; as drawn where they never are."""
    faces = model.faces
    drawn = model.landmarks["mediapipe478"].landmarks(model.mesh().vertices, faces).points
    places = []
    for vertices, found in samples:
        closest = ClosestPointQuery(Mesh(vertices, faces)).query(found.mediapipe478.points)
        corners = model.mesh().vertices[faces[closest.face_indices]]
        place = np.einsum("nk,nkd->nd", closest.barycentrics, corners)
        place[~found.seen] = np.nan
        places.append(place)
    seen = np.isfinite(places).all(axis=2).any(axis=0)
    usual = drawn.copy()
    usual[seen] = np.nanmedian(np.stack(places)[:, seen], axis=0)
    closest = ClosestPointQuery(model.mesh()).query(usual)
    names = tuple(f"mp{index}" for index in range(478))
    return LandmarkEmbedding(names, closest.face_indices, closest.barycentrics)


def _errors(
    model: MorphableModel, truth: LandmarkEmbedding, vertices: np.ndarray, found: ScanLandmarks
) -> Float[np.ndarray, "478 3"]:
    """Return the errors in the canonical face's frame and units, NaN where a point was not seen."""
    errors = found.mediapipe478.points - truth.landmarks(vertices, model.faces).points
    errors[~found.seen] = np.nan
    return errors @ found.pose.rotation / found.pose.scale


def mirror_order() -> Int[np.ndarray, "478"]:
    """Return each point's partner on the other side."""
    points = canonical_points()[:468]
    distances = np.linalg.norm(points[:, None] * (-1, 1, 1) - points[None], axis=2)
    irises = [473, 476, 475, 474, 477, 468, 471, 470, 469, 472]  # centre, right, top, left, bottom of each
    return np.concatenate([distances.argmin(axis=1), irises])


def _normal(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.clip(rng.standard_normal(count), -2.5, 2.5)


if __name__ == "__main__":
    main()
