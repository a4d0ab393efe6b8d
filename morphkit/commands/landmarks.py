"""`morphkit landmarks`: points in a photo or on a scan, as files and as a picture to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from morphkit.errors import BadInputError, NoFaceError
from morphkit.geometry.views import Shading, render_view, turn
from morphkit.io.atomic import write_json
from morphkit.io.images import read_image, write_image
from morphkit.io.landmarks import LANDMARK_FORMATS, write_image_points, write_landmarks
from morphkit.io.meshes import MESH_SUFFIXES, read_mesh
from morphkit.landmarks import DetectedFace, ScanLandmarks, detect_faces, detect_scan_landmarks
from morphkit.mesh import Landmarks, Mesh
from morphkit.scans import clean_scan

_DENSE, _SPARSE = (90, 200, 255), (255, 70, 40)
_VIEW_SIZE = 700


@dataclass(frozen=True, eq=False)
class PointsFound:
    """The landmarks of one file.

    Attributes
    ----------
    path : the file.
    faces : of a photo, largest first; empty for a scan.
    landmarks : of a scan, the 68 points in its own frame and units; None for a photo.
    points_path, picture_path : what was written, or None.
    """

    path: Path
    faces: tuple[DetectedFace, ...] = ()
    landmarks: Landmarks | None = None
    points_path: Path | None = None
    picture_path: Path | None = None


def detect_landmarks(
    path: str | Path, output: str | Path | None = None, *, file_format: str = "json"
) -> PointsFound:
    """Find landmarks in a photo or on a scan.

    Parameters
    ----------
    path : an image, or a mesh (by its suffix).
    output : the folder that gets ``<stem>.landmarks.json`` and ``.png``; None writes nothing. A photo's file
        lists its faces with box, score, 478 and 68 points in pixels (x right, y down, pixel centres at +0.5);
        a scan's is a sidecar, iBUG-68 points in the scan's own frame and units.
    file_format : of a scan's points, a key of `LANDMARK_FORMATS`, whose suffix takes the place of ``.json``;
        for a photo "pts" writes the 68 points of the largest face, counted from (1, 1) as iBUG does.

    Raises
    ------
    NoFaceError
        When no face is found.
    BadInputError
        When the file cannot be read, or the format is for scans only.
    """
    file, folder = Path(path), None if output is None else Path(output)
    if file_format not in LANDMARK_FORMATS:
        raise ValueError(f"file_format must be one of {', '.join(LANDMARK_FORMATS)}, got {file_format!r}")
    if file.suffix.lower() in MESH_SUFFIXES:
        return _on_scan(file, folder, file_format)
    if file_format not in ("json", "pts"):
        raise BadInputError(
            f"{file}: the landmarks of a photo are written as json or pts, not {file_format}."
        )
    return _in_photo(file, folder, file_format)


def _in_photo(path: Path, folder: Path | None, file_format: str) -> PointsFound:
    image = read_image(path)
    faces = detect_faces(image)
    if not faces:
        raise NoFaceError(
            f"No face was found in {path}; try a sharper photo, or one that shows more of the face."
        )
    if folder is None:
        return PointsFound(path, faces)
    points_path, picture_path = _targets(path, folder, file_format)
    if file_format == "pts":
        write_image_points(points_path, faces[0].points68)
    else:
        entries = [_entry(face) for face in faces]
        write_json(points_path, {"image": path.name, "size": image.shape[1::-1], "faces": entries})
    write_image(picture_path, _drawn(image, [(face.points478[:, :2], face.points68) for face in faces]))
    return PointsFound(path, faces, None, points_path, picture_path)


def _entry(face: DetectedFace) -> dict[str, object]:
    return {
        "box": face.box,
        "score": face.score,
        "presence": face.presence,
        "points478": face.points478,
        "points68": face.points68,
    }


def _on_scan(path: Path, folder: Path | None, file_format: str) -> PointsFound:
    cleaned = clean_scan(read_mesh(path, allow_nonfinite=True))
    found = detect_scan_landmarks(cleaned.mesh)
    units = cleaned.report.scale
    landmarks = Landmarks(found.ibug68.names, found.ibug68.points / units)
    if folder is None:
        return PointsFound(path, landmarks=landmarks)
    points_path, picture_path = _targets(path, folder, file_format)
    write_landmarks(points_path, landmarks, file_format=file_format)
    write_image(picture_path, _scan_picture(cleaned.mesh, found))
    return PointsFound(path, (), landmarks, points_path, picture_path)


def _targets(path: Path, folder: Path, file_format: str) -> tuple[Path, Path]:
    suffix = LANDMARK_FORMATS[file_format].suffix
    return folder / f"{path.stem}.landmarks{suffix}", folder / f"{path.stem}.landmarks.png"


def _scan_picture(mesh: Mesh, found: ScanLandmarks) -> UInt8[np.ndarray, "h w 3"]:
    """Return the scan from the front and turned, with the points that the camera sees drawn on it."""
    pictures = []
    colored = mesh.colors is not None or (mesh.texture is not None and mesh.uv is not None)
    shading: Shading = "lit" if colored else "shaded"
    for yaw in (0.0, 0.7):
        view = render_view(mesh, turn(yaw=yaw) @ found.rotation.T, size=_VIEW_SIZE, shading=shading)
        dense, sparse = (view.camera.project(points.points) for points in (found.mediapipe478, found.ibug68))
        pictures.append(_drawn(view.image, [(dense, sparse)]))
    return np.concatenate(pictures, axis=1)


def _drawn(
    image: UInt8[np.ndarray, "h w 3"],
    point_sets: list[tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "m 2"]]],
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture with dots: dense points small, the 68 larger."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for dense, sparse in point_sets:
        radius = max(1.0, float(np.ptp(dense, axis=0).max()) / 250)
        for points, color, r in ((dense, _DENSE, 0.6 * radius), (sparse, _SPARSE, radius)):
            for x, y in points[np.isfinite(points).all(axis=1)]:
                draw.ellipse((x - r, y - r, x + r, y + r), fill=color)
    return np.asarray(picture)
