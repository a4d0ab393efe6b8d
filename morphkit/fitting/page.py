"""What a fit's page says, in words and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from morphkit.export.facts import model_origin
from morphkit.export.fit_pictures import FitPictures, crop, face_window, turned_view
from morphkit.export.fit_report import FitPage
from morphkit.export.landmark_picture import landmark_svg
from morphkit.export.morphs import unit_strengths
from morphkit.export.openings import Openings
from morphkit.export.texture import FaceTexture
from morphkit.export.turntable import Skin, Slider, Turntable
from morphkit.export.uncertainty import reduced, scale_stops
from morphkit.fitting.result import FitResult
from morphkit.mesh import Mesh

_MAP_SIDE = 384  # pixels of the uncertainty pictures
_MAP_TURNS = (0.6, 0.0, -0.6)
_LANDMARK_SIDE = 900
_ATTENTION_SIDE = 900
_TEXTURE_SIDE = 640
_STILL = 1e-3  # millimetres that no expression is made of
_FEW = 3.0  # per cent of the seen texels, such as those of the eyes' charts, that may lie outside the picture
_ROOM = 0.75  # half the picture's side, of the seen part's


@dataclass(frozen=True, eq=False)
class FitView:
    """Pictures of a fit that are made already.

    Attributes
    ----------
    pictures : of the fit.
    shown : (v,) the vertices that views are framed by.
    texture : of the face, if it was unwrapped.
    uncertain : the face in the colours of its uncertainty, and the end of their scale, mm; if it is known.
    attended : the photo with what the fit looked at, if that is known.
    closed : the face, its openings closed, in the photo's colours, with the texture if there is one.
    openings : of its model.
    """

    pictures: FitPictures
    shown: Bool[np.ndarray, " v"]
    texture: FaceTexture | None
    uncertain: tuple[Mesh, float] | None
    attended: UInt8[np.ndarray, "h w 3"] | None
    closed: Mesh
    openings: Openings


def fit_page(result: FitResult, view: FitView, *, files: Sequence[tuple[str, str]]) -> FitPage:
    """Return a fit's page.

    Parameters
    ----------
    result : the fit.
    view : its pictures.
    files : (name, what it is) of what lies beside the page.
    """
    uncertainty = None
    if view.uncertain is not None:
        mesh, end = view.uncertain
        maps = [turned_view(mesh, yaw, shown=view.shown, shading="lit", size=_MAP_SIDE) for yaw in _MAP_TURNS]
        uncertainty = maps, end
    return FitPage(
        name="the photo" if result.source is None else result.source.name,
        face=face_turntable(result, view),
        origin=_origin(result),
        tiles=_tiles(result),
        facts=_facts(result, view.texture),
        notes=result.notes,
        files=files,
        coefficients={
            "Identity": result.identity,
            "Expression": result.expression,
            "Albedo": result.albedo,
        },
        units=unit_strengths(result.model, result.expression),
        landmarks=_landmarks(result, view.shown),
        textures=[] if view.texture is None else _textures(view.texture),
        uncertainty=uncertainty,
        scale=scale_stops(),
        attention=None if view.attended is None else reduced(view.attended, _ATTENTION_SIDE),
        predicted_by=result.predicted_by,
    )


def face_turntable(result: FitResult, view: FitView) -> Turntable:
    """Return the face to turn: in the photo's colours, without its light, bare, and by how sure it is.

    A slider takes its expression back.
    """
    closed, texture, openings = view.closed, view.texture, view.openings
    skins = [Skin("photo", closed.colors, closed.texture, lit=False)]
    if result.albedo_colors is not None:
        without = None if texture is None else texture.albedo
        skins.append(Skin("without light", openings.colored(result.albedo_colors), without))
    skins.append(Skin("shape"))
    if view.uncertain is not None:
        skins.append(Skin("how sure", view.uncertain[0].colors))
    moved = openings.extended(result.vertices - result.neutral)
    smiles = bool(np.abs(moved).max(initial=0.0) > _STILL)
    return Turntable(
        "The predicted face" if result.predicted_by else "The fitted face",
        closed.vertices - moved if smiles else closed.vertices,
        closed.faces,
        skins,
        np.hstack([view.pictures.right, view.pictures.left]),
        [Slider("expression", moved, 0.0, 1.0, 1.0, "")] if smiles else [],
        uv=closed.uv,
        framed=np.pad(view.shown, (0, len(closed.vertices) - len(view.shown))),
    )


def _origin(result: FitResult) -> list[str]:
    """Return what the fit was made from."""
    model, camera = result.model, result.camera
    counts = [("identity", result.identity), ("expression", result.expression), ("albedo", result.albedo)]
    modes = ", ".join(f"{len(values)} of {name}" for name, values in counts if len(values))
    return [
        f"photo of {camera.width} × {camera.height} pixels",
        *model_origin(model),
        f"{model.n_vertices:,} vertices" + (f" with modes: {modes}" if modes else ""),
    ]


def _tiles(result: FitResult) -> list[tuple[str, str]]:
    camera, doing = result.camera, "fit" if result.predicted_by is None else "predict"
    angle = 2.0 * np.degrees(np.arctan(0.5 * max(camera.width, camera.height) / camera.K[0, 0]))
    return [
        ("landmark error, of the eye distance", _percent(result.landmark_error)),
        ("field of view, longer side", f"{angle:.0f}°"),
        ("distance to the camera", f"{np.linalg.norm(camera.t) / 1000.0:.2f} m"),
        (f"to {doing}, files apart", f"{sum(result.timings.values()):.1f} s"),
    ]


def _facts(result: FitResult, texture: FaceTexture | None) -> list[tuple[str, str]]:
    groups = {"Identity": result.identity, "Expression": result.expression, "Albedo": result.albedo}
    marks = "Landmarks fitted" if result.predicted_by is None else "Landmarks seen"
    return [
        ("Photo", f"{result.camera.width} × {result.camera.height} pixels"),
        (marks, f"{len(result.seen.names)} ({result.seen.set_name})"),
        *((name, f"{len(values)} coefficients, rms {_rms(values):.2f} σ") for name, values in groups.items()),
        _made(result),
        *([] if texture is None or texture.note is None else [("Texture coordinates", texture.note)]),
        *_polish(result),
        *((f"Seconds, {stage}", f"{value:.2f}") for stage, value in result.timings.items()),
    ]


def _made(result: FitResult) -> tuple[str, str]:
    """Return how the face was found."""
    if result.predicted_by is not None:
        return "Predicted by", result.predicted_by
    return "Settled", "yes" if result.converged else "no: stopped at its number of steps"


def _polish(result: FitResult) -> list[tuple[str, str]]:
    """Return what the polish did to its energy, if there was one."""
    totals = [sum(terms) for terms in zip(*result.polish_energies.values(), strict=True)]
    return [("Polish", f"energy {totals[0]:.3f}, then {min(totals):.3f}")] if totals else []


def _textures(texture: FaceTexture) -> list[tuple[UInt8[np.ndarray, "s s 3"], str]]:
    seen = np.repeat(texture.visibility[..., None], 3, axis=2)
    pictures = [(texture.texture, "Unwrapped, under the photo's light: the part that it saw")]
    if texture.albedo is not None:
        pictures.append((texture.albedo, "Without light"))
    pictures.append((seen, "How well the photo saw it; what is black is filled in"))
    rows, columns = _seen_part(texture.visibility)
    return [(reduced(picture[rows, columns], _TEXTURE_SIDE), caption) for picture, caption in pictures]


def _seen_part(visibility: UInt8[np.ndarray, "s s"]) -> tuple[slice, slice]:
    """Return the rows and columns of a texture that hold most of what was seen, and some room around."""
    size = len(visibility)
    places = np.nonzero(visibility)
    if not len(places[0]):
        return slice(None), slice(None)
    low, high = (np.array([np.percentile(axis, share) for axis in places]) for share in (_FEW, 100.0 - _FEW))
    half = min(0.5 * size, _ROOM * float((high - low).max()))
    start = np.clip(0.5 * (low + high) - half, 0, size - 2.0 * half).astype(int)
    side = max(1, int(2.0 * half))
    return slice(start[0], start[0] + side), slice(start[1], start[1] + side)


def _landmarks(result: FitResult, shown: Bool[np.ndarray, " v"]) -> str:
    window = face_window(result.camera, result.vertices[shown], margin=0.15)
    picture = crop(result.photo, window, min(_LANDMARK_SIDE, window[2] - window[0]))
    fitted = np.full_like(result.seen.pixels, np.nan, dtype=np.float64)
    marks = result.model.landmarks[result.seen.set_name].landmarks(result.vertices, result.model.faces)
    places = dict(zip(marks.names, result.camera.project(marks.points), strict=True))
    for i, (name, slides) in enumerate(zip(result.seen.names, result.seen.on_outline, strict=True)):
        if name in places and not slides:
            fitted[i] = places[name]
    return landmark_svg(picture, window, result.seen.pixels.astype(np.float64), fitted)


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f} %" if np.isfinite(share) else "unknown"


def _rms(values: Float[np.ndarray, " n"]) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
