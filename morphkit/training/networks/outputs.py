"""What the numbers of R-Net's heads mean: the published layouts, and our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from morphkit.model import Coefficients
from morphkit.morphable import MorphableModel
from morphkit.rendering import PerspectiveCamera, ambient_light
from morphkit.rendering.camera_conventions import DENG2019_FOCAL, DENG2019_SIZE, deng2019_camera
from morphkit.rendering.light_conventions import from_deep3d
from morphkit.training.networks.angles import angles_to_axis_angle

LayoutName = Literal["deng-paper", "deep3d-tf", "deep3d-pt", "morphkit"]
Shading = Literal["linear", "display"]

DISTANCE = 1000.0  # millimetres from the camera to the middle of the face, of all-zero outputs
TRANSLATION_STEP = 10.0  # millimetres per unit of our own translation head
_GROUPS = ("identity", "expression", "albedo")
_PUBLISHED = {"identity": 80, "expression": 64, "albedo": 80}  # components at most
_POSES: dict[str, dict[str, int]] = {  # what follows the groups in the vector
    "deng-paper": {"light": 9, "angles": 3, "translation": 3},
    "deep3d-tf": {"angles": 3, "light": 27, "translation_xy": 2, "translation_z": 1},
    "deep3d-pt": {"angles": 3, "light": 27, "translation_xy": 2, "translation_z": 1},
    "morphkit": {"rotation": 3, "light": 27, "translation": 3},
}


@dataclass(frozen=True, eq=False)
class Decoded:
    """Faces, and the cameras of their crops.

    Attributes
    ----------
    coefficients : as the rest of morphkit has them: axis-angle after `facing()`, radiance in camera axes, the
        model's origin in camera coordinates (mm).
    camera : of the crop; its R and t are those of `coefficients`.
    landmark_camera : by which landmarks are compared; `camera`, unless a layout repeats a published slip.
    """

    coefficients: Coefficients
    camera: PerspectiveCamera
    landmark_camera: PerspectiveCamera


@dataclass(frozen=True)
class OutputLayout:
    """The names, the order and the meaning of R-Net's numbers.

    All zeros mean the mean face, frontal, under even light, a metre away in the middle of the crop.

    Attributes
    ----------
    name : of the preset.
    heads : how many numbers each head gives, in the order of the whole vector.
    size : side of the crop, pixels; the focal length is 1015 / 224 of it.
    origin : the point of the model's frame in the middle of the crop at rest, about which it turns, mm.
    shading : "linear" multiplies linear albedo by light and encodes the result as sRGB, as light does;
        "display" multiplies sRGB albedo by light, as the paper and its public implementations do.
    compat : repeat the public implementations' landmarks, half a pixel off their own pictures.
    """

    name: LayoutName
    heads: Mapping[str, int]
    size: int
    origin: tuple[float, float, float]
    shading: Shading
    compat: bool = False

    @classmethod
    def preset(
        cls, name: str, model: MorphableModel, size: int = DENG2019_SIZE, compat: bool = False
    ) -> OutputLayout:
        """Return a published layout for a model, or our own.

        "deng-paper": the paper's 239 = 80 identity, 64 expression, 80 albedo, 9 of a white light, 3 angles,
        3 decimetres. "deep3d-tf" and "deep3d-pt": the public implementations' 257, with 27 of a coloured
        light, red first, and after the angles; one order, one meaning: the two differ in how they train
        alone. A model with fewer components has fewer numbers, one with more uses its first. "morphkit":
        ours; all components, axis-angle, a light added to an even one, centimetres.

        Parameters
        ----------
        name : one of those.
        model : gives the groups' sizes and the origin, its `face_middle`.
        size : side of the crop, pixels.
        compat : repeat the half pixel by which the public implementations' landmarks miss their pictures.

        Raises
        ------
        ValueError
            If there is no such preset, or `compat` is asked of one that has no such slip.
        """
        if name not in get_args(LayoutName):
            raise ValueError(f"name must be one of {', '.join(get_args(LayoutName))}, got {name!r}")
        if compat and not name.startswith("deep3d"):
            raise ValueError(f"compat is for the deep3d presets, got {name!r}")
        own = name == "morphkit"
        counts = {group: _component_count(model, group) for group in _GROUPS}
        if not own:
            counts = {group: min(count, _PUBLISHED[group]) for group, count in counts.items()}
        heads = {group: count for group, count in counts.items() if count} | _POSES[name]
        x, y, z = model.face_middle.tolist()
        shading: Shading = "linear" if own else "display"
        return cls(cast(LayoutName, name), heads, size, (x, y, z), shading, compat)

    @property
    def length(self) -> int:
        """How many numbers all heads give."""
        return sum(self.heads.values())

    @property
    def slices(self) -> dict[str, slice]:
        """Where each head's numbers lie in the vector."""
        stops, stop = {}, 0
        for name, count in self.heads.items():
            stops[name] = slice(stop, stop + count)
            stop += count
        return stops

    def vector(self, heads: Mapping[str, Float[Tensor, "batch _"]]) -> Float[Tensor, "batch n"]:
        """Return all heads' numbers in one row each.

        Raises
        ------
        ValueError
            If a head is missing, unknown or of another size.
        """
        self._check(heads)
        return torch.cat([heads[name] for name in self.heads], dim=1)

    def split(self, vector: Float[Tensor, "batch n"]) -> dict[str, Float[Tensor, "batch _"]]:
        """Return the heads' numbers of a vector; the inverse of `vector`.

        Raises
        ------
        ValueError
            If the vector has another length.
        """
        if vector.shape[1] != self.length:
            raise ValueError(f"vector must have {self.length} columns, got {vector.shape[1]}")
        return {name: vector[:, part] for name, part in self.slices.items()}

    def decode(self, heads: Mapping[str, Float[Tensor, "batch _"]]) -> Decoded:
        """Return what the heads' numbers mean; differentiable.

        Raises
        ------
        ValueError
            If a head is missing, unknown or of another size.
        """
        self._check(heads)
        camera, rotation = self._own_pose(heads) if self.name == "morphkit" else self._deng2019_pose(heads)
        first = next(iter(heads.values()))
        identity, expression, albedo = (heads.get(name, first.new_zeros(len(first), 0)) for name in _GROUPS)
        light = self._light(heads["light"])
        coefficients = Coefficients(identity, expression, albedo, rotation, light, camera.t)
        return Decoded(coefficients, camera, self._landmark_camera(camera))

    def _light(self, light: Float[Tensor, "batch g"]) -> Float[Tensor, "batch 9 3"]:
        if self.name == "morphkit":
            return ambient_light().to(light) + light.reshape(-1, 9, 3)
        return from_deep3d(light)

    def _own_pose(self, heads: Mapping[str, Tensor]) -> tuple[PerspectiveCamera, Tensor]:
        """Return the camera, and the rotation as axis-angle."""
        rotation, shift = heads["rotation"], heads["translation"]
        focal = shift.new_full((len(shift),), DENG2019_FOCAL * self.size / DENG2019_SIZE)
        middle = TRANSLATION_STEP * shift + shift.new_tensor([0.0, 0.0, DISTANCE])
        camera = PerspectiveCamera.from_parameters(focal, rotation, middle, self.size, self.size)
        near, far = 0.5 * DISTANCE, 1.5 * DISTANCE
        return replace(self._about_origin(camera), near=near, far=far), rotation

    def _deng2019_pose(self, heads: Mapping[str, Tensor]) -> tuple[PerspectiveCamera, Tensor]:
        """Return the camera, and the rotation as axis-angle after `facing()`."""
        shift = heads.get("translation")
        if shift is None:
            shift = torch.cat([heads["translation_xy"], heads["translation_z"]], dim=1)
        camera = self._about_origin(deng2019_camera(heads["angles"], shift))
        scale = self.size / DENG2019_SIZE
        K = camera.K * camera.K.new_tensor([[scale], [scale], [1.0]])
        camera = replace(camera, K=K, width=self.size, height=self.size)
        # facing() turns half about x: it keeps the axis' x and turns its y and z round
        turned = angles_to_axis_angle(heads["angles"]) * shift.new_tensor([1.0, -1.0, -1.0])
        return camera, turned

    def _about_origin(self, camera: PerspectiveCamera) -> PerspectiveCamera:
        """Return a camera of points counted from `origin` as one of the model's."""
        origin = camera.t.new_tensor(self.origin)
        return replace(camera, t=camera.t - camera.R @ origin)

    def _landmark_camera(self, camera: PerspectiveCamera) -> PerspectiveCamera:
        if not self.compat:
            return camera
        half = 0.5 * self.size / DENG2019_SIZE
        slip = camera.K.new_tensor([[0.0, 0.0, half], [0.0, 0.0, -half], [0.0, 0.0, 0.0]])
        return replace(camera, K=camera.K + slip)

    def _check(self, heads: Mapping[str, Tensor]) -> None:
        found = {name: head.shape[1] for name, head in heads.items()}
        if found != dict(self.heads):
            raise ValueError(f"heads must be {dict(self.heads)}, got {found}")


def _component_count(model: MorphableModel, group: str) -> int:
    found = getattr(model, group)
    return 0 if found is None else int(found.n_components)
