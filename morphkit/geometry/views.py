"""Pictures of meshes for eyes and for landmark detectors: one call, any direction, no torch.

Camera coordinates are OpenCV's: x right, y down, z forward. Pixels: x right, y down, the outer corner of the
picture is (0, 0), so the first pixel's centre is (0.5, 0.5). Row 0 of every array here is the top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.raster import RasterBuffer, rasterize
from morphkit.geometry.sampling import interpolate, surface_colors
from morphkit.mesh import Mesh

Shading = Literal["shaded", "colored", "lit"]

_GREY = np.array([0.52, 0.40, 0.34], np.float32)  # linear RGB of the clay that has no colour of its own
_LIGHT = np.array([-0.25, -0.45, -0.86])  # towards the lamp, in camera coordinates: above, left and in front
_AMBIENT = 0.2
_MARGIN = 1.04  # the fitted sphere leaves this much room


@dataclass(frozen=True, eq=False)
class ViewCamera:
    """A pinhole camera: pixel = (K (R X + t)) divided by its third coordinate.

    Attributes
    ----------
    K : (3, 3) intrinsics in pixels.
    R : (3, 3) world to camera rotation.
    t : (3,) world to camera translation, millimetres.
    near, far : depth range drawn, millimetres along the camera's z.
    """

    K: Float[np.ndarray, "3 3"]
    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, "3"]
    near: float
    far: float

    def project(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Return the pixels of world points."""
        image = (points @ self.R.T + self.t) @ self.K.T
        return image[:, :2] / image[:, 2:]

    def rays(
        self, pixels: Float[np.ndarray, "n 2"]
    ) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "n 3"]]:
        """Return the camera's centre and the directions through pixels, both in world coordinates."""
        homogeneous = np.column_stack([pixels, np.ones(len(pixels))])
        return -self.R.T @ self.t, homogeneous @ np.linalg.inv(self.K).T @ self.R


@dataclass(frozen=True, eq=False)
class View:
    """A picture of a mesh, and what each of its pixels sees; row 0 is the top.

    Attributes
    ----------
    image : (h, w, 3) uint8, sRGB.
    face_index : (h, w) int32, -1 for background.
    barycentrics : (h, w, 3) float32.
    depth : (h, w) float32, millimetres along the camera's z; +inf for background.
    camera : the camera that took it.
    mesh : what it shows.
    """

    image: UInt8[np.ndarray, "h w 3"]
    face_index: Int[np.ndarray, "h w"]
    barycentrics: Float[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    camera: ViewCamera
    mesh: Mesh

    def back_project(self, pixels: Float[np.ndarray, "n 2"]) -> BackProjection:
        """Return the surface points seen through pixels, to a fraction of a pixel.

        The ray through each pixel is cut with the triangles seen in the 3 × 3 pixels around it; the one that
        holds the ray best is taken, and the point is moved onto it if it lies outside.
        """
        height, width = self.face_index.shape
        column, row = np.floor(pixels[:, 0]).astype(int), np.floor(pixels[:, 1]).astype(int)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        column, row = np.clip(column, 0, width - 1), np.clip(row, 0, height - 1)
        face_indices = self.face_index[row, column].copy()
        hit = inside & (face_indices >= 0)
        best = np.full((len(pixels), 3), -np.inf)
        for down in (0, -1, 1):
            for across in (0, -1, 1):
                neighbour = np.clip(row + down, 0, height - 1), np.clip(column + across, 0, width - 1)
                candidate = self.face_index[neighbour]
                weights = self._ray_barycentrics(pixels, np.maximum(candidate, 0))
                better = hit & (candidate >= 0) & (weights.min(axis=1) > best.min(axis=1) + 1e-9)
                best[better], face_indices[better] = weights[better], candidate[better]
        weights = np.where(hit[:, None], np.clip(best, 0, None), 1 / 3)
        weights /= weights.sum(axis=1, keepdims=True)
        points = interpolate(self.mesh.vertices, self.mesh.faces, np.maximum(face_indices, 0), weights)
        points[~hit] = np.nan
        return BackProjection(points, np.where(hit, face_indices, -1).astype(np.int32), weights, hit)

    def _ray_barycentrics(self, pixels: np.ndarray, faces: np.ndarray) -> Float[np.ndarray, "n 3"]:
        """Return where rays cut the planes of triangles; -inf where they run along the plane."""
        centre, directions = self.camera.rays(pixels)
        a, b, c = (self.mesh.vertices[self.mesh.faces[faces, k]] - centre for k in range(3))
        volumes = np.stack(
            [_triple(directions, b, c), _triple(directions, c, a), _triple(directions, a, b)], axis=1
        )
        total = volumes.sum(axis=1, keepdims=True)
        return np.divide(volumes, total, out=np.full_like(volumes, -np.inf), where=total != 0)


@dataclass(frozen=True, eq=False)
class BackProjection:
    """Where the rays through n pixels meet the mesh.

    Attributes
    ----------
    points : (n, 3) world coordinates; NaN where the background is seen.
    face_indices : (n,) int32; -1 there.
    barycentrics : (n, 3), rows sum to one.
    hit : (n,) whether the mesh is seen.
    """

    points: Float[np.ndarray, "n 3"]
    face_indices: Int[np.ndarray, " n"]
    barycentrics: Float[np.ndarray, "n 3"]
    hit: Bool[np.ndarray, " n"]


def render_view(
    mesh: Mesh,
    rotation: Float[np.ndarray, "3 3"] | None = None,
    *,
    size: int | tuple[int, int] = 512,
    field_of_view: float = 0.35,
    centre: Float[np.ndarray, "3"] | None = None,
    radius: float | None = None,
    shading: Shading = "shaded",
    supersampling: int = 1,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    normals: Float[np.ndarray, "v 3"] | None = None,
) -> View:
    """Render a mesh with a perspective camera that looks along -z of the rotated mesh, y up.

    Parameters
    ----------
    mesh : what to show. A head in the head frame is seen from the front.
    rotation : (3, 3), turns the mesh about `centre` first; None leaves it.
    size : pixels, one number for a square or (height, width).
    field_of_view : full angle in radians across the shorter side; tiny values approach an orthographic view.
    centre, radius : the sphere in millimetres that fills the picture; by default one around the whole mesh.
    shading : "shaded" is clay, "colored" the mesh's own colours as they are, "lit" those colours under
        the lamp. Unknown colours show as clay.
    supersampling : the image is averaged from this many samples per pixel in each direction.
    background : sRGB in 0..1.
    normals : the mesh's unit vertex normals, where many views are taken of it; None computes them.

    Raises
    ------
    ValueError
        If the mesh is empty or a setting is out of range.
    """
    height, width = (size, size) if isinstance(size, int) else size
    camera = _fitted_camera(mesh, rotation, height, width, field_of_view, centre, radius)
    seen = _draw(mesh, camera, height, width)
    fine = seen if supersampling == 1 else _draw(mesh, camera, height, width, supersampling)
    image = _shade(mesh, camera, fine, shading, np.array(background, np.float32), normals)
    image = block_means(image, supersampling)
    near, far = camera.near, camera.far
    with np.errstate(invalid="ignore"):
        depth = np.where(
            seen.face_index >= 0, 2 * far * near / ((far + near) - seen.depth * (far - near)), np.inf
        )
    return View(
        _encode_srgb(image), seen.face_index, seen.barycentrics, depth.astype(np.float32), camera, mesh
    )


def block_means(picture: Float[np.ndarray, "p q c"], block: int) -> Float[np.ndarray, "h w c"]:
    """Return the means of blocks of `block` × `block` pixels; both sides are multiples of it.

    Several times faster than numpy's mean over two axes.
    """
    rows = sum((picture[k::block] for k in range(1, block)), picture[0::block])
    means: np.ndarray = sum((rows[:, k::block] for k in range(1, block)), rows[:, 0::block])
    return means * picture.dtype.type(1.0 / block**2)


def turn(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Float[np.ndarray, "3 3"]:
    """Return the rotation that turns a head to its left, then nods it down, then tilts it.

    Radians, about the axes y, x and z of the head frame.
    """
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch, roll))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    rotation: Float[np.ndarray, "3 3"] = about_z @ about_x @ about_y
    return rotation


def _fitted_camera(
    mesh: Mesh,
    rotation: np.ndarray | None,
    height: int,
    width: int,
    field_of_view: float,
    centre: np.ndarray | None,
    radius: float | None,
) -> ViewCamera:
    if not len(mesh.vertices) or not len(mesh.faces):
        raise ValueError("mesh must have vertices and faces to be rendered")
    if not 0 < field_of_view < np.pi:
        raise ValueError(f"field_of_view must lie between 0 and pi, got {field_of_view}")
    if centre is None:
        used = mesh.vertices[np.unique(mesh.faces)]
        centre = 0.5 * (used.min(axis=0) + used.max(axis=0))
    reach = float(np.linalg.norm(mesh.vertices - centre, axis=1).max())
    radius = reach if radius is None else radius
    if not (radius > 0 and np.isfinite(reach)):
        raise ValueError(f"mesh vertices must be finite and the radius positive, got radius {radius}")
    distance = _MARGIN * radius / np.sin(field_of_view / 2)
    focal = 0.5 * min(height, width) / np.tan(field_of_view / 2)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    R = np.diag([1.0, -1.0, -1.0]) @ (np.eye(3) if rotation is None else np.asarray(rotation, np.float64))
    near, far = max(distance - 1.01 * reach, 1e-2 * distance), distance + 1.01 * reach
    return ViewCamera(K, R, np.array([0, 0, distance]) - R @ centre, near, far)


def _draw(mesh: Mesh, camera: ViewCamera, height: int, width: int, fineness: int = 1) -> RasterBuffer:
    """Rasterize, right way up."""
    image = (mesh.vertices @ camera.R.T + camera.t) @ camera.K.T
    w, near, far = image[:, 2], camera.near, camera.far
    x = 2 * image[:, 0] / width - w
    y = w - 2 * image[:, 1] / height
    z = ((far + near) * w - 2 * far * near) / (far - near)
    buffer = rasterize(np.stack([x, y, z, w], axis=1), mesh.faces, height * fineness, width * fineness)
    flipped = (np.ascontiguousarray(a[::-1]) for a in (buffer.face_index, buffer.barycentrics, buffer.depth))
    return RasterBuffer(*flipped)


def _shade(
    mesh: Mesh,
    camera: ViewCamera,
    seen: RasterBuffer,
    shading: Shading,
    background: np.ndarray,
    normals: np.ndarray | None,
) -> Float[np.ndarray, "h w 3"]:
    """Return linear RGB."""
    covered = seen.face_index >= 0
    faces, weights = seen.face_index[covered], seen.barycentrics[covered]
    color = np.broadcast_to(_GREY, (len(faces), 3))
    if shading != "shaded":
        own = surface_colors(mesh, faces, weights)
        color = np.where(np.isfinite(own), own, color)
    if shading != "colored":
        normals = vertex_normals(mesh.vertices, mesh.faces) if normals is None else normals
        facing = interpolate(normals, mesh.faces, faces, weights) @ camera.R.T
        color = color * _lamp(facing)[:, None]
    image = np.empty((*covered.shape, 3), np.float32)
    image[~covered], image[covered] = _decode_srgb(background), color
    return image


def _lamp(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Return how bright white matter of these normals, in camera coordinates, would be.

    A lamp hangs beside the camera, and some light comes from everywhere.
    """
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    normals *= -np.sign(normals[:, 2:])  # both sides are lit: scans may be wound either way
    towards = _LIGHT / np.linalg.norm(_LIGHT)
    return _AMBIENT + (1.1 - _AMBIENT) * np.maximum(normals @ towards, 0)


def _triple(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Float[np.ndarray, " n"]:
    return np.einsum("nd,nd->n", a, np.cross(b, c))


def _decode_srgb(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _encode_srgb(linear: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)
