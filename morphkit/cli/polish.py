"""The options of `morphkit fit` for the polish by the gradient of the paper's energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from morphkit.cli import options

if TYPE_CHECKING:
    from morphkit.fitting.gradient_settings import GradientSettings
    from morphkit.losses.weights import Preset

# The keys of `morphkit.losses.EnergyWeights.preset`, which is not imported before it is needed.
PRESETS: dict[str, Preset] = {
    "morphkit": "morphkit",
    "deng2019": "deng2019",
    "deep3d-tf": "deep3d_tf",
    "deep3d-pt": "deep3d_pt",
}

_options = options.together(
    click.option(
        "--polish",
        is_flag=True,
        help="After the pixels, descend the whole energy of Deng et al. 2019 by its gradient, in twice the "
        "time: lies closer over the photo, and a smile changes the identity less. Implied by the next three.",
    ),
    click.option(
        "--perceptual",
        is_flag=True,
        help="With a face-recognition network's opinion (extra `perceptual`), in three times the time.",
    ),
    click.option(
        "--face-network",
        type=options.FILE,
        metavar="FILE",
        help="With the opinion of ArcFace weights of your own (the state dict of an iresnet).",
    ),
    click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        help="Whose weights the polish's terms have: our own, the paper's, or one of the two public "
        "implementations'.  [default: morphkit]",
    ),
)


@dataclass(frozen=True)
class Polish:
    """What the command line says about the polish."""

    polish: bool
    perceptual: bool
    face_network: Path | None
    preset: str | None

    @property
    def option(self) -> str | None:
        """The first option that asks for it, if one does."""
        asked = {
            "--polish": self.polish,
            "--perceptual": self.perceptual,
            "--face-network": self.face_network is not None,
            "--preset": self.preset is not None,
        }
        return next((name for name, given in asked.items() if given), None)

    def ensure_goes_with(self, others: dict[str, bool]) -> None:
        """Refuse the polish beside options, by name whether they are given, that leave no room for it."""
        for name, given in others.items():
            if given and self.option is not None:
                raise click.UsageError(f"{self.option} does not go with {name}; leave one of them out.")

    def settings(self) -> GradientSettings | None:
        """Return the settings, or None if nothing asks for a polish.

        Raises
        ------
        MorphkitError
            When the face network that they name is not installed or cannot be read.
        """
        if self.option is None:
            return None
        from morphkit.fitting.gradient_settings import GradientSettings
        from morphkit.fitting.gradient_stage import face_network

        settings = GradientSettings.preset(PRESETS[self.preset or "morphkit"])
        if not self.perceptual and self.face_network is None:
            settings = settings.without_perceptual()
        settings = replace(settings, network=self.face_network)
        face_network(settings)
        return settings


def polish_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gets a `Polish` in their place."""

    @wraps(command)
    def run(
        *args: Any,
        polish: bool,
        perceptual: bool,
        face_network: Path | None,
        preset: str | None,
        **others: Any,
    ) -> Any:
        return command(*args, polish=Polish(polish, perceptual, face_network, preset), **others)

    return _options(run)
