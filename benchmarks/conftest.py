"""What the benchmarks share: the embedded head, and a denser scan of another person."""

import numpy as np
import pytest

import morphkit
from morphkit.building.synthetic import scan_head


@pytest.fixture(scope="session")
def head():
    return morphkit.load_default_model()


@pytest.fixture(scope="session")
def scan(head):
    rng = np.random.default_rng(0)
    person = head.sample(rng)
    return scan_head(person, person.vertices[head.masks["face"]].mean(0), rng).mesh
