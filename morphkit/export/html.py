"""Reports as one self-contained HTML file: pictures inside, nothing fetched."""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

import morphkit
from morphkit.io.atomic import atomic_path

_TEMPLATES = Path(__file__).parent / "templates"


def image_uri(
    image: UInt8[np.ndarray, "h w c"],
    *,
    kind: Literal["jpeg", "png"] = "jpeg",
    max_side: int | None = 1200,
    quality: int = 88,
) -> str:
    """Return a picture as a ``data:`` URI, for the ``src`` of an ``<img>``.

    Parameters
    ----------
    image : (h, w, 3) sRGB or (h, w, 4) sRGB and alpha, row 0 at the top; alpha needs ``kind="png"``.
    kind : the encoding: JPEG for photos and renders, PNG for line art and transparency.
    max_side : the picture is reduced so that its longer side has at most this many pixels; None keeps it.
    quality : JPEG quality, 1..95.
    """
    channels = image.shape[2]
    if channels not in ((3,) if kind == "jpeg" else (3, 4)):
        raise ValueError(f"image: a {kind} cannot hold {channels} channels")
    picture = Image.fromarray(image)
    if max_side is not None and max(picture.size) > max_side:
        picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": quality} if kind == "jpeg" else {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def render_report(template_name: str, path: Path | str, **values: Any) -> None:
    """Fill a template of ``morphkit/export/templates`` and write the page atomically.

    A report extends ``base.html.jinja`` (blocks ``title``, ``lead``, ``content``) and may import
    ``macros.html.jinja``. Values are escaped; a name that the template uses and `values` lacks raises
    `jinja2.UndefinedError`.
    """
    page = _environment().get_template(template_name).render(morphkit_version=morphkit.__version__, **values)
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(page, encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
