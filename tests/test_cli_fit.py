"""The options of `morphkit fit` that need no photo."""

from pathlib import Path

from click.testing import CliRunner

from morphkit.cli import main
from morphkit.cli.fit import FILE_GROUPS
from morphkit.fitting.output import FIT_FILES


def _run(*arguments: object):
    return CliRunner().invoke(main, ["fit", *(str(argument) for argument in arguments)])


def test_every_group_of_files_can_be_asked_for():
    assert list(FIT_FILES) == list(FILE_GROUPS)


def test_unknown_files_are_named_with_those_there_are(tmp_path: Path):
    result = _run(tmp_path, "-o", tmp_path / "out", "--files", "mesh,movie")
    assert result.exit_code == 2
    assert "movie is not among mesh, glb" in " ".join(result.stderr.split())
    assert _run(tmp_path, "-o", tmp_path / "out", "--files", ",").exit_code == 2


def test_one_landmark_file_for_several_photos_is_refused(tmp_path: Path):
    result = _run("a.jpg", "b.jpg", "-o", tmp_path, "--landmarks", "marks.json")
    assert result.exit_code == 2
    assert "marks.json belongs to one photo, and there are 2" in result.stderr
