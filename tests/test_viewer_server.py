"""The viewer as a server: whom it answers, what it sends, and what it says when it cannot."""

import builtins
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from viewer_scenes import round_model

import morphkit
from morphkit.cli import main
from morphkit.errors import MissingDependencyError, MorphkitError
from morphkit.viewer.viewing import view

pytest.importorskip("viser", reason="viser is not installed")

from viewer_wire import Wire


def complete(wire):
    return "/face" in wire.surfaces and "Coefficients (.json)" in wire.labels


@pytest.fixture(scope="module")
def viewer():
    with view(browser=False) as viewer:
        yield viewer


@pytest.fixture
def wire(viewer):
    viewer.session.reset()
    viewer.refresh()
    with Wire(viewer.url) as wire:
        wire.listen(lambda: complete(wire))
        yield wire


def in_scene(viewer, vertices):
    return 0.01 * (vertices - viewer.session.subject.model.face_middle)


def test_a_moved_slider_moves_the_face_that_is_sent(viewer, wire):
    model = viewer.session.subject.model
    np.testing.assert_allclose(wire.vertices(), in_scene(viewer, model.instance()), atol=1e-5)
    wire.set("1", 2.0)
    wire.set("jawOpen", 0.5)
    expression = model.expression_units.combine({"jawOpen": 0.5})
    wanted = in_scene(viewer, model.instance(np.array([2.0]), expression))
    wire.listen(lambda: wire.updates and np.abs(wire.vertices() - wanted).max() < 1e-5)


def test_a_drag_never_lags_behind(viewer, wire):
    model, started = viewer.session.subject.model, time.monotonic()
    for step in range(1, 301):
        wire.set("1", step / 100)
    wanted = in_scene(viewer, model.instance(np.array([3.0])))
    wire.listen(lambda: wire.updates and np.abs(wire.vertices() - wanted).max() < 1e-5)
    drawn = wire.updates
    assert drawn < 150  # 300 wishes in no time are not 300 faces
    assert drawn <= 62 * (time.monotonic() - started) + 2


def test_scripts_move_face_and_sliders(viewer, wire):
    viewer.session.state.move("identity", 1, -1.25)
    viewer.refresh()
    wanted = in_scene(viewer, viewer.session.state.vertices)
    wire.listen(lambda: wire.updates and np.abs(wire.vertices() - wanted).max() < 1e-5)
    assert viewer.session.state.group("identity")[1] == -1.25  # the slider did not take it back


def test_what_is_sent_for_a_movement_is_the_surface(viewer, wire):
    before = wire.received
    wire.set("1", 1.0)
    wire.listen(lambda: wire.updates)
    assert wire.received - before < 1.1 * len(wire.surfaces["/face"]) + 4000


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is this machine on Linux")
def test_only_the_loopback_is_answered_unless_told_otherwise(viewer):
    def answers(url):
        with socket.create_connection(("127.0.0.2", int(url.rsplit(":", 1)[1])), timeout=5):
            return True

    assert viewer.url.startswith("http://127.0.0.1:")
    with pytest.raises(ConnectionRefusedError):  # it listens at 127.0.0.1 alone
        answers(viewer.url)
    with view(round_model(), browser=False, host="0.0.0.0") as public:  # noqa: S104 - told otherwise
        assert public.url.startswith("http://127.0.0.1:")
        assert answers(public.url)


def test_any_model_is_shown():
    with view(round_model(), browser=False, components=3) as viewer, Wire(viewer.url) as wire:
        wire.listen(lambda: complete(wire))
        assert {"Identity", "more"} <= set(wire.labels)
        assert not {"Expression", "Albedo", "Masks", "Landmarks"} & set(wire.labels)
        wire.set("6", 1.0)
        wanted = in_scene(viewer, viewer.session.subject.model.instance(np.eye(6)[5]))
        wire.listen(lambda: wire.updates and np.abs(wire.vertices() - wanted).max() < 1e-5)


def test_it_is_closed_once_and_for_all():
    viewer = morphkit.view(round_model(), browser=False)
    port = int(viewer.url.rsplit(":", 1)[1])
    viewer.close()
    viewer.close()
    viewer.wait()
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        pass


def test_a_port_in_use_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MorphkitError, match=rf"Port {port} of 127\.0\.0\.1 cannot be used"):
            view(round_model(), browser=False, port=port)
        result = CliRunner().invoke(main, ["view", "--no-browser", "--port", str(port)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: Port {port} of 127.0.0.1 cannot be used")
    assert result.stderr.count("\n") == 1


def test_an_address_of_another_machine_is_one_sentence():
    with pytest.raises(MorphkitError, match=r"203\.0\.113\.1 is not an address of this machine"):
        view(round_model(), browser=False, host="203.0.113.1")


def test_without_viser_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "viser":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r'pip install "morphkit-3dmm\[viewer\]".*".\[viewer\]"'):
        view(round_model(), browser=False)


def test_what_is_no_model_is_one_sentence(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    result = CliRunner().invoke(main, ["view", "--no-browser", str(tmp_path / "notes.txt")])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("asked", [(), ("--json",)])
def test_ctrl_c_ends_it(asked):
    command = [sys.executable, "-m", "morphkit", "view", "--no-browser", *asked]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.readline()
        if asked:
            while "}" not in said:
                said += process.stdout.readline()
            assert json.loads(said)["url"].startswith("http://127.0.0.1:")
        else:
            assert said.startswith("the embedded head: http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        assert "Traceback" not in process.stderr.read()
        assert process.stdout.read() == ""
