from importlib import resources

import pytest

from morphkit.fitting import FitSettings, fit_image
from morphkit.io.images import read_image


@pytest.fixture(scope="session")
def photo():
    with resources.as_file(resources.files("morphkit") / "data" / "astronaut.jpg") as path:
        return read_image(path)


@pytest.mark.benchmark(group="fit a photo")
@pytest.mark.parametrize("photometric", [False, True])
def test_fit(benchmark, head, photo, photometric):
    settings = FitSettings() if photometric else FitSettings(photometric=None)
    benchmark.pedantic(fit_image, (photo, head), {"settings": settings}, rounds=3, warmup_rounds=1)
