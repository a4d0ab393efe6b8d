"""Nested facts as rows."""

from morphkit.export.facts import fact_rows


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
