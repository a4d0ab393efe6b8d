"""A photo to a face, warm: CPU seconds by what is asked for, and the memory of a process for one photo.

`pytest -s` prints the memory. Times are CPU seconds of one thread, which a busy machine changes least.
"""

import subprocess
import sys
import time
from dataclasses import replace
from importlib import resources

import pytest

from morphkit.fitting import FitSettings, GradientSettings, fit_image, write_fit
from morphkit.io.images import read_image

KINDS = {
    "landmarks": FitSettings(photometric=None),
    "whole": FitSettings(),
    "polished": FitSettings(gradient=GradientSettings().without_perceptual()),
}
ALONE = """
import resource, sys
from morphkit.fitting import fit_image, write_fit
write_fit(fit_image(sys.argv[1]), sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.fixture(scope="session")
def file():
    with resources.as_file(resources.files("morphkit") / "data" / "astronaut.jpg") as path:
        yield path


@pytest.mark.benchmark(group="fit a photo", timer=time.process_time)
@pytest.mark.parametrize("kind", KINDS)
def test_fit(benchmark, head, file, kind):
    photo = read_image(file)
    benchmark.pedantic(fit_image, (photo, head), {"settings": KINDS[kind]}, rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="fit a photo", timer=time.process_time)
def test_write(benchmark, head, file, tmp_path):
    result = fit_image(file, head)
    benchmark.pedantic(write_fit, (result, tmp_path), rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="fit a photo", timer=time.process_time)
def test_perceptual_polish(benchmark, head, file):
    pytest.importorskip("face_recognition_models")
    settings = replace(FitSettings(), gradient=GradientSettings())
    benchmark.pedantic(fit_image, (file, head), {"settings": settings}, rounds=3, warmup_rounds=1)


def test_memory(file, tmp_path):
    """One photo, fitted and written by a process of its own."""
    command = [sys.executable, "-c", ALONE, str(file), str(tmp_path)]
    megabytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"\npeak memory of a process: {megabytes} MB")
    assert megabytes < 1024
