"""What is looked at: a model, or a fit that `morphkit fit` wrote or returned."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.archive import load_default_model, load_model, resolve_model
from morphkit.errors import BadInputError
from morphkit.export.camera import PhotoCamera
from morphkit.io.images import read_image
from morphkit.io.meshes import read_mesh
from morphkit.morphable import MorphableModel
from morphkit.viewer.state import FaceCoefficients, mean_face

if TYPE_CHECKING:
    from morphkit.fitting import FitResult

PARAMS = "params.json"
_ABOVE = 3  # folders over a fit's, in which its model is looked for
_SAME = 0.05  # millimetres by which a fit's file may differ from its model's instance


@dataclass(frozen=True, eq=False)
class Subject:
    """What the viewer shows.

    Attributes
    ----------
    title : for the window.
    model : the model.
    start : the face to begin with.
    factor : (k, n) the posterior about it: identity and expression coefficients side by side are the
        start's plus ``factor @ z``, z standard normal; None if not known.
    painted : (v, 3) linear RGB from the photo, with its light; None if there is none.
    sh_coefficients : (s, 3) the photo's light in its camera's axes, or None.
    camera : the photo's, or None.
    photo : sRGB, or None; `caption` says what it shows.
    notes : what the viewer should say, one sentence each.
    """

    title: str
    model: MorphableModel
    start: FaceCoefficients
    factor: Float[np.ndarray, "k n"] | None = None
    painted: Float[np.ndarray, "v 3"] | None = None
    sh_coefficients: Float[np.ndarray, "s 3"] | None = None
    camera: PhotoCamera | None = None
    photo: UInt8[np.ndarray, "h w 3"] | None = None
    caption: str = ""
    notes: tuple[str, ...] = ()


def open_subject(
    source: MorphableModel | FitResult | str | os.PathLike[str] | None = None,
    *,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    photo: str | os.PathLike[str] | None = None,
) -> Subject:
    """Return what there is to look at.

    Parameters
    ----------
    source : a model or its file, the folder of a fit or the fit itself; None for the embedded head.
    model : that a folder's fit is of; None for the file that it names, or the embedded head.
    photo : of a folder's fit, if it lies elsewhere.

    Raises
    ------
    BadInputError
        If a file cannot be used, or the fit is of another model.
    """
    if source is None or isinstance(source, MorphableModel):
        return _of_model(resolve_model(source if model is None else model), "the embedded head")
    if not isinstance(source, str | os.PathLike):
        return _of_result(source)
    path = Path(source)
    if (path / PARAMS).is_file():
        return _of_folder(path, model, None if photo is None else Path(photo))
    fits = sorted(found.parent for found in path.glob(f"*/{PARAMS}")) if path.is_dir() else []
    if len(fits) == 1:
        return _of_folder(fits[0], model, None if photo is None else Path(photo))
    if fits:
        names = ", ".join(fit.name for fit in fits[:5]) + (", …" if len(fits) > 5 else "")
        raise BadInputError(f"{path} holds {len(fits)} fits ({names}); name one of these folders.")
    if model is not None or photo is not None:
        raise BadInputError(f"{path} is not the folder of a fit ({PARAMS} is missing).")
    return _of_model(resolve_model(path), path.name)


def _of_model(model: MorphableModel, title: str) -> Subject:
    source = model.provenance.get("source")
    return Subject(str(source) if isinstance(source, str) else title, model, mean_face())


def _of_result(result: FitResult) -> Subject:
    covariance = None if result.posterior is None else result.posterior.shape_covariance
    return Subject(
        "a fit" if result.source is None else result.source.name,
        result.model,
        FaceCoefficients(result.identity, result.expression, result.albedo),
        factor=None if covariance is None else np.linalg.cholesky(covariance),
        painted=result.lit_colors,
        sh_coefficients=result.sh_coefficients,
        camera=result.camera,
        photo=result.photo,
        caption="The photo",
    )


def _of_folder(
    folder: Path, given: MorphableModel | str | os.PathLike[str] | None, photo: Path | None
) -> Subject:
    said = _read(folder / PARAMS)
    model = _fitted_model(folder, said.get("model")) if given is None else resolve_model(given)
    start = FaceCoefficients(*(_numbers(said, name, folder) for name in ("identity", "expression", "albedo")))
    painted = _painted(folder, model, start)
    picture, caption = _picture(folder, said.get("photo"), photo)
    _ensure_same(folder, model, said.get("model"))
    factor, exact = _factor(folder, said.get("posterior"), len(start.identity) + len(start.expression))
    notes = ("The file says how sure each coefficient is, not how they go together: samples vary too much.",)
    return Subject(
        folder.name,
        model,
        start,
        factor=factor,
        painted=painted,
        sh_coefficients=_light(said.get("sh_coefficients")),
        camera=_camera(folder / "camera.json"),
        photo=picture,
        caption=caption,
        notes=() if factor is None or exact else notes,
    )


def _fitted_model(folder: Path, said: Any) -> MorphableModel:
    """Return the model that a fit names."""
    named = said.get("file") if isinstance(said, dict) else None
    if not isinstance(named, str) or not named:
        return load_default_model()
    for path in _candidates(named, folder):
        with suppress(BadInputError):
            model = load_model(path)
            if said.get("digest", model.digest) == model.digest:
                return model
    raise BadInputError(
        f"{folder} is a fit of the model {named}, which is not found as it was; name it (--model)."
    )


def _candidates(named: str, folder: Path) -> Iterator[Path]:
    """Yield what may be a fit's model: by its name near the fit, else as it was given."""
    near = folder.resolve()
    for place in (near, *near.parents[:_ABOVE], Path()):
        for path in dict.fromkeys((place / named, place / Path(named).name)):
            with suppress(OSError, ValueError):  # what can be no name, folders that are not ours
                if path.exists():
                    yield path


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path} cannot be read; fit the photo again.") from error
    if not isinstance(said, dict):
        raise BadInputError(f"{path} is not what morphkit fit writes; fit the photo again.")
    return said


def _numbers(said: Mapping[str, Any], name: str, folder: Path) -> Float[np.ndarray, " k"]:
    try:
        numbers = np.array(said[name], np.float64)
    except (KeyError, TypeError, ValueError):
        numbers = np.full(1, np.nan)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise BadInputError(f"{folder / PARAMS} has no {name} coefficients; fit the photo again.")
    return numbers


def _painted(folder: Path, model: MorphableModel, start: FaceCoefficients) -> np.ndarray | None:
    """Return the mesh's colours, having made sure that it is this model's face."""
    try:
        expression = start.expression if len(start.expression) else None
        vertices = model.instance(start.identity, expression)
    except ValueError as error:
        raise _another(folder) from error
    if not (folder / "mesh.ply").is_file():
        return None
    mesh = read_mesh(folder / "mesh.ply")
    if mesh.vertices.shape != vertices.shape or np.abs(mesh.vertices - vertices).max(initial=0.0) > _SAME:
        raise _another(folder)
    return None if mesh.colors is None else np.nan_to_num(mesh.colors.astype(np.float64), nan=0.5)


def _ensure_same(folder: Path, model: MorphableModel, said: Any) -> None:
    """Refuse another model than the file names; older files name none."""
    if isinstance(said, dict) and said.get("digest", model.digest) != model.digest:
        raise _another(folder, f", {said.get('name')}" if isinstance(said.get("name"), str) else "")


def _another(folder: Path, named: str = "") -> BadInputError:
    return BadInputError(
        f"{folder} is a fit of another model than the one at hand{named}; name the model that was fitted "
        "(--model)."
    )


def _factor(folder: Path, posterior: Any, count: int) -> tuple[np.ndarray | None, bool]:
    """Return a factor of the coefficients' covariance, and whether it knows how they go together."""
    with suppress(OSError, ValueError, KeyError, MemoryError, zipfile.BadZipFile, np.linalg.LinAlgError):
        with np.load(folder / "posterior.npz", allow_pickle=False) as file:
            covariance = file["covariance"].astype(np.float64)
        if covariance.shape == (count, count) and np.isfinite(covariance).all():
            return np.linalg.cholesky(covariance), True
    return _deviations(posterior), False


def _deviations(posterior: Any) -> np.ndarray | None:
    if not isinstance(posterior, dict):
        return None
    try:
        parts = [np.array(posterior[f"{name}_deviations"], np.float64) for name in ("identity", "expression")]
    except (KeyError, TypeError, ValueError):
        return None
    deviations = np.concatenate(parts)
    return np.diag(deviations) if np.isfinite(deviations).all() else None


def _light(said: Any) -> np.ndarray | None:
    try:
        light = np.array(said, np.float64)
    except (TypeError, ValueError):
        return None
    return light if light.shape in ((1, 3), (4, 3), (9, 3)) and np.isfinite(light).all() else None


def _camera(path: Path) -> PhotoCamera | None:
    if not path.is_file():
        return None
    said = _read(path)
    try:
        K, R, t = (np.array(said[name], np.float64) for name in ("K", "R", "t"))
        return PhotoCamera(K, R, t, int(said["width"]), int(said["height"]))
    except (KeyError, TypeError, ValueError):
        raise BadInputError(f"{path} is not what morphkit fit writes; fit the photo again.") from None


def _picture(folder: Path, name: Any, photo: Path | None) -> tuple[np.ndarray | None, str]:
    """Return the photo, or else the overlay that the fit wrote."""
    if photo is not None:
        return read_image(photo), photo.name
    places = [place / name for place in (folder, *folder.parents[:2])] if isinstance(name, str) else []
    for place in places:
        if place.is_file():
            return read_image(place), place.name
    overlay = folder / "overlay.png"
    if overlay.is_file():
        return read_image(overlay), "overlay.png: the fit on its photo"
    return None, ""
