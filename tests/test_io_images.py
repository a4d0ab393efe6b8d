from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from morphkit.errors import BadInputError, MorphkitError
from morphkit.io.color import linear_to_srgb, linear_to_srgb_uint8, srgb_to_linear
from morphkit.io.images import read_image, write_image

_STORED = {  # EXIF orientation -> how the upright picture is stored (EXIF 2.32, tag 274)
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.fixture
def picture(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_png_round_trip_is_exact(tmp_path: Path, picture: np.ndarray) -> None:
    write_image(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, picture: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(_STORED[orientation](picture))
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)


def test_greyscale_of_every_depth_agrees(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "l.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "i16.png")
    Image.fromarray(grey.astype(np.int32) * 257).save(tmp_path / "i.tif")
    Image.fromarray((grey / 255).astype(np.float32)).save(tmp_path / "f.tif")
    Image.fromarray(np.dstack([grey, np.full_like(grey, 255)]), "LA").save(tmp_path / "la.png")
    for name in ("l.png", "i16.png", "i.tif", "f.tif", "la.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name), np.dstack([grey] * 3), err_msg=name)


def test_palette_cmyk_bilevel_and_transparency(tmp_path: Path) -> None:
    red = Image.new("RGB", (4, 3), (255, 0, 0))
    red.quantize(4).save(tmp_path / "p.png")
    red.convert("CMYK").save(tmp_path / "cmyk.tif")
    Image.new("1", (4, 3), 1).save(tmp_path / "one.png")
    Image.new("RGBA", (4, 3), (0, 0, 255, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "p.png") == [255, 0, 0]).all()
    assert (read_image(tmp_path / "cmyk.tif") == [255, 0, 0]).all()
    assert (read_image(tmp_path / "one.png") == 255).all()
    assert (read_image(tmp_path / "clear.png") == 255).all()


def test_a_colour_profile_is_applied_and_a_broken_one_ignored(tmp_path: Path) -> None:
    grey = Image.new("RGB", (4, 3), (100, 150, 200))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey.save(tmp_path / "srgb.png", icc_profile=srgb)
    grey.save(tmp_path / "broken.png", icc_profile=b"no profile")
    assert (read_image(tmp_path / "srgb.png") == [100, 150, 200]).all()
    assert (read_image(tmp_path / "broken.png") == [100, 150, 200]).all()


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_001, 20_000, 60_000])
def test_too_large_is_refused_from_the_header(tmp_path: Path, side: int) -> None:
    (tmp_path / "big.png").write_bytes(_png_header(side, side))
    with pytest.raises(BadInputError, match=r"big\.png.* larger than 100 megapixels; scale it down"):
        read_image(tmp_path / "big.png")


def test_pillows_lower_limit_does_not_warn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("1", (40, 30)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (30, 40, 3)


def test_unusable_files_get_one_sentence(tmp_path: Path, picture: np.ndarray) -> None:
    write_image(tmp_path / "whole.jpg", np.tile(picture, (20, 20, 1)))
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "header.png").write_bytes(_png_header(10, 10))
    (tmp_path / "zero.png").write_bytes(_png_header(0, 10))
    (tmp_path / "folder.jpg").mkdir()
    for name in (
        "truncated.jpg",
        "empty.jpg",
        "text.jpg",
        "header.png",
        "zero.png",
        "folder.jpg",
        "none.jpg",
    ):
        with pytest.raises(BadInputError) as caught:
            read_image(tmp_path / name)
        message = str(caught.value)
        assert name in message
        assert message.endswith(".")
        assert "\n" not in message
        assert caught.value.exit_code == 2


def test_damaged_bytes_never_escape_as_another_error(tmp_path: Path, rng: np.random.Generator) -> None:
    for suffix in (".png", ".jpg", ".tif", ".gif", ".webp", ".bmp"):
        path = tmp_path / f"a{suffix}"
        write_image(path, rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        original = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(30):
            damaged = original.copy()
            damaged[rng.integers(0, len(damaged), 8)] = rng.integers(0, 256, 8)
            path.write_bytes(damaged.tobytes())
            try:
                image = read_image(path)
            except BadInputError:
                continue
            assert image.ndim == 3


def test_write_refuses_an_unknown_suffix(tmp_path: Path, picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="suffix"):
        write_image(tmp_path / "a.xyz", picture)
    assert list(tmp_path.iterdir()) == []


def test_write_into_a_file_as_folder(tmp_path: Path, picture: np.ndarray) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MorphkitError, match="choose another folder"):
        write_image(tmp_path / "file" / "a.png", picture)


def test_srgb_curve() -> None:
    codes = np.arange(256, dtype=np.uint8)
    linear = srgb_to_linear(codes)
    assert linear.dtype == np.float32
    assert linear[0] == 0
    assert linear[255] == 1
    assert (np.diff(linear) > 0).all()
    np.testing.assert_array_equal(linear_to_srgb_uint8(linear), codes)
    values = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(srgb_to_linear(linear_to_srgb(values)), values, atol=1e-7)
    assert srgb_to_linear(np.array([0.5]))[0] == pytest.approx(0.21404114, abs=1e-8)  # IEC 61966-2-1
    assert linear_to_srgb(np.array([-1.0]))[0] == 0
