from __future__ import annotations

import numpy as np
import pytest
import trimesh
from registration_scene import OTHER_PERSON, TEMPLATE_PERSON, cap

from morphkit.mesh import Mesh
from morphkit.registration.borders import Border, borders_agree, longest_border


def _disk(back: float, *, rings: int = 30, shift: float = 0.0) -> Mesh:
    directions, faces = cap(rings, back)
    return Mesh(TEMPLATE_PERSON.surface(directions) + np.array([0.0, 0.0, shift]), faces)


def _border(mesh: Mesh) -> Border:
    border = longest_border(mesh)
    assert border is not None
    return border


def test_the_longest_border_of_a_disk_with_a_hole_is_its_rim() -> None:
    disk = _disk(0.0)
    border = _border(Mesh(disk.vertices, disk.faces[120:]))  # the first faces lie around the pole
    np.testing.assert_array_equal(border.vertices, np.arange(len(disk.vertices) - 120, len(disk.vertices)))
    rim = disk.vertices[border.vertices]
    np.testing.assert_allclose(np.linalg.norm(border.directions, axis=1), 1)
    assert border.lengths.sum() == pytest.approx(
        np.linalg.norm(np.roll(rim, -1, axis=0) - rim, axis=1).sum(), rel=1e-12
    )
    np.testing.assert_allclose(border.middles.mean(axis=0), rim.mean(axis=0), atol=1e-9)


def test_length_counts_not_the_number_of_edges() -> None:
    fine = _disk(0.9, rings=40)
    coarse = _disk(-0.1, rings=6)
    both = Mesh(
        np.vstack([fine.vertices, coarse.vertices]),
        np.vstack([fine.faces, coarse.faces + len(fine.vertices)]),
    )
    assert _border(both).vertices.min() >= len(fine.vertices)


def test_a_closed_mesh_has_no_border() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    assert longest_border(Mesh(np.array(ball.vertices), np.array(ball.faces, dtype=np.int32))) is None


def test_the_same_cut_agrees_though_tessellated_otherwise_and_shifted() -> None:
    own = _border(_disk(-0.2))
    assert borders_agree(own, _border(_disk(-0.2, rings=47, shift=3.0)))
    directions, faces = cap(41, -0.2)
    assert borders_agree(own, _border(Mesh(OTHER_PERSON.surface(directions), faces)))


def test_other_cuts_do_not_agree() -> None:
    own = _border(_disk(-0.2))
    smaller, wavy = _border(_disk(0.3)), _disk(-0.2)
    waves = wavy.vertices.copy()  # of 38 mm, steep in between
    waves[-120:] += 11 * np.sin(2 * np.pi * np.arange(120) / 10)[:, None] * [0, 0, 1]
    for other in (smaller, _border(Mesh(waves, wavy.faces))):
        assert not borders_agree(own, other)
        assert not borders_agree(other, own)


def test_a_small_zigzag_does_not_matter() -> None:
    # an even rim on which every edge runs steeply up or down
    disk = _disk(-0.2)
    zigzag = disk.vertices.copy()
    zigzag[-120:] += 2.5 * np.where(np.arange(120) % 2, 1, -1)[:, None] * [0, 0, 1]
    own, other = _border(disk), _border(Mesh(zigzag, disk.faces))
    assert abs(other.directions[:, 2]).mean() > 0.72
    assert borders_agree(own, other)


def test_three_quarters_of_a_border_are_not_enough() -> None:
    whole, part = _disk(-0.2), _disk(-0.2)
    kept = (part.vertices[part.faces][:, :, 0] > -50).all(axis=1)
    assert not borders_agree(_border(whole), _border(Mesh(part.vertices, part.faces[kept])))


def test_half_a_border_does_not_agree_either() -> None:
    # all of the half lies along the whole, but not the reverse
    whole, half = _disk(-0.2), _disk(-0.2)
    kept = (half.vertices[half.faces][:, :, 0] > 0).all(axis=1)
    assert not borders_agree(_border(whole), _border(Mesh(half.vertices, half.faces[kept])))
