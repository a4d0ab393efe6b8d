"""How many movements of a face the viewer sends in a second, and how many a client sees, by vertices.

`drawn` is the server's work alone: a slider is read, one column is added, the surface is written and handed
to viser. `seen` goes all the way by the network: a client moves a slider, waits for the new face, and moves
it again, so it holds the pace of sixty a second that the viewer keeps. `in Chromium` is a page that draws in
software, where there is one, and the same page with the drawing itself, a GPU's work, left out (`pytest -s`
prints all).
"""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("viser", reason="viser is not installed")
sys.path.append(str(Path(__file__).parent.parent / "tests"))

from viewer_scenes import round_model
from viewer_wire import Wire

from morphkit.viewer.viewing import view

SIZES = (110, 173, 224)  # to the square: 12 100, 29 929 and 50 176 vertices
COMPONENTS, MOVES = 40, 60


@pytest.fixture(params=SIZES)
def viewer(request):
    with view(round_model(request.param, COMPONENTS), browser=False) as viewer:
        yield viewer


def test_drawn(viewer, benchmark):
    slider = viewer._panel._sliders._components["identity", 0]
    values = iter(np.tile(np.linspace(-3, 3, 101), 100_000))
    viewer._painter.close()  # which would draw as well

    def move():
        slider.value = float(next(values))
        viewer._panel.draw()

    benchmark(move)
    assert benchmark.stats.stats.median < 1 / 30


def test_seen(viewer):
    with Wire(viewer.url) as wire:
        wire.listen(lambda: "/face" in wire.surfaces and "Coefficients (.json)" in wire.labels)
        started = time.perf_counter()
        for move in range(1, MOVES + 1):
            before = wire.updates
            wire.set("1", 3 * np.sin(move / 10))
            wire.listen(lambda before=before: wire.updates > before)
        rate = MOVES / (time.perf_counter() - started)
    size = len(wire.surfaces["/face"]) / 1e6
    print(f"\n{viewer.session.subject.model.n_vertices} vertices: {rate:.0f} seen/s, {size:.2f} MB each")
    assert rate > 20


@pytest.mark.parametrize("undrawn", [False, True])
def test_in_chromium(viewer, undrawn):
    from browser_pages import chromium, opened, running

    chromium()
    slider = viewer._panel._sliders._components["identity", 0]
    with running() as browser, opened(browser, viewer.url, 400, 300) as page:
        page.wait_for_face()
        page.page.evaluate("undrawn => { window.undrawn = undrawn; window.uploaded = []; }", undrawn)
        started, moves, seconds = time.perf_counter(), 0, 8.0
        while time.perf_counter() < started + seconds:
            moves += 1
            slider.value = float(3 * np.sin(moves / 10))
            time.sleep(max(0.0, started + moves / 60 - time.perf_counter()))
        shown = page.page.evaluate("window.uploaded.length") / 3  # vertices, normals, colours
    n, how = viewer.session.subject.model.n_vertices, "without drawing" if undrawn else "drawn in software"
    print(f"\n{n} vertices: {moves / seconds:.0f} movements/s, {shown / seconds:.1f} faces/s {how}")
    assert shown
