"""Registered scans of a work folder to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from morphkit.basis import BasisSettings, BuiltModel, fit_basis
from morphkit.building.gathering import gathered
from morphkit.mesh import Template
from morphkit.morphable import MorphableModel


def fit_registered(
    folder: Path,
    names: Sequence[str],
    template: Template,
    source: MorphableModel | None,
    settings: BasisSettings,
    record: Mapping[str, Any],
) -> BuiltModel:
    """Return the statistics of registered scans.

    One BLAS thread throughout, so that sums come out the same whatever the machine is doing.

    Parameters
    ----------
    folder : that holds them.
    names : of those to use, two or more.
    template : their topology, with all landmarks and masks that the model shall have.
    source : the model whose mean the template is, or None; it passes on its mirror map and expressions.
    settings : of the statistics.
    record : the model's provenance.
    """
    with threadpool_limits(1), gathered(folder, names, template.mesh) as scans:
        built = fit_basis(
            np.asarray(scans.shapes),
            template,
            colors=None if scans.colors is None else np.asarray(scans.colors),
            valid=np.asarray(scans.valid),
            mirror=None if source is None else source.mirror,
            settings=settings,
            provenance=record,
        )
    if source is None:
        return built
    model = replace(built.model, expression=source.expression, expression_units=source.expression_units)
    return replace(built, model=model)
