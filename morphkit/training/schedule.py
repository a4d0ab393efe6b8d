"""How the learning rate goes over a run: a pure function of the step."""

from __future__ import annotations

import math

from morphkit.training.config import LoopSettings


def learning_rate(settings: LoopSettings, step: int, total: int) -> float:
    """Return the rate of a step.

    It rises evenly over the `warmup` steps, the first of which already moves; then it stays, falls by a
    factor at equal parts of the whole run, or follows half a cosine from the end of the warm-up to the end of
    the run.

    Parameters
    ----------
    settings : of the loop.
    step : counted from 0.
    total : steps of the run.
    """
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    return settings.learning_rate * _share(settings, step, total)


def _share(settings: LoopSettings, step: int, total: int) -> float:
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "step":
        return settings.schedule_factor ** (step * settings.schedule_steps // total)
    way = (step - settings.warmup) / max(1, total - settings.warmup)
    floor = settings.schedule_floor
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, way)))
