"""A template and a scan of the same surface, deformed: the true place of every template vertex is known."""

from dataclasses import dataclass

import fast_simplification
import numpy as np
import trimesh

from morphkit.geometry.topology import connected_components
from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh, Template

SCAN_TRIANGLES = 100_000
SCAN_NOISE = 0.05
LANDMARKS = 16


@dataclass(frozen=True, eq=False)
class Pair:
    """What a registration gets, and what it should find.

    Attributes
    ----------
    template : with 16 landmarks at vertices.
    scan : 100,000 triangles, its own tessellation, 0.05 mm of noise.
    landmarks : of the scan, exact.
    marked : (16,) the landmarks' template vertices.
    truth : (v, 3) where the template's vertices lie on the scan's surface.
    """

    template: Template
    scan: Mesh
    landmarks: Landmarks
    marked: np.ndarray
    truth: np.ndarray


def make_pair(head: Mesh, template_vertices: int) -> Pair:
    """Return a pair on the head's largest part.

    The deformation sums Gaussian bumps 40 to 70 mm wide at random places, 5 mm on average.
    """
    # rounded off: coplanar triangles would be decimated to slivers
    vertices, faces = trimesh.remesh.subdivide_loop(*_largest_part(head.vertices, head.faces), iterations=2)
    rng = np.random.default_rng(7)
    deform = _deformation(vertices, rng)
    scan_vertices, scan_faces = _decimated(deform(vertices), faces, SCAN_TRIANGLES)
    scan = Mesh(scan_vertices + rng.normal(scale=SCAN_NOISE, size=scan_vertices.shape), scan_faces)
    template, template_faces = _decimated(vertices, faces, 2 * template_vertices)
    marked = _spread(template, LANDMARKS)
    corner = np.array(
        [np.argmax((template_faces == vertex).any(axis=1)) for vertex in marked], dtype=np.int32
    )
    names = tuple(str(i) for i in range(LANDMARKS))
    embedding = LandmarkEmbedding(names, corner, (template_faces[corner] == marked[:, None]).astype(float))
    truth = deform(template)
    return Pair(
        Template(Mesh(template, template_faces), {"points": embedding}),
        scan,
        Landmarks(names, truth[marked]),
        marked,
        truth,
    )


def _deformation(vertices, rng):
    centres = vertices[rng.choice(len(vertices), 40, replace=False)]
    widths, heights = rng.uniform(40, 70, 40), rng.normal(size=(40, 3))

    def field(points):
        squared = ((points[:, None] - centres) ** 2).sum(axis=2)
        return np.exp(-squared / (2 * widths**2)) @ heights

    offset = field(vertices[::50])
    middle = offset.mean(axis=0)
    gain = 5.0 / np.linalg.norm(offset - middle, axis=1).mean()
    return lambda points: points + gain * (field(points) - middle)


def _spread(points, count):
    """Return `count` indices, each of the point that is farthest from those before."""
    chosen = [int(points[:, 2].argmax())]
    while len(chosen) < count:
        offsets = points[:, None] - points[chosen]
        chosen.append(int((offsets**2).sum(axis=2).min(axis=1).argmax()))
    return np.array(chosen)


def _largest_part(vertices, faces):
    part = connected_components(faces, len(vertices))
    kept = faces[part[faces[:, 0]] == np.bincount(part[faces[:, 0]]).argmax()]
    used, numbered = np.unique(kept, return_inverse=True)
    return vertices[used], numbered.reshape(-1, 3).astype(np.int32)


def _decimated(vertices, faces, count):
    vertices, faces = fast_simplification.simplify(vertices, faces.astype(np.int64), target_count=count)
    mesh = trimesh.Trimesh(vertices, faces, process=True)
    mesh.update_faces(mesh.nondegenerate_faces() & mesh.unique_faces())
    return _largest_part(np.array(mesh.vertices), np.array(mesh.faces))
