"""Registered scans of a work folder to a model, and what can be said about both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from morphkit.basis import BasisSettings, BuiltModel, fit_basis
from morphkit.basis.metrics import Metric, leave_out_generalization, specificity
from morphkit.basis.outliers import FEWEST_JUDGED, find_outliers
from morphkit.building.gathering import Gathered, gathered
from morphkit.building.spread import mapper
from morphkit.errors import BadInputError
from morphkit.jobs.workers import Workers
from morphkit.mesh import Template
from morphkit.morphable import MorphableModel
from morphkit.scans.manifest import NEUTRAL, ManifestEntry

_FEWEST = 2  # neutral scans that count, of a model
_FEWEST_MEASURED = 6  # scans; fewer make no curve worth a look
_SURE = 12  # scans; among fewer, only gross outliers are told
_SHAPES, _SAMPLES = 60, 40  # that the report's curves are measured on; `morphkit evaluate` takes more


@dataclass(frozen=True, eq=False)
class Material:
    """What the statistics work on.

    Attributes
    ----------
    folder : that holds the registered scans.
    entries : what is known about each scan to use, by name.
    template : their topology, with all landmarks and masks that the model shall have.
    source : the model whose mean the template is, or None; it passes on its mirror map, and its expressions
        if the scans show none.
    workers : who forms the large sums.
    """

    folder: Path
    entries: Mapping[str, ManifestEntry]
    template: Template
    source: MorphableModel | None = None
    workers: Workers = field(default_factory=Workers)

    def without(self, names: Mapping[str, str]) -> Material:
        """Return the material without some scans."""
        return replace(self, entries={k: entry for k, entry in self.entries.items() if k not in names})

    @property
    def weights(self) -> Float[np.ndarray, " n"] | None:
        """How much each scan counts; None when all count alike."""
        weights = np.array([entry.weight for entry in self.entries.values()])
        return None if (weights == 1.0).all() else weights


@dataclass(frozen=True, eq=False)
class Statistics:
    """A model, and what can be said about it and its scans.

    Attributes
    ----------
    model : the model.
    used : names of the scans that it was made of.
    outliers : why a neutral scan is unlike the others, by name, the oddest first.
    generalization : how near models of the others come to a scan; None for few scans.
    specificity : how near random heads are to a scan; None for few scans.
    notes : sentences on what could not be told.
    unpaired : why a scan with an expression is left out, by name: no neutral scan of its person is used.
    """

    model: MorphableModel
    used: tuple[str, ...]
    outliers: Mapping[str, str]
    generalization: Metric | None = None
    specificity: Metric | None = None
    notes: tuple[str, ...] = ()
    unpaired: Mapping[str, str] = field(default_factory=dict)


def fit_registered(
    material: Material,
    settings: BasisSettings,
    *,
    prune: bool = False,
    capped: bool = True,
    measure: bool = True,
    texture: bool = True,
) -> Statistics:
    """Return the statistics of registered scans.

    Parameters
    ----------
    material : the scans.
    settings : of the statistics.
    prune : leave outliers out of the model.
    capped : ask for no more components than the scans span; else a note says that they span no more.
    measure : how good the model is, too.
    texture : build an albedo model where the scans have colours.

    Raises
    ------
    BadInputError
        When pruning would leave fewer than two neutral scans that count.
    """
    first = _fitted(material, settings, capped, measure, texture)
    if not (prune and first.outliers):
        return first
    rest = material.without(first.outliers)
    _ensure_enough(rest, first.outliers)
    return replace(_fitted(rest, settings, capped, measure, texture), outliers=first.outliers)


def _ensure_enough(material: Material, outliers: Mapping[str, str]) -> None:
    count = sum(entry.expression == NEUTRAL and entry.weight > 0 for entry in material.entries.values())
    if count < _FEWEST:
        raise BadInputError(
            f"Without the scans that are unlike the others ({', '.join(outliers)}), {count} neutral scans "
            f"with a weight above 0 are left, and a model needs {_FEWEST}; leave out --prune, or correct the "
            "weights."
        )


def _fitted(
    material: Material, settings: BasisSettings, capped: bool, measure: bool, texture: bool
) -> Statistics:
    template, source, entries = material.template, material.source, material.entries.values()
    expressions = tuple(entry.expression for entry in entries)
    # one BLAS thread, so that sums come out the same whatever the machine is doing
    with threadpool_limits(1), gathered(material.folder, tuple(material.entries), template.mesh) as scans:
        built = fit_basis(
            scans.shapes,
            template,
            colors=scans.colors if texture else None,
            valid=scans.valid,
            weights=material.weights,
            subjects=tuple(entry.subject for entry in entries),
            expressions=expressions,
            mirror=None if source is None else source.mirror,
            settings=_within(settings, expressions) if capped else settings,
            output=scans.output,
            mapper=mapper(material.workers, scans.shapes.file, len(expressions)),
        )
        return _described(built, material, scans, measure, template.masks.get(settings.alignment_mask))


def _within(settings: BasisSettings, expressions: tuple[str, ...]) -> BasisSettings:
    """Return the settings with no more components than so many scans can span."""
    neutral = expressions.count(NEUTRAL)
    most = max((2 if settings.mirrored else 1) * neutral - 1, 1)
    shape, albedo = settings.identity_components, settings.albedo_components
    moving = settings.expression_components
    return replace(
        settings,
        identity_components=min(shape, most) if isinstance(shape, int) else shape,
        albedo_components=None if albedo is None else min(albedo, most),
        expression_components=min(moving, len(expressions) - neutral) if isinstance(moving, int) else moving,
    )


def _described(
    built: BuiltModel, material: Material, scans: Gathered, measure: bool, mask: np.ndarray | None
) -> Statistics:
    """Return the model with outliers and metrics, measured over the face where the template knows it."""
    shapes, model, source = built.alignment.shapes, built.model, material.source
    region = mask if mask is not None and mask.any() else None
    neutral = [scans.names[i] for i in built.roles.neutral]
    odd = find_outliers(shapes, mask=region, faces=model.faces)
    if model.expression is None and source is not None:
        model = replace(model, expression=source.expression, expression_units=source.expression_units)
    outliers = {neutral[outlier.index]: outlier.reason for outlier in odd}
    unpaired = _unpaired(built, material, scans.names)
    used = tuple(name for name in scans.names if name not in unpaired)
    found = Statistics(model, used, outliers, notes=_outlier_notes(len(neutral)), unpaired=unpaired)
    if not measure or len(neutral) < _FEWEST_MEASURED:
        return found
    return replace(
        found,
        generalization=leave_out_generalization(shapes, model.faces, mask=region, limit=_SHAPES),
        specificity=specificity(
            model.identity, shapes, model.faces, mask=region, samples=_SAMPLES, limit=_SHAPES
        ),
    )


def _outlier_notes(count: int) -> tuple[str, ...]:
    if count >= _SURE:
        return ()
    if count >= FEWEST_JUDGED:
        return (f"Among {count} neutral scans, only those that are grossly unlike the others can be named.",)
    return (f"{count} neutral scans are too few to say which is unlike the others; look at their pictures.",)


def _unpaired(built: BuiltModel, material: Material, names: tuple[str, ...]) -> dict[str, str]:
    reason = "It is left out, since no neutral scan of {} is used that it could be compared with."
    left_out = [names[i] for i in built.roles.orphans]
    return {name: reason.format(material.entries[name].subject) for name in left_out}
