"""Registered scans to a model: who counts, who is left out, and who forms the sums."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from morphkit.basis import BasisSettings, fit_basis
from morphkit.basis.gram import gram_part, gram_parts
from morphkit.basis.samples import as_samples
from morphkit.building.bootstrap import learnt
from morphkit.building.collection import collect
from morphkit.building.gathering import gathered
from morphkit.building.outcome import RegisteredScan, ScanOutcome
from morphkit.building.provenance import provenance
from morphkit.building.reporting import scan_rows
from morphkit.building.spread import SpreadMap, mapper
from morphkit.building.statistics import Material, fit_registered
from morphkit.building.store import save_registered
from morphkit.building.templates import LandmarkedTemplate
from morphkit.errors import BadInputError
from morphkit.jobs.workers import Workers
from morphkit.mesh import Landmarks, Mesh, Template
from morphkit.registration import Diagnosis
from morphkit.scans.manifest import ManifestEntry

SETTINGS = BasisSettings(identity_components=40)
COUNT = 12


@pytest.fixture(scope="module")
def template() -> Template:
    import trimesh

    sphere = trimesh.creation.icosphere(subdivisions=3, radius=90.0)
    vertices = np.asarray(sphere.vertices) * [0.8, 1.2, 1.0]
    mesh = Mesh(vertices, np.asarray(sphere.faces, dtype=np.int32))
    return Template(mesh, masks={"face": vertices[:, 2] > 0})


@pytest.fixture(scope="module")
def people(template) -> np.ndarray:
    """Return (n, v, 3) shapes: three ways to differ, and some noise."""
    rng = np.random.default_rng(4)
    x, y, z = template.mesh.vertices.T / 90
    ways = np.stack(
        [np.stack([x * y, 0 * y, z], 1), np.stack([0 * x, y * y, y * z], 1), np.stack([x, z, x], 1)]
    )
    shapes = np.einsum("nk,kvd->nvd", rng.standard_normal((COUNT, 3)) * [5, 3, 2], ways)
    return template.mesh.vertices + shapes + 0.1 * rng.standard_normal(shapes.shape)


def _scan(name: str, template: Template, vertices: np.ndarray, colors: np.ndarray | None) -> RegisteredScan:
    """Return a registered scan in centimetres, turned, far from the origin."""
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    placed = replace(template.mesh, vertices=vertices @ turn / 10 + 5000, colors=colors)
    v = len(vertices)
    points, figures = Landmarks((), np.zeros((0, 3))), Diagnosis(1.0, 0.0, None, 0.0, 0.1, None)
    return RegisteredScan(
        name, placed, 10.0, np.ones(v, bool), np.zeros(v), turn, points, figures, "good", (), (), {}, "hash"
    )


@pytest.fixture(scope="module")
def folder(template, people, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("registered")
    rng = np.random.default_rng(1)
    for i, shape in enumerate(people):
        colors = rng.uniform(0.2, 0.8, shape.shape).astype(np.float32) if i else None
        save_registered(folder, _scan(f"p{i}", template, shape, colors))
    return folder


def _entries(count: int = COUNT, **changes: object) -> dict[str, ManifestEntry]:
    return {f"p{i}": ManifestEntry(Path(f"p{i}.ply"), f"p{i}", **changes) for i in range(count)}


def test_streaming_from_the_folder_is_fitting_in_memory(template, people, folder):
    found = fit_registered(Material(folder, _entries(), template), SETTINGS)
    expected = fit_basis(people, template, settings=replace(SETTINGS, identity_components=COUNT - 1)).model
    assert found.model.n_vertices == len(template.mesh.vertices)
    assert found.model.identity.n_components == COUNT - 1
    assert np.abs(found.model.identity.mean - expected.identity.mean).max() < 1e-3
    ratio = found.model.identity.standard_deviations[:3] / expected.identity.standard_deviations[:3]
    assert np.abs(ratio - 1).max() < 1e-4
    assert found.model.albedo is not None
    assert found.outliers == {}
    assert found.generalization is not None
    assert found.generalization.points.mean[3] < 0.3 < found.generalization.points.mean[0]
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_an_outlier_is_named_and_leaves_only_when_asked(template, people, folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    dented = people[0].copy()
    dented[template.mesh.vertices[:, 2] > 70] *= 1.5
    save_registered(tmp_path, _scan("odd", template, dented, None))
    entries = {**_entries(), "odd": ManifestEntry(Path("odd.ply"), "odd")}
    material = Material(tmp_path, entries, template)
    kept = fit_registered(material, SETTINGS, measure=False)
    pruned = fit_registered(material, SETTINGS, prune=True, measure=False)
    assert list(kept.outliers) == list(pruned.outliers) == ["odd"]
    assert kept.outliers["odd"].endswith(".")
    assert "odd" in kept.used
    assert pruned.used == tuple(_entries())


@pytest.mark.parametrize(
    ("count", "said"), [(5, "5 neutral scans are too few"), (7, "only those"), (12, None)]
)
def test_what_few_scans_cannot_tell_is_said(template, folder, count, said):
    found = fit_registered(Material(folder, _entries(count), template), SETTINGS, measure=False)
    assert found.outliers == {}
    assert len(found.notes) == (said is not None)
    assert said is None or said in found.notes[0]


def test_pruning_leaves_two_scans_that_count_or_refuses(template, people, folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    save_registered(tmp_path, _scan("odd", template, 1.6 * people[0], None))
    entries = _entries(weight=0.0) | {"odd": ManifestEntry(Path("odd.ply"), "odd")}
    entries["p1"] = replace(entries["p1"], weight=1.0)
    material = Material(tmp_path, entries, template)
    assert "odd" in fit_registered(material, SETTINGS, measure=False).used
    with pytest.raises(BadInputError, match=r"unlike the others \(odd\), 1 neutral scans .* --prune"):
        fit_registered(material, SETTINGS, prune=True, measure=False)
    entries["p2"] = replace(entries["p2"], weight=1.0)
    assert "odd" not in fit_registered(material, SETTINGS, prune=True, measure=False).used


def test_expressions_and_weights_reach_the_statistics(template, people, folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    entries = _entries()
    for i in range(3):
        moved = people[i] + np.where(template.mesh.vertices[:, 1:2] < -60, [0, -3.0 - i, 0], 0)
        save_registered(tmp_path, _scan(f"p{i}_open", template, moved, None))
        entries[f"p{i}_open"] = ManifestEntry(Path("open.ply"), f"p{i}", "open")
    entries["p5"] = replace(entries["p5"], weight=0.0)
    model = fit_registered(Material(tmp_path, entries, template), SETTINGS, measure=False).model
    assert model.expression is not None
    assert model.expression.n_components <= 3
    alike = {name: entry for name, entry in entries.items() if name != "p5"}
    without = fit_registered(Material(tmp_path, alike, template), SETTINGS, measure=False).model
    assert np.abs(model.identity.mean - without.identity.mean).max() < 1e-3


def test_what_is_learnt_is_the_mean_and_how_people_differ(template, people, folder):
    common = learnt(folder, tuple(_entries()), LandmarkedTemplate(template), 3, Workers(1))
    mesh, modes = common.template.template.mesh, common.modes
    assert np.array_equal(mesh.faces, template.mesh.faces)
    expected = fit_basis(people, template, settings=BasisSettings(identity_components=3)).model.identity
    assert np.abs(mesh.vertices - expected.mean).max() < 1e-3
    assert modes.shape == (len(mesh.vertices), 3, 3)
    one = modes.astype(np.float64) @ [0.0, 1.0, 0.0]
    assert np.abs(mesh.vertices + one - expected.instance(np.array([0.0, 1.0]))).max() < 1e-2
    again = learnt(folder, tuple(_entries()), LandmarkedTemplate(template), 3, Workers(1))
    assert again.modes_digest == common.modes_digest  # or nothing could be resumed
    assert again.template == common.template != LandmarkedTemplate(template)


def test_workers_form_the_same_sums_to_the_byte(template, folder):
    with gathered(folder, tuple(_entries()), template.mesh) as scans:
        samples = as_samples(scans.shapes)
        sums = partial(gram_part, samples, True)
        here = list(map(sums, gram_parts(samples)))
        there = list(SpreadMap(Workers(2), scans.shapes.file)(sums, gram_parts(samples)))
        assert mapper(Workers(2), scans.shapes.file, 10) is map
        assert isinstance(mapper(Workers(2), scans.shapes.file, 1000), SpreadMap)
        assert isinstance(mapper(Workers(scheduler="tcp://a:1"), scans.shapes.file, 2), SpreadMap)
    assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))
    assert not list(folder.glob(".*"))


def test_scans_come_from_a_folder_from_folders_of_people_or_from_a_manifest(tmp_path):
    flat, nested = tmp_path / "flat", tmp_path / "nested"
    for path in (flat / "a.ply", flat / "b.ply", *(nested / "ann" / f for f in ("neutral.ply", "smile.ply"))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (nested / "ann" / "smile.landmarks.json").write_text("{}")
    assert list(collect(flat).by_name) == ["a", "b"]
    people = collect(nested)
    assert list(people.by_name) == ["ann_neutral", "ann_smile"]
    assert people.by_name["ann_smile"].expression == "smile"
    assert people.files[1].landmarks_path == nested / "ann" / "smile.landmarks.json"
    assert collect(nested).outside(nested / "ann").files == ()
    assert collect(nested).outside(nested / "model-work") == people
    table = tmp_path / "scans.csv"
    table.write_text("file,subject,weight\nflat/b.ply,bob,0.5\n")
    assert [(file.name, entry.weight) for file, entry in zip(*_fields(collect(table)), strict=True)] == [
        ("bob_b", 0.5)
    ]
    with pytest.raises(BadInputError, match="holds no scans"):
        collect(_made(tmp_path / "empty"))


def _fields(collection):
    return collection.files, collection.entries


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_gathered_scans_are_upright_in_millimetres(template, people, folder):
    with gathered(folder, ("p1", "p0"), template.mesh) as scans:
        assert isinstance(scans.shapes, h5py.Dataset)
        for row, i in ((0, 1), (1, 0)):
            expected = people[i] - people[i].mean(axis=0)
            assert np.abs(scans.shapes[row] - expected).max() < 1e-3
        assert np.isnan(scans.colors[1]).all()
        assert np.isfinite(scans.colors[0]).all()


def test_a_scan_without_a_neutral_one_says_why_it_is_left_out(template, folder):
    entries = _entries()
    entries["p3"] = replace(entries["p3"], expression="smile", subject="ann")
    found = fit_registered(Material(folder, entries, template), SETTINGS, measure=False)
    assert "p3" not in found.used
    assert list(found.unpaired) == ["p3"]
    outcomes = tuple(ScanOutcome(name, Path(f"{name}.ply"), "good") for name in entries)
    record = provenance(outcomes, found, LandmarkedTemplate(template), None, SETTINGS)
    (left_out,) = record["left_out"]
    assert left_out["name"] == "p3"
    assert "no neutral scan of ann" in left_out["reasons"][0]
    reasons = {row.name: row.reasons for row in scan_rows(outcomes, found) if row.reasons}
    assert reasons == {"p3": (found.unpaired["p3"],)}
