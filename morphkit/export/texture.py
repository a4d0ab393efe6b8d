"""A face's texture, unwrapped from one photo or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from morphkit.export.atlas import Atlas, Sites, cylinder_uv, texel_atlas, usable_uv, vertex_sites
from morphkit.export.openings import Openings
from morphkit.export.padding import padded
from morphkit.export.painting import (
    Layer,
    Paint,
    SmoothField,
    Usual,
    delit,
    matched_gains,
    merged,
    mix_paint,
    plausible_albedo,
    ratio_layer,
    usual_look,
)
from morphkit.export.sighting import PhotoView, Sighting
from morphkit.io.color import linear_to_srgb

AUTOMATIC = (
    "made by unrolling the head around its y axis, with the seam at the back, since the model has none of "
    "its own; what lies behind something, as seen from outside, shares its texels"
)


@dataclass(frozen=True, eq=False)
class Evidence:
    """A photo of the face, and what the model expects it to show.

    Attributes
    ----------
    view : the photo and the face's place in it.
    base : (v, 3) linear RGB that the model shows there.
    confidence : (v,) 0..1, how far the vertices are what the photo shows at their place.
    shading : (v, 3) how a white surface would look in the photo's light; None where it is not known.
    """

    view: PhotoView
    base: Float[np.ndarray, "v 3"]
    confidence: Float[np.ndarray, " v"]
    shading: Float[np.ndarray, "v 3"] | None = None


@dataclass(frozen=True, eq=False)
class FaceTexture:
    """A face's texture.

    Attributes
    ----------
    uv : (f, 3, 2) float32, v up.
    texture : (s, s, 3) sRGB, in the light of the first photo.
    closed_uv : (g, 3, 2) of the face and the caps of its openings.
    albedo : (s, s, 3) sRGB, without light; None where no light is known.
    visibility : (s, s) 0..255, how well the photos saw each texel; 0 is filled in from the other side and
        from the model.
    note : how `uv` were made; None for the model's own.
    """

    uv: Float[np.ndarray, "f 3 2"]
    closed_uv: Float[np.ndarray, "g 3 2"]
    texture: UInt8[np.ndarray, "s s 3"]
    albedo: UInt8[np.ndarray, "s s 3"] | None
    visibility: UInt8[np.ndarray, "s s"]
    note: str | None = None


class FacePainter:
    """Colours any points of a face from photos of it.

    Parameters
    ----------
    vertices, faces : the face, of which neighbouring vertices have like colours.
    evidence : the photos; the first gives the texture its light.
    mirror : (v,) the vertex on the other side, or None for a model that does not say.
    albedo : (v, 3) the model's linear RGB without light, or None.
    openings : those whose caps the mesh ends with. The caps are painted like the rest; what is said of the
        face itself leaves them out.

    Raises
    ------
    ValueError
        When there is no evidence.
    """

    def __init__(
        self,
        vertices: Float[np.ndarray, "v 3"],
        faces: Int[np.ndarray, "f 3"],
        evidence: Sequence[Evidence],
        mirror: Int[np.ndarray, " v"] | None = None,
        albedo: Float[np.ndarray, "v 3"] | None = None,
        *,
        openings: Openings | None = None,
    ) -> None:
        if not evidence:
            raise ValueError("evidence: expected at least one photo, got none")
        self._openings = openings
        self.vertices, self.faces, self.mirror = vertices, faces, mirror
        self._evidence, self._albedo = list(evidence), albedo
        self._usual: dict[int, Usual] = {}  # by photo, from its vertices
        confidence = np.max([e.confidence for e in evidence], axis=0)
        self._reach = confidence if mirror is None else np.maximum(confidence, confidence[mirror])
        sites = vertex_sites(vertices, faces)
        lit, bare = self._layers(sites, [self._trusted(e, e.view.at_vertices, sites) for e in evidence])
        smooth = SmoothField(vertices, faces)
        self._gains, self._bare_gains = matched_gains(lit), matched_gains(bare)
        self._own = merged(lit, self._gains)
        self._paint = mix_paint(smooth, evidence[0].base, self._telling(self._own), mirror)
        self._bare_paint: Paint | None = None
        if albedo is not None and bare:
            told = self._telling(merged(bare, self._bare_gains))
            self._bare_paint = mix_paint(smooth, albedo, told, mirror)

    @property
    def vertex_colors(self) -> Float[np.ndarray, "_ 3"]:
        """The face's vertices' linear RGB in the light of the first photo, 0..1."""
        own, mirror = self._own, self.mirror
        other = None if mirror is None else Layer(own.ratio[mirror], own.trust[mirror], own.sharpness[mirror])
        sites = vertex_sites(self.vertices, self.faces)
        colors = np.clip(self._paint.colors(sites, own, other, mirror), 0.0, 1.0)
        return colors if self._openings is None else colors[: self._openings.count]

    def texture(self, uv: Float[np.ndarray, "f 3 2"] | None, size: int = 1024) -> FaceTexture:
        """Unwrap.

        Parameters
        ----------
        uv : (f, 3, 2) texture coordinates, v up; None (or beyond one picture) has them made.
        size : of the texture, pixels.
        """
        depth, note = None, None
        if uv is None or not usable_uv(uv):
            uv, depth = cylinder_uv(self.vertices, self.faces)
            note = AUTOMATIC
        elif self._openings is not None:
            uv = self._openings.mapped(uv)
        order = slice(None) if self._openings is None else self._openings.order
        atlas = texel_atlas(self.vertices, self.faces[order], uv[order], size, depth=depth)
        near = np.flatnonzero(atlas.sites.of(self._reach[:, None])[:, 0] > 0.0)
        sites = atlas.sites.at(near)
        lit, bare = self._layers(sites, self._sightings(sites))
        lit_other, bare_other = (
            (None, None) if self.mirror is None else self._mirrored_layers(sites, self.mirror)
        )
        seen = merged(lit, self._gains)
        painted = self._paint.plain(atlas.sites)
        painted[near] = self._paint.colors(sites, seen, _merged(lit_other, self._gains), self.mirror)
        colors = [painted]
        if self._bare_paint is not None:
            bare_colors = self._bare_paint.plain(atlas.sites)
            layer, layer_other = merged(bare, self._bare_gains), _merged(bare_other, self._bare_gains)
            bare_colors[near] = self._bare_paint.colors(sites, layer, layer_other, self.mirror)
            colors.append(bare_colors)
        trust = np.zeros((len(atlas.texels), 1), np.uint8)
        trust[near, 0] = np.rint(255.0 * seen.trust)
        pictures = _encoded(atlas, colors)
        albedo = pictures[1] if len(pictures) > 1 else None
        own = uv if self._openings is None else uv[: len(self._openings.face.faces)]
        return FaceTexture(own, uv, pictures[0], albedo, atlas.picture(trust)[..., 0], note)

    def _telling(self, at_vertices: Layer) -> Layer:
        """Return what tells the colours of what was not seen: lids and lips do not tell what is within."""
        if self._openings is None:
            return at_vertices
        trust = at_vertices.trust.copy()
        trust[self._openings.rims] = 0.0
        return replace(at_vertices, trust=trust)

    def _sightings(self, sites: Sites) -> list[Sighting]:
        """Return what each photo shows of points."""
        return [self._trusted(e, e.view.sight(sites), sites) for e in self._evidence]

    def _trusted(self, evidence: Evidence, seen: Sighting, sites: Sites) -> Sighting:
        """Return a sighting, trusted no more than its vertices are."""
        return replace(seen, trust=seen.trust * sites.of(evidence.confidence[:, None])[:, 0])

    def _mirrored_layers(
        self, sites: Sites, mirror: Int[np.ndarray, " v"]
    ) -> tuple[list[Layer], list[Layer]]:
        """Return the layers of the same points on the other side."""
        other = Sites(mirror[sites.corners], sites.weights, sites.spacing)
        return self._layers(other, self._sightings(other))

    def _layers(self, sites: Sites, sightings: Sequence[Sighting]) -> tuple[list[Layer], list[Layer]]:
        """Return the ratios of what was seen to the model's colours, with light and without."""
        lit: list[Layer] = []
        bare: list[Layer] = []
        for evidence, sighting in zip(self._evidence, sightings, strict=True):
            lit.append(ratio_layer(sighting, sites.of(evidence.base)))
            if evidence.shading is not None and self._albedo is not None:
                shown = evidence.shading[evidence.confidence > 0.5]
                brightness = float(np.median(shown)) if len(shown) else 0.0
                albedo = delit(self._with_teeth(sighting, sites), sites.of(evidence.shading), brightness)
                base = sites.of(self._albedo)
                layer = ratio_layer(albedo, base)
                usual = self._usual.setdefault(len(bare), usual_look(layer, base))
                bare.append(plausible_albedo(layer, base, usual, self._on_face(sites)))
        return lit, bare

    def _with_teeth(self, sighting: Sighting, sites: Sites) -> Sighting:
        """Return a sighting in which white in a mouth is a tooth's rather than a lamp's."""
        if self._openings is None:
            return sighting
        skin = ~self._openings.in_mouth[sites.corners[:, 0]]
        return replace(sighting, saturated=sighting.saturated * skin)

    def _on_face(self, sites: Sites) -> Bool[np.ndarray, " n"]:
        """Return which points lie on the face itself rather than on a cap."""
        count = len(self.vertices) if self._openings is None else self._openings.count
        return sites.corners[:, 0] < count


def _merged(layers: list[Layer] | None, gains: list[Float[np.ndarray, "3"]]) -> Layer | None:
    return merged(layers, gains) if layers else None


def _encoded(atlas: Atlas, colors: Sequence[Float[np.ndarray, "n 3"]]) -> list[UInt8[np.ndarray, "s s 3"]]:
    """Return textures, sRGB, with their gutters filled."""
    known = np.zeros(atlas.size * atlas.size, bool)
    known[atlas.texels] = True
    encoded = linear_to_srgb(np.clip(np.concatenate(colors, axis=1), 0.0, 1.0).astype(np.float32))
    picture = padded(atlas.picture(encoded), known.reshape(atlas.size, atlas.size))
    codes = np.rint(255.0 * picture).astype(np.uint8)
    return [np.ascontiguousarray(codes[..., 3 * k : 3 * k + 3]) for k in range(len(colors))]
