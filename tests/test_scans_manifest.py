"""Manifests and folders of people."""

import json

import pytest

from morphkit.errors import BadInputError
from morphkit.scans.manifest import ManifestEntry, discover_subjects, read_manifest


@pytest.fixture
def folder(tmp_path):
    for name in ("a.ply", "b.ply", "sub/c.ply"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "file,subject,expression,weight\na.ply,Ann,neutral,2\nb.ply,Ann,smile,\nsub/c.ply,Carl,,0.5\n",
        "\ufeffFile;Subject;Expression;Weight;\na.ply;Ann;Neutral;2;\nb.ply;Ann;smile;;\nsub/c.ply;Carl;;.5;\n",
        "expression\tfile\tweight\tsubject\nneutral\ta.ply\t2\tAnn\nsmile\tb.ply\t1\tAnn\n\tsub/c.ply\t5e-1\tCarl\n",
    ],
)
def test_csv(folder, text):
    path = folder / "scans.csv"
    path.write_text(text, encoding="utf-8")
    assert read_manifest(path) == (
        ManifestEntry(folder / "a.ply", "Ann", "neutral", 2.0),
        ManifestEntry(folder / "b.ply", "Ann", "smile", 1.0),
        ManifestEntry(folder / "sub/c.ply", "Carl", "neutral", 0.5),
    )


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"scans": rows, "by": "me"}])
def test_json(folder, wrap):
    path = folder / "scans.json"
    path.write_text(json.dumps(wrap([{"file": "a.ply"}, {"file": "b.ply", "subject": 7, "weight": 3}])))
    assert read_manifest(path) == (
        ManifestEntry(folder / "a.ply", "a", "neutral", 1.0),
        ManifestEntry(folder / "b.ply", "7", "neutral", 3.0),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\na.ply\n", "has no column 'file'"),
        ("file\n", "names no scans"),
        ("", "has no column 'file'"),
        ("file,weight\na.ply,-1\n", "line 2: the weight '-1' is not a number from 0 up"),
        ("file,weight\na.ply,many\n", "the weight 'many'"),
        ("file,weight\na.ply,inf\n", "the weight 'inf'"),
        ("file\na.ply\nz.ply\n", r"line 3: there is no file .*z\.ply"),
        ("file\na.ply\na.ply\n", r"a\.ply is named twice"),
        ("file,subject\n,Ann\n", "line 2: no file is named"),
        (
            "file,Expresion,age\na.ply,smile,7\n",
            "line 1: there is no column 'expresion', 'age'; .* expression,",
        ),
    ],
)
def test_bad_csv_is_one_sentence(folder, text, message):
    path = folder / "scans.csv"
    path.write_text(text)
    with pytest.raises(BadInputError, match=message):
        read_manifest(path)


@pytest.mark.parametrize("text", ["{", "3", '["a.ply"]', '{"scans": "a.ply"}'])
def test_bad_json_is_one_sentence(folder, text):
    path = folder / "scans.json"
    path.write_text(text)
    with pytest.raises(BadInputError, match=r"scans\.json"):
        read_manifest(path)


def test_a_misspelt_key_is_named(folder):
    path = folder / "scans.json"
    path.write_text(json.dumps([{"file": "a.ply"}, {"file": "b.ply", "wieght": 2}]))
    with pytest.raises(BadInputError, match=r"scan 2: there is no column 'wieght'; .* file, subject, "):
        read_manifest(path)


def test_what_is_no_manifest(folder):
    for name, message in (("a.ply", "is no manifest"), ("none.csv", "cannot be read")):
        with pytest.raises(BadInputError, match=message):
            read_manifest(folder / name)
    (folder / "latin.csv").write_bytes(b"file\n\xe9.ply\n")
    with pytest.raises(BadInputError, match="not UTF-8"):
        read_manifest(folder / "latin.csv")


def test_people_in_folders(tmp_path):
    names = [
        "p10/neutral.ply",
        "p2/p2_Neutral.obj",
        "p2/p2_smile.obj",
        "p2/p2_smile.pp",
        "p3/scan.ply",
        ".x/a.ply",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    entries = discover_subjects(tmp_path)
    assert [(e.name, e.subject, e.expression) for e in entries] == [
        ("p10_neutral", "p10", "neutral"),
        ("p2_Neutral", "p2", "neutral"),
        ("p2_smile", "p2", "smile"),
        ("p3_scan", "p3", "neutral"),
    ]


def test_people_who_are_never_at_rest_are_refused_at_once(tmp_path):
    for name in ("ann/neutral.ply", "ann/smile.ply", "ben/1.ply", "ben/2.ply", "cem/a.ply", "cem/b.ply"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(BadInputError) as caught:
        discover_subjects(tmp_path)
    said = str(caught.value)
    assert (
        f"{tmp_path / 'ben'}: none of its 2 scans (1.ply, 2.ply) is called neutral, nor in 1 more of 3"
        in said
    )
    assert "manifest" in said
    (tmp_path / "ben" / "2.ply").unlink()  # a person's only scan is neutral, whatever it is called
    (tmp_path / "cem" / "b.ply").rename(tmp_path / "cem" / "b_neutral.ply")
    expressions = [entry.expression for entry in discover_subjects(tmp_path)]
    assert expressions == ["neutral", "smile", "neutral", "a", "neutral"]


def test_no_people(tmp_path):
    with pytest.raises(BadInputError, match="no folders with scans"):
        discover_subjects(tmp_path)
    with pytest.raises(BadInputError, match="no folder"):
        discover_subjects(tmp_path / "none")
