"""The CPU rasterizer's operations against their definitions, finite differences and supersampling."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from morphkit.errors import MissingDependencyError
from morphkit.geometry.topology import edge_neighbours
from morphkit.rendering import get_rasterizer
from morphkit.rendering._cpu import CpuRasterizer

CPU = CpuRasterizer()


@pytest.fixture
def soup(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping triangles at different distances, two images, in clip space."""
    count = 7
    centre = rng.uniform(-0.5, 0.5, (2, count, 1, 2))
    corners = centre + rng.uniform(-0.7, 0.7, (2, count, 3, 2))
    w = rng.uniform(1, 3, (2, count, 3, 1))
    z = rng.uniform(-0.5, 0.5, (2, count, 1, 1)) + rng.uniform(-0.05, 0.05, (2, count, 3, 1))
    vertices = np.concatenate([corners * w, z * w, w], axis=-1).reshape(2, -1, 4)
    return torch.from_numpy(vertices), torch.arange(3 * count, dtype=torch.int32).reshape(-1, 3)


def test_rast_describes_the_pixel_centre(soup):
    vertices, faces = soup
    rast = CPU.rasterize(vertices, faces, (9, 13))
    clip = CPU.interpolate(vertices, rast, faces)
    seen = rast[..., 3] > 0
    rows, columns = torch.meshgrid(torch.arange(9), torch.arange(13), indexing="ij")
    centre = torch.stack([(2 * columns.double() + 1) / 13 - 1, (2 * rows.double() + 1) / 9 - 1], dim=-1)
    ndc = clip[..., :3] / clip[..., 3:]
    assert 60 < seen.sum() < 2 * 9 * 13
    torch.testing.assert_close(ndc[..., :2][seen], centre.expand(2, 9, 13, 2)[seen], rtol=0, atol=1e-12)
    torch.testing.assert_close(ndc[..., 2][seen], rast[..., 2][seen], rtol=0, atol=1e-12)
    assert not rast[~seen].any()


def test_float32_follows_float64(soup):
    vertices, faces = soup
    single = CPU.rasterize(vertices.float(), faces, (32, 32))
    double = CPU.rasterize(vertices.float().double(), faces, (32, 32))
    torch.testing.assert_close(single.double(), double, rtol=1e-6, atol=1e-7)


def test_rasterize_gradient(soup):
    vertices, faces = soup
    rast = CPU.rasterize(vertices, faces, (9, 13))

    def barycentrics(v):
        return CPU.rasterize(v, faces, (9, 13))[..., :2]

    def moved(v):  # ids must stay as they are for finite differences to be meaningful
        assert torch.equal(CPU.rasterize(v, faces, (9, 13))[..., 3], rast[..., 3])
        return barycentrics(v)

    assert gradcheck(moved, vertices.clone().requires_grad_(), eps=1e-7, rtol=1e-4, atol=1e-6)


def test_derivatives_are_those_by_the_pixel(soup):
    """Moving the picture by a small part of a pixel changes u and v by as much of the derivatives."""
    vertices, faces = soup
    rast, derivatives = CPU.rasterize_with_derivatives(vertices, faces, (9, 13))
    assert torch.equal(rast, CPU.rasterize(vertices, faces, (9, 13)))
    step = 1e-6
    for axis, size in ((0, 13), (1, 9)):
        shift = torch.zeros(4, dtype=torch.float64)
        shift[axis] = 2 * step / size
        moved = CPU.rasterize(vertices - shift * vertices[..., 3:], faces, (9, 13))
        assert torch.equal(moved[..., 3], rast[..., 3])
        slope = (moved[..., :2] - rast[..., :2]) / step
        torch.testing.assert_close(slope, derivatives[..., axis::2], rtol=1e-4, atol=1e-5)


def test_derivatives_gradient(soup, rng):
    vertices, faces = soup
    ids = CPU.rasterize(vertices, faces, (9, 13))[..., 3]
    weights = torch.from_numpy(rng.normal(size=(2, 9, 13, 4)))

    def weighted(v):
        rast, derivatives = CPU.rasterize_with_derivatives(v, faces, (9, 13))
        assert torch.equal(rast[..., 3], ids)
        return (weights * derivatives).sum() + (weights * rast)[..., :2].sum()

    assert gradcheck(weighted, vertices.clone().requires_grad_(), eps=1e-7, rtol=1e-4, atol=1e-6)


def test_ranges_show_parts_of_one_set(soup):
    """Picture i shows its own faces, numbered among all of them; gradients land on its own vertices."""
    vertices, faces = soup
    together = vertices.reshape(-1, 4).requires_grad_()
    both = torch.cat([faces, faces + vertices.shape[1]])
    ranges = torch.tensor([[0, 7], [7, 7], [9, 2], [3, 0]], dtype=torch.int32)
    rast, derivatives = CPU.rasterize_with_derivatives(together, both, (9, 13), ranges)

    single, single_derivatives = CPU.rasterize_with_derivatives(vertices, faces, (9, 13))
    own = torch.where(single[..., 3:] > 0, torch.tensor([0.0, 7]).reshape(2, 1, 1, 1), 0)
    torch.testing.assert_close(rast[:2], single + own * torch.tensor([0, 0, 0, 1]), rtol=0, atol=0)
    assert torch.equal(derivatives[:2], single_derivatives)
    assert set(rast[2, ..., 3].unique().tolist()) <= {0, 10, 11}
    assert not rast[3].any()

    attributes = torch.arange(84, dtype=torch.float64).reshape(42, 2)
    seen = CPU.interpolate(attributes, rast, both)
    torch.testing.assert_close(seen[:2], CPU.interpolate(attributes.reshape(2, 21, 2), single, faces))
    (gradient,) = torch.autograd.grad((seen**2).sum() + (derivatives**2).sum(), together)
    other = torch.zeros(42, dtype=bool)
    other[27:33] = True  # seen twice
    vertices = vertices.detach().requires_grad_()
    single, single_derivatives = CPU.rasterize_with_derivatives(vertices, faces, (9, 13))
    shown = CPU.interpolate(attributes.reshape(2, 21, 2), single, faces)
    (expected,) = torch.autograd.grad((shown**2).sum() + (single_derivatives**2).sum(), vertices)
    torch.testing.assert_close(gradient[~other], expected.reshape(-1, 4)[~other])
    assert not torch.allclose(gradient[other], expected.reshape(-1, 4)[other])


def test_ranges_go_with_one_set_of_vertices(soup):
    vertices, faces = soup
    ranges = torch.tensor([[0, 7], [0, 7]], dtype=torch.int32)
    for wrong in ((vertices, None, ranges), (vertices[0], None, None)):
        with pytest.raises(ValueError, match="vertices_clip must have shape"):
            CPU.rasterize(wrong[0], faces, (4, 4), wrong[2])
    with pytest.raises(ValueError, match="within 7 faces"):
        CPU.rasterize(vertices[0], faces, (4, 4), ranges + 1)


def test_results_and_gradients_do_not_depend_on_the_threads(rng, monkeypatch):
    vertices, faces = sphere(40)
    clip = torch.cat([vertices[:, :2], 0.5 * vertices[:, 2:], torch.ones(len(vertices), 1)], dim=1)
    clip = (clip + 0.01 * torch.from_numpy(rng.normal(size=clip.shape))).float()
    weights = torch.from_numpy(rng.normal(size=(1, 100, 90, 4)).astype(np.float32))

    def run(batch, threads):
        monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", threads)
        corners = clip.expand(batch, -1, -1).clone().requires_grad_()
        rast, derivatives = CPU.rasterize_with_derivatives(corners, faces, (100, 90))
        smooth = CPU.antialias(CPU.interpolate(clip[None], rast, faces), rast, corners, faces)
        (weights * (rast + derivatives + smooth)).sum().backward()
        return rast.detach(), derivatives.detach(), smooth.detach(), corners.grad

    for batch in (1, 3):
        for one, many in zip(run(batch, 1), run(batch, 5), strict=True):
            assert torch.equal(one, many)


def test_gradients_of_float32_are_summed_in_double(soup):
    vertices, faces = soup
    single = vertices.float().requires_grad_()
    double = vertices.float().double().requires_grad_()
    for corners in (single, double):
        CPU.rasterize(corners, faces, (64, 64))[..., :2].square().sum().backward()
    torch.testing.assert_close(single.grad.double(), double.grad, rtol=1e-4, atol=1e-3)


def test_no_gradient_through_depth_or_index(soup):
    vertices, faces = soup
    vertices.requires_grad_()
    CPU.rasterize(vertices, faces, (9, 13))[..., 2:].sum().backward()
    assert not vertices.grad.any()


def test_interpolate_gradient(soup, rng):
    vertices, faces = soup
    rast = CPU.rasterize(vertices, faces, (5, 7))
    attributes = torch.from_numpy(rng.normal(size=(2, vertices.shape[1], 3))).requires_grad_()
    weights = rast[..., :2].clone().requires_grad_()

    def interpolate(a, uv):
        return CPU.interpolate(a, torch.cat([uv, rast[..., 2:]], dim=-1), faces)

    assert gradcheck(interpolate, (attributes, weights))
    assert gradcheck(lambda a: interpolate(a, weights.detach()), attributes[:1].detach().requires_grad_())


def test_antialias_gradient(soup, rng):
    vertices, faces = soup
    rast = CPU.rasterize(vertices, faces, (9, 13))
    color = torch.from_numpy(rng.normal(size=(2, 9, 13, 3))).requires_grad_()
    blended = CPU.antialias(color, rast, vertices, faces)
    assert ((blended - color).abs().amax(dim=-1) > 1e-6).sum() > 20
    inputs = (color, vertices.clone().requires_grad_())
    assert gradcheck(lambda c, v: CPU.antialias(c, rast, v, faces), inputs, eps=1e-7, rtol=1e-4, atol=1e-6)


def test_antialias_leaves_a_closed_interior_alone():
    """A quad of two triangles: the diagonal is no silhouette, the rim is."""
    vertices, faces = quad(torch.tensor([-0.7, -0.7, 0.7, 0.7], dtype=torch.float64))
    rast = CPU.rasterize(vertices, faces, (20, 20))
    color = torch.rand(1, 20, 20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    changed = (CPU.antialias(color, rast, vertices, faces) != color).any(dim=-1)[0]
    assert changed.any()
    assert not changed[4:16, 4:16].any()


def test_antialias_coverage_of_a_shifted_edge():
    """The edge of a rectangle 0.3 of a pixel past a pixel's boundary covers 0.3 of the next pixel."""
    size = 8
    right = 2 * 5.3 / size - 1
    vertices, faces = quad(torch.tensor([-1.5, -1.5, right, 1.5], dtype=torch.float64))
    rast = CPU.rasterize(vertices, faces, (size, size))
    mask = CPU.antialias((rast[..., 3:] > 0).double(), rast, vertices, faces)[0, ..., 0]
    expected = torch.tensor([1, 1, 1, 1, 1, 0.3, 0, 0], dtype=torch.float64).expand(size, size)
    torch.testing.assert_close(mask, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.7, 1.0, 1.6, 5.0])
def test_antialias_gradient_of_a_moving_edge(slope):
    """The picture's total changes with an edge's position as a supersampled picture's does."""
    shift = torch.tensor(0.013, dtype=torch.float64, requires_grad=True)

    def total(size, s, smooth):
        vertices, faces = half_plane(slope, s)
        rast = CPU.rasterize(vertices, faces, (size, size))
        mask = (rast[..., 3:] > 0).double()
        return (CPU.antialias(mask, rast, vertices, faces) if smooth else mask).mean()

    (gradient,) = torch.autograd.grad(total(64, shift, smooth=True), shift)
    with torch.no_grad():
        ahead, behind = (total(2048, shift + step, smooth=False) for step in (0.02, -0.02))
    assert gradient.item() == pytest.approx((ahead - behind).item() / 0.04, rel=0.03)


def test_antialias_gradient_of_a_growing_sphere():
    """Triangles smaller than a pixel: walking finds the outline, and a disc grows by 2 pi r dr."""
    vertices, faces = sphere(80)
    radii = torch.linspace(0.55, 0.65, 7, dtype=torch.float64, requires_grad=True)

    def area(rasterizer):
        scaled = vertices * radii[:, None, None]
        depth_and_w = torch.stack([0.5 * scaled[..., 2], torch.ones_like(scaled[..., 2])], dim=-1)
        clip = torch.cat([scaled[..., :2], depth_and_w], dim=-1)
        rast = rasterizer.rasterize(clip, faces, (48, 48))
        mask = (rast[..., 3:] > 0).double()
        return 4 * rasterizer.antialias(mask, rast, clip, faces).mean(dim=(1, 2, 3)).sum()

    value = area(CPU)
    (gradient,) = torch.autograd.grad(value, radii)
    circles = 2 * np.pi * radii.detach().sum().item()
    assert value.item() == pytest.approx(np.pi * (radii**2).sum().item(), rel=0.001)
    assert gradient.sum().item() == pytest.approx(circles, rel=0.02)
    (visible_only,) = torch.autograd.grad(area(CpuRasterizer(silhouette_steps=1)), radii)
    assert visible_only.sum().item() < 0.05 * circles  # what the visible triangles' own edges would give


def test_batch_equals_single_images(soup, rng):
    vertices, faces = soup
    color = torch.from_numpy(rng.normal(size=(2, 33, 17, 3)))
    rast = CPU.rasterize(vertices, faces, (33, 17))
    blended = CPU.antialias(color, rast, vertices, faces)
    for i in range(2):
        part = slice(i, i + 1)
        assert torch.equal(CPU.rasterize(vertices[part], faces, (33, 17)), rast[part])
        assert torch.equal(CPU.antialias(color[part], rast[part], vertices[part], faces), blended[part])


def test_edge_neighbours_of_a_tetrahedron_and_an_open_edge():
    faces = np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]])
    across = edge_neighbours(faces)
    assert (across >= 0).all()
    for f in range(4):
        for k in range(3):
            g, j = divmod(int(across[f, k]), 3)
            assert set(np.delete(faces[f], k)) == set(np.delete(faces[g], j))
            assert across[g, j] == 3 * f + k
    assert (edge_neighbours(faces[:1]) == -1).all()
    fan = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]])  # three faces at one edge
    assert (edge_neighbours(fan) == -1).all()


def test_a_topology_that_changes_in_place_is_seen():
    """Two triangles share an edge; once the second uses its own corners, that edge is a silhouette."""
    vertices, faces = quad(torch.tensor([-0.7, -0.7, 0.7, 0.7], dtype=torch.float64))
    vertices = torch.cat([vertices, vertices], dim=1)
    rast = CPU.rasterize(vertices, faces, (20, 20))
    color = (rast[..., 3:] == 1).double()
    rasterizer = CpuRasterizer()
    assert torch.equal(
        rasterizer.antialias(color, rast, vertices, faces)[0, 8:12, 8:12], color[0, 8:12, 8:12]
    )
    faces[1] += 4
    assert (rasterizer.antialias(color, rast, vertices, faces) != color)[0, 8:12, 8:12].any()


def test_wrong_instances_are_named(soup):
    vertices, faces = soup
    rast = CPU.rasterize(vertices, faces, (4, 4))
    with pytest.raises(ValueError, match="1 or 2 instances, got 3"):
        CPU.interpolate(vertices[:1].expand(3, -1, -1), rast, faces)


def test_backend_is_chosen_never_guessed():
    assert isinstance(get_rasterizer("numba"), CpuRasterizer)
    if not torch.cuda.is_available():
        with pytest.raises(MissingDependencyError, match="choose"):
            get_rasterizer("nvdiffrast")


def quad(box: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x0, y0, x1, y1 = box
    zero, one = torch.zeros_like(x0), torch.ones_like(x0)
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    vertices = torch.stack([torch.stack([x, y, zero, one]) for x, y in corners])
    return vertices[None], torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)


def half_plane(slope: float, shift: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a large quad left of the line x = shift + y * slope (or below it, where that is flat)."""
    far, zero, one = torch.tensor(-9.0), torch.zeros_like(shift), torch.ones_like(shift)
    ends = [(shift - 3 * slope, -3 * one), (shift + 3 * slope, 3 * one)]
    corners = [*ends, (far * one, 3 * one), (far * one, -3 * one)]
    vertices = torch.stack([torch.stack([x, y, zero, one]) for x, y in corners])
    return vertices[None], torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)


def sphere(rings: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a welded unit sphere."""
    polar = np.linspace(0, np.pi, rings + 1)[1:-1]
    around = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    p, a = (grid.ravel() for grid in np.meshgrid(polar, around, indexing="ij"))
    points = np.stack([np.sin(p) * np.cos(a), np.cos(p), np.sin(p) * np.sin(a)], axis=1)
    points = np.concatenate([points, [[0, 1, 0], [0, -1, 0]]])
    index = np.arange(len(p)).reshape(rings - 1, -1)
    right = np.roll(index, -1, axis=1)
    faces = [np.stack(c, -1).reshape(-1, 3) for c in (
        (index[:-1], index[1:], right[1:]),
        (index[:-1], right[1:], right[:-1]),
        (np.full_like(index[0], len(p)), index[0], right[0]),
        (np.full_like(index[0], len(p) + 1), right[-1], index[-1]),
    )]  # fmt: skip
    return torch.from_numpy(points), torch.from_numpy(np.concatenate(faces).astype(np.int32))
