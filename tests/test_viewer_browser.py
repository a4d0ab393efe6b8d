"""The viewer in a headless Chromium: a dragged slider changes the face; nothing comes from elsewhere."""

import importlib.metadata
import os
import time
from pathlib import Path

import numpy as np
import pytest
from browser_pages import SCENE, chromium, opened, running
from viewer_scenes import HOSTILE, hostile_model, round_model

from morphkit.io.meshes import read_mesh
from morphkit.viewer.viewing import view

pytest.importorskip("viser", reason="viser is not installed")


# Looks at the middle pixel before every frame; the ball is there, or else paper is.
_LOOK = """() => {
  window.empty = 0; window.looked = 0; window.watching = true;
  const gl = (SCENE).getContext('webgl2'), pixel = new Uint8Array(4);
  const look = () => {
    const x = gl.drawingBufferWidth / 2, y = gl.drawingBufferHeight / 2;
    gl.readPixels(x, y, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    window.looked += 1;
    if (pixel[3] === 0 || Math.min(pixel[0], pixel[1], pixel[2]) > 250) window.empty += 1;
    if (window.watching) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


@pytest.fixture(scope="module")
def browser():
    chromium()
    with running() as browser:
        yield browser


@pytest.fixture(scope="module")
def viewer(browser):
    with view(browser=False) as viewer:
        yield viewer


@pytest.fixture(scope="module")
def page(browser, viewer):
    with opened(browser, viewer.url) as page:
        page.wait_for_face()
        yield page


def first_slider(page):
    """Return the thumb of the first identity slider, and the middle of it."""
    thumb = page.page.get_by_role("slider").first
    box = thumb.bounding_box()
    return thumb, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def swing(viewer, value):
    """Move the first slider as a hand does."""
    viewer._panel._sliders._components["identity", 0].value = float(value)


def changed(before, after):
    return np.abs(before - after).max(axis=2) > 24


def test_a_face_is_drawn_in_the_middle(page):
    canvas = page.canvas()
    height, width = canvas.shape[:2]
    middle = canvas[height // 4 : 3 * height // 4, 2 * width // 5 : 3 * width // 5].reshape(-1, 3)
    red, green, blue = middle.mean(axis=0)
    assert red > green > blue  # skin
    assert middle.std() > 10  # and not a plain patch of it
    assert (canvas[:10, :10] > 250).all()  # a light background


def test_a_dragged_slider_changes_the_face_and_shows_its_value(viewer, page):
    before, was = page.canvas(), viewer.session.state.vertices
    thumb, x, y = first_slider(page)
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 40, y, steps=20)
    page.page.mouse.up()
    page.until(lambda canvas: changed(before, canvas).mean() > 0.01)
    value = float(thumb.get_attribute("aria-valuenow"))
    assert 1.0 < value <= 3.0
    assert viewer.session.state.group("identity")[0] == pytest.approx(value)
    assert np.abs(viewer.session.state.vertices - was).max() > 1.0
    shown = page.page.locator("input").evaluate_all("all => all.map(one => one.value)")
    assert f"{value:g}" in shown


def test_reset_brings_the_first_face_back(viewer, page):
    viewer.session.reset()
    viewer.refresh()
    first = page.settled()
    page.page.get_by_role("button", name="Identity", exact=True).click()
    page.until(lambda canvas: changed(first, canvas).mean() > 0.01)
    page.page.get_by_role("button", name="Reset", exact=True).click()
    page.until(lambda canvas: changed(first, canvas).mean() < 2e-3)


def test_a_click_on_the_nose_names_it(viewer, page):
    page.page.get_by_role("tab", name="Points").click()
    nose = viewer.session.state.vertices[int(np.argmax(viewer.session.state.vertices[:, 2]))]
    canvas = page.scene_box()
    up = (nose - viewer.session.subject.model.face_middle)[1]
    scale = canvas["height"] / (viewer._panel._stage._distance * 100 - 50) / (2 * np.tan(np.radians(12.5)))
    y = canvas["y"] + canvas["height"] / 2 - up * scale
    page.page.mouse.click(canvas["x"] + canvas["width"] / 2, y)
    page.page.get_by_text("strays by").first.wait_for(timeout=10_000)
    picked = viewer.session.picked
    assert picked is not None
    assert np.linalg.norm(viewer.session.state.vertices[picked] - nose) < 15.0
    page.page.get_by_role("tab", name="Face").click()


def test_a_mesh_is_downloaded(viewer, page, tmp_path):
    page.page.get_by_role("tab", name="Files").click()
    with page.page.expect_download(timeout=60_000) as started:
        page.page.get_by_role("button", name="Mesh (.ply)", exact=True).click()
    started.value.save_as(tmp_path / "face.ply")
    mesh = read_mesh(tmp_path / "face.ply")
    np.testing.assert_allclose(mesh.vertices, viewer.session.state.vertices, atol=1e-9)
    page.page.get_by_role("tab", name="Face").click()


def test_nothing_is_asked_for_from_elsewhere(page):
    assert page.asked
    assert page.strangers == []
    assert [line for line in page.complaints if "GL Driver" not in line] == []


def test_the_last_of_many_movements_is_on_the_screen(browser, capsys):
    """Prints what was asked for and what was drawn; drawing in software is what limits it here."""
    with view(browser=False) as viewer, opened(browser, viewer.url, 480, 360) as page:
        first = page.wait_for_face()
        swing(viewer, 2.5)
        page.until(lambda canvas: changed(first, canvas).mean() > 0.01)
        wanted = page.settled()
        page.page.evaluate("window.drawn = []")
        started, moves = time.monotonic(), 0
        while time.monotonic() < started + 2.0:
            moves += 1
            swing(viewer, 2 * np.sin(moves / 10))
            time.sleep(max(0.0, started + moves / 30 - time.monotonic()))
        seconds, drawn = time.monotonic() - started, page.page.evaluate("window.drawn.length")
        with capsys.disabled():
            n, rates = viewer.session.subject.model.n_vertices, (moves / seconds, drawn / seconds)
            print(f"\n{n} vertices: {rates[0]:.0f} movements/s, {rates[1]:.1f} drawn/s in software")  # noqa: T201
        swing(viewer, 2.5)
        page.until(lambda canvas: changed(wanted, canvas).mean() < 2e-3)


def test_the_face_does_not_blink_while_it_moves(browser):
    """A page that is kept waiting, by other tests say, may blink now and then, but not at every movement."""
    with (
        view(round_model(48), browser=False) as viewer,
        opened(browser, viewer.url, 400, 300) as page,
    ):
        page.wait_for_face()
        page.page.evaluate(_LOOK.replace("SCENE", SCENE))
        started, looked, empty = time.monotonic(), 0, 0
        while looked < 30 and time.monotonic() < started + 15.0:
            for move in range(15):
                swing(viewer, np.sin(move / 5))
                time.sleep(1 / 30)
            looked, empty = page.page.evaluate("[window.looked, window.empty]")
    assert looked >= 5
    assert empty <= looked / 10


def test_a_name_is_shown_and_does_not_run(browser):
    with view(hostile_model(), browser=False) as viewer, opened(browser, viewer.url, 800, 600) as page:
        page.wait_for_face()
        page.page.get_by_role("tab", name="Points").click()
        box = page.scene_box()
        page.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.page.get_by_text("strays by").first.wait_for(timeout=10_000)
        page.page.wait_for_timeout(500)  # for what would run
        shown = page.page.locator("p", has_text="strays by").inner_text().replace("\u2060", "")
        assert shown.count(HOSTILE) == 3  # the landmarks' set, its name in it, the mask
        panel = page.page.locator("p", has_text="strays by")
        assert panel.locator("a, b, em, code, del, img, iframe, script").count() == 0
        assert page.page.locator("iframe").count() == 0
        assert page.page.title() != "RAN"
        assert page.strangers == []


_OPEN = """url => new Promise(done => {
  const socket = new WebSocket(url, VERSION);
  socket.onopen = () => done('open'); socket.onerror = () => done('refused');
})"""


def test_another_page_in_the_browser_cannot_open_it(browser, viewer, page):
    version = f"'viser-v{importlib.metadata.version('viser')}'"
    script, socket = _OPEN.replace("VERSION", version), viewer.url.replace("http", "ws", 1)
    assert page.page.evaluate(script, socket) == "open"
    with view(round_model(), browser=False) as other, opened(browser, other.url, 400, 300) as stranger:
        assert stranger.page.evaluate(script, socket) == "refused"


def test_a_screenshot_is_taken_for_people_to_look_at(page, tmp_path):
    folder = Path(os.environ.get("MORPHKIT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.page.screenshot(path=str(folder / "viewer.png"))
    assert (folder / "viewer.png").stat().st_size > 20_000
