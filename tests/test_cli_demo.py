"""The demo writes into its own folder only; what it makes is looked at, and timed, by running it."""

import pytest

from morphkit.commands.demonstration import demo
from morphkit.errors import BadInputError


def test_a_folder_of_somebody_elses_files_is_refused_untouched(tmp_path):
    mine = tmp_path / "scans" / "head_00.ply"
    mine.parent.mkdir()
    mine.write_text("my only scan")
    with pytest.raises(BadInputError, match="holds no earlier demo"):
        demo(tmp_path)
    assert mine.read_text() == "my only scan"
    assert [path.name for path in tmp_path.iterdir()] == ["scans"]
