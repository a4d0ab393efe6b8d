"""A fit as files: meshes, texture, camera, coefficients, pictures and a page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.export.blender import METRE, SNIPPET
from morphkit.export.expectation import face_skin, overlay_opacity
from morphkit.export.fit_pictures import FitPictures, fit_pictures
from morphkit.export.fit_report import write_fit_report
from morphkit.export.morphs import morph_targets
from morphkit.export.openings import Openings
from morphkit.export.texture import FacePainter, FaceTexture
from morphkit.export.uncertainty import attention_picture, deviation_colors, scale_end
from morphkit.fitting.evidence import face_painter, model_openings
from morphkit.fitting.page import FitView, fit_page
from morphkit.fitting.result import FitResult
from morphkit.fitting.values import camera_values, parameters
from morphkit.geometry.normals import vertex_normals
from morphkit.io.atomic import atomic_path, write_json
from morphkit.io.glb import write_glb
from morphkit.io.images import png_bytes, write_image
from morphkit.io.meshes import write_mesh
from morphkit.mesh import Mesh

FIT_FILES = {
    "mesh": {
        "mesh.obj": "the face, millimetres, head frame, open where the model is (mouth); mesh.mtl names its "
        "texture",
        "mesh.ply": "the same with vertex colours",
        "neutral.ply": "the same face without expression",
    },
    "glb": {"face.glb": "for three.js and Blender: metres, y up, texture, expression units as morph targets"},
    "texture": {
        "texture.png": "unwrapped from the photo; unseen parts from the other side and the model",
        "texture_visibility.png": "how well the photo saw each texel",
        "albedo.png": "the texture without light",
    },
    "camera": {
        "camera.json": "the photo's camera for OpenCV and Blender",
        "blender_camera.py": "puts it into a Blender scene",
    },
    "params": {
        "params.json": "coefficients, light, errors, notes",
        "landmarks3d.json": "the seven NoW points",
    },
    "overlay": {
        "overlay.png": "the lit model over the whole photo",
        "side_by_side.png": "photo, fit, shape and turned views in a row",
    },
    "uncertainty": {
        "uncertainty.ply": "the face coloured by how sure each point is",
        "posterior.npz": "how sure identity and expression coefficients are, together",
    },
    "attention": {"attention.png": "what of the photo the fit looked at, and in red what it rejected"},
    "report": {"report.html": "this page"},
}
"""The files of a fit by group, and what they are."""


def write_fit(
    result: FitResult,
    folder: Path | str,
    *,
    files: Collection[str] = tuple(FIT_FILES),
    texture_size: int = 1024,
    others: Sequence[FitResult] = (),
) -> None:
    """Write what a fit found into a folder, each file atomically.

    ``mesh``
        ``mesh.obj`` with ``mesh.mtl``, ``mesh.ply`` (millimetres, head frame: x to the subject's left, y up,
        z out of the face, in the model's vertex order), and ``neutral.ply``, the same face without
        expression.
    ``glb``
        ``face.glb`` in metres, y up: the neutral face with the model's expression units as morph targets,
        their weights set to the fitted expression, and ``fitted_rest``, which holds what the units cannot
        say. Its colours contain the photo's light, and its material is unlit.
    ``texture``
        ``texture.png`` (sRGB, under the photo's light), ``texture_visibility.png`` and, where the light is
        known, ``albedo.png``. Meshes and GLB then refer to it; without this group they have vertex colours.
    ``camera``
        ``camera.json`` (K, R, t of OpenCV; and for Blender) and ``blender_camera.py``.
    ``params``
        ``params.json`` and ``landmarks3d.json``, the seven NoW points.
    ``overlay``
        ``overlay.png``, the lit model over the whole photo, and ``side_by_side.png``.
    ``uncertainty``
        If the fit says how sure it is, ``uncertainty.ply`` and ``posterior.npz``: "mean" (k,) and
        "covariance" (k, k), float64, of the identity coefficients and, after them, the expression ones, in
        standard deviations.
    ``attention``
        ``attention.png``, if the fit says what it looked at.
    ``report``
        ``report.html``, one file.

    Parameters
    ----------
    result : the fit.
    folder : is made if it is missing.
    files : groups to write, of `FIT_FILES`; all of them by default.
    texture_size : pixels.
    others : fits of the same model to other photos of this person, for the texture.

    Raises
    ------
    ValueError
        When a group is unknown, or another fit is of a model with other triangles.
    MorphkitError
        When the folder cannot be written to, or the disk is full.
    """
    unknown = sorted(set(files) - set(FIT_FILES))
    if unknown:
        raise ValueError(f"files: expected some of {', '.join(FIT_FILES)}, got {', '.join(unknown)}")
    groups = tuple(name for name in FIT_FILES if name in files)
    writer = _Writer(result, Path(folder), groups, texture_size, others)
    for name in writer.groups:
        getattr(writer, f"write_{name}")()


class _Writer:
    """Writes the groups of files, in their order; what several of them need is made once."""

    def __init__(
        self,
        result: FitResult,
        folder: Path,
        groups: tuple[str, ...],
        texture_size: int,
        others: Sequence[FitResult],
    ) -> None:
        self.result, self.folder, self.groups = result, folder, groups
        self.texture_size, self.others = texture_size, others
        self.deviations: Float[np.ndarray, " v"] | None = result.vertex_deviations
        self.attention: Float[np.ndarray, "h w"] | None = result.attention

    @cached_property
    def painter(self) -> FacePainter:
        return face_painter(self.result, self.others)

    @cached_property
    def texture(self) -> FaceTexture | None:
        if "texture" not in self.groups:
            return None
        return self.painter.texture(self.result.model.uv, self.texture_size)

    @cached_property
    def picture(self) -> bytes | None:
        return None if self.texture is None else png_bytes(self.texture.texture)

    @cached_property
    def mesh(self) -> Mesh:
        """The fitted face, with vertex colours, and the texture if there is to be one."""
        colors = self.painter.vertex_colors.astype(np.float32)
        texture = self.texture
        return Mesh(
            self.result.vertices,
            self.result.model.faces,
            colors=colors,
            uv=None if texture is None else texture.uv,
            texture=None if texture is None else texture.texture,
            source=self.result.source,
        )

    @cached_property
    def opacity(self) -> Float[np.ndarray, " v"]:
        return overlay_opacity(self.result.model)

    @cached_property
    def pictures(self) -> FitPictures:
        result, closed = self.result, self.closed_mesh
        lit = None if result.lit_colors is None else self.openings.colored(result.lit_colors)
        normals = vertex_normals(closed.vertices, closed.faces)
        opacity = self.openings.extended(self.opacity, 0.0)  # what is in an opening, the photo shows
        return fit_pictures(result.photo, result.camera, closed, normals, lit, opacity)

    @cached_property
    def openings(self) -> Openings:
        return model_openings(self.result.model)

    @cached_property
    def closed_mesh(self) -> Mesh:
        """The fitted face for eyes: its openings closed, in the texture by what the photo shows in them."""
        closed = self.openings.closed(replace(self.mesh, uv=None))
        return closed if self.texture is None else replace(closed, uv=self.texture.closed_uv)

    def write_mesh(self) -> None:
        picture = None if self.texture is None else self.folder / "texture.png"
        write_mesh(self.folder / "mesh.obj", self.mesh, picture=picture)
        plain = replace(self.mesh, uv=None, texture=None)
        write_mesh(self.folder / "mesh.ply", plain)
        write_mesh(self.folder / "neutral.ply", replace(plain, vertices=self.result.neutral))

    def write_glb(self) -> None:
        result = self.result
        moved = result.vertices - result.neutral
        targets = morph_targets(result.model, result.expression, moved)
        mesh = replace(self.mesh, vertices=result.neutral if targets else result.vertices)
        with atomic_path(self.folder / "face.glb") as temporary:
            write_glb(temporary, mesh, targets=targets, scale=METRE, picture=self.picture, unlit=True)

    def write_texture(self) -> None:
        texture = self.texture
        if texture is None or self.picture is None:
            return
        with atomic_path(self.folder / "texture.png") as temporary:
            temporary.write_bytes(self.picture)
        write_image(self.folder / "texture_visibility.png", _grey(texture.visibility))
        if texture.albedo is not None:
            write_image(self.folder / "albedo.png", texture.albedo)

    def write_camera(self) -> None:
        write_json(self.folder / "camera.json", camera_values(self.result))
        with atomic_path(self.folder / "blender_camera.py") as temporary:
            temporary.write_text(SNIPPET, encoding="utf-8")

    def write_params(self) -> None:
        write_json(self.folder / "params.json", parameters(self.result))
        write_json(self.folder / "landmarks3d.json", self.result.landmarks3d)

    def write_overlay(self) -> None:
        write_image(self.folder / "overlay.png", self.pictures.overlay)
        write_image(self.folder / "side_by_side.png", self.pictures.strip)

    def write_uncertainty(self) -> None:
        if self.uncertain is not None:
            write_mesh(self.folder / "uncertainty.ply", self.uncertain)
        posterior = self.result.posterior
        if posterior is not None:
            identity = self.result.identity[: posterior.identity]
            mean = np.concatenate([identity, self.result.expression[: posterior.expression]])
            with atomic_path(self.folder / "posterior.npz") as temporary:
                np.savez(temporary, mean=mean, covariance=posterior.shape_covariance)

    def write_attention(self) -> None:
        picture = self.attended
        if picture is not None:
            write_image(self.folder / "attention.png", picture)

    def write_report(self) -> None:
        names = {name: text for group in self.groups for name, text in FIT_FILES[group].items()}
        files = [(name, text) for name, text in names.items() if (self.folder / name).exists()]
        uncertain = (
            None if self.uncertain is None else (self.openings.closed(self.uncertain), self.uncertainty_end)
        )
        view = FitView(
            self.pictures,
            self.opacity > 0.5,
            self.texture,
            uncertain,
            self.attended,
            self.closed_mesh,
            self.openings,
        )
        page = fit_page(self.result, view, files=files)
        write_fit_report(self.folder / "report.html", self.pictures, page)

    @cached_property
    def uncertain(self) -> Mesh | None:
        """The face in the colours of its uncertainty."""
        if self.deviations is None:
            return None
        colors = deviation_colors(self.deviations, self.uncertainty_end).astype(np.float32)
        return Mesh(self.result.vertices, self.result.model.faces, colors=colors, source=self.result.source)

    @property
    def uncertainty_end(self) -> float:
        """Millimetres at the end of the uncertainty map's scale."""
        shown = self.result.model.face_mask
        return 1.0 if self.deviations is None else scale_end(self.deviations[shown])

    @cached_property
    def attended(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """The photo with what the fit looked at."""
        if self.attention is None:
            return None
        fit, model = self.result, self.result.model
        region = face_skin(model).astype(np.float64)
        return attention_picture(fit.photo, self.attention, fit.camera, fit.vertices, model.faces, region)


def _grey(values: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    return np.repeat(values[..., None], 3, axis=2)
