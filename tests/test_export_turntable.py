"""The mesh that turns in a page: its numbers, and in a browser its picture."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from morphkit.export.html import render_report
from morphkit.export.turntable import Skin, Slider, Turntable, packed, turntable_values, unpacked
from morphkit.io.color import linear_to_srgb_uint8

STILL = np.full((20, 30, 3), 90, np.uint8)


@pytest.fixture
def head(rng) -> Turntable:
    """A ball of 90 mm that leans to the right, with colours and two sliders."""
    ball = trimesh.creation.icosphere(subdivisions=3, radius=90.0)
    vertices = np.asarray(ball.vertices) * [1.0, 1.3, 1.0] + [40.0, -300.0, 7.0]
    colors = rng.uniform(size=vertices.shape)
    sliders = [
        Slider("wide", vertices * [0.05, 0.0, 0.0]),
        Slider("dark", -0.2 * colors, -2.0, 2.0, colors=True),
    ]
    skins = [Skin("skin", colors), Skin("bare")]
    return Turntable("a ball", vertices, np.asarray(ball.faces, np.int32), skins, STILL, sliders)


def _offsets(values: dict, arrays: dict, number: int) -> np.ndarray:
    """Return what a unit of a slider adds, as the page reads it."""
    codes = arrays[values["sliders"][number]["offsets"]]
    return np.where(codes > 32767, codes - 65536, codes) * values["sliders"][number]["scale"]


def test_the_page_gets_the_mesh_to_half_a_step(head):
    values = json.loads(json.dumps(packed(head)))
    arrays = unpacked(values)
    step = values["step"]
    assert step == pytest.approx(np.ptp(head.vertices, axis=0).max() / 16383)
    assert np.abs(values["low"] + step * arrays["vertices"] - head.vertices).max() <= 0.501 * step
    assert np.array_equal(arrays["faces"], head.faces)
    assert np.array_equal(arrays["colors0"], linear_to_srgb_uint8(head.skins[0].colors))
    assert set(arrays) == {"vertices", "faces", "colors0", "offsets0", "offsets1"}
    reach = 3.0 * (_offsets(values, arrays, 0) - head.sliders[0].offsets)
    assert np.abs(reach).max() <= 0.501 * step
    colors = 2.0 * (_offsets(values, arrays, 1) - head.sliders[1].offsets)
    assert np.abs(colors).max() <= 0.501 / 2048
    middle = 0.5 * (head.vertices.min(axis=0) + head.vertices.max(axis=0))
    assert np.allclose(values["centre"], middle)
    assert values["radius"] == pytest.approx(1.3 * 90.0)


def test_textures_take_a_corner_for_each_place_of_a_vertex(head, rng):
    uv = rng.uniform(size=(len(head.faces), 3, 2)).astype(np.float32)
    uv[:400] = uv[0, 0]
    picture = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    skins = [Skin("photo", head.skins[0].colors, picture, lit=False), Skin("bare")]
    values = packed(replace(head, skins=skins, uv=uv, sliders=()))
    arrays = unpacked(values)
    assert np.array_equal(arrays["corners"][arrays["faces"], 0], head.faces)
    assert np.abs(arrays["places"][arrays["faces"]] / 65535 - uv).max() < 1e-5
    assert len(arrays["corners"]) < 3 * len(head.faces)
    assert [skin["lit"] for skin in values["skins"]] == [False, True]
    assert values["skins"][0]["texture"].startswith("data:image/jpeg;base64,")
    assert "colors" not in values["skins"][0]
    assert set(arrays) == {"vertices", "faces", "corners", "places"}


def test_a_view_is_framed_by_what_matters(head):
    top = head.vertices[:, 1] > -260.0
    values = packed(replace(head, framed=top))
    assert values["centre"][1] > -260.0
    assert values["centre"][2] == pytest.approx(7.0)
    assert values["radius"] < 1.3 * 90.0


def test_large_meshes_are_thinned_and_keep_their_own_vertices(head, monkeypatch):
    monkeypatch.setattr("morphkit.export.turntable._MOST_FACES", 300)
    values = packed(replace(head, framed=np.ones(len(head.vertices), bool)))
    arrays = unpacked(values)
    assert 200 < len(arrays["faces"]) <= 320
    shown = values["low"] + values["step"] * arrays["vertices"]
    apart = np.linalg.norm(shown[:, None] - head.vertices, axis=2)
    own = apart.argmin(axis=1)
    assert apart.min(axis=1).max() < values["step"]
    assert np.array_equal(arrays["colors0"], linear_to_srgb_uint8(head.skins[0].colors[own]))
    assert np.abs(_offsets(values, arrays, 0) - head.sliders[0].offsets[own]).max() < values["step"]


def test_indices_beyond_two_bytes_come_through(rng):
    vertices = rng.uniform(size=(70_000, 3))
    faces = rng.integers(0, 70_000, (500, 3)).astype(np.int32)
    faces[0] = [69_999, 0, 65_536]
    values = packed(Turntable("dust", vertices, faces, [Skin("bare")], STILL))
    assert np.array_equal(unpacked(values)["faces"], faces)


def test_a_mesh_of_one_place_is_no_division_by_zero():
    values = packed(Turntable("dot", np.zeros((3, 3)), np.array([[0, 1, 2]]), [Skin("bare")], STILL))
    assert values["step"] == 1.0
    assert not unpacked(values)["vertices"].any()


def _page(path: Path, view: Turntable) -> Path:
    """Write a page with nothing but the view of note."""
    values = turntable_values(view)
    render_report(
        "person.html.jinja", path, face=values, origin=[], predicted_by=None,
        **{name: [] for name in ("tiles", "notes", "photos", "strips", "failures", "files")},
    )  # fmt: skip
    return path


def _shown(page: Path) -> tuple[str, np.ndarray]:
    """Return a page as headless Chromium leaves it, as text and as a picture; skips where there is none."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium here")
    shot = page.with_suffix(".png")
    options = [
        *("--headless", "--no-sandbox", "--hide-scrollbars", "--disable-background-networking"),
        *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", f"--user-data-dir={page.parent / 'me'}"),
        *("--window-size=900,900", "--virtual-time-budget=3000", "--dump-dom", f"--screenshot={shot}"),
    ]
    done = subprocess.run(
        [program, *options, page.as_uri()], capture_output=True, text=True, timeout=100, check=False
    )
    if not shot.is_file():
        pytest.skip("Chromium does not start here")
    return done.stdout, np.asarray(Image.open(shot).convert("RGB")).astype(int)


_READER = """
document.body.dataset.gl = !!document.createElement("canvas").getContext("webgl2");
const find = (what) => document.querySelector("figure.turntable " + what), button = find("[data-does=turn]");
const waiting = setInterval(() => {
  if (find("canvas").closest("figure").dataset.state !== "drawn") return;
  clearInterval(waiting);
  const before = button.textContent;
  find("canvas").dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
  find("[data-slider]").value = 2;
  find("[data-slider]").dispatchEvent(new Event("input"));
  document.body.dataset.seen = [before, button.textContent, find("output").textContent].join(", ");
}, 50);
"""


def test_a_browser_draws_it_and_a_reader_moves_it(head, tmp_path):
    """Home turns it to the front and holds it still; its first slider makes it a tenth wider."""
    green = np.tile([0.02, 0.9, 0.02], (len(head.vertices), 1))
    page = _page(tmp_path / "page.html", replace(head, skins=[Skin("green", green), Skin("bare")]))
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</body>", f"<script>{_READER}</script></body>"), encoding="utf-8")
    dom, shot = _shown(page)
    if 'data-gl="true"' not in dom:
        pytest.skip("Chromium has no WebGL 2 here")
    state = re.search(r'<figure class="([^"]*)"[^>]*data-state="([^"]*)"', dom)
    assert state is not None
    assert state.groups() == ("turntable live", "drawn")
    assert 'data-seen="Hold still, Turn, +2.0 σ"' in dom
    drawn = (shot[..., 1] > shot[..., 0] + 60) & (shot[..., 1] > shot[..., 2] + 60)
    rows, columns = np.nonzero(drawn)
    assert drawn.mean() > 0.05
    assert np.ptp(rows) == pytest.approx(1.3 / 1.1 * np.ptp(columns), rel=0.02)
    brightness = shot[drawn].sum(axis=1)
    assert brightness.max() > 1.5 * brightness.min()  # a lamp shines on it


def test_without_scripts_the_picture_stays(head, tmp_path):
    page = _page(tmp_path / "page.html", replace(head, still=np.full((30, 30, 3), [200, 20, 20], np.uint8)))
    text = page.read_text(encoding="utf-8")
    assert re.search(r'<img src="data:image/jpeg;base64,[^"]+" alt="a ball">', text)
    page.write_text(text.replace("<script>", '<script type="text/plain">'), encoding="utf-8")
    dom, shot = _shown(page)
    assert re.search(r'<figure class="([^"]*)"', dom)[1] == "turntable"
    assert (np.abs(shot - [200, 20, 20]).max(axis=2) < 12).mean() > 0.1
