from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from morphkit.archive import load_default_model, save_model
from morphkit.building.completing import completed, expressions_source
from morphkit.cli import main
from morphkit.errors import BadInputError, RegistrationError
from morphkit.mesh import Mesh
from morphkit.morphable import MorphableModel
from morphkit.transfer import SurfaceMap, transfer_mirror
from morphkit.transfer.correspond import Parts, matched
from morphkit.transfer.extension import extended
from morphkit.transfer.guides import Guides
from morphkit.transfer.parts import small_parts
from morphkit.transfer.stretch import local_maps


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return load_default_model().truncate(3, 3, 3)


def _plate(n: int) -> Mesh:
    """Return a flat square of n × n vertices, a millimetre apart."""
    y, x = np.divmod(np.arange(n * n), n)
    corner = np.flatnonzero((x < n - 1) & (y < n - 1))
    faces = np.concatenate(
        [
            np.column_stack([corner, corner + 1, corner + n + 1]),
            np.column_stack([corner, corner + n + 1, corner + n]),
        ]
    )
    return Mesh(np.column_stack([x, y, 0 * x]).astype(np.float64), faces.astype(np.int32))


def test_values_go_on_linearly_across_a_hole() -> None:
    mesh = _plate(15)
    field = mesh.vertices[:, :2] @ np.array([[1.0, -2.0], [0.5, 0.0]])
    hole = (np.abs(mesh.vertices[:, :2] - 7) < 3).all(axis=1)
    found = extended(np.where(hole[:, None], np.nan, field), ~hole, mesh, 1e3)
    assert np.abs(found - field).max() < 1e-3


def test_values_fade_beyond_an_edge() -> None:
    mesh = _plate(40)
    x = mesh.vertices[:, 0]
    found = extended(np.ones((len(x), 1)), x < 5, mesh, 4.0)[:, 0]
    assert (found[x < 5] == 1).all()
    row = found[mesh.vertices[:, 1] == 20]
    assert (np.diff(row[4:]) < 0).all()
    assert row[14] == pytest.approx(np.exp(-10 / 4), rel=0.15)
    assert row[-1] < 1e-3


def test_parts_without_a_known_vertex_get_zero() -> None:
    mesh = _plate(3)
    two = Mesh(
        np.concatenate([mesh.vertices, mesh.vertices + 9]), np.concatenate([mesh.faces, mesh.faces + 9])
    )
    found = extended(np.ones((18, 1)), np.arange(18) < 3, two, 5.0)
    assert (found[9:] == 0).all()
    assert (found[:9] > 0).all()


def test_a_similarity_comes_out_as_itself(rng: np.random.Generator) -> None:
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    source = 60 * rng.standard_normal((500, 3))
    maps = local_maps(source[:40], source, 1.3 * source @ turn.T + 5)
    assert np.abs(maps - 1.3 * turn).max() < 1e-9


def test_a_wider_mouth_opens_wider(rng: np.random.Generator) -> None:
    source = np.column_stack([80 * rng.standard_normal((4000, 2)), 10 * rng.standard_normal(4000)])
    near = np.exp(-(source[:, :2] ** 2).sum(axis=1) / (2 * 40.0**2))
    fitted = source * (1 + 0.3 * near[:, None] * [1, 0, 0])
    middle = local_maps(np.zeros((1, 3)), source, fitted)[0]
    assert middle[0, 0] > 1.2
    assert middle[1, 1] == pytest.approx(1.0, abs=0.05)


def test_a_shuffled_head_has_the_shuffled_mirror_map(rng: np.random.Generator, head: MorphableModel) -> None:
    order = rng.permutation(head.n_vertices)
    place = np.argsort(order)
    vertices = head.instance()[order] + 0.03 * rng.standard_normal((len(order), 3))
    face_indices, corner = np.zeros(len(order), np.int32), np.zeros(len(order), int)
    for k in range(3):
        face_indices[place[head.faces[:, k]]] = np.arange(len(head.faces))
        corner[place[head.faces[:, k]]] = k
    shuffled = SurfaceMap(
        Mesh(head.instance(), head.faces),
        Mesh(vertices, place[head.faces].astype(np.int32)),
        head.instance(),
        face_indices,
        np.eye(3)[corner],
        np.zeros(len(order)),
        np.ones(len(order), dtype=bool),
    )
    found = transfer_mirror(head.mirror, shuffled)
    assert found is not None
    assert np.array_equal(found[found], np.arange(len(order)))
    assert (found == place[head.mirror[order]]).mean() > 0.995


def test_transfer_loads_no_torch() -> None:
    code = "import sys, morphkit.transfer; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_expressions_come_from_the_head_from_nowhere_or_from_a_model(
    tmp_path: Path, head: MorphableModel
) -> None:
    assert expressions_source("none") is None
    source = expressions_source("default")
    assert source is not None
    assert source().expression is not None
    save_model(tmp_path / "neutral.h5", replace(head, expression=None, expression_units=None))
    with pytest.raises(BadInputError, match="has no expressions"):
        expressions_source(tmp_path / "neutral.h5")


def test_expressions_of_the_template_give_way_but_those_of_scans_stay(head: MorphableModel) -> None:
    without, _ = completed(head, None, instead=True)
    assert without.expression is None
    assert without.expression_units is None
    shown = replace(head, provenance={"expression_scan_count": 3})
    assert completed(shown, None, instead=True) == (shown, ())


def test_what_could_not_be_added_is_told(monkeypatch: pytest.MonkeyPatch, head: MorphableModel) -> None:
    def fail(*_: object) -> None:
        raise RegistrationError("no face was found")

    monkeypatch.setattr("morphkit.building.completing.complete_model", fail)
    model, notes = completed(head, load_default_model, instead=False)
    assert model is head
    assert notes == ("What the scans do not show could not be added: no face was found.",)


def test_complete_from_the_command_line(tmp_path: Path, head: MorphableModel) -> None:
    few = {name: mask for name, mask in head.masks.items() if name not in ("eyes", "lips")}
    save_model(tmp_path / "bare.h5", replace(head, masks=few, mirror=None))
    done = CliRunner().invoke(main, ["complete", str(tmp_path / "bare.h5"), "-o", str(tmp_path / "whole.h5")])
    assert done.exit_code == 0, done.output
    assert "Added from morphkit default head (CC0-1.0): mirror, mask eyes, mask lips." in done.output
    again = CliRunner().invoke(main, ["complete", str(tmp_path / "whole.h5"), "-o", str(tmp_path / "x.h5")])
    assert "Nothing is missing" in again.output
    over = CliRunner().invoke(main, ["complete", str(tmp_path / "bare.h5"), "-o", str(tmp_path / "bare.h5")])
    assert over.exit_code == 2


def test_skin_never_maps_to_teeth(head: MorphableModel) -> None:
    mean, count = head.instance(), head.n_vertices
    points = head.landmarks["ibug68"].landmarks(mean, head.faces)
    teeth = _plate(21).vertices - 10.0
    teeth += points.select(["62"]).points[0] + [0.0, 0.0, 0.5]  # pushed out through the lips
    source = Mesh(
        np.concatenate([mean, teeth]),
        np.concatenate([head.faces, _plate(21).faces + count]).astype(np.int32),
    )
    target = Mesh(mean, head.faces)
    inner = small_parts(source)
    assert inner[count:].all()
    eyes = np.concatenate([head.masks["eyes"], np.zeros(len(teeth), dtype=bool)])
    parts = Parts(eyes, inner & ~eyes, small_parts(target))
    ibug68 = head.landmarks["ibug68"]
    found = matched(source, source, target, parts, Guides(head.template(), points, ibug68, ibug68), 1.0)
    assert found.face_indices.max() < len(head.faces)
    skin = ~head.masks["eyes"]
    assert np.abs(found.carry(source.vertices) - mean)[skin].max() < 1e-9
