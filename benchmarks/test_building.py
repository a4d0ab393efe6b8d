import pytest

from morphkit.registration import register


@pytest.mark.benchmark(group="registration")
def test_register(benchmark, head, scan):
    benchmark.pedantic(register, (scan, head.template()), rounds=3, warmup_rounds=1)
