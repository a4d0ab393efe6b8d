"""What a build has to tell, in the report's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from morphkit.building.outcome import ScanOutcome
from morphkit.building.statistics import Statistics
from morphkit.export.build_report import Figure, ScanRow
from morphkit.export.plots import metric_plot, scree_plot

_NOTHING: Mapping[str, str] = {}


def scan_rows(
    outcomes: Sequence[ScanOutcome], outliers: Mapping[str, str] = _NOTHING, dropped: bool = False
) -> list[ScanRow]:
    """Return the report's line on each scan.

    Parameters
    ----------
    outcomes : of all scans.
    outliers : why a scan is unlike the others, by name.
    dropped : whether the outliers were left out.
    """
    return [
        ScanRow(
            scan.name,
            scan.verdict,
            scan.reasons,
            scan.mean_distance,
            scan.picture_path,
            scan.remarks,
            scan.timings,
            scan.reused,
            outliers.get(scan.name, ""),
            dropped and scan.name in outliers,
        )
        for scan in outcomes
    ]


def figures(statistics: Statistics) -> list[Figure]:
    """Return the plots that say how good a model is."""
    model = statistics.model
    shown = [
        Figure(
            scree_plot(model.identity, model.albedo),
            "Scree: how much each mode moves, beside the first. Where it bends into a floor, noise begins.",
        )
    ]
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
