import re
from dataclasses import replace

import numpy as np
import pytest
from export_pages import Page

from morphkit.export.build_pictures import (
    albedo_modes,
    contact_sheet,
    expression_modes,
    heat_colors,
    registration_strip,
    scan_strip,
    shape_modes,
)
from morphkit.export.build_report import ScanRow, plotted_groups, write_build_report
from morphkit.export.plots import compactness_plot, scree_plot
from morphkit.export.scan_figures import CAUTION, known_figures, medians
from morphkit.io.images import write_image
from morphkit.mesh import Mesh
from morphkit.morphable import LinearModel, MorphableModel
from morphkit.registration import Diagnosis


def _group(mean: np.ndarray, deviations: list[float], noise: float = 0.0) -> LinearModel:
    rng = np.random.default_rng(7)
    basis = np.linalg.qr(rng.standard_normal((mean.size, len(deviations))))[0]
    return LinearModel(mean.astype(np.float32), basis.astype(np.float32), np.array(deviations), noise)


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    import trimesh

    sphere = trimesh.creation.icosphere(subdivisions=2, radius=80.0)
    mean = np.asarray(sphere.vertices, dtype=np.float64)
    albedo = _group(np.full_like(mean, 0.5), [0.3])
    faces = np.asarray(sphere.faces, dtype=np.int32)
    return MorphableModel(
        faces, _group(mean, [30.0, 10.0]), albedo=albedo, provenance={"made": {"by": "test"}}
    )


def test_the_plot_is_the_same_svg_every_time(model):
    groups = {"shape": model.identity, "albedo": model.albedo}
    first, second = (compactness_plot(groups) for _ in range(2))
    assert first == second
    assert first.startswith("<svg")
    assert "variance explained" in first


def test_heat_runs_from_dark_to_bright_and_leaves_the_unknown():
    colors = heat_colors(np.array([0.0, 0.5, 1.0, 99.0, np.nan]))
    brightness = colors[:4].sum(axis=1)
    assert (np.diff(brightness[:3]) > 0).all()
    assert np.array_equal(colors[2], colors[3])
    assert np.isnan(colors[4]).all()


def test_modes_show_mean_in_the_middle_and_differ_at_the_ends(model):
    strips = shape_modes(model, 2, size=40)
    assert [strip.share for strip in strips] == pytest.approx([0.9, 0.1])
    low, middle, high, *_ = np.split(strips[0].image, 6, axis=1)
    again = np.split(strips[1].image, 6, axis=1)[1]
    assert np.array_equal(middle, again)
    assert not np.array_equal(low, high)
    assert len(albedo_modes(model, 3, size=40)) == 1
    assert albedo_modes(replace(model, albedo=None)) == expression_modes(model) == ()
    talking = replace(model, expression=_group(np.zeros_like(model.identity.mean), [4.0]))
    assert [strip.share for strip in expression_modes(talking, size=40)] == pytest.approx([1.0])


def test_contact_sheets_fill_up_with_white():
    tiles = [np.full((2, 3, 3), value, np.uint8) for value in (1, 2, 3)]
    sheet = contact_sheet(tiles, 2)
    assert sheet.shape == (4, 6, 3)
    assert (sheet[2:, 3:] == 255).all()
    assert (sheet[2:, :3] == 3).all()


def test_the_report_is_one_file_that_shows_every_scan(model, tmp_path):
    mesh = Mesh(model.instance(), model.faces)
    strip = registration_strip(mesh, mesh, np.zeros(len(mesh.vertices)), np.eye(3), size=40)
    assert strip.shape == (40, 160, 3)
    picture = tmp_path / "strip.png"
    write_image(picture, strip)
    timings = {"clean": 1.0, "register": 2.0}
    rows = [
        ScanRow(
            "fine <one>", "good", (), Diagnosis(0.97, 0.02, 1.25, 0.0, 0.08, None), picture, timings=timings
        ),
        ScanRow(
            "odd",
            "doubtful",
            ("a hole",),
            Diagnosis(0.6, 0.03, 2.5, 0.0, 0.2, None),
            picture,
            timings=timings,
        ),
        ScanRow(
            "far",
            "good",
            (),
            Diagnosis(0.1, 0.9, 9.0, 0.0, 0.4, None),
            picture,
            outlier="3 times as far out",
            dropped=True,
        ),
        ScanRow("lost", "failed", ("no face was found",), picture=picture),
        ScanRow("worse", "failed", ("not a mesh",), picture=tmp_path / "none.png"),
    ]
    path = tmp_path / "report.html"
    write_build_report(path, model, rows, title="A test")
    page = path.read_text(encoding="utf-8")
    assert "2 of 5 scans" in page
    assert "2 could not be registered" in page
    assert "of 5 scans used, 1 of them doubtful" in page
    assert "3 times as far out" in page
    assert page.count("data:image/jpeg") == 4 + 1 + len(model.identity.standard_deviations) + 1
    assert "fine &lt;one&gt;" in page
    assert page.index('data-name="lost"') < page.index('data-name="odd"')  # what needs a look comes first
    assert "no face was found" in page
    assert "made.by" in page
    parsed = Page(path)
    assert parsed.faults == []
    assert parsed.tags["canvas"] == 1
    assert parsed.text.count("data-slider=") == len(model.identity.standard_deviations) + 1


def test_the_report_leads_with_what_tells_of_correspondence(model, tmp_path):
    rows = [
        ScanRow(f"s{k}", "good", (), Diagnosis(0.9 + 0.02 * k, 0.01 * k, 3.0 - k, 0.0, 0.1 * k, None))
        for k in range(3)
    ]
    assert medians({row.name: row.diagnosis for row in rows}) == [
        ("of the template covered", "92%", "90%", "s0"),
        ("mm off the landmarks", "2.0", "3.0", "s0"),
        ("strain", "10%", "20%", "s2"),
        ("mm to the scan", "0.01", "0.02", "s2"),
    ]
    write_build_report(tmp_path / "report.html", model, rows, title="A test")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    tiles = page[: page.index("<h2>")]
    assert re.findall(r'class="tile"><b>([^<]*)</b>', tiles) == ["3", "92%", "2.0", "10%", "2", "1"]
    assert "to the scan" not in tiles
    assert CAUTION in page
    assert "94% of the template covered · 1.0 mm off the landmarks · 20% strain · 0.02 mm to the scan" in page


def test_learnt_expressions_are_counted_plotted_and_shown(model, tmp_path):
    group = _group(np.zeros_like(model.identity.mean), [4.0, 2.0, 1.0])
    learnt = replace(model, expression=group, provenance={"expression_scan_count": 5})
    pages = {}
    for name, shown in (("learnt", learnt), ("passed on", replace(learnt, provenance={}))):
        write_build_report(tmp_path / name, shown, [], title="A test")
        pages[name] = (tmp_path / name).read_text(encoding="utf-8")
    assert "<b>3</b><span>modes of expression</span>" in pages["learnt"]
    assert pages["learnt"].count("<h2>Modes of expression</h2>") == 1
    assert pages["learnt"].count("data:image/jpeg") == pages["passed on"].count("data:image/jpeg") + 3
    assert ">expression</text>" in pages["learnt"]  # the compactness curve's name
    assert "expression" not in pages["passed on"]


def test_a_single_mode_is_not_plotted(model, tmp_path):
    single = replace(model, identity=_group(model.identity.mean, [30.0]))
    assert set(plotted_groups(model)) == {"shape"}  # of albedo, it has one mode
    assert plotted_groups(single) == {}
    write_build_report(tmp_path / "report.html", single, [], title="A test")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<svg" not in page
    assert "nothing to compare" in page
    assert "<b>1</b><span>mode of shape</span>" in page


@pytest.mark.parametrize("count", [2, 3, 30])
def test_modes_are_counted_in_whole_numbers(model, count):
    groups = {"shape": _group(model.identity.mean, list(np.linspace(20, 1, count)))}
    for plot in (compactness_plot, scree_plot):
        words = re.findall(r">([^<>]+)</text>", plot(groups))
        across = words[: words.index("modes" if plot is compactness_plot else "mode")]
        assert all(word.isdigit() for word in across)
        assert len(across) == len(set(across)) >= 2


def test_figures_that_nobody_knows_are_not_shown():
    bare = Diagnosis(0.0, 0.0, None, 0.0, None, 0.2)
    assert [figure.field for figure in known_figures([bare, None])] == ["covered"]
    assert known_figures([None]) == ()
    assert medians({"lost": None}) == []


def test_a_report_without_a_model_shows_the_scans(tmp_path):
    path = tmp_path / "report.html"
    write_build_report(path, None, [ScanRow("lost", "failed", ("no face was found",))], title="No model")
    page = path.read_text(encoding="utf-8")
    assert "There is no model: 0 of 1 scans" in page
    assert "no face was found" in page


def test_a_bare_scan_is_drawn_from_four_sides_whatever_is_wrong_with_it(model):
    vertices = model.instance()
    vertices[0] = np.nan
    vertices[1] = 1e6  # a stray point must not shrink the rest to a dot
    strip = scan_strip(Mesh(vertices, model.faces), size=40)
    assert strip.shape == (40, 160, 3)
    for view in np.split(strip, 4, axis=1):
        assert (view != view[0, 0]).any(axis=2).mean() > 0.3


def test_a_scan_that_was_missed_is_in_the_picture(model):
    mesh = Mesh(model.instance(), model.faces)
    away = Mesh(mesh.vertices + np.array([400.0, 0.0, 0.0]), model.faces)
    scan, registered, _, _ = np.split(
        registration_strip(away, mesh, np.full(len(mesh.vertices), np.nan), np.eye(3), size=60), 4, axis=1
    )
    columns = [np.flatnonzero((view != view[0, 0]).any(axis=(0, 2))).mean() for view in (scan, registered)]
    assert columns[0] > 40 > 20 > columns[1]
