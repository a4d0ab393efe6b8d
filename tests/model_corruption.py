"""What every layout of model files owes its reader, stated once: damage, memory, formula, round trip.

The tests of a layout make a small valid file in that layout and hand its path in:

- `assert_survives_damage(path, folder)`: cut copies are refused with a sentence, flipped ones too or still
  read as a valid model; no other exception, no long wait, no memory beyond twice the file.
- `assert_refused(path, match)`: one crafted file (a lie about sizes, say) is refused, quickly and cheaply.
- `assert_bounded_memory(path)`: reading the valid file stays below twice its size; make that one a few
  megabytes large, or the allowance for small things says it all.
- `assert_formula(model, expected, ...)` and `assert_albedo_formula(...)`: an instance equals what the
  layout's own formula gives, computed by the test from the raw arrays.
- `assert_round_trip(model, folder, suffix, layout)`: written, read and written again: the same bytes.

A path may be a folder (ICT-FaceKit): then one of its files is damaged at a time.
"""

from __future__ import annotations

import re
import shutil
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from morphkit.archive import load_model, save_model
from morphkit.errors import BadInputError
from morphkit.morphable import LinearModel, MorphableModel

Damage = Callable[[bytes, np.random.Generator], tuple[bytes, str]]
Harmless = Callable[[Path, bytes], bool]
SLACK = 2 << 20
"""Bytes for small things: parsed headers, names, caches of libraries."""
SECONDS = 10.0
"""The longest that one small file may take."""
_EDGE = 2048  # headers and directories lie within these first or last bytes, and the interesting flips do


def assert_survives_damage(
    path: Path,
    folder: Path,
    *,
    cuts: int = 50,
    flips: int = 50,
    seed: int = 20190319,
    unpacked: int = 0,
    harmless: Harmless | None = None,
) -> int:
    """Assert that `cuts` cut copies are refused, and `flips` flipped ones too or read as valid models.

    Parameters
    ----------
    path : a valid file, or folder, of the layout; tens of kilobytes, so that the loads are quick.
    folder : where the copies go, one at a time.
    cuts, flips : how many copies; half of the flips are at the file's start or end, where headers are.
    seed : of the places.
    unpacked : bytes that the valid file honestly unpacks to, when it is compressed.
    harmless : tells of a cut file which cuts take nothing that is read, and may be accepted; none by default.

    Returns
    -------
    How many flipped copies were refused.
    """
    rng = np.random.default_rng(seed)
    check_model(load_model(path))  # valid at all; and what is imported or compiled on the way is, afterwards
    budget = memory_budget(path, unpacked)
    refused = 0
    copies = [("cut", _cut)] * cuts + [("flip", _flip)] * flips
    for i, (name, damage) in enumerate(copies):
        copy, damaged, what = _damaged_copy(path, folder, damage, rng)
        try:
            noticed = _survives(copy, damaged, budget)
        except Exception as error:
            raise AssertionError(f"{name} {i} ({what}): {type(error).__name__}: {error}") from error
        if name == "cut":
            spared = harmless is not None and harmless(damaged, damaged.read_bytes())
            assert noticed or spared, f"{name} {i} ({what}) was read as if it were whole"
        else:
            refused += noticed
    return refused


def assert_refused(path: Path, match: str = "", *, seconds: float = 2.0, allowance: int = 0) -> None:
    """Assert that a crafted file is refused with a sentence like `match`, quickly, and within twice its size.

    Parameters
    ----------
    path : the file.
    match : a regular expression that the sentence must contain.
    seconds : the longest that it may take.
    allowance : further bytes.
    """
    start = time.perf_counter()
    with traced() as peak:
        message = _refusal(path)
    assert message is not None, f"{path} was read"
    assert_sentence(message, path)
    assert re.search(match, message), message
    assert time.perf_counter() - start < seconds
    assert peak[0] <= memory_budget(path) + allowance, f"{peak[0]} bytes for a file of {size_of(path)}"


def assert_bounded_memory(path: Path, *, unpacked: int = 0) -> float:
    """Assert that a valid file is read within twice its size; returns the peak as a multiple of the size."""
    load_model(path)  # imports and compilation are no part of it
    with traced() as peak:
        check_model(load_model(path))
    size = max(size_of(path), unpacked)
    assert peak[0] <= memory_budget(path, unpacked), (
        f"{peak[0] / size:.2f} times the {size} bytes of the file"
    )
    return peak[0] / size


def assert_formula(
    model: MorphableModel,
    expected: np.ndarray,
    identity: np.ndarray | None = None,
    expression: np.ndarray | None = None,
    *,
    tolerance: float = 1e-6,
) -> None:
    """Assert that an instance is what the layout's own formula gives for the same coefficients.

    Parameters
    ----------
    model : as it was read.
    expected : (v, 3) millimetres, by the layout's formula in float64 from the file's raw arrays.
    identity, expression : the layout's coefficients; None are zeros.
    tolerance : of the model's size, the diagonal of the box around `expected`.
    """
    size = float(np.linalg.norm(np.ptp(expected, axis=0)))
    found = model.instance(identity, expression)
    assert found.shape == expected.shape
    worst = float(np.abs(found - expected).max())
    assert worst <= tolerance * size, f"{worst:.3g} off, that is {worst / size:.2g} of the size"


def assert_albedo_formula(model: MorphableModel, expected: np.ndarray, albedo: np.ndarray) -> None:
    """Assert that an albedo instance, not clipped, is `expected` (0..1, by the layout's formula) to 1e-6."""
    assert model.albedo is not None
    np.testing.assert_allclose(model.albedo.instance(albedo), expected, rtol=0, atol=1e-6)


def assert_round_trip(
    model: MorphableModel, folder: Path, suffix: str, layout: str | None = None, *, same_model: bool = True
) -> MorphableModel:
    """Assert that a model written and read comes back, and is written again as the same bytes.

    Parameters
    ----------
    model : with what the layout can hold, and no more.
    folder, suffix, layout : where to, and how.
    same_model : whether `model` itself must come back, bit for bit; else only the second time (a layout that
        scales the basis rounds once).

    Returns
    -------
    What was read.
    """
    first, second, third = (folder / f"{name}{suffix}" for name in ("first", "second", "third"))
    save_model(first, model, layout=layout)
    save_model(third, model, layout=layout)
    assert first.read_bytes() == third.read_bytes(), "the same model gave other bytes"
    back = load_model(first)
    if same_model:
        assert_same_model(back, model)
    save_model(second, back, layout=layout)
    assert first.read_bytes() == second.read_bytes(), "the second write differs"
    assert_same_model(load_model(second), back)
    return back


def assert_same_model(a: MorphableModel, b: MorphableModel) -> None:
    """Assert that two models are the same, bit for bit, the provenance apart."""
    assert a.digest == b.digest
    for name in ("identity", "expression", "albedo"):
        _assert_same_group(getattr(a, name), getattr(b, name))
    for name in ("faces", "uv", "mirror"):
        _assert_same_array(getattr(a, name), getattr(b, name), name)
    assert set(a.masks) == set(b.masks)
    for name in a.masks:
        _assert_same_array(a.masks[name], b.masks[name], name)
    assert set(a.landmarks) == set(b.landmarks)
    for name, embedding in a.landmarks.items():
        assert embedding.names == b.landmarks[name].names
        _assert_same_array(embedding.face_indices, b.landmarks[name].face_indices, name)
        _assert_same_array(embedding.barycentrics, b.landmarks[name].barycentrics, name)
    assert (a.expression_units is None) == (b.expression_units is None)
    if a.expression_units is not None:
        assert a.expression_units.names == b.expression_units.names
        _assert_same_array(a.expression_units.coefficients, b.expression_units.coefficients, "units")


def check_model(model: MorphableModel) -> None:
    """Assert that a model is valid: finite, unit columns, indices in range, everything of one topology."""
    v, f = model.n_vertices, len(model.faces)
    assert v > 0
    assert model.faces.shape == (f, 3)
    assert model.faces.dtype == np.int32
    assert not f or 0 <= model.faces.min() <= model.faces.max() < v
    for group in (model.identity, model.expression, model.albedo):
        if group is not None:
            _check_group(group, v)
    if model.uv is not None:
        assert model.uv.shape == (f, 3, 2)
        assert np.isfinite(model.uv).all()
    if model.mirror is not None:
        assert model.mirror.shape == (v,)
        assert 0 <= model.mirror.min() <= model.mirror.max() < v
    for embedding in model.landmarks.values():
        assert len(embedding.names) == len(embedding.face_indices) == len(embedding.barycentrics)
        assert np.isfinite(embedding.landmarks(model.instance(), model.faces).points).all()
    units = model.expression_units
    if units is not None:
        assert model.expression is not None
        assert units.coefficients.shape == (len(units.names), model.expression.n_components)
        assert np.isfinite(units.coefficients).all()


def assert_sentence(message: str, *paths: Path) -> None:
    """Assert that a message is one line that names one of the files and ends like a sentence."""
    assert "\n" not in message, message
    assert any(path.name in message for path in paths), message
    assert message.rstrip().endswith((".", ")", "!")), message
    assert "Traceback" not in message
    assert len(message) < 600 + max(len(str(path)) for path in paths), message


def memory_budget(path: Path, unpacked: int = 0) -> int:
    """Return the most bytes that reading may take: twice the file or what it unpacks to, and small things."""
    return 2 * max(size_of(path), unpacked) + SLACK


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    files = [item for item in path.rglob("*") if item.is_file()] if path.is_dir() else [path]
    return sum(item.stat().st_size for item in files)


class traced:  # noqa: N801 - used like a function
    """A context whose value is a list that holds, afterwards, the peak of bytes allocated within it."""

    def __enter__(self) -> list[int]:
        self._peak: list[int] = []
        tracemalloc.start()
        return self._peak

    def __exit__(self, *_: object) -> None:
        self._peak.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()


def _refusal(path: Path) -> str | None:
    """Return the sentence that refuses a file, or None when it is read, and is a valid model."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            model = load_model(path)
        except BadInputError as error:
            return str(error)
    check_model(model)
    return None


def _survives(copy: Path, damaged: Path, budget: int) -> bool:
    start = time.perf_counter()
    with traced() as peak:
        message = _refusal(copy)
    assert time.perf_counter() - start < SECONDS, "it took too long"
    assert peak[0] <= budget, f"{peak[0]} bytes of memory; {budget} are allowed"
    if message is not None:
        assert_sentence(message, copy, damaged)
    return message is not None


def _damaged_copy(
    path: Path, folder: Path, damage: Damage, rng: np.random.Generator
) -> tuple[Path, Path, str]:
    """Return a copy, the file in it that is damaged, and what was done to it."""
    copy = folder / f"damaged-{path.name}"
    if copy.is_dir():
        shutil.rmtree(copy)
    if not path.is_dir():
        data, what = damage(path.read_bytes(), rng)
        copy.write_bytes(data)
        return copy, copy, what
    shutil.copytree(path, copy)
    files = sorted(item for item in copy.rglob("*") if item.is_file() and item.stat().st_size)
    victim = files[int(rng.integers(len(files)))]
    data, what = damage(victim.read_bytes(), rng)
    victim.write_bytes(data)
    return copy, victim, f"{victim.name}: {what}"


def _cut(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    length = int(rng.integers(len(data)))
    return data[:length], f"{length} of {len(data)} bytes"


def _flip(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Change one byte, or a few; at the ends every second time."""
    broken = bytearray(data)
    places = list(_places(len(data), rng))
    for place in places:
        broken[place] ^= int(rng.integers(1, 256))
    return bytes(broken), f"bytes {places} of {len(data)}"


def _places(length: int, rng: np.random.Generator) -> Iterator[int]:
    edge = min(_EDGE, length)
    kind = int(rng.integers(4))
    for _ in range(int(rng.choice([1, 1, 8]))):
        if kind < 2:
            yield int(rng.integers(length))
        else:
            place = int(rng.integers(edge))
            yield place if kind == 2 else length - 1 - place


def _check_group(group: LinearModel, v: int) -> None:
    assert group.mean.shape == (v, 3)
    assert group.mean.dtype == group.basis.dtype == np.float32
    assert group.basis.shape == (3 * v, group.n_components)
    for values in (group.mean, group.basis, group.standard_deviations):
        assert np.isfinite(values).all()
    assert np.isfinite(group.noise_variance)
    assert group.noise_variance >= 0
    assert (group.standard_deviations >= 0).all()
    lengths = np.sqrt(np.einsum("ij,ij->j", group.basis, group.basis, dtype=np.float64))
    np.testing.assert_allclose(lengths, 1.0, atol=1e-3)


def _assert_same_group(a: LinearModel | None, b: LinearModel | None) -> None:
    assert (a is None) == (b is None)
    if a is not None and b is not None:
        for name in ("mean", "basis", "standard_deviations"):
            _assert_same_array(getattr(a, name), getattr(b, name), name)
        assert a.noise_variance == b.noise_variance


def _assert_same_array(a: np.ndarray | None, b: np.ndarray | None, name: str) -> None:
    assert (a is None) == (b is None), name
    if a is not None and b is not None:
        assert a.dtype == b.dtype, name
        np.testing.assert_array_equal(a, b, err_msg=name)
