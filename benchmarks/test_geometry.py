import numpy as np
import pytest

from morphkit.geometry.raster import rasterize


@pytest.mark.parametrize("size", [224, 1024])
def test_rasterize(benchmark, head, size):
    vertices = head.identity.mean.astype(np.float64)
    clip = np.c_[(vertices - vertices.mean(0)) / 160, np.ones(len(vertices))] * [1, 1, -1, 1]
    benchmark(rasterize, clip, head.faces, size, size)
