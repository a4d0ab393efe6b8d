import json
import re
import subprocess
import sys

import click
import numpy as np
import pytest
from click.testing import CliRunner

import morphkit
from morphkit.cli import main
from morphkit.commands import diagnosis
from morphkit.errors import BadInputError, MorphkitError

COMMANDS = [
    *(
        "demo",
        "build-basis",
        "register",
        "convert",
        "complete",
        "transfer",
        "fit",
        "landmarks",
        "prepare",
        "render-dataset",
        "train",
    ),
    *(
        "train-cnet",
        "predict",
        "export-onnx",
        "evaluate",
        "evaluate-fits",
        "sample",
        "view",
        "info",
        "get",
        "doctor",
    ),
]
HEAVY = ["torch", "numba", "scipy", "trimesh", "sklearn", "matplotlib", "numpy"]


def _python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return result.stdout.strip()


def test_importing_morphkit_loads_nothing_heavy():
    assert _python(f"import sys, morphkit; print([m for m in {HEAVY} if m in sys.modules])") == "[]"


def test_importing_the_command_line_loads_nothing_heavy():
    assert _python(f"import sys, morphkit.cli; print([m for m in {HEAVY} if m in sys.modules])") == "[]"


@pytest.mark.parametrize("name", morphkit.__all__)
def test_every_public_name_resolves(name):
    assert getattr(morphkit, name) is not None


def test_help_lists_every_command_in_order():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    commands, exit_codes = result.output.split("Commands:")[1].split("Exit codes:")
    assert "130 interrupted" in " ".join(exit_codes.split())
    listed = [line.split()[0] for line in commands.strip().splitlines()]
    assert listed == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    result = CliRunner().invoke(main, [command, "-h"])
    assert result.exit_code == 0
    assert "Usage: " in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_tell_a_program(command):
    (option,) = (p for p in main.commands[command].params if "--json" in p.opts)
    assert option.is_flag
    assert option.name == "as_json"


def test_an_extra_is_there_when_all_of_it_is():
    found = diagnosis._extra("video", {"numpy": "numpy", "no_such_module": "no-such-package"}, "video files")
    assert (found.state, found.detail) == ("optional", "no-such-package not installed")
    assert '"morphkit-3dmm[video]"' in found.remedy
    assert diagnosis._extra("video", {"numpy": "numpy"}, "").detail == f"numpy {np.__version__}"


def test_doctor_tells_a_program():
    result = CliRunner().invoke(main, ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert checks["numpy"]["state"] == "ok"
    assert checks["default_head.h5"]["detail"] == "in the package"
    assert result.exit_code == any(check["state"] == "broken" for check in checks.values())


def test_version():
    for option in ("--version", "-V"):
        assert CliRunner().invoke(main, [option]).output.strip().endswith(morphkit.__version__)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MorphkitError("The disk is full."), 1, "Error: The disk is full."),
        (BadInputError("a.ply is\nempty"), 2, "Error: a.ply is empty."),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (FileNotFoundError(2, "No such file", "x"), 1, "Error: [Errno 2] No such file: 'x'."),
        (ZeroDivisionError("oops"), 1, "Internal error: ZeroDivisionError: oops."),
    ],
)
def test_an_error_is_one_sentence_and_an_exit_code(monkeypatch, error, code, said):
    @click.command("fail")
    def fail():
        raise error

    monkeypatch.setitem(main.commands, "fail", fail)
    result = CliRunner().invoke(main, ["fail"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith(said)
    assert len(result.stderr.splitlines()) == 1


def test_debug_shows_the_traceback(monkeypatch):
    @click.command("fail")
    def fail():
        raise MorphkitError("No.")

    monkeypatch.setitem(main.commands, "fail", fail)
    for arguments, environment in ((["--debug", "fail"], {}), (["fail"], {"MORPHKIT_DEBUG": "1"})):
        assert isinstance(CliRunner().invoke(main, arguments, env=environment).exception, MorphkitError)


def test_a_wrong_call_exits_with_2():
    assert CliRunner().invoke(main, ["build-basis"]).exit_code == 2
    assert (
        CliRunner().invoke(main, ["fit", "a.jpg", "b.jpg", "-o", "x", "--landmarks", "l.json"]).exit_code == 2
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell):
    result = CliRunner().invoke(main, ["--completion", shell])
    assert result.exit_code == 0
    assert f"_MORPHKIT_COMPLETE={shell}_complete" in result.stdout


def test_completion_offers_commands_options_and_files():
    def offered(*words):
        environment = {"_MORPHKIT_COMPLETE": "bash_complete", "COMP_CWORD": str(len(words))}
        environment["COMP_WORDS"] = " ".join(("morphkit", *words))
        result = CliRunner().invoke(main, env=environment, prog_name="morphkit")
        return result.stdout.split()

    assert offered("eval") == ["plain,evaluate", "plain,evaluate-fits"]
    assert "plain,--components" in offered("build-basis", "--")
    assert offered("info", "mod") == ["file,mod"]


def test_no_color_is_heeded():
    colour = {"FORCE_COLOR": "1", "NO_COLOR": None, "TERM": "xterm"}
    assert "\x1b[32m" in CliRunner().invoke(main, ["doctor"], env=colour, color=True).stdout
    plain = CliRunner().invoke(main, ["doctor"], env={**colour, "NO_COLOR": "1"}, color=True).stdout
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)
