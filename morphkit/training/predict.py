"""Photos to faces by a trained network."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float

from morphkit.archive import resolve_model
from morphkit.errors import BadInputError, MorphkitError
from morphkit.landmarks.given import GivenPoints
from morphkit.morphable import MorphableModel
from morphkit.training.augmentation import Augmentation
from morphkit.training.batch import Batch, RawBatch
from morphkit.training.data.alignment import STANDARD_SIZE, FaceFrame
from morphkit.training.networks.outputs import Decoded, OutputLayout
from morphkit.training.networks.r_net import RNet, RNetOutput
from morphkit.training.networks.weights import load_network
from morphkit.training.photo_crops import AlignedPhoto, GivenPhoto, aligned_photo, as_faces
from morphkit.training.prediction import Prediction, photo_view
from morphkit.training.viewing import viewed

_DIGITS = 12  # of a digest that a sentence names


@dataclass(frozen=True, eq=False)
class Predictor:
    """A trained R-Net with its model, ready for photos.

    Attributes
    ----------
    name : of the weights' file.
    network : R-Net.
    layout : what its numbers mean.
    model : that it was trained for.
    frame : of that model.
    digest : of that model.
    identity_deviations : how far each identity coefficient is off on people whom training did not see,
        standard deviations; None where that was not measured.
    device : where the network runs.
    """

    name: str
    network: RNet
    layout: OutputLayout
    model: MorphableModel
    frame: FaceFrame
    digest: str
    identity_deviations: Float[np.ndarray, " i"] | None
    device: torch.device

    @classmethod
    def load(
        cls,
        weights: str | os.PathLike[str],
        model: MorphableModel | str | os.PathLike[str] | None = None,
        device: torch.device | str = "cpu",
    ) -> Predictor:
        """Read weights that `morphkit train` wrote.

        Parameters
        ----------
        weights : the file.
        model : that they were trained for, or its file; None for the embedded head.
        device : where the network is to run.

        Raises
        ------
        BadInputError
            When a file cannot be used, or the weights are of another model, or of C-Net.
        """
        network, meta = load_network(weights)
        if not isinstance(network, RNet):
            raise BadInputError(
                f"{weights}: a C-Net, which weighs photos that an R-Net has seen; give an R-Net's weights."
            )
        whole = resolve_model(model)
        digest = whole.digest
        if meta["model_digest"] != digest:
            raise BadInputError(_other_model(weights, meta["model_digest"], model, digest))
        layout = OutputLayout.preset(meta["preset"], _trained(whole, meta["heads"]), meta["size"])
        if dict(layout.heads) != dict(meta["heads"]):
            raise BadInputError(
                f"{weights}: gives {dict(meta['heads'])}, while its layout, {layout.name}, has "
                f"{dict(layout.heads)} for this model; train it anew."
            )
        known = meta["identity_deviation"]
        if known is not None and len(known) != layout.heads.get("identity", 0):
            raise BadInputError(
                f"{weights}: damaged, {len(known)} deviations of {layout.heads.get('identity', 0)} identity "
                "coefficients; train it anew."
            )
        deviations = None if known is None else _padded(np.array(known), whole.identity.n_components, 1.0)
        where = torch.device(device)
        name, ready = os.path.basename(os.fspath(weights)), network.to(where).eval()
        return cls(name, ready, layout, whole, FaceFrame.of(whole), digest, deviations, where)

    def __call__(self, photo: GivenPhoto, landmarks: GivenPoints | None = None) -> Prediction:
        """Return the largest face of a photo.

        Parameters
        ----------
        photo : a file, or an array of sRGB codes with row 0 at the top.
        landmarks : its 68 iBUG points (x, y) in the photo's pixels, NaN where unknown, or a file of them, in
            place of those of a detector.

        Raises
        ------
        NoFaceError
            When no face is found.
        BadInputError
            When the photo or the landmarks cannot be used.
        ValueError
            When an array is of another shape or type.
        """
        return self._predictions([self._aligned(photo, landmarks)])[0]

    def many(
        self,
        photos: Sequence[GivenPhoto],
        landmarks: Sequence[GivenPoints | None] | None = None,
        batch: int = 32,
    ) -> Iterator[Prediction | MorphkitError]:
        """Yield what is seen in each photo, or why nothing is, in their order.

        Parameters
        ----------
        photos, landmarks : as for one, as many of each.
        batch : photos to read, and to send through the network, at once.

        Raises
        ------
        ValueError
            At the first photo, when there are not as many landmarks, or a batch holds none.
        """
        if batch < 1:
            raise ValueError(f"batch: expected at least 1, got {batch}")
        pairs = iter(paired(photos, landmarks))
        while some := list(islice(pairs, batch)):
            found = [self.tried(*pair) for pair in some]
            usable = [one for one in found if isinstance(one, AlignedPhoto)]
            predictions = iter(self._predictions(usable) if usable else [])
            yield from (next(predictions) if isinstance(one, AlignedPhoto) else one for one in found)

    def _aligned(self, photo: GivenPhoto, landmarks: GivenPoints | None) -> AlignedPhoto:
        return aligned_photo(photo, landmarks, self.frame, max(STANDARD_SIZE, self.layout.size))

    def tried(self, photo: GivenPhoto, landmarks: GivenPoints | None) -> AlignedPhoto | MorphkitError:
        """Return a photo with its crop, or why there is none."""
        try:
            return self._aligned(photo, landmarks)
        except MorphkitError as error:
            return error

    def _predictions(self, photos: list[AlignedPhoto]) -> list[Prediction]:
        begun = time.perf_counter()
        return self.told(photos, self.seen(photos).heads, time.perf_counter() - begun)

    def seen(self, photos: list[AlignedPhoto]) -> RNetOutput:
        """Return what the network says of crops, shown to it as in training."""
        raw = RawBatch.from_faces(as_faces(photos)).to(self.device)
        batch: Batch = viewed(raw, Augmentation.identity(len(raw)), self.layout.size, None)
        with torch.no_grad():
            output: RNetOutput = self.network(batch.images.permute(0, 3, 1, 2), batch.shown_landmarks)
        return output

    def told(
        self, photos: list[AlignedPhoto], heads: dict[str, torch.Tensor], seconds: float
    ) -> list[Prediction]:
        """Return the network's numbers in the terms of their photos; they took so many seconds in all."""
        decoded = self.layout.decode({name: head.float().cpu() for name, head in heads.items()})
        return [self._one(one, decoded, row, seconds / len(photos)) for row, one in enumerate(photos)]

    def _one(self, photo: AlignedPhoto, decoded: Decoded, row: int, seconds: float) -> Prediction:
        """Return a row of the network's answer in the terms of its photo."""
        c, model = decoded.coefficients, self.model
        camera = replace(decoded.camera, **{n: getattr(decoded.camera, n)[row : row + 1] for n in "KRt"})
        crop = photo.affine * (self.layout.size / len(photo.crop))
        height, width = photo.photo.shape[:2]
        photo_camera, light = photo_view(camera, c.light[row : row + 1], crop, width, height)
        groups = zip(
            (c.identity, c.expression, c.albedo),
            (model.identity, model.expression, model.albedo),
            strict=True,
        )
        identity, expression, albedo = (
            _padded(values[row].double().numpy(), 0 if group is None else group.n_components, 0.0)
            for values, group in groups
        )
        return Prediction(
            photo=photo.photo,
            source=photo.source,
            identity=identity,
            identity_deviations=self.identity_deviations,
            expression=expression,
            albedo=albedo,
            light=light,
            shading=self.layout.shading,
            camera=photo_camera,
            landmarks=photo.points68,
            crop=crop,
            notes=photo.notes,
            seconds={"landmarks": photo.seconds, "network": seconds},
        )


def paired(
    photos: Sequence[GivenPhoto], landmarks: Sequence[GivenPoints | None] | None
) -> list[tuple[GivenPhoto, GivenPoints | None]]:
    """Return photos with their landmarks.

    Raises
    ------
    ValueError
        When there are not as many.
    """
    points = [None] * len(photos) if landmarks is None else landmarks
    if len(points) != len(photos):
        raise ValueError(f"landmarks: expected one for each of {len(photos)} photos, got {len(points)}")
    return list(zip(photos, points, strict=True))


def _other_model(weights: str | os.PathLike[str], wanted: str, model: object, found: str) -> str:
    """Return the sentence that names weights and model which don't go together."""
    named = "the embedded head" if model is None else "the given model"
    if isinstance(model, str | os.PathLike):
        named = str(model)
    return (
        f"{weights}: trained for a model with the digest {wanted[:_DIGITS]}, and {named} has "
        f"{found[:_DIGITS]}; give the model that it was trained for."
    )


def _trained(model: MorphableModel, heads: Mapping[str, int]) -> MorphableModel:
    """Return a model with the components that a network gives, which may be fewer than it has."""
    groups = (model.identity, model.expression, model.albedo)
    there = (0 if group is None else group.n_components for group in groups)
    names = ("identity", "expression", "albedo")
    return model.truncate(*(min(heads.get(n, 0), count) for n, count in zip(names, there, strict=True)))


def _padded(values: np.ndarray, count: int, by: float) -> Float[np.ndarray, " n"]:
    padded: np.ndarray = np.concatenate([values, np.full(count - len(values), by)])
    return padded
