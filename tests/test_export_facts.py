"""Nested facts as rows."""

import numpy as np
import pytest

from morphkit.export.facts import fact_rows, model_origin
from morphkit.morphable import LinearModel, MorphableModel


def test_everything_is_there_once():
    facts = {
        "by": "me",
        "settings": {"a": {"b": 0.5, "none": None}, "angles": [[0, 1], [2, 3]]},
        "scans": [{"name": "ada", "reasons": ["odd", "old"]}, {"name": "ben"}],
        "notes": ["One.", "Two."],
        "left_out": [],
        "empty": {},
    }
    assert fact_rows(facts) == [
        ("by", "me"),
        ("settings.a.b", "0.5"),
        ("settings.a.none", "None"),
        ("settings.angles", "0, 1, 2, 3"),
        ("scans.1", "name: ada, reasons: odd, old"),
        ("scans.2", "name: ben"),
        ("notes.1", "One."),
        ("notes.2", "Two."),
        ("left_out", "none"),
    ]


def test_long_text_is_not_cut():
    assert fact_rows({"key": "x" * 5000}) == [("key", "x" * 5000)]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, []),
        ({"name": "a head", "licence": "CC0"}, ["a head", "licence: CC0"]),
        (
            {"source": "x.mat", "scan_count": 24, "template": {"file": "t.ply"}, "made_at": "noon"},
            ["read from x.mat", "made of 24 scans", "template: t.ply"],
        ),
        ({"name": None, "template": "other", "scan_count": "many"}, []),
    ],
)
def test_a_model_says_what_it_was_made_from_and_not_when(told, words):
    group = LinearModel(np.zeros((3, 3)), np.zeros((9, 0)), np.zeros(0), 0.0)
    assert model_origin(MorphableModel(np.array([[0, 1, 2]]), group, provenance=told)) == words
