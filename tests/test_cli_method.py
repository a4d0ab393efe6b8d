from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

import morphkit.building
from morphkit.cli.app import main


class _CalledError(Exception):
    """Carries what a command hands on."""


@pytest.fixture(autouse=True)
def caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def catch(*_args: object, **options: object) -> None:
        raise _CalledError(options)

    monkeypatch.setattr(morphkit.building, "register", catch)
    monkeypatch.setattr(morphkit.building, "build_basis", catch)


def _settings(*arguments: str) -> Any:
    result = CliRunner().invoke(main, ["--debug", *arguments])
    assert isinstance(result.exception, _CalledError)
    return result.exception.args[0]["settings"]


@pytest.mark.parametrize(("option", "method"), [((), "coarse-to-fine"), (("--method", "nicp"), "nicp")])
def test_the_method_reaches_the_registration(option: tuple[str, ...], method: str) -> None:
    alone = _settings("register", "scan.ply", "-o", "out", *option)
    assert alone.registration.method == method
    built = _settings("build-basis", "scans", "-o", "model.h5", *option)
    assert built.registering.registration.method == method


def test_another_method_is_refused() -> None:
    result = CliRunner().invoke(main, ["register", "scan.ply", "-o", "out", "--method", "icp"])
    assert result.exit_code == 2
    assert "'coarse-to-fine', 'nicp'" in result.output
