"""Settings: files to frozen values and back, and what each slip says."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from morphkit.errors import BadInputError
from morphkit.losses import EnergyWeights
from morphkit.training.config import (
    AugmentationSettings,
    LossSettings,
    ModelSettings,
    NetworkSettings,
    TrainConfig,
    digest,
)
from morphkit.training.config_files import read_config
from morphkit.training.example_config import TRAIN_EXAMPLE
from morphkit.training.settings_tree import from_table, to_table

SHORT = '[data]\ntrain = ["a"]\n[training]\nepochs = 2\n'


def read(folder: Path, text: str, *overrides: str) -> TrainConfig:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path, TrainConfig, overrides)


def test_config_goes_to_plain_values_and_back(tmp_path: Path) -> None:
    config = read(tmp_path, TRAIN_EXAMPLE, "training.batch=3", "losses.landmark=0.5")
    table = json.loads(json.dumps(to_table(config)))
    assert from_table(TrainConfig, table, "again") == config
    assert config.training.batch == 3
    assert config.losses.weights == replace(
        EnergyWeights.preset("morphkit"), landmark_weight=0.5, perceptual_weight=0.0
    )


def test_example_names_every_section_and_only_known_keys(tmp_path: Path) -> None:
    table = tomllib.loads(TRAIN_EXAMPLE)
    assert set(table) == {"data", "model", "network", "losses", "augmentation", "training", "output"}
    assert read(tmp_path, TRAIN_EXAMPLE).training.epochs == 20


def test_paths_are_taken_from_the_file_and_output_from_here(tmp_path: Path) -> None:
    config = read(tmp_path, SHORT + '[model]\npath = "m.h5"\n', "data.validation=['v']", "output.folder=o")
    assert config.data.train == (str(tmp_path / "a"),)
    assert config.model.path == str(tmp_path / "m.h5")
    assert config.data.validation == ("v",)
    assert config.output.folder == "o"


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        (SHORT + "bach = 4\n", (), "unknown key training.bach; did you mean training.batch?"),
        (SHORT + "[trainin]\n", (), "unknown key trainin; did you mean training?"),
        (SHORT + "[losses]\nzzzz = 1\n", (), "unknown key losses.zzzz; known are preset,"),
        (SHORT + 'batch = "many"\n', (), "training.batch must be a whole number, got 'many'"),
        (SHORT + "batch = true\n", (), "training.batch must be a whole number, got True"),
        (SHORT + "batch = 2.5\n", (), "training.batch must be a whole number, got 2.5"),
        (SHORT + "batch = 0\n", (), "training.batch must be 1 to 65,536, got 0"),
        (SHORT + "learning_rate = nan\n", (), "training.learning_rate must be a number, got nan"),
        (
            SHORT + "learning_rate = -1\n",
            (),
            "training.learning_rate must be above 0 and at most 10, got -1.0",
        ),
        (SHORT + "ema = 1.0\n", (), "training.ema must be 0 to below 1"),
        (SHORT + "steps = 5\n", (), "training.steps must be left out where epochs are given"),
        (SHORT + 'precision = "8"\n', (), "precision must be one of 32-true, bf16-mixed, 16-mixed, got '8'"),
        (SHORT + '[network]\npreset = "ours"\n', (), "network.preset must be one of deng-paper"),
        (SHORT + "[network]\nsize = 113\n", (), "network.size must be 32 to 1024 and a multiple of 8"),
        (SHORT + "[losses]\nlandmark = -1.0\n", (), "losses.landmark must be at least 0, got -1.0"),
        (SHORT + "[augmentation]\nscale = 1.5\n", (), "augmentation.scale must be 0 to 0.9, got 1.5"),
        ("training = 3\n", (), "[training] must be a table of settings, got 3"),
        ("[training]\nepochs = 1\n", (), "data is missing"),
        ("[data]\ntrain = []\n[training]\nepochs=1\n", (), "data.train must be at least one folder, got []"),
        ("[data\n", (), "is not a TOML file"),
        (SHORT, ("batch=4",), "write it as section.key=value"),
        (SHORT, ("training.batch",), "write it as section.key=value"),
        (SHORT, ("training.bath=4",), "unknown key training.bath; did you mean training.batch?"),
        (SHORT + "batch = 65537\n", (), "training.batch must be 1 to 65,536, got 65537"),
        (SHORT + "accumulate = 65537\n", (), "training.accumulate must be 1 to 65,536"),
        (SHORT + "devices = 1025\n", (), "training.devices must be 1 to 1,024"),
        (SHORT + "workers = 1025\n", (), "training.workers must be 0 to 1,024"),
        (SHORT.replace("2", "1000001"), (), "training.epochs must be 1 to 1,000,000"),
        (SHORT.replace("epochs = 2", "steps = 1000000001"), (), "training.steps must be 1 to 1,000,000,000"),
    ],
)
def test_slips_are_one_sentence(tmp_path: Path, text: str, overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(BadInputError) as caught:
        read(tmp_path, text, *overrides)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "config.toml" in str(caught.value) or str(caught.value).startswith("--set")


HUGE = {
    "beyond 64 bits": (SHORT + f"batch = {10**30}\n", (), "holds a whole number of more than 64 bits"),
    "beyond floats": (SHORT + f"ema = 1{'0' * 400}\n", (), "holds a whole number of more than 64 bits"),
    "beyond repr": (SHORT + f"batch = 0x{'f' * 9999}\n", (), "holds a whole number of more than 64 bits"),
    "digits": (SHORT + f"batch = {'9' * 5000}\n", (), "far beyond what a setting can be"),
    "brackets": (f"a = {'[' * 20_000}", (), "far beyond what a setting can be"),
    "dots": (f"[data]\ntrain{'.a' * 20_000} = 1\n", (), "nested deeper than 8 levels"),
    "NUL": (SHORT + '[model]\npath = "a\\u0000b"\n', (), r"holds a NUL character in 'a\x00b'"),
    "set digits": (SHORT, (f"training.batch={'9' * 5000}",), "--set training.batch: holds a number"),
    "set brackets": (SHORT, (f"data.train={'[' * 20_000}",), "--set data.train: holds a number or nested"),
    "set NUL": (SHORT, ("model.path=a\0b",), "--set model.path: holds a NUL character"),
}


@pytest.mark.parametrize("name", HUGE)
def test_what_no_setting_can_be_is_one_sentence(tmp_path: Path, name: str) -> None:
    text, overrides, words = HUGE[name]
    with pytest.raises(BadInputError) as caught:
        read(tmp_path, text, *overrides)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"none\.toml: there is no such file"):
        read_config(tmp_path / "none.toml", TrainConfig)
    with pytest.raises(BadInputError, match="is a folder"):
        read_config(tmp_path, TrainConfig)
    with pytest.raises(BadInputError, match="holds a NUL character, which no file's name does"):
        read_config("a\0.toml", TrainConfig)


def test_another_way_to_the_same_files_is_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SHORT + '[model]\npath = "m.h5"\n[network]\ninitial = "w.pt"\n'
    config = read(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    other = read_config("config.toml", TrainConfig, ("output.folder=elsewhere",))
    assert other.data.train != config.data.train
    assert digest(other) == digest(config)


def test_digest_counts_what_is_learnt_and_not_where_it_goes(tmp_path: Path) -> None:
    config = read(tmp_path, SHORT)
    same = replace(
        config, output=replace(config.output, folder="x"), training=replace(config.training, workers=3)
    )
    assert digest(same) == digest(config)
    for paths in (
        {"data": replace(config.data, train=("else/../a",), validation=("v",))},
        {"model": ModelSettings(path="./model.h5")},
        {"network": NetworkSettings(initial="weights.pt")},
        {"network": NetworkSettings(weights="resnet18.pth")},
        {"losses": LossSettings(network="arcface.onnx")},
    ):
        assert digest(replace(config, **paths)) == digest(config)
    for other in (
        replace(config, network=NetworkSettings(depth=50)),
        replace(config, data=replace(config.data, balance="pose")),
        replace(config, model=ModelSettings(identity=5)),
        replace(config, training=replace(config.training, seed=1)),
        replace(config, losses=LossSettings(supervised=2.0)),
        replace(config, augmentation=AugmentationSettings.none()),
    ):
        assert digest(other) != digest(config)
