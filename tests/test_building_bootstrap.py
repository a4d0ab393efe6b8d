"""Register, build, register again: with a registration that takes no time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphkit.building import BuildSettings, build, build_basis, task
from morphkit.building.bootstrap import BootstrapSettings
from morphkit.building.outcome import RegisteredScan
from morphkit.building.registering import PreparedScan
from morphkit.errors import BadInputError
from morphkit.io.meshes import read_mesh, write_mesh
from morphkit.mesh import Landmarks, Mesh
from morphkit.registration import Diagnosis

COUNT = 9


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Return a folder with nine "scans", which are deformed templates, and ``template.ply`` beside it."""
    import trimesh

    folder = tmp_path_factory.mktemp("bootstrap")
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=90.0)
    mesh = Mesh(np.asarray(sphere.vertices), np.asarray(sphere.faces, dtype=np.int32))
    write_mesh(folder / "template.ply", mesh)
    (folder / "template.json").write_text('{"0": 0}')
    rng = np.random.default_rng(8)
    for i in range(COUNT):
        stretch = 1 + 0.05 * rng.standard_normal(3)
        noise = 0.1 * rng.standard_normal(mesh.vertices.shape)
        write_mesh(folder / "scans" / f"s{i}.ply", replace(mesh, vertices=mesh.vertices * stretch + noise))
        (folder / "scans" / f"s{i}.landmarks.json").write_text('{"0": [0, 0, 0]}')
    return folder


@pytest.fixture
def rounds(monkeypatch) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """Replace registration and pictures; return the (name, template vertices, modes) it is called with."""
    calls = []

    def prepare(source, _template, _settings):
        mesh = read_mesh(source.path)
        points = Landmarks((), np.zeros((0, 3)))
        return PreparedScan(source, mesh, mesh, points, None, 1.0, (), source.name, {})

    def register(scan, template, _settings, modes=None):
        calls.append((scan.source.name, template.template.mesh.vertices, modes))
        v = len(scan.mesh.vertices)
        # a better prior gives a better result
        vertices = scan.mesh.vertices if modes is not None else np.round(scan.mesh.vertices, 1)
        return RegisteredScan(
            scan.source.name,
            replace(template.template.mesh, vertices=vertices),
            1.0,
            np.ones(v, bool),
            np.zeros(v),
            np.eye(3),
            scan.landmarks,
            Diagnosis(1.0, 0.0, None, 0.0, 0.1, None),
            "doubtful" if scan.source.name == "s8" else "good",
            (),
            (),
            {"register": 1.0},
            "hash",
        )

    monkeypatch.setattr(task, "prepare_scan", prepare)
    monkeypatch.setattr(task, "register_prepared", register)
    monkeypatch.setattr(task, "_draw", lambda *_: None)
    monkeypatch.setattr(build, "write_build_report", lambda *_, **__: None)
    monkeypatch.setattr(build, "figures", lambda _: [])
    return calls


def _build(data: Path, output: Path, **options: object):
    given = {"template": data / "template.ply", "template_landmarks": data / "template.json"}
    return build_basis(data / "scans", output, **given, expressions_from="none", jobs=1, **options)


def test_the_second_round_has_the_first_ones_mean_and_modes(data, rounds, tmp_path):
    settings = BuildSettings(bootstrap=BootstrapSettings(modes=3))
    work = tmp_path / "work"
    result = _build(data, tmp_path / "m.h5", bootstrap=1, settings=settings, work_dir=work)
    first, second = rounds[:COUNT], rounds[COUNT:]
    assert len(second) == COUNT
    assert all(modes is None for _, _, modes in first)
    assert all(modes.shape == (642, 3, 3) for _, _, modes in second)
    scans = [read_mesh(data / "scans" / f"s{i}.ply").vertices for i in range(COUNT - 1)]  # the good ones
    assert np.abs(second[0][1] - np.mean(scans, axis=0)).max() < 1.0
    assert (work / "bootstrap-1" / "s0.npz").exists()
    assert result.scans[0].mesh_path == work / "bootstrap-1" / "s0.ply"
    assert not [note for note in result.model.provenance["notes"] if note.startswith("Bootstrap")]
    assert result.model.provenance["settings"]["bootstrap"] == {"rounds": 1, "modes": 3}
    plain = _build(data, tmp_path / "plain.h5", work_dir=work)
    assert all(scan.reused for scan in plain.scans)
    assert not np.array_equal(plain.model.identity.mean, result.model.identity.mean)


def test_a_second_round_that_was_cut_short_resumes_to_the_same_bytes(data, rounds, tmp_path, monkeypatch):
    _build(data, tmp_path / "whole.h5", bootstrap=2)
    real = task.register_prepared

    def interrupted(*arguments):
        if len(rounds) == 3 * COUNT + COUNT + 4:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(task, "register_prepared", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _build(data, tmp_path / "cut.h5", bootstrap=2)
    assert (tmp_path / "cut-work" / "bootstrap-1" / "s3.npz").exists()
    rounds.clear()
    _build(data, tmp_path / "cut.h5", bootstrap=2, resume=True)
    assert len(rounds) == COUNT - 4 + COUNT
    assert (tmp_path / "cut.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not (tmp_path / "cut-work").exists()


def test_too_few_good_scans_teach_nothing(data, rounds, tmp_path, monkeypatch):
    monkeypatch.setattr("morphkit.building.bootstrap._FEWEST", COUNT)
    result = _build(data, tmp_path / "m.h5", bootstrap=3)
    assert len(rounds) == COUNT
    assert result.model.provenance["notes"][0] == (
        "Bootstrap: 0 of 3 rounds were run, since only 8 of 9 scans were registered well, and a model to "
        "learn from needs at least 9."
    )


@pytest.mark.parametrize(
    ("rows", "failing", "registered", "said"),
    [
        ("s0.ply,neutral,1\ns1.ply,neutral,0\ns2.ply,smile,1", "", 0, "1 of 3 scans are neutral"),
        ("s0.ply,neutral,0\ns1.ply,neutral,0", "", 0, "0 of 2 scans"),
        ("s0.ply,neutral,1\ns1.ply,neutral,1\ns2.ply,neutral,0", "s1", 2, "1 of 2 registered scans"),
    ],
)
def test_labels_that_leave_no_two_neutral_scans_are_named(
    data, rounds, tmp_path, monkeypatch, rows, failing, registered, said
):
    table = tmp_path / "table.csv"
    lines = [f"{data / 'scans' / row}\n" for row in rows.split()]
    table.write_text("file,expression,weight\n" + "".join(lines))
    real = task.register_prepared

    def register(scan, *arguments):
        if scan.source.name == failing:
            raise BadInputError("no face")
        return real(scan, *arguments)

    monkeypatch.setattr(task, "register_prepared", register)
    given = {"template": data / "template.ply", "template_landmarks": data / "template.json"}
    with pytest.raises(BadInputError, match=rf"table\.csv: {said}.* expressions or weights"):
        build_basis(table, tmp_path / "m.h5", **given, jobs=1)
    assert len(rounds) == registered
