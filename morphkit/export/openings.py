"""A face's openings (eyes without eyeballs, a mouth), closed for pictures and textures.

A mouth whose inside is modelled is closed, too: its teeth are not, and a photo of them would lie far behind
the lips, on walls that the photo hardly saw.

The closed mesh has the face's own vertices and triangles first; the caps' follow, apart from it, so that
whatever is said of the vertices (how opaque they are, say) need not run across a rim. Files keep the face's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.geometry.topology import boundary_vertices, connected_components
from morphkit.landmarks.capping import cap_holes
from morphkit.mesh import Mesh

_WIDEST = 60.0  # millimetres: eyes and mouths are narrower; the neck's rim, or a mask's, stays open
_TORN = 1e-5  # of the picture's side, by which a rim's pieces lie apart there
_SHADE = 0.3  # of the colour around, what is seen within an opening of which nothing is known


@dataclass(frozen=True, eq=False)
class Openings:
    """How a topology's openings are closed.

    Attributes
    ----------
    face : a face of that topology.
    outside : the triangles that are not a mouth's inside.
    capped : those alone, with a fan of triangles in each opening, as `cap_holes` makes them.
    """

    face: Mesh
    outside: Bool[np.ndarray, " f"]
    capped: Mesh

    @classmethod
    def of(
        cls,
        vertices: Float[np.ndarray, "v 3"],
        faces: Int[np.ndarray, "f 3"],
        lips: Bool[np.ndarray, " v"] | None = None,
    ) -> Openings:
        """Return the openings of a face in millimetres.

        A mouth whose inside is modelled is one, too, if it is told which vertices are the `lips`.
        """
        outside = np.ones(len(faces), bool) if lips is None else ~mouth_inside(faces, lips)
        return cls(Mesh(vertices, faces), outside, cap_holes(Mesh(vertices, faces[outside]), _WIDEST))

    @property
    def count(self) -> int:
        """The number of the face's own vertices."""
        return len(self.face.vertices)

    @cached_property
    def faces(self) -> Int[np.ndarray, "g 3"]:
        """The face's triangles, then the caps'."""
        place = np.zeros(len(self.capped.vertices), dtype=np.int64)
        place[self._rim] = self.count + np.arange(len(self._rim))
        place[self.count :] = self.count + len(self._rim) + np.arange(self._holes)
        caps = place[self._caps].astype(self.face.faces.dtype)
        return np.concatenate([self.face.faces, caps])

    @property
    def rims(self) -> slice:
        """The caps' outer vertices among those of the closed mesh: photos show the lids or lips there."""
        return slice(self.count, self.count + len(self._rim))

    @cached_property
    def outlining(self) -> Int[np.ndarray, "o 3"]:
        """The closed mesh's triangles without caps over a mouth's inside, which is far behind the lips.

        A photo may show teeth where a fit has the lips' edge, and how deep the mouth is tells where that is.
        """
        return self.faces[~self.in_mouth[self.faces].all(axis=1)]

    @cached_property
    def in_mouth(self) -> Bool[np.ndarray, " w"]:
        """The closed mesh's vertices that caps over a mouth's inside have."""
        within = np.zeros(self.count, bool)
        within[self.face.faces[~self.outside]] = True
        return np.concatenate([np.zeros(self.count, bool), within[self._rim], within[self._first]])

    @cached_property
    def order(self) -> Int[np.ndarray, " g"]:
        """The closed mesh's triangles from what a texture is to show to what may lie under it.

        A mouth's inside may begin within the lips' chart; caps lie over it there.
        """
        inside = np.concatenate([~self.outside, np.zeros(len(self._caps), bool)])
        return np.argsort(inside, kind="stable")

    def extended(self, values: Float[np.ndarray, "v ..."], share: float = 1.0) -> Float[np.ndarray, "w ..."]:
        """Return values of the closed mesh's vertices: on caps `share` of those around them."""
        around = np.concatenate([values[self._rim], self._means(values[self._caps[:, 0]])])
        return np.concatenate([values, share * around]).astype(values.dtype)

    def colored(self, colors: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "w 3"]:
        """Return the closed mesh's linear colours: caps are a shade of what is around them."""
        return self.extended(colors, _SHADE)

    def mirrored(self, mirror: Int[np.ndarray, " v"] | None) -> Int[np.ndarray, " w"] | None:
        """Return the closed mesh's vertex on the other side; caps that have none there are their own."""
        if mirror is None:
            return None
        rim, hole = np.full(self.count, -1), np.full(self.count, -1)
        rim[self._rim] = self.count + np.arange(len(self._rim))
        hole[self._caps[:, 0]] = self._caps[:, 2] + len(self._rim)
        others = np.concatenate([rim[mirror[self._rim]], hole[mirror[self._first]]])
        own = self.count + np.arange(len(others))
        return np.concatenate([mirror, np.where(others < 0, own, others).astype(mirror.dtype)])

    def mapped(self, uv: Float[np.ndarray, "f 3 2"]) -> Float[np.ndarray, "g 3 2"]:
        """Return the closed mesh's texture coordinates: a cap lies within its rim in the picture.

        Where a rim is in several pieces there, its caps have no area.
        """
        outer = replace(self.face, faces=self.face.faces[self.outside], uv=uv[self.outside])
        mapped = cap_holes(outer, _WIDEST).uv
        if mapped is None or self._holes == 0:
            return uv
        caps, hole = mapped[len(outer.faces) :].copy(), self._hole
        starts, ends = (np.argsort(self._caps[:, k], kind="stable") for k in (0, 1))
        apart = np.abs(caps[starts, 0] - caps[ends, 1]).max(axis=1)
        torn = np.zeros(self._holes)
        np.maximum.at(torn, hole[starts], apart)
        whole = torn[hole] < _TORN
        caps[whole, 2] = self._means(caps[:, 0])[hole[whole]]
        return np.concatenate([uv, caps])

    def closed(self, mesh: Mesh) -> Mesh:
        """Return a mesh of this topology with dark caps."""
        return Mesh(
            self.extended(mesh.vertices),
            self.faces,
            colors=None if mesh.colors is None else self.colored(mesh.colors),
            uv=None if mesh.uv is None else self.mapped(mesh.uv),
            texture=mesh.texture,
            source=mesh.source,
        )

    def _means(self, values: Float[np.ndarray, "e ..."]) -> Float[np.ndarray, "h ..."]:
        """Return each opening's mean of values of its caps."""
        sums = np.zeros((self._holes, *values.shape[1:]))
        np.add.at(sums, self._hole, values)
        number = np.bincount(self._hole, minlength=self._holes)
        means: np.ndarray = sums / number.reshape(-1, *[1] * (values.ndim - 1))
        return means

    @property
    def _holes(self) -> int:
        return len(self.capped.vertices) - self.count

    @cached_property
    def _caps(self) -> Int[np.ndarray, "e 3"]:
        """Two vertices of the rim, and the middle."""
        return self.capped.faces[np.count_nonzero(self.outside) :].astype(np.int64)

    @cached_property
    def _hole(self) -> Int[np.ndarray, " e"]:
        """The number of each cap's opening."""
        return self._caps[:, 2] - self.count

    @cached_property
    def _first(self) -> Int[np.ndarray, " h"]:
        """A vertex of each opening's rim."""
        first: np.ndarray = self._caps[np.unique(self._caps[:, 2], return_index=True)[1], 0]
        return first

    @cached_property
    def _rim(self) -> Int[np.ndarray, " r"]:
        return np.unique(self._caps[:, :2])


def mouth_inside(faces: Int[np.ndarray, "f 3"], lips: Bool[np.ndarray, " v"]) -> Bool[np.ndarray, " f"]:
    """Return the triangles of a closed mouth cavity: beyond the lips, a part without a rim of its own."""
    beyond = np.flatnonzero(~lips[faces].all(axis=1))
    if len(beyond) == 0:
        return np.zeros(len(faces), bool)
    part = connected_components(faces[beyond], len(lips))
    number = len(lips)
    size = np.bincount(part[faces[beyond, 0]], minlength=number)
    bag = np.bincount(part[lips], minlength=number) > 0
    bag[part[boundary_vertices(faces, len(lips))]] = False
    bag[size.argmax()] = False  # the head itself
    inside = np.zeros(len(faces), bool)
    inside[beyond] = bag[part[faces[beyond, 0]]]
    return inside
