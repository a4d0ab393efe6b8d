"""Shards: what is written is read, and what is none is refused in a sentence, before it costs memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from training_data_faces import SIZE, assert_same, random_faces

from morphkit.errors import BadInputError, OutputError
from morphkit.training.data.faces import Faces
from morphkit.training.data.shards import Shard, read_shard, write_shard


@pytest.mark.parametrize(("truth", "embedded"), [(False, False), (True, False), (False, True), (True, True)])
def test_what_is_written_is_read(
    rng: np.random.Generator, tmp_path: Path, truth: bool, embedded: bool
) -> None:
    faces = random_faces(rng, 5, truth, embedded)
    write_shard(tmp_path / "a.h5", faces)
    assert_same(read_shard(tmp_path / "a.h5"), faces)
    rows = np.array([3, 0, 3, 4])
    assert_same(read_shard(tmp_path / "a.h5", rows), faces.take(rows))
    write_shard(tmp_path / "b.h5", faces)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_widths_are_those_of_the_columns_that_are_there(rng: np.random.Generator, tmp_path: Path) -> None:
    write_shard(tmp_path / "a.h5", random_faces(rng, 2, truth=True))
    with Shard(tmp_path / "a.h5") as shard:
        widths = shard.widths
    assert (widths["images"], widths["people"], widths["truth/identity"]) == ((SIZE, SIZE, 3), (), (5,))
    assert "embeddings" not in widths


def test_take_and_concatenate_undo_each_other(rng: np.random.Generator) -> None:
    faces = random_faces(rng, 6, truth=True, embedded=True)
    parts = [faces.take(np.arange(2)), faces.take(np.arange(2, 6))]
    assert_same(Faces.concatenate(parts), faces)


def test_tables_that_do_not_belong_together_are_not_joined(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="differ"):
        Faces.concatenate([random_faces(rng, 2), random_faces(rng, 2, truth=True)])
    with pytest.raises(ValueError, match="at least one"):
        Faces.concatenate([])
    with pytest.raises(ValueError, match=r"a row a face, 3; got \{'sources': 2\}"):
        replace(random_faces(rng, 3), sources=("a", "b"))


def test_pictures_that_cannot_be_compressed_and_those_that_can_are_both_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    faces = random_faces(rng, 2)
    flat = replace(faces, images=np.stack([faces.images[0], np.zeros_like(faces.images[0])]))
    write_shard(tmp_path / "a.h5", flat)
    with h5py.File(tmp_path / "a.h5") as file:
        stored = [file["images"].id.get_chunk_info(i).size for i in range(2)]
    assert stored[0] > SIZE * SIZE * 3 > 10 * stored[1]
    assert_same(read_shard(tmp_path / "a.h5"), flat)


def test_names_may_be_any_text_but_nul(rng: np.random.Generator, tmp_path: Path) -> None:
    odd = ("new\nline", "日本.jpg", "not \udcff utf-8")
    faces = replace(random_faces(rng, 3), sources=odd)
    write_shard(tmp_path / "a.h5", faces)
    assert read_shard(tmp_path / "a.h5").sources == odd
    with pytest.raises(ValueError, match="NUL"):
        write_shard(tmp_path / "b.h5", replace(faces, sources=("a\0", "b", "c")))


def test_rows_out_of_range_and_empty_tables_are_broken_contracts(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    faces = random_faces(rng, 3)
    write_shard(tmp_path / "a.h5", faces)
    for row in (-1, 3):
        with pytest.raises(ValueError, match=r"expected 0\.\.2"):
            read_shard(tmp_path / "a.h5", np.array([row]))
    with pytest.raises(ValueError, match="holds 1 to"):
        write_shard(tmp_path / "b.h5", faces.take(np.arange(0)))
    assert not (tmp_path / "b.h5").exists()


def test_a_file_in_the_way_is_named(rng: np.random.Generator, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file where a folder is needed"):
        write_shard(tmp_path / "file" / "a.h5", random_faces(rng, 1))


def _replace(name: str, **how: object) -> Callable[[h5py.File, Path], None]:
    def change(file: h5py.File, folder: Path) -> None:
        del file[name]
        file.create_dataset(name, **how)

    return change


def _external(file: h5py.File, folder: Path) -> None:
    (folder / "secret").write_bytes(bytes(12 * 4))
    del file["numbers"]
    file.create_dataset("numbers", (3,), "<i4", external=[(str(folder / "secret"), 0, 12)])


def _virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((3,), "<i4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "numbers", (3,))
    del file["numbers"]
    file.create_virtual_dataset("numbers", layout)


def _external_link(file: h5py.File, folder: Path) -> None:
    del file["numbers"]
    file["numbers"] = h5py.ExternalLink(str(folder / "other.h5"), "/numbers")


def _soft_link(file: h5py.File, folder: Path) -> None:
    del file["people"]
    file["people"] = h5py.SoftLink("/numbers")


def _link_in_the_truth(file: h5py.File, folder: Path) -> None:
    del file["truth/t"]
    file["truth/t"] = h5py.SoftLink("/truth/K")


def _truth_elsewhere(file: h5py.File, folder: Path) -> None:
    del file["truth"]
    file["truth"] = h5py.ExternalLink(str(folder / "other.h5"), "/truth")


def _bomb(file: h5py.File, folder: Path) -> None:
    bomb = zlib.compress(bytes(SIZE * SIZE * 3 * 100), 9)
    assert len(bomb) < SIZE * SIZE * 3
    file["images"].id.write_direct_chunk((1, 0, 0, 0), bomb)


def _long_chunk(file: h5py.File, folder: Path) -> None:
    file["images"].id.write_direct_chunk((1, 0, 0, 0), bytes(100_000))


def _cut_chunk(file: h5py.File, folder: Path) -> None:
    file["images"].id.write_direct_chunk((1, 0, 0, 0), zlib.compress(bytes(SIZE * SIZE * 3))[:-8])


def _noise_chunk(file: h5py.File, folder: Path) -> None:
    file["images"].id.write_direct_chunk((1, 0, 0, 0), b"no deflate stream")


def _set(name: str, value: float) -> Callable[[h5py.File, Path], None]:
    def change(file: h5py.File, folder: Path) -> None:
        file[name][(0,) * file[name].ndim] = value

    return change


PICTURE = (3, SIZE, SIZE, 3)
ATTACKS: dict[str, tuple[Callable[[h5py.File, Path], None], str]] = {
    "external storage": (_external, "keeps numbers elsewhere"),
    "virtual dataset": (_virtual, "keeps numbers elsewhere"),
    "external link": (_external_link, "links 'numbers' elsewhere"),
    "soft link": (_soft_link, "links 'people' elsewhere"),
    "link in the truth": (_link_in_the_truth, "links truth/t elsewhere"),
    "truth elsewhere": (_truth_elsewhere, "links 'truth' elsewhere"),
    "bomb": (_bomb, "is damaged"),
    "long chunk": (_long_chunk, "is damaged"),
    "cut chunk": (_cut_chunk, "is damaged"),
    "noise for a chunk": (_noise_chunk, "is damaged"),
    "huge claim": (
        _replace("images", shape=(1 << 40, 224, 224, 3), dtype="u1", chunks=(1, 224, 224, 3), compression=1),
        "claims pictures of shape",
    ),
    "huge pictures": (
        _replace("images", shape=(3, 1 << 20, 1 << 20, 3), dtype="u1", chunks=(1, 64, 64, 3), compression=1),
        "claims pictures of shape",
    ),
    "unwritten pictures": (
        _replace("images", shape=PICTURE, dtype="u1", chunks=(1, *PICTURE[1:]), compression=1),
        "parts that are missing",
    ),
    "huge chunks": (
        _replace("images", data=np.zeros(PICTURE, "u1"), chunks=PICTURE, compression=1),
        "parts that are missing or of unknown shape",
    ),
    "unwritten numbers": (_replace("numbers", shape=(3,), dtype="<i4"), "parts that are missing"),
    "chunked numbers": (
        _replace("numbers", data=np.zeros(3, "<i4"), chunks=(2,)),
        "parts that are missing or of unknown shape",
    ),
    "other filter": (
        _replace("attention", data=np.zeros(PICTURE[:3], "u1"), chunks=(1, SIZE, SIZE), compression="lzf"),
        "unknown encoding",
    ),
    "no filter": (
        _replace("attention", data=np.zeros(PICTURE[:3], "u1"), chunks=(1, SIZE, SIZE)),
        "unknown encoding",
    ),
    "other type": (_replace("crops", data=np.zeros((3, 2, 3), "<f4")), "holds crops of shape"),
    "other shape": (_replace("poses", data=np.zeros((3, 4), "<f4")), "holds poses of shape"),
    "other count": (_replace("people", data=np.zeros(4, "<i8")), "holds people of shape"),
    "wide rows": (
        _replace("truth/identity", shape=(3, 1 << 30), dtype="<f4"),
        "holds truth/identity of shape",
    ),
    "a text": (_replace("format", data="morphkit-faces-1"), "no shard of faces"),
    "another version": (
        _replace("format", data=np.frombuffer(b"morphkit-faces-9", "u1")),
        "another version of morphkit",
    ),
    "no type": (_replace("people", data=h5py.Empty("<i8")), "holds people of shape"),
    "a group": (lambda file, _: (file.__delitem__("people"), file.create_group("people"))[0], "keeps people"),
    "a number for the truth": (_replace("truth", data=3), "holds no group of truth"),
    "something more": (lambda file, _: file.create_group("x"), "unknown data"),
    "missing": (lambda file, _: file.__delitem__("crops"), "lacks crops"),
    "missing truth": (lambda file, _: file.__delitem__("truth/t"), "lacks truth/t"),
    "too few names": (_replace("sources", data=np.frombuffer(b"a\0b\0", "u1")), "names 2 photos for 3 faces"),
    "unwritten names": (_replace("sources", shape=(9,), dtype="u1"), "names in parts that are missing"),
    "huge names": (_replace("sources", shape=(1 << 40,), dtype="u1"), "claims names of shape"),
    "NaN": (_set("poses", np.nan), "holds NaN or infinite poses"),
    "infinite": (_set("tones", np.inf), "holds NaN or infinite tones"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_no_shard_is_refused(rng: np.random.Generator, tmp_path: Path, attack: str) -> None:
    change, sentence = ATTACKS[attack]
    path = tmp_path / "a.h5"
    write_shard(path, random_faces(rng, 3, truth=True))
    write_shard(tmp_path / "other.h5", random_faces(rng, 3, truth=True))
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    with pytest.raises(BadInputError, match=sentence) as caught:
        read_shard(path)
    assert str(caught.value).startswith(f"{path} ")
    assert str(caught.value).endswith("; remove it and prepare its folder again.")


def test_a_cut_or_foreign_file_is_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_shard(path, random_faces(rng, 3))
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(BadInputError, match="is damaged or no shard"):
            read_shard(path)
    with pytest.raises(BadInputError, match="no file"):
        read_shard(tmp_path / "none.h5")
    with pytest.raises(BadInputError, match="is damaged or no shard"):
        read_shard(tmp_path)


def test_flipped_bytes_give_faces_or_a_sentence(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_shard(path, random_faces(rng, 2))
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(200):
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        with suppress(BadInputError), Shard(path) as shard:
            assert len(shard.read(np.arange(len(shard)))) == len(shard)
