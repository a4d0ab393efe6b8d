"""A fitted video as files: parameters of every frame, the person, and the face over the frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.export.expectation import overlay_opacity
from morphkit.export.fit_pictures import clay_colors
from morphkit.export.morphs import unit_strengths
from morphkit.export.overlay import composite, draw_face
from morphkit.fitting.frames import Frame, can_encode, write_video
from morphkit.fitting.shading import reflection_basis
from morphkit.fitting.subject_output import write_subject
from morphkit.fitting.video import VideoFit
from morphkit.geometry.normals import vertex_normals
from morphkit.io.atomic import atomic_path, write_json
from morphkit.io.atomic_folder import files_below, renewed_folder
from morphkit.io.images import write_image

_RECORD = "track.json"
_PREVIEW = 720  # pixels at most of the overlay's height


def write_video_fit(result: VideoFit, folder: Path | str, *, texture_size: int = 1024) -> None:
    """Write a fitted video into a folder: all of these files or none, in place of those of an earlier run.

    ``track.npz``
        for each of t frames: ``rotation`` (t, 3, 3), ``translation`` (t, 3) mm, ``expression`` (t, e),
        ``light`` (t, 9, 3), ``found`` (t,), ``time`` (t,) seconds, and each frame's own ``raw_rotation``,
        ``raw_translation``, ``raw_expression``, NaN where the face was not seen; ``K`` (3, 3).
    ``track.json``
        the same for other programs, the expression as the strength of the model's units where it has any;
        comes last, and names all files.
    ``overlay.mp4``
        frames beside the face drawn over them; without the extra ``video`` a folder ``overlay`` of pictures.
    ``person``
        what `morphkit.fitting.write_subject` writes of the keyframes.

    Parameters
    ----------
    result : the video.
    folder : is made if it is missing.
    texture_size : pixels of the person's texture.

    Raises
    ------
    MorphkitError
        When the frames cannot be read again, or the folder not be written to.
    """
    names = [f"frame_{frame + 1:05d}" for frame in result.keyframes]
    with renewed_folder(Path(folder), record=_RECORD) as new:
        write_subject(result.person, new / "person", names=names, texture_size=texture_size)
        with atomic_path(new / "track.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **track_arrays(result))
        _write_overlay(result, new)
        written = sorted([*files_below(new), _RECORD])
        write_json(new / _RECORD, {**track_values(result), "files": written})


def _write_overlay(result: VideoFit, folder: Path) -> None:
    overlays = overlay_frames(result)
    if can_encode():
        write_video(folder / "overlay.mp4", overlays, result.video.rate)
        return
    for number, frame in enumerate(overlays, 1):
        write_image(folder / "overlay" / f"{number:05d}.jpg", frame)


def track_arrays(result: VideoFit) -> dict[str, Any]:
    """Return what ``track.npz`` holds."""
    poses = [look.face.pose for look in result.looks]
    raw = [frame.look.face if frame is not None else None for frame in result.raw]
    count, expressions = len(poses), len(result.looks[0].face.expression)
    arrays: dict[str, Any] = {
        "K": poses[0].intrinsics,
        "time": np.arange(count) / result.video.rate,
        "found": result.found,
        "rotation": np.array([pose.rotation for pose in poses]),
        "translation": np.array([pose.translation for pose in poses]),
        "expression": np.array([look.face.expression for look in result.looks]),
        "light": np.array([look.light for look in result.looks]),
        "raw_rotation": np.full((count, 3, 3), np.nan),
        "raw_translation": np.full((count, 3), np.nan),
        "raw_expression": np.full((count, expressions), np.nan),
    }
    for i, face in enumerate(raw):
        if face is not None:
            arrays["raw_rotation"][i] = face.pose.rotation
            arrays["raw_translation"][i] = face.pose.translation
            arrays["raw_expression"][i] = face.expression
    return arrays


def track_values(result: VideoFit) -> dict[str, Any]:
    """Return what ``track.json`` says, but the names of the files."""
    height, width = result.size
    return {
        "video": result.video.path.name,
        "frames_per_second": result.video.rate,
        "width": width,
        "height": height,
        "K": result.looks[0].face.pose.intrinsics,
        "keyframes": [frame + 1 for frame in result.keyframes],
        "notes": result.notes,
        "frames": [
            {
                "time": i / result.video.rate,
                "found": frame is not None,
                "R": look.face.pose.rotation,
                "t": look.face.pose.translation,
                "expression": look.face.expression,
                "expression_units": unit_strengths(result.model, look.face.expression),
                "sh_coefficients": look.light,
            }
            for i, (look, frame) in enumerate(zip(result.looks, result.raw, strict=True))
        ],
    }


def overlay_frames(result: VideoFit) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield each frame beside itself with the lit face and with its bare shape drawn over it.

    A frame in which the face was not seen stays as it is.
    """
    model = result.model
    opacity = overlay_opacity(model)
    albedo = None if model.albedo is None else model.albedo_instance().astype(np.float64)
    frames = itertools.islice(result.video, len(result.looks))
    for i, frame in enumerate(frames):
        yield _reduced(_overlaid(result, i, frame, opacity, albedo))


def _overlaid(
    result: VideoFit,
    number: int,
    frame: Frame,
    opacity: Float[np.ndarray, " v"],
    albedo: Float[np.ndarray, "v 3"] | None,
) -> UInt8[np.ndarray, "h w 3"]:
    if not result.found[number]:
        return np.concatenate([frame] * 3, axis=1)
    camera, vertices = result.camera(number), result.vertices(number)
    normals = vertex_normals(vertices, result.model.faces) @ camera.R.T
    clay = clay_colors(normals)
    light = result.looks[number].light
    known = albedo is not None and light.any()
    lit = np.maximum(albedo * (reflection_basis(normals) @ light), 0.0) if known else clay
    drawn = [
        composite(frame, draw_face(camera, vertices, result.model.faces, colors, opacity))
        for colors in (lit, clay)
    ]
    return np.concatenate([frame, *drawn], axis=1)


def _reduced(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "p q 3"]:
    """Return every k-th pixel of large pictures."""
    step = -(-image.shape[0] // _PREVIEW)
    return np.ascontiguousarray(image[::step, ::step])
