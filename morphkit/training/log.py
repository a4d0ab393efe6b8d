"""Rows of numbers as a run goes: a CSV file that a resumed run goes on with, and TensorBoard."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from morphkit.errors import MissingDependencyError
from morphkit.io.atomic import atomic_path
from morphkit.training.devices import REMEDY


class RowLog:
    """A CSV file whose first column is the step; rows after the step from which a run goes on are dropped.

    Parameters
    ----------
    path : of the file.
    columns : their names, "step" first.
    step : from which the run goes on; 0 begins anew.
    """

    def __init__(self, path: Path, columns: Sequence[str], step: int) -> None:
        self.path = path
        self.columns = list(columns)
        earlier = [row for row in read_rows(path) if int(row["step"]) <= step] if step else []
        text = io.StringIO()
        self._writer(text).writeheader()
        self._writer(text).writerows(earlier)
        with atomic_path(path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")

    def add(self, row: Mapping[str, float | int | str]) -> None:
        """Append a row, at once on the disk; columns that it lacks stay empty."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            self._writer(file).writerow(row)

    def _writer(self, file: Any) -> csv.DictWriter[str]:
        return csv.DictWriter(file, self.columns, extrasaction="ignore", lineterminator="\n")


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the whole rows of a log; one that a killed run left half written is none."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(io.StringIO(whole))
    return [row for row in rows if row.get("step", "").isdigit() and None not in row.values()]


class Board:
    """TensorBoard's file: scalars and pictures.

    Raises
    ------
    MissingDependencyError
        Without TensorBoard.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what TensorBoard itself imports
                from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependencyError(
                f"Training logs to TensorBoard, which is absent; {REMEDY}."
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Add numbers under a heading."""
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def picture(self, name: str, image: UInt8[ndarray, "h w 3"], step: int) -> None:
        """Add a picture."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
