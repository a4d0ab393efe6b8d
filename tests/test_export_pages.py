"""Every page: balanced, self-contained, with words for every picture; and its plots."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import trimesh
from export_pages import Page
from matplotlib.figure import Figure

from morphkit.basis import Curve, Metric
from morphkit.basis.evaluation import Evaluation
from morphkit.export.build_report import ScanRow, write_build_report
from morphkit.export.contact_sheet import Card, write_contact_sheet
from morphkit.export.dataset_page import Bars, write_dataset_page
from morphkit.export.evaluation_page import write_evaluation_page
from morphkit.export.evaluation_plots import cumulative_figure
from morphkit.export.figures import SERIES, empty_figure, line_look, svg_text
from morphkit.export.fit_pictures import FitPictures
from morphkit.export.fit_report import FitPage, write_fit_report
from morphkit.export.fits_page import FitPicture, write_fits_page
from morphkit.export.person_page import PersonPhoto, write_person_page
from morphkit.export.training_page import Curves, TrainingPage, curves_svg, write_training_page
from morphkit.export.turntable import Skin, Turntable
from morphkit.io.color import srgb_to_linear
from morphkit.morphable import LinearModel, MorphableModel

PICTURE = np.full((24, 24, 3), 120, np.uint8)
ROWS = [("a <name>", "a reason & more"), ("two", "another")]


@pytest.fixture
def model(rng) -> MorphableModel:
    ball = trimesh.creation.icosphere(subdivisions=1, radius=80.0)
    vertices, faces = np.asarray(ball.vertices), np.asarray(ball.faces, np.int32)
    basis = np.linalg.qr(rng.standard_normal((vertices.size, 4)))[0].astype(np.float32)
    identity = LinearModel(vertices.astype(np.float32), basis[:, :3], np.array([30.0, 9.0, 3.0]), 0.0)
    grey = np.full_like(vertices, 0.5, dtype=np.float32)
    albedo = LinearModel(grey, basis[:, 2:], np.array([0.4, 0.1]), 0.0)
    return MorphableModel(faces, identity, albedo=albedo, provenance={"template": {"file": "a head"}})


@pytest.fixture
def ball(model) -> Turntable:
    vertices = model.instance()
    return Turntable("a ball", vertices, model.faces, [Skin("bare"), Skin("grey", 0 * vertices)], PICTURE)


@pytest.fixture
def metric() -> Metric:
    curve = Curve((0, 1, 2), np.array([3.0, 2.0, 1.0]), np.array([2.5, 1.5, 0.5]), np.array([3.5, 2.5, 1.5]))
    return Metric(curve, curve, 5, np.ones((5, 3)))


def _evaluation(path: Path, model: MorphableModel, metric: Metric) -> None:
    found = Evaluation(np.array([0.9, 0.98, 1.0]), metric, metric, metric, "training")
    write_evaluation_page(path, model, found, title="A title", lead="A lead.", outliers=ROWS, facts=ROWS)


def _fits(path: Path) -> None:
    write_fits_page(
        path,
        title="A title",
        lead="A lead.",
        tiles=[("median", "1.2 mm")],
        notes=["A note."],
        curve=cumulative_figure({"fits": np.linspace(0, 1, 9), "mean": np.linspace(0, 0.8, 9)}, 7.0),
        headers=("", "median"),
        rows=[("fits", "1.2")],
        pictures=[FitPicture("one", "worst", "3 mm", PICTURE)],
        limit=5.0,
        per_face=(("", "median"), [("one", "1.2")]),
        failures=ROWS,
        facts=ROWS,
    )


def _fit(path: Path, ball: Turntable, **more: object) -> None:
    page = FitPage(
        name="<photo>",
        face=ball,
        tiles=[("error", "2 %")],
        facts=ROWS,
        notes=["A note."],
        files=[("mesh.obj", "a mesh")],
        coefficients={"Identity": np.array([1.0, -2.0, 9.0])},
        units={"jawOpen": 0.5},
        landmarks=None,
        textures=[(PICTURE, "A texture")],
        uncertainty=([PICTURE] * 3, 2.0),
        scale=["#000000", "#ffffff"],
        attention=PICTURE,
        origin=["a photo"],
        **more,
    )
    write_fit_report(path, FitPictures(*[PICTURE] * 6), page)


def _person(path: Path, ball: Turntable, count: int = 2, predicted_by: str | None = None) -> None:
    photo = PersonPhoto("<one>", PICTURE, "one/report.html", 1.0, False, 1.0, 0.02, 3.0, 4.0, ["A note."])
    write_person_page(
        path,
        face=ball,
        photos=[photo] * count,
        failures=ROWS,
        notes=["A note."],
        deviation=1.2,
        files=ROWS,
        predicted_by=predicted_by,
    )


def _training(path: Path) -> None:
    lines = {name: ([0.0, 5.0], [1.0, 0.5]) for name in ("total", "photometric")}
    curves = [Curves("Losses", "loss", lines, logarithmic=True), Curves("Others", "share", lines)]
    panels = [("step 5", PICTURE)]
    page = TrainingPage("R-Net", "5 steps.", [("loss", "0.5")], curves, panels, ROWS, ["A note."])
    write_training_page(path, page)


def _dataset(path: Path) -> None:
    write_dataset_page(
        path,
        tiles=[("photos", "3")],
        sheets=[PICTURE],
        bars=[Bars("Yaw", ("left", "right"), (2, 1), (0.5, 0.5))],
        failures=(3, ROWS),
        duplicates=(3, ROWS, False),
        table="all.csv",
    )


def _sheet(path: Path) -> None:
    card = Card("</script>", "fitted", "", "index_files/a.jpg", "a/report.html", 0.02, 1.0, 2.0, 0.5, 3.0)
    write_contact_sheet(path, [card], {"fitted": 1})


def test_every_page_is_whole_and_fetches_nothing(model, ball, metric, tmp_path):
    write_build_report(tmp_path / "none.html", None, [ScanRow("lost", "failed")], title="No model")
    _evaluation(tmp_path / "evaluation.html", model, metric)
    _fits(tmp_path / "fits.html")
    _fit(tmp_path / "fit.html", ball)
    _person(tmp_path / "person.html", ball)
    _training(tmp_path / "training.html")
    _dataset(tmp_path / "dataset.html")
    _sheet(tmp_path / "sheet.html")
    for path in sorted(tmp_path.iterdir()):
        page = Page(path)
        assert page.faults == [], path.name
        assert page.tags["h1"] == page.tags["main"] == page.tags["header"] == 1
        assert page.words.count("This page is one file and fetches nothing.") == (path.name != "sheet.html")
        assert "default-src 'none'" in page.text
        assert "prefers-color-scheme: dark" in page.text
        turns = path.stem in ("evaluation", "fit", "person")
        assert ("DecompressionStream" in page.text) == turns == (page.tags["canvas"] == 1)


def test_faults_are_seen(tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        '<!doctype html><div id="a"><p id="a"><img src="data:image/png,"><a href="https://x.org/">x</a></div>'
        '<style>@import "y"; p { background: url(z.png) }</style><img src="//h/b.png" alt="b">'
        "<input><table></table>"
    )
    faults = "\n".join(Page(path).faults)
    for words in ("closes ['p']", "id a comes 2", "without words", "href=https", "@import", "url(z.png)"):
        assert words in faults
    for words in ("src=//h/b.png", "names a host: https://x.org/", "without a label", "cannot scroll"):
        assert words in faults


def test_a_prediction_is_never_called_fitted(ball, tmp_path):
    _fit(tmp_path / "fit.html", ball, predicted_by="weights.pt")
    words = " ".join(Page(tmp_path / "fit.html").words)
    assert re.findall(r"\S+ \S+ \S*[Ff]itted\S*", words) == ["and not fitted."]
    assert "the predicted face over it" in words


@pytest.mark.parametrize(
    ("count", "network", "tile"),
    [
        (1, "w.pt", "<b>1</b><span>photo seen</span>"),
        (2, "w.pt", "<b>2</b><span>photos seen</span>"),
        (1, None, "<b>1</b><span>photo fitted together</span>"),
    ],
)
def test_one_photo_is_no_photos(ball, tmp_path, count, network, tile):
    _person(tmp_path / "person.html", ball, count, network)
    assert tile in (tmp_path / "person.html").read_text(encoding="utf-8")


def test_no_two_lines_look_alike():
    looks = [line_look(number) for number in range(24)]
    assert len({str(look) for look in looks}) == 24
    assert len({color for color, _ in looks[:8]}) == 8


def _texts(svg: str) -> list[str]:
    return [words.replace("−", "-") for words in re.findall(r">([^<>]+)</text>", svg)]


def test_training_curves_count_steps_whole_and_losses_plainly():
    flat = {"total": ([0.0, 1.0, 2.0, 3.0], [3.6, 3.2, 3.0, 2.9]), "true_identity": ([0.0, 3.0], [3.6, 2.9])}
    svg = curves_svg(Curves("Losses", "loss", flat, logarithmic=True))
    words = _texts(svg)
    steps = words[: words.index("steps")]
    assert steps == ["0", "1", "2", "3"]
    losses = [float(word) for word in words[words.index("steps") + 1 : words.index("loss")]]
    assert len(losses) >= 3
    assert all(2.5 < loss < 4.0 for loss in losses)
    wide = {"a": ([0.0, 1e5], [1e-4, 0.5])}
    assert {"0.001", "0.01", "0.1"} <= set(_texts(curves_svg(Curves("L", "loss", wide, logarithmic=True))))


def test_the_total_is_seen_behind_the_one_term_that_it_is():
    same = {"total": ([0.0, 1.0], [2.0, 1.0]), "true_identity": ([0.0, 1.0], [2.0, 1.0])}
    svg = curves_svg(Curves("Losses", "loss", same))
    widths = re.findall(r"stroke: var\(--series-(\d)\)[^\"]*stroke-width: ([\d.]+)", svg)
    assert ("1", "5") in widths
    assert ("2", "1.5") in widths


def test_the_legend_lies_below_the_axes():
    lines = {f"line {k}": ([0.0, 9.0], [float(k), k + 1.0]) for k in range(11)}
    svg = curves_svg(Curves("Losses", "loss", lines))
    heights = {
        words: float(y)
        for y, words in re.findall(r'transform="translate\([\d.]+ ([\d.]+)\)">([^<]*)</text>', svg)
    }
    placed = re.findall(r'<text [^>]*\by="([\d.]+)"[^>]*>([^<]*)</text>', svg)
    heights |= {words: float(y) for y, words in placed}
    assert all(heights[name] > heights["steps"] for name in lines)


def test_plots_have_the_colours_of_the_page_and_ids_of_their_own():
    def drawn(top: float) -> str:
        figure: Figure
        figure, axes = empty_figure()
        for number in range(len(SERIES)):
            axes.plot([0, 1], [0, top + number], color=SERIES[number])
        return svg_text(figure, 'so "much" & <more>')

    first, second = drawn(1.0), drawn(2.0)
    assert first == drawn(1.0)
    assert 'aria-label="so &quot;much&quot; &amp; &lt;more&gt;"' in first
    assert all(f"var(--series-{number})" in first for number in range(1, len(SERIES) + 1))
    assert "var(--soft)" in first
    assert not re.search("#[0-9a-f]{6};", first)
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', first)) == ids[0]


def _luminance(color: str) -> float:
    """Return the relative luminance of a colour, as WCAG 2 defines it."""
    linear = srgb_to_linear(np.array([int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]))
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_words_and_lines_stand_out(scheme, tmp_path):
    _dataset(tmp_path / "page.html")
    blocks = re.findall(r":root \{([^}]*)\}", (tmp_path / "page.html").read_text(encoding="utf-8"))
    light, dark, printed = (dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    colors = {"light": light, "dark": dark, "print": light | printed}[scheme]
    assert set(dark) == set(light)
    for name in ("ink", "soft", "accent", "good", "doubtful", "failed", "outlier"):
        assert all(_contrast(colors[name], colors[under]) >= 4.5 for under in ("page", "card")), name
    for number in range(1, len(SERIES) + 1):
        assert _contrast(colors[f"series-{number}"], colors["card"]) >= 3.0, number


def _contrast(one: str, other: str) -> float:
    dim, bright = sorted((_luminance(one), _luminance(other)))
    return (bright + 0.05) / (dim + 0.05)
