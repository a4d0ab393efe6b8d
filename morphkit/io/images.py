"""Photos in (any common format, upright, sRGB) and pictures out."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

from morphkit.errors import BadInputError
from morphkit.io.atomic import atomic_path

MAX_MEGAPIXELS = 100

_COMPRESSION = 4  # of PNGs: a third of the time of the usual 6, for a few per cent more bytes
_ORIENTATION_TAG = 0x0112
_TURNS = {  # EXIF orientation -> what turns the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "h w 3"]:
    """Read a photo as sRGB, row 0 at the top, turned upright by its EXIF orientation.

    Greyscale, palette, CMYK and 16-bit pictures are converted, embedded colour profiles applied, transparency
    laid over white. Of an animation or a burst the first picture is taken.

    Raises
    ------
    BadInputError
        When the file is missing, no image, damaged, empty, or larger than 100 megapixels (judged from its
        header, before anything is decoded).
    """
    path = Path(path)
    with _open(path) as image:
        width, height = image.size
        if width * height > MAX_MEGAPIXELS * 1_000_000:
            raise _too_large(path, f" ({width} x {height})")
        try:
            image.load()
            upright = _turned(_to_rgb(image), _orientation(image))
        except Exception as error:  # decoders fail in many ways on damaged bytes
            raise BadInputError(
                f"{path} is damaged and cannot be decoded ({error}); export or copy it again."
            ) from error
        return np.array(upright)


def rgb_pixels(image: np.ndarray, name: str = "image") -> UInt8[np.ndarray, "h w 3"]:
    """Return an array of sRGB codes as `read_image` would give them: grey repeated, transparency over white.

    Parameters
    ----------
    image : uint8, (h, w) or (h, w, 1) grey, (h, w, 3) RGB, or with opacity last, (h, w, 2) or (h, w, 4). RGB
        is returned as it is.
    name : of the argument, for the error.

    Raises
    ------
    ValueError
        When it is something else, such as floats, whose range an array does not tell.
    """
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or not 1 <= channels <= 4 or image.size == 0:
        hint = "; for 0..1, give np.rint(255 * image).astype(np.uint8)" if image.dtype.kind == "f" else ""
        raise ValueError(
            f"{name}: expected sRGB codes, uint8 of shape (h, w), (h, w, 3) or (h, w, 4), got {image.dtype} "
            f"of shape {image.shape}{hint}"
        )
    if channels == 3:
        return image
    return np.array(_to_rgb(Image.fromarray(image[..., 0] if image.ndim == 3 and channels == 1 else image)))


def write_image(path: str | os.PathLike[str], image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write an sRGB picture, atomically; the suffix chooses the format (JPEG at quality 95)."""
    path = Path(path)
    if path.suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"path must end in a picture format's suffix, such as .png or .jpg, got {path.name}")
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, quality=95, compress_level=_COMPRESSION)


def png_bytes(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return an sRGB picture as the content of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=_COMPRESSION)
    return buffer.getvalue()


def _open(path: Path) -> Image.Image:
    try:
        # Pillow warns from 89 megapixels on; our own limit stands a little above.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path)
    except Image.DecompressionBombError as error:
        raise _too_large(path, "") from error
    except FileNotFoundError as error:
        raise BadInputError(f"There is no file {path}; check the path.") from error
    except IsADirectoryError as error:
        raise BadInputError(f"{path} is a folder; give a photo inside it.") from error
    except PermissionError as error:
        raise BadInputError(f"{path} may not be read; change its permissions.") from error
    except Exception as error:  # a damaged header, in any of Pillow's formats
        raise BadInputError(f"{path} is not an image that can be read; give a JPEG or PNG photo.") from error


def _too_large(path: Path, size: str) -> BadInputError:
    return BadInputError(
        f"{path}{size} is larger than {MAX_MEGAPIXELS} megapixels; scale it down and try again."
    )


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _from_deep_greyscale(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer)
    profile = image.info.get("icc_profile")
    if profile and image.mode in {"RGB", "RGBA", "CMYK"}:
        image = _apply_profile(image, profile)
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # unreadable EXIF does not make a photo unusable; viewers ignore it too
        return 1


def _from_deep_greyscale(image: Image.Image) -> Image.Image:
    """Bring 16-bit, 32-bit and float greyscale to 8 bits: floats span 0..1, integers their type's range."""
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it contains NaN or infinite pixels")
    if image.mode == "F":
        top = 1.0
    else:  # mode I holds 16-bit PNGs as well as 32-bit TIFFs
        top = 65535.0 if image.mode.startswith("I;16") or values.max() <= 65535 else float(2**31 - 1)
    return Image.fromarray(np.rint(values.clip(0, top) * (255 / top)).astype(np.uint8)).convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert to sRGB by an embedded ICC profile; an unusable profile is ignored, as viewers do."""
    if any("sRGB".encode(code) in profile for code in ("ascii", "utf-16-be")):
        return image
    try:
        source: ImageCms.ImageCmsProfile = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    return image if converted is None else converted
