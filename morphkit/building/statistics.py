"""Registered scans of a work folder to a model, and what can be said about both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from morphkit.basis import BasisSettings, BuiltModel, fit_basis
from morphkit.basis.metrics import Metric, leave_out_generalization, specificity
from morphkit.basis.outliers import find_outliers
from morphkit.building.gathering import gathered
from morphkit.mesh import Template
from morphkit.morphable import MorphableModel

_FEWEST_MEASURED = 6  # scans; fewer make no curve worth a look
_SHAPES, _SAMPLES = 60, 60  # that the report's curves are measured on; `morphkit evaluate` takes more


@dataclass(frozen=True, eq=False)
class Material:
    """What the statistics work on.

    Attributes
    ----------
    folder : that holds the registered scans.
    names : of those to use, two or more.
    template : their topology, with all landmarks and masks that the model shall have.
    source : the model whose mean the template is, or None; it passes on its mirror map and expressions.
    """

    folder: Path
    names: tuple[str, ...]
    template: Template
    source: MorphableModel | None


@dataclass(frozen=True, eq=False)
class Statistics:
    """A model, and what can be said about it and its scans.

    Attributes
    ----------
    model : the model.
    used : names of the scans that it is made of.
    outliers : why a scan is unlike the others, by name, the oddest first.
    generalization : how near models of the others come to a scan; None for few scans.
    specificity : how near random heads are to a scan; None for few scans.
    """

    model: MorphableModel
    used: tuple[str, ...]
    outliers: Mapping[str, str]
    generalization: Metric | None
    specificity: Metric | None


def fit_registered(
    material: Material, settings: BasisSettings, *, prune: bool = False, capped: bool = True
) -> Statistics:
    """Return the statistics of registered scans.

    One BLAS thread throughout, so that sums come out the same whatever the machine is doing.

    Parameters
    ----------
    material : the scans.
    settings : of the statistics.
    prune : leave outliers out of the model.
    capped : ask for no more components than the scans span; else a note says that they span no more.
    """
    with threadpool_limits(1):
        first = _fitted(material, settings, capped)
        odd = first.outliers
        rest = tuple(name for name in material.names if name not in odd)
        if not prune or not odd or len(rest) < 2:
            return first
        again = _fitted(replace(material, names=rest), settings, capped)
        return replace(again, outliers=odd)


def _fitted(material: Material, settings: BasisSettings, capped: bool) -> Statistics:
    template, source = material.template, material.source
    if capped:
        settings = _within(settings, len(material.names) - 1)
    with gathered(material.folder, material.names, template.mesh) as scans:
        built = fit_basis(
            np.asarray(scans.shapes),
            template,
            colors=None if scans.colors is None else np.asarray(scans.colors),
            valid=np.asarray(scans.valid),
            mirror=None if source is None else source.mirror,
            settings=settings,
        )
        return _described(built, material, template.masks.get(settings.alignment_mask))


def _within(settings: BasisSettings, most: int) -> BasisSettings:
    shape, albedo = settings.identity_components, settings.albedo_components
    return replace(
        settings,
        identity_components=min(shape, most) if isinstance(shape, int) else shape,
        albedo_components=None if albedo is None else min(albedo, most),
    )


def _described(built: BuiltModel, material: Material, mask: np.ndarray | None) -> Statistics:
    """Return the model with outliers and metrics, measured over the face where the template knows it."""
    shapes, model = built.alignment.shapes, built.model
    region = mask if mask is not None and mask.any() else None
    odd = find_outliers(shapes, residuals=built.alignment.residuals, mask=region)
    curves: list[Metric | None] = [None, None]
    if len(material.names) >= _FEWEST_MEASURED:
        curves = [
            leave_out_generalization(shapes, model.faces, mask=region, limit=_SHAPES),
            specificity(model.identity, shapes, model.faces, mask=region, samples=_SAMPLES, limit=_SHAPES),
        ]
    if material.source is not None:
        expression, units = material.source.expression, material.source.expression_units
        model = replace(model, expression=expression, expression_units=units)
    outliers = {material.names[outlier.index]: outlier.reason for outlier in odd}
    return Statistics(model, material.names, outliers, *curves)
