"""Files of tensors and plain values, written and read by torch: nothing in them is executed."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from morphkit.errors import BadInputError
from morphkit.io.atomic import atomic_path

_MOST_PARTS = 10_000  # files in one


def write_torch_file(path: str | os.PathLike[str], values: object) -> None:
    """Write what `read_torch_file` reads, atomically.

    Raises
    ------
    OutputError
        When the file cannot be written, a full disk included.
    """
    packed = io.BytesIO()  # of a file, torch says no more than that it could not be written
    torch.save(values, packed)
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed.getbuffer())


def read_torch_file(path: str | os.PathLike[str], needed: str, legacy: bool = False) -> Any:
    """Return what `torch.save` wrote, on the CPU; tensors and plain values alone are let in.

    What is read is bounded by the file's own size: compressed parts, which could hold anything, are refused,
    and so are tensors larger than what was stored of them.

    Parameters
    ----------
    path : the file.
    needed : what the file should be, for messages: "weights of …".
    legacy : let in what torch wrote before version 1.6, as some published weights still are.

    Raises
    ------
    BadInputError
        When it is missing, damaged, or holds anything else.
    """
    source = Path(path)
    try:
        size = source.stat().st_size
        if source.is_dir():
            raise _refusal(source, "a folder", needed)
        if not zipfile.is_zipfile(source):
            if not legacy:
                raise _refusal(source, "no file that torch wrote, or a damaged one", needed)
        elif not _is_plain(source, size):
            raise _refusal(source, "a packed archive, not a file that torch wrote", needed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInputError(f"There is no file {source}; check the path.") from None
    except BadInputError:
        raise
    except OSError as error:
        raise BadInputError(f"{source} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # torch and pickle have many ways to say that a file is no good
        raise _refusal(source, "damaged, or it holds more than tensors and plain values", needed) from error
    if not _fits(values, size):
        raise _refusal(source, "damaged: its tensors are larger than the file", needed)
    return values


def ensure_fits(
    path: str | os.PathLike[str], state: object, wanted: Mapping[str, Tensor], needed: str, rest: str = ""
) -> dict[str, Tensor]:
    """Return the tensors of a state dict, which must be these, by name, shape and kind of number.

    Parameters
    ----------
    path, needed : for messages, as in `read_torch_file`.
    state : what should be a mapping from names to tensors.
    wanted : names, shapes and kinds of number that it must have.
    rest : names that end so may be missing; "" none.

    Raises
    ------
    BadInputError
        Naming the first that is missing, unknown, of another shape, or not finite.
    """
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise _refusal(path, "no mapping from names to tensors", needed)
    for name in sorted(set(state) - set(wanted)):
        raise _refusal(path, f"{name[:60]} is not one of its weights", needed)
    for name, like in wanted.items():
        value = state.get(name)
        if value is None:
            if rest and name.endswith(rest):
                continue
            raise _refusal(path, f"{name} is missing", needed)
        if value.shape != like.shape or value.layout != torch.strided:
            raise _refusal(path, f"{name} must be {tuple(like.shape)}, got {tuple(value.shape)}", needed)
        if value.is_floating_point() != like.is_floating_point() or value.is_complex():
            raise _refusal(path, f"{name} must be {like.dtype}, got {value.dtype}", needed)
        if not value.isfinite().all():
            raise _refusal(path, f"{name} holds a number that is not finite", needed)
    return state


def _is_plain(path: Path, size: int) -> bool:
    """Return whether a zip archive is stored as torch stores it, no larger inside than outside."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
    return stored and len(parts) <= _MOST_PARTS and sum(part.file_size for part in parts) <= size


def _fits(values: object, size: int) -> bool:
    """Return whether the memory behind all tensors is no more than the file could hold."""
    memory = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _tensors(values)}
    return sum(memory.values()) <= size


def _tensors(values: object) -> Iterator[Tensor]:
    waiting, seen = [values], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:  # a list may hold itself
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            if value.layout == torch.strided:
                yield value
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)


def _refusal(path: str | os.PathLike[str], what: str, needed: str) -> BadInputError:
    return BadInputError(f"{path}: {what}; {needed} is needed.")
