"""Laws of augmentation: what is known of a picture stays true of what becomes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_scene import drawn_faces, landmark_vertices, picture, symmetric_head

from morphkit.model import FaceModel
from morphkit.rendering import PerspectiveCamera
from morphkit.training.augmentation import Augmentation
from morphkit.training.batch import Batch, RawBatch
from morphkit.training.config import AugmentationSettings
from morphkit.training.data.faces import Truth
from morphkit.training.degrading import degraded, hashed_normal, patch_mask
from morphkit.training.mirroring import IBUG68_MIRROR, MirrorMap
from morphkit.training.viewing import viewed

COUNT, SIZE = 6, 96


@pytest.fixture(scope="module")
def raw() -> RawBatch:
    return RawBatch.from_faces(drawn_faces(symmetric_head(), COUNT, seed=4, size=SIZE))


@pytest.fixture(scope="module")
def mirror() -> MirrorMap:
    found = MirrorMap.of(symmetric_head())
    assert found is not None
    return found


def only(**values: float | bool) -> AugmentationSettings:
    return replace(AugmentationSettings.none(), **values)


def flipped(count: int) -> Augmentation:
    return replace(Augmentation.identity(count), flip=torch.ones(count, dtype=torch.bool))


def projected(batch: Batch) -> torch.Tensor:
    """Where the truth says that landmarks are."""
    model = symmetric_head()
    assert batch.truth is not None
    truth = batch.truth
    vertices = FaceModel.from_morphable(model, torch.float64).vertices(
        truth.identity.double(), truth.expression.double()
    )
    camera = PerspectiveCamera(truth.K, truth.R, truth.t, batch.size, batch.size)
    return camera.project(vertices[:, landmark_vertices(model)])


def as_numpy(batch: Batch) -> Truth:
    assert batch.truth is not None
    return Truth(*(getattr(batch.truth, name).numpy() for name in Truth.__dataclass_fields__))


def test_zero_parameters_are_the_identity(raw: RawBatch, mirror: MirrorMap) -> None:
    batch = viewed(raw, Augmentation.identity(COUNT), SIZE, mirror)
    torch.testing.assert_close(batch.images, raw.images / 255, rtol=0, atol=2e-5)
    torch.testing.assert_close(batch.photos, batch.images, rtol=0, atol=1e-6)
    torch.testing.assert_close(batch.attention, raw.attention / 255, rtol=0, atol=1e-5)
    torch.testing.assert_close(batch.landmarks, raw.landmarks)
    assert raw.truth is not None
    assert batch.truth is not None
    for name in Truth.__dataclass_fields__:
        torch.testing.assert_close(getattr(batch.truth, name), getattr(raw.truth, name))


def test_augmented_truth_projects_onto_augmented_landmarks(raw: RawBatch, mirror: MirrorMap) -> None:
    change = Augmentation.draw(AugmentationSettings(), 5, 1, np.arange(COUNT))
    assert 0 < change.flip.sum() < COUNT
    for size in (SIZE, 56, 40):
        batch = viewed(raw, change, size, mirror)
        torch.testing.assert_close(projected(batch).float(), batch.landmarks, rtol=0, atol=2e-3)


def test_augmented_truth_draws_the_augmented_picture(raw: RawBatch, mirror: MirrorMap) -> None:
    change = Augmentation.draw(
        only(shift=8.0, scale=0.1, angle=15.0, flip=True, exposure=0.3), 5, 1, np.arange(COUNT)
    )
    batch = viewed(raw, change, SIZE, mirror)
    image, mask = picture(symmetric_head(), as_numpy(batch), SIZE)
    inside = torch.nn.functional.max_pool2d(1 - torch.from_numpy(mask)[:, None], 7, 1, 3)[:, 0] < 0.01
    drawn = torch.from_numpy(image)
    drawn = torch.where(drawn < 0.0031308, 12.92 * drawn, 1.055 * drawn.clamp_min(1e-9) ** (1 / 2.4) - 0.055)
    far = (drawn.clamp(0, 1) - batch.photos).abs().amax(dim=3)[inside]
    assert inside.sum() > 0.1 * inside.numel()
    assert far.mean() < 0.008
    assert far.quantile(0.99) < 0.05
    seen = torch.from_numpy(mask)
    assert (batch.attention - seen).abs().mean() < 0.01


def test_flipping_twice_is_the_identity(raw: RawBatch, mirror: MirrorMap) -> None:
    once = viewed(raw, flipped(COUNT), SIZE, mirror)
    assert once.truth is not None
    assert raw.truth is not None
    assert not torch.allclose(once.truth.identity, raw.truth.identity, atol=0.1)
    again = replace(
        raw,
        images=(once.images * 255).round().to(torch.uint8),
        attention=(once.attention * 255).round().to(torch.uint8),
        landmarks=once.landmarks,
        truth=once.truth,
    )
    twice = viewed(again, flipped(COUNT), SIZE, mirror)
    assert twice.truth is not None
    torch.testing.assert_close(twice.images, raw.images / 255, rtol=0, atol=1e-4)
    torch.testing.assert_close(twice.landmarks, raw.landmarks, rtol=0, atol=1e-4)
    for name in Truth.__dataclass_fields__:
        wanted, found = getattr(raw.truth, name), getattr(twice.truth, name)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)


def test_mirror_of_a_shifted_and_turned_model_is_found(raw: RawBatch) -> None:
    from morphkit.geometry.similarity import Similarity

    turn = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    moved = symmetric_head().transformed(Similarity(1.0, turn, np.array([30.0, -5.0, 2.0])))
    mirror = MirrorMap.of(moved)
    assert mirror is not None
    assert raw.truth is not None
    R = raw.truth.R @ torch.from_numpy(turn).T
    t = raw.truth.t - R @ torch.tensor([30.0, -5.0, 2.0], dtype=torch.float64)
    batch = viewed(replace(raw, truth=replace(raw.truth, R=R, t=t)), flipped(COUNT), SIZE, mirror)
    assert batch.truth is not None
    vertices = FaceModel.from_morphable(moved).vertices(batch.truth.identity, batch.truth.expression)
    camera = PerspectiveCamera(batch.truth.K, batch.truth.R, batch.truth.t, SIZE, SIZE)
    found = camera.project(vertices.double()[:, landmark_vertices(symmetric_head())]).float()
    torch.testing.assert_close(found, batch.landmarks, rtol=0, atol=5e-3)


def test_models_that_cannot_mirror_have_no_map_and_their_rows_stay(raw: RawBatch) -> None:
    from fitting_head import small_head

    assert MirrorMap.of(small_head()) is None
    assert MirrorMap.of(replace(symmetric_head(), mirror=None)) is None
    some = replace(raw, has_truth=torch.arange(COUNT) % 2 == 0)
    batch = viewed(some, flipped(COUNT), SIZE, None)
    pictures = raw.images / 255
    torch.testing.assert_close(batch.images[::2], pictures[::2], rtol=0, atol=2e-5)
    torch.testing.assert_close(batch.images[1::2], pictures[1::2].flip(2), rtol=0, atol=2e-5)


def test_mirrored_points_are_partners() -> None:
    partner = np.array(IBUG68_MIRROR)
    assert (partner[partner] == np.arange(68)).all()
    model = symmetric_head()
    points = model.instance()[landmark_vertices(model)]
    np.testing.assert_allclose(points[partner], points * [-1, 1, 1], atol=1e-4)


def test_a_photo_changes_alike_whoever_its_neighbours_are(raw: RawBatch, mirror: MirrorMap) -> None:
    settings = replace(AugmentationSettings(), rare=0.6, occlusion=0.6, grey=0.3)
    together = viewed(raw, Augmentation.draw(settings, 1, 2, np.arange(COUNT)), 56, mirror)
    for row in range(COUNT):
        alone = raw.take(torch.tensor([row]))
        batch = viewed(alone, Augmentation.draw(settings, 1, 2, np.array([row])), 56, mirror)
        torch.testing.assert_close(batch.images[0], together.images[row], rtol=0, atol=1e-5)
        torch.testing.assert_close(batch.landmarks[0], together.landmarks[row])


def test_patches_cover_and_count_nothing(raw: RawBatch, mirror: MirrorMap) -> None:
    change = Augmentation.draw(only(occlusion=1.0), 0, 0, np.arange(COUNT))
    batch = viewed(raw, change, SIZE, mirror)
    under = patch_mask(change, SIZE).amax(dim=1) > 0
    assert under.any(dim=(1, 2)).all()
    assert (batch.attention[under] == 0).all()
    torch.testing.assert_close(batch.attention[~under], (raw.attention / 255)[~under], rtol=0, atol=1e-5)
    torch.testing.assert_close(batch.photos, raw.images / 255, rtol=0, atol=2e-5)
    assert ((batch.images - batch.photos).abs().amax(dim=3) > 0.02)[under].float().mean() > 0.8
    torch.testing.assert_close(batch.images[~under], batch.photos[~under], rtol=0, atol=1e-6)


def test_exposure_and_white_balance_are_light(raw: RawBatch, mirror: MirrorMap) -> None:
    change = Augmentation.draw(only(exposure=0.3, white_balance=0.2), 0, 0, np.arange(COUNT))
    batch = viewed(raw, change, SIZE, mirror)
    assert batch.truth is not None
    assert raw.truth is not None
    torch.testing.assert_close(batch.truth.light, raw.truth.light * change.gain[:, None])
    assert (change.gain.std(dim=0) > 0).all()


def test_contrast_saturation_and_grey_by_hand() -> None:
    image = torch.tensor([0.2, 0.4, 0.6]).expand(1, 4, 4, 3)
    base = Augmentation.identity(1)
    luma = 0.2 * 0.299 + 0.4 * 0.587 + 0.6 * 0.114
    grey = degraded(image, replace(base, grey=torch.tensor([True])))
    torch.testing.assert_close(grey, torch.full_like(image, luma))
    half = degraded(image, replace(base, saturation=torch.tensor([0.5])))
    torch.testing.assert_close(half[0, 0, 0], luma + 0.5 * (image[0, 0, 0] - luma))
    flat = degraded(image, replace(base, contrast=torch.tensor([0.5])))
    torch.testing.assert_close(flat[0, 0, 0], 0.4 + 0.5 * (image[0, 0, 0] - 0.4))


def test_blur_noise_and_resolution_keep_the_mean() -> None:
    images = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    base = Augmentation.identity(2)
    for change in (
        replace(base, blur=torch.tensor([0.02, 0.0])),
        replace(base, resolution=torch.tensor([0.3, 1.0])),
        replace(base, noise=torch.tensor([0.05, 0.0]), noise_key=torch.tensor([3, 4])),
    ):
        after = degraded(images, change)
        assert (after[0] - images[0]).abs().mean() > 0.02
        assert abs(float((after[0] - images[0]).mean())) < 2e-3
        assert torch.equal(after[1], images[1])


def test_hashed_noise_is_normal_and_keyed() -> None:
    like = torch.zeros(3, 200, 200)
    noise = hashed_normal(torch.tensor([1, 2, 1]), like)
    assert torch.equal(noise[0], noise[2])
    assert abs(float((noise[0] * noise[1]).mean())) < 0.02
    ordered = noise[0].flatten().sort().values
    normal = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(40000) + 0.5) / 40000)
    assert (ordered - normal)[200:-200].abs().max() < 0.06
    shifted = noise[0].flatten()
    assert abs(float((shifted[1:] * shifted[:-1]).mean())) < 0.02


def test_a_guided_network_is_shown_moved_landmarks_and_compared_with_the_true_ones():
    raw = RawBatch.from_faces(drawn_faces(symmetric_head(), 3, size=64))
    plain = replace(Augmentation.identity(3), noise_key=torch.tensor([5, 6, 5]))
    noisy = replace(plain, landmark_noise=torch.tensor([0.0, 0.02, 0.02]))
    batch, again = (viewed(raw, noisy, 64, None) for _ in range(2))
    assert torch.equal(batch.landmarks, viewed(raw, plain, 64, None).landmarks)
    assert torch.equal(batch.shown_landmarks, again.shown_landmarks)
    moved = batch.shown_landmarks - batch.landmarks
    assert not moved[0].any()
    assert 0.8 < (moved[1:].std(dim=1) / (0.02 * 64)).mean() < 1.25
    assert not torch.equal(moved[1], moved[2])
