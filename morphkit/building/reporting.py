"""What a build has to tell, in the report's terms."""

from __future__ import annotations

from collections.abc import Sequence

from morphkit.building.outcome import ScanOutcome
from morphkit.building.statistics import Statistics
from morphkit.export.build_report import Figure, ScanRow, plotted_groups
from morphkit.export.plots import metric_plot, scree_plot


def scan_rows(outcomes: Sequence[ScanOutcome], found: Statistics | None = None) -> list[ScanRow]:
    """Return the report's line on each scan.

    Parameters
    ----------
    outcomes : of all scans.
    found : the statistics, if there is a model.
    """
    unpaired = {} if found is None else found.unpaired
    outliers = {} if found is None else found.outliers
    used = {scan.name for scan in outcomes} if found is None else set(found.used)
    return [
        ScanRow(
            scan.name,
            scan.verdict,
            (*scan.reasons, unpaired[scan.name]) if scan.name in unpaired else scan.reasons,
            scan.diagnosis,
            scan.picture_path,
            scan.remarks,
            scan.timings,
            scan.reused,
            outliers.get(scan.name, ""),
            scan.usable and scan.name not in used,
        )
        for scan in outcomes
    ]


def figures(statistics: Statistics) -> list[Figure]:
    """Return the plots that say how good a model is."""
    shown, curves = [], plotted_groups(statistics.model)
    if curves:
        caption = (
            "Scree: how much each mode moves, beside the first. Where it bends into a floor, noise begins."
        )
        shown.append(Figure(scree_plot(curves), caption))
    if statistics.generalization is not None:
        shown.append(
            Figure(
                metric_plot(statistics.generalization, "mm to the scan left out"),
                f"Generalization: how near models of the other scans come to one left out, over "
                f"{statistics.generalization.count} scans; bands are 95 % intervals. Lower is better.",
            )
        )
    if statistics.specificity is not None:
        shown.append(
            Figure(
                metric_plot(statistics.specificity, "mm to the nearest scan"),
                f"Specificity: how far {statistics.specificity.count} random heads are from the nearest "
                "scan. Lower is better: the model makes nothing that is no face.",
            )
        )
    return shown
