"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from building_scans import Data


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20190319)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Three scans of different heads (two with sidecars), and a coarse template with landmarks."""
    from building_scans import write_data

    return write_data(tmp_path_factory.mktemp("building"))


@pytest.fixture(scope="session")
def built(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished build: model.h5, model-report.html, work/."""
    from building_scans import run

    folder = tmp_path_factory.mktemp("built")
    options = [*data.arguments, "--work", folder / "work", "--jobs", 1]
    result = run("build-basis", data.scans, "-o", folder / "model.h5", *options)
    assert result.exit_code == 0, result.output
    assert "3 of 3 scans, 2 modes of shape, 2 of albedo." in result.stdout
    return folder
