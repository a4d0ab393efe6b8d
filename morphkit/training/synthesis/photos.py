"""Rendered photos as files: a picture, its landmarks, and the truth, as other commands read them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from morphkit.io.atomic import atomic_path, write_json
from morphkit.io.images import write_image
from morphkit.training.data.faces import Faces
from morphkit.training.synthesis.head import Head
from morphkit.training.synthesis.studio import Photo

TRUTH = "truth"


def write_photos(folder: Path, head: Head, faces: Faces, photos: tuple[Photo, ...]) -> None:
    """Write ``photo_000000.jpg`` and ``.json``, and ``truth/photo_000000.npz``, for each of some faces.

    The ``.json`` holds ``size`` and the true ``landmarks`` in pixels; the ``.npz`` has ``vertices``,
    ``neutral``, ``faces`` and 3D ``landmarks`` in the model's frame, as `morphkit evaluate-fits` reads them,
    the coefficients ``identity``, ``expression`` and ``albedo``, the OpenCV camera ``K``, ``R``, ``t``, the
    ``light``, and the ``person``.
    """
    triangles = head.model.faces.cpu().numpy()
    for row, photo in enumerate(photos):
        path = folder / faces.sources[row]
        write_image(path, photo.image)
        size = [photo.shot.width, photo.shot.height]
        landmarks = np.round(photo.landmarks, 3)
        write_json(path.with_suffix(".json"), {"size": size, "landmarks": landmarks})
        _write_truth(folder / TRUTH / f"{path.stem}.npz", faces, row, photo, triangles)


def _write_truth(path: Path, faces: Faces, row: int, photo: Photo, triangles: np.ndarray) -> None:
    truth = faces.truth
    if truth is None:
        raise ValueError("faces: rendered faces have a truth")
    values = {
        "vertices": photo.vertices.astype(np.float32),
        "neutral": photo.neutral.astype(np.float32),
        "faces": triangles,
        "landmarks": photo.points,
        "identity": truth.identity[row],
        "expression": truth.expression[row],
        "albedo": truth.albedo[row],
        "K": photo.shot.K,
        "R": photo.shot.R,
        "t": photo.shot.t,
        "light": photo.light.coefficients,
        "person": faces.people[row],
    }
    with io.BytesIO() as buffer:
        np.savez_compressed(buffer, **values)
        with atomic_path(path) as temporary:
            temporary.write_bytes(buffer.getvalue())
