"""From raw scans to a model through the command line, on three small simulated scans."""

import errno
import json
import logging
import os
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import fast_simplification
import numpy as np
import pytest
from click.testing import CliRunner, Result

from morphkit.archive import load_default_model, load_model
from morphkit.building import build_basis, register, task
from morphkit.building.handout import take
from morphkit.building.synthetic import ScannerSettings, scan_head
from morphkit.cli import main
from morphkit.errors import MorphkitError, RegistrationError
from morphkit.geometry.similarity import Similarity
from morphkit.io.landmarks import write_landmarks
from morphkit.io.meshes import read_mesh, write_mesh
from morphkit.mesh import Mesh

SCANNER = ScannerSettings(faces=(9_000, 10_000), holes=(1, 2), spikes=(1, 2))
NAMES = ("ada", "ben", "cem")
INNER = tuple(str(i) for i in range(17, 68))  # without the jaw line, where the coarse template ends


@dataclass(frozen=True)
class Data:
    scans: Path
    template: Path
    template_landmarks: Path
    truth: dict[str, Similarity]

    @property
    def options(self) -> dict[str, Path]:
        return {"template": self.template, "template_landmarks": self.template_landmarks}

    @property
    def arguments(self) -> list[str]:
        return ["--template", str(self.template), "--template-landmarks", str(self.template_landmarks)]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Data:
    """Three scans of different heads (two with sidecars), and a coarse template with landmarks."""
    folder = tmp_path_factory.mktemp("building")
    head = load_default_model()
    _write_template(folder, head)
    truth = {}
    for i, name in enumerate(NAMES):
        rng = np.random.default_rng(i)
        person = replace(head.mesh(rng.standard_normal(8), albedo=0.3 * rng.standard_normal(3)), uv=None)
        scan = scan_head(person, person.vertices[head.masks["face"]].mean(axis=0), rng, SCANNER)
        write_mesh(folder / "scans" / f"{name}.ply", scan.mesh)
        truth[name] = scan.pose
        if name != "cem":
            points = head.landmarks["ibug68"].landmarks(scan.pose.apply(person.vertices), head.faces)
            write_landmarks(folder / "scans" / f"{name}.landmarks.json", points)
    return Data(folder / "scans", folder / "template.ply", folder / "template.landmarks.json", truth)


def _write_template(folder: Path, head) -> None:
    mean = head.instance()
    near = mean[:, 2] > np.quantile(mean[:, 2], 0.45)
    faces = head.faces[near[head.faces].all(axis=1)]
    used, compact = np.unique(faces, return_inverse=True)
    vertices, faces = fast_simplification.simplify(
        mean[used].astype(np.float32), compact.reshape(-1, 3).astype(np.int32), target_count=4000
    )
    write_mesh(folder / "template.ply", Mesh(vertices.astype(np.float64), faces.astype(np.int32)))
    points = head.landmarks["ibug68"].landmarks(mean, head.faces).select(INNER)
    write_landmarks(folder / "template.landmarks.json", points)


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def built(data, tmp_path_factory) -> Path:
    """The folder of a finished build: model.h5, model-report.html, work/."""
    folder = tmp_path_factory.mktemp("built")
    result = _run(
        "build-basis",
        data.scans,
        "-o",
        folder / "model.h5",
        *data.arguments,
        "--work",
        folder / "work",
        "--jobs",
        1,
    )
    assert result.exit_code == 0, result.output
    assert "3 of 3 scans, 2 modes of shape, 2 of albedo." in result.stdout
    return folder


def test_build_basis_writes_model_report_and_registered_meshes(data, built):
    model = load_model(built / "model.h5")
    template = read_mesh(data.template)
    assert np.array_equal(model.faces, template.faces)
    assert model.identity.n_components == 2
    assert [entry["file"] for entry in model.provenance["scans"]] == [f"{name}.ply" for name in NAMES]
    assert set(model.landmarks) == {"ibug68", "mediapipe478"}
    page = (built / "model-report.html").read_text(encoding="utf-8")
    assert all(name in page for name in NAMES)
    kept = sorted(path.name for path in (built / "work").iterdir())
    assert kept == sorted(f"{name}{suffix}" for name in NAMES for suffix in (".npz", ".ply", ".png"))


def test_registered_meshes_lie_on_the_scans_in_their_own_frame(data, built):
    for name in NAMES:
        upright = data.truth[name].inverse().apply(read_mesh(built / "work" / f"{name}.ply").vertices)
        mean = read_mesh(data.template).vertices
        assert np.linalg.norm(upright - mean, axis=1).mean() < 12  # another person, but the same pose
        facts = np.load(built / "work" / f"{name}.npz")
        assert facts["distances"][facts["valid"]].mean() < 0.3


def test_a_second_run_registers_nothing_and_gives_the_same_bytes(data, built, tmp_path, monkeypatch):
    monkeypatch.setattr(task, "register_prepared", _never)
    result = build_basis(data.scans, tmp_path / "again.h5", **data.options, work_dir=built / "work", jobs=1)
    assert all(scan.reused for scan in result.scans)
    assert (tmp_path / "again.h5").read_bytes() == (built / "model.h5").read_bytes()


def test_changed_landmarks_register_that_scan_again(data, built, tmp_path):
    work, scans = tmp_path / "work", tmp_path / "scans"
    shutil.copytree(built / "work", work)
    shutil.copytree(data.scans, scans)
    sidecar = scans / "ben.landmarks.json"
    points = json.loads(sidecar.read_text())
    points.pop("30")
    sidecar.write_text(json.dumps(points))
    result = build_basis(scans, tmp_path / "model.h5", **data.options, work_dir=work, jobs=1)
    assert [scan.reused for scan in result.scans] == [True, False, True]


def test_an_interrupted_build_resumes_to_the_same_model(data, built, tmp_path, monkeypatch):
    real, calls = task.register_prepared, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(task, "register_prepared", interrupted)
        result = _run(
            "build-basis",
            data.scans,
            "-o",
            tmp_path / "m.h5",
            *data.arguments,
            "--work",
            tmp_path / "w",
            "--jobs",
            1,
        )
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "Interrupted."
    assert "the same command goes on from there" in result.stderr
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["ada.npz", "ada.ply", "ada.png"]
    assert not (tmp_path / "m.h5").exists()
    resumed = build_basis(data.scans, tmp_path / "m.h5", **data.options, work_dir=tmp_path / "w", jobs=2)
    assert [scan.reused for scan in resumed.scans] == [True, False, False]
    # two processes, a resumed run: the same bytes as one process in one go
    assert (tmp_path / "m.h5").read_bytes() == (built / "model.h5").read_bytes()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="workers are killed by a signal")
@pytest.mark.filterwarnings("ignore")  # distributed's own, about what a killed worker leaves
def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(data, built, tmp_path):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
    )
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        workers = client.run(os.getpid)

        def kill_one(stage: str, done: int, _: int) -> None:
            if stage == "Registering scans" and done == 1:
                os.kill(workers.popitem()[1], signal.SIGKILL)

        address = cluster.scheduler_address
        result = build_basis(
            data.scans, tmp_path / "m.h5", **data.options, scheduler=address, progress=kill_one
        )
    assert len(workers) == 1
    assert len(result.used) == 3
    assert (tmp_path / "m.h5").read_bytes() == (built / "model.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m-report.html", "m.h5"]


def test_register_goes_on_past_failures_and_names_them(data, tmp_path):
    scan = read_mesh(data.scans / "ada.ply")
    metres = tmp_path / "metres.ply"
    write_mesh(metres, replace(scan, vertices=scan.vertices / 1000))
    points = json.loads((data.scans / "ada.landmarks.json").read_text())
    small = {name: [x / 1000 for x in point] for name, point in points.items()}
    (tmp_path / "metres.landmarks.json").write_text(json.dumps(small))
    broken = tmp_path / "broken.ply"
    broken.write_bytes((data.scans / "ben.ply").read_bytes()[:5000])
    result = _run("register", broken, metres, *data.arguments, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "1 of 2 scans were not registered: broken" in result.stderr
    (reason,) = [line for line in result.stdout.splitlines() if line.startswith("broken: ")]
    assert str(broken) in reason  # on one line, however long
    assert not (tmp_path / "out" / "broken.ply").exists()
    registered = read_mesh(tmp_path / "out" / "metres.ply")
    template = read_mesh(data.template)
    assert np.array_equal(registered.faces, template.faces)
    assert 0.1 < np.ptp(registered.vertices, axis=0).max() < 0.4  # metres, as the scan


def test_scans_with_and_without_sidecars_follow_each_other(data, tmp_path):
    take.cache_clear()
    for name in ("ada", "cem"):  # the second scan needs landmarks that the first did not
        (outcome,) = register([data.scans / f"{name}.ply"], tmp_path, **data.options, jobs=1)
        assert outcome.usable, outcome.reasons


def test_scans_of_one_name_are_refused(data, tmp_path):
    twin = tmp_path / "ada.ply"
    shutil.copy(data.scans / "ada.ply", twin)
    result = _run("register", data.scans / "ada.ply", twin, *data.arguments, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "Several scans are called 'ada'" in result.stderr


@pytest.fixture
def own(data, tmp_path) -> Path:
    """A person's own folder: two scans and a sidecar."""
    folder = tmp_path / "own"
    folder.mkdir()
    for file in ("ada.ply", "ada.landmarks.json", "ben.ply"):
        shutil.copy(data.scans / file, folder / file)
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("through_link", [False, True])
def test_raw_scans_are_never_overwritten(data, own, tmp_path, through_link):
    before, folder = _contents(own), own
    if through_link:
        folder = tmp_path / "link"
        folder.symlink_to(own)
    results = [
        _run("register", own / "ada.ply", *data.arguments, "-o", folder),
        _run("build-basis", own, *data.arguments, "-o", tmp_path / "m.h5", "--work", folder),
    ]
    for result in results:
        assert result.exit_code == 2
        assert str(own / "ada.ply") in result.stderr
        assert "choose another folder" in result.stderr
    assert _contents(own) == before


def test_templates_and_linked_scans_are_never_overwritten(data, own, tmp_path):
    out, links = tmp_path / "out", tmp_path / "links"
    out.mkdir()
    links.mkdir()
    template = shutil.copy(data.template, out / "ada.ply")
    (links / "ben.ply").symlink_to(own / "ben.ply")
    before = _contents(out), _contents(own)
    options = ["--template", template, "--template-landmarks", data.template_landmarks]
    over_template = _run("register", own / "ada.ply", *options, "-o", out)
    over_scan = _run("register", links / "ben.ply", *data.arguments, "-o", own)
    for result in (over_template, over_scan):
        assert result.exit_code == 2
        assert "choose another folder" in result.stderr
    assert str(template) in over_template.stderr
    assert (_contents(out), _contents(own)) == before


def test_the_model_never_takes_the_place_of_its_template(data, tmp_path):
    model = tmp_path / "face.h5"
    model.write_bytes(b"a model")
    result = _run("build-basis", data.scans, "--template", model, "-o", model)
    assert result.exit_code == 2
    assert "would overwrite" in result.stderr
    assert model.read_bytes() == b"a model"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bootstrap", 1, "--method", "nicp"), "nothing to bootstrap"),
        (("--mirror-training",), "knows its left from its right"),
        (("--resume",), "nothing to resume"),
        (("--components", "0"), "neither a number of components nor a share"),
    ],
)
def test_options_that_cannot_be_met_are_refused_before_any_work(data, tmp_path, monkeypatch, options, words):
    monkeypatch.setattr(task, "prepare_scan", _never)
    result = _run("build-basis", data.scans, *data.arguments, "-o", tmp_path / "m.h5", *options)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "words"), [("", "is a folder"), ("model.npz", "end in .h5 or .hdf5")])
def test_a_wrong_model_path_is_refused_before_any_work(data, tmp_path, monkeypatch, name, words):
    monkeypatch.setattr(task, "register_prepared", _never)
    result = _run("build-basis", data.scans, *data.arguments, "-o", tmp_path / name)
    assert result.exit_code == 2
    assert words in result.stderr


def test_an_output_that_cannot_be_written_is_noticed_before_any_work(data, tmp_path, monkeypatch):
    monkeypatch.setattr(task, "prepare_scan", _never)
    wall, scan = tmp_path / "wall", data.scans / "ada.ply"
    wall.write_text("a file where a folder is needed")
    results = [
        _run("register", scan, *data.arguments, "-o", wall),
        _run("build-basis", data.scans, *data.arguments, "-o", wall / "m.h5"),
        _run("build-basis", data.scans, *data.arguments, "-o", tmp_path / "m.h5", "--work", wall),
    ]
    for result in results:
        assert result.exit_code == 1
        assert "Could not write" in result.stderr
        assert "choose another folder" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wall"]


def test_too_few_scans_are_an_error_that_says_why(data, tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "broken.ply").write_bytes(b"ply\nnothing")
    result = _run("build-basis", tmp_path / "scans", "-o", tmp_path / "m.h5", *data.arguments)
    assert result.exit_code == 2
    assert "0 of 1 scans could be registered, and a model needs at least 2 (" in result.stderr
    assert ".)" not in result.stderr
    assert result.stderr.endswith(").\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m-report.html", "scans"]


def test_when_many_scans_fail_each_has_its_line_and_its_place_in_the_report(tmp_path, data):
    (tmp_path / "scans").mkdir()
    for name in ("one", "two"):
        (tmp_path / "scans" / f"{name}.ply").write_bytes(b"ply\nnothing")
    result = _run("build-basis", tmp_path / "scans", "-o", tmp_path / "m.h5", *data.arguments, "--jobs", 1)
    assert result.exit_code == 2
    page = tmp_path / "m-report.html"
    assert f"0 of 2 scans could be registered, and a model needs at least 2; {page} shows" in result.stderr
    assert [line.split(":")[0] for line in result.stdout.splitlines()[-2:]] == ["one", "two"]
    assert all(word in page.read_text() for word in ("one", "two", "There is no model"))


@pytest.mark.parametrize("make", [True, False])
def test_an_empty_or_missing_folder_exits_with_2(tmp_path, make):
    folder = tmp_path / "scans"
    if make:
        folder.mkdir()
    result = _run("build-basis", folder, "-o", tmp_path / "m.h5")
    assert result.exit_code == 2
    assert str(folder) in result.stderr


def test_a_single_scans_failure_is_one_sentence(data, tmp_path, monkeypatch):
    broken = tmp_path / "broken.ply"
    broken.write_bytes(b"ply\nnothing")
    result = _run("register", broken, *data.arguments, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "verdict" not in result.stdout
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert str(broken) in error

    def lost(*_):
        raise RegistrationError("The template could not be placed.")

    monkeypatch.setattr(task, "register_prepared", lost)
    result = _run("register", data.scans / "ada.ply", *data.arguments, "-o", tmp_path / "out")
    assert result.exit_code == 1
    sentence = f"{data.scans / 'ada.ply'} was not registered: The template could not be placed."
    assert f"Error: {sentence}" in result.stderr


def test_a_full_disk_is_no_internal_error(data, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "here.npz")

    monkeypatch.setattr(task, "register_prepared", full)
    (outcome,) = register([data.scans / "ada.ply"], tmp_path, **data.options)
    assert outcome.reasons == (f"here.npz: {os.strerror(errno.ENOSPC)}.",)
    assert outcome.exit_code == 1


def test_an_older_result_that_stays_is_named(data, tmp_path, monkeypatch):
    (tmp_path / "ada.ply").mkdir()  # which cannot be unlinked

    def lost(*_):
        raise RegistrationError("No luck.")

    monkeypatch.setattr(task, "register_prepared", lost)
    (outcome,) = register([data.scans / "ada.ply"], tmp_path, **data.options)
    assert outcome.reasons[0] == "No luck."
    assert str(tmp_path / "ada.ply") in outcome.reasons[1]


def test_one_scans_crash_is_its_own_failure(data, tmp_path, monkeypatch):
    def crash(scan, *_):
        raise ZeroDivisionError(f"no luck with {scan.source.name}")

    monkeypatch.setattr(task, "register_prepared", crash)
    outcomes = register([data.scans / "ada.ply"], tmp_path, **data.options)
    assert outcomes[0].verdict == "failed"
    assert "no luck with ada" in outcomes[0].reasons[0]


def test_sample_and_info_read_the_model(built, tmp_path):
    result = _run(
        "sample", built / "model.h5", "-o", tmp_path / "heads", "-n", 2, "--format", "obj", "--seed", 3
    )
    assert result.exit_code == 0, result.output
    first, second = (read_mesh(tmp_path / "heads" / f"head_00{i}.obj") for i in (0, 1))
    assert first.vertices.shape == second.vertices.shape
    assert not np.array_equal(first.vertices, second.vertices)
    described = _run("info", built / "model.h5")
    assert described.exit_code == 0
    assert "2 components" in described.stdout
    assert _run("info", tmp_path / "heads" / "head_000.obj").exit_code == 0


def test_landmarks_of_a_scan_become_a_sidecar(data, tmp_path):
    result = _run("landmarks", data.scans / "cem.ply", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "cem.landmarks.json").read_text())
    assert set(found) == {str(i) for i in range(68)}
    assert (tmp_path / "cem.landmarks.png").exists()
    template = json.loads(data.template_landmarks.read_text())
    place = data.truth["cem"].inverse().apply(np.array([found[name] for name in INNER]))
    expected = np.array([template[name] for name in INNER])
    assert np.linalg.norm(place - expected, axis=1).mean() < 12


def _never(*_: object) -> None:
    raise MorphkitError("A scan was registered again.")
