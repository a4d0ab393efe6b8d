"""FLAME: its own formula at rest in every protocol and container; and pickles that want to run code."""

import os
import pickle
import struct

import numpy as np
import pytest
from model_corruption import (
    assert_bounded_memory,
    assert_formula,
    assert_refused,
    assert_survives_damage,
    check_model,
)
from model_files_flame import EXPRESSION, IDENTITY, arrays, expected, python2_pickle, write_npz, write_pickle

from morphkit.archive import load_model
from morphkit.archive.layouts import _pickle_machine
from morphkit.errors import BadInputError


def assert_same_shapes(model, data, rng, identity=IDENTITY, expression=EXPRESSION):
    check_model(model)
    c = rng.standard_normal(identity)
    e = rng.standard_normal(expression) if expression else None
    assert_formula(model, expected(data, c, e), c, e)
    np.testing.assert_array_equal(model.faces, data["f"])
    assert model.identity.n_components == identity
    assert (model.expression.n_components if model.expression else 0) == expression


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_gives_the_formula(rng, tmp_path, protocol):
    data = arrays(rng)
    assert_same_shapes(load_model(write_pickle(tmp_path / "flame.pkl", data, protocol)), data, rng)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_chumpy_arrays_are_read_without_chumpy(rng, tmp_path, protocol):
    data = arrays(rng)
    model = load_model(write_pickle(tmp_path / "flame.pkl", data, protocol, chumpy=True))
    assert_same_shapes(model, data, rng)


def test_a_pickle_of_python_2(rng, tmp_path):
    data = arrays(rng)
    (tmp_path / "flame.pkl").write_bytes(python2_pickle(data))
    assert pickle.loads((tmp_path / "flame.pkl").read_bytes(), encoding="latin1").keys() >= {"f", "shapedirs"}  # noqa: S301
    assert_same_shapes(load_model(tmp_path / "flame.pkl"), data, rng)


def test_fortran_order_single_precision_and_big_endian(rng, tmp_path):
    data = arrays(rng)
    data["shapedirs"] = np.asfortranarray(data["shapedirs"].astype(np.float32))
    data["v_template"] = data["v_template"].astype(">f8")
    for protocol in (2, 5):
        model = load_model(write_pickle(tmp_path / "flame.pkl", data, protocol))
        assert_same_shapes(model, data, rng)


def test_the_archive_gives_the_formula_and_its_uv(rng, tmp_path):
    data = arrays(rng)
    data |= {"vt": rng.random((50, 2)), "ft": rng.integers(0, 50, data["f"].shape)}
    model = load_model(write_npz(tmp_path / "flame.npz", data))
    assert_same_shapes(model, data, rng)
    np.testing.assert_allclose(model.uv, data["vt"][data["ft"]], rtol=1e-6)


@pytest.mark.parametrize(
    ("columns", "identity", "expression"),
    [(400, 300, 100), (350, 300, 50), (300, 300, 0), (20, 10, 10), (10, 10, 0), (150, 150, 0)],
)
def test_which_columns_are_expressions(rng, tmp_path, columns, identity, expression):
    data = arrays(rng, columns)
    model = load_model(write_pickle(tmp_path / "flame.pkl", data))
    assert_same_shapes(model, data, rng, identity, expression)
    told = any("no expressions" in note for note in model.provenance["read_notes"])
    assert told == (expression == 0)


def test_what_is_left_out_is_said(rng, tmp_path):
    model = load_model(write_pickle(tmp_path / "flame.pkl", arrays(rng)))
    (note,) = model.provenance["read_notes"]
    for word in ("joints", "pose correctives", "posedirs", "weights", "J_regressor"):
        assert word in note
    assert model.provenance["unit"] == "metres"
    assert "licence" in model.provenance


def test_a_column_of_zeros_keeps_its_number(rng, tmp_path):
    data = arrays(rng)
    data["shapedirs"][:, :, 7] = 0
    assert_same_shapes(load_model(write_pickle(tmp_path / "flame.pkl", data)), data, rng)


@pytest.mark.parametrize(("protocol", "times"), [(0, 5), (2, 25), (4, 20)])
def test_damaged_pickles(rng, tmp_path, protocol, times):
    path = write_pickle(tmp_path / "flame.pkl", arrays(rng, 20), protocol, chumpy=True)
    assert_survives_damage(path, tmp_path, cuts=times, flips=times)


def test_a_damaged_archive(rng, tmp_path):
    assert_survives_damage(write_npz(tmp_path / "flame.npz", arrays(rng, 20)), tmp_path)


@pytest.mark.parametrize("suffix", ["pkl", "npz"])
def test_memory(rng, tmp_path, suffix):
    data = arrays(rng, rows=120)
    data["shapedirs"] = data["shapedirs"].astype(np.float32)  # the worse: as large in memory as in the file
    path = tmp_path / f"flame.{suffix}"
    (write_pickle if suffix == "pkl" else write_npz)(path, data)
    assert path.stat().st_size > 3e6
    assert_bounded_memory(path)


def test_missing_parts_are_named(rng, tmp_path):
    data = arrays(rng)
    del data["f"]
    assert_refused(write_pickle(tmp_path / "flame.pkl", data), "f is missing.*v_template")
    assert_refused(write_pickle(tmp_path / "other.pkl", {"a": 1}), "v_template is missing")
    assert_refused(write_pickle(tmp_path / "list.pkl", [1, 2]), "no table")


def test_numbers_that_are_none_are_refused(rng, tmp_path):
    for name, value in (("shapedirs", np.nan), ("v_template", np.inf), ("v_template", 1e300)):
        data = arrays(rng, 20)
        data[name].flat[5] = value
        assert_refused(write_pickle(tmp_path / "flame.pkl", data), f"{name} has numbers that are not finite")
    data = arrays(rng, 20)
    data["f"][3, 1] = 1000
    assert_refused(write_pickle(tmp_path / "flame.pkl", data), "refers to vertices")
    data["f"] = np.array([[1, 2, "x"]], object)
    assert_refused(write_pickle(tmp_path / "flame.pkl", data), "f ")


# --- pickles that attack ---------------------------------------------------------------------------------


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


def getattr_chain():
    return Calls(getattr, Calls(getattr, np.ndarray, "__class__"), "__subclasses__")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("attack", "named"),
    [
        (lambda mark: Calls(os.system, f"touch {mark}"), r"(posix|nt)\.system"),
        (lambda mark: Calls(eval, f"open({str(mark)!r}, 'w')"), r"(builtins|__builtin__)\.eval"),
        (lambda mark: Calls(exec, f"open({str(mark)!r}, 'w')"), r"(builtins|__builtin__)\.exec"),
        (lambda mark: Calls(open, str(mark), "w"), r"\.open"),
        (lambda _: getattr_chain(), r"(builtins|__builtin__)\.getattr"),
        (lambda mark: Calls(np.load, str(mark)), r"numpy.*\.load"),
        (lambda mark: Calls(np.fromfile, str(mark)), r"numpy.*\.fromfile"),
        (lambda _: Calls(pickle.loads, b"cos\nsystem\n."), r"pickle\.loads"),
    ],
)
def test_no_code_is_run(rng, tmp_path, protocol, attack, named):
    mark = tmp_path / "run"
    data = {**arrays(rng, 20), "unused": attack(mark)}
    assert_refused(write_pickle(tmp_path / "flame.pkl", data, protocol), named)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("code", "match"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(dp0\n(S'true'\nios\nsystem\n.", "opcode"),
        (b"\x80\x02\x82\x01.", "opcode"),
        (b"\x80\x02Pos\n.", "opcode"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"\x80\x04\x8c\x08builtins\x8c\x0cobject.__new\x93.", "builtins"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile.\x93.", "numpy.ndarray.tofile"),
        (b"\x80\x04\x8c\x0bchumpy.oops\x8c\x08__init__\x93.", "chumpy.oops.__init__"),
        (b"\x80\x02cchumpy.utils\nos.system\n.", "chumpy.utils.os.system"),
        (b"\x80\x02]q\x00(K\x01K\x02R.", "not a name|damaged"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "v_template is missing"),  # the memo's index is only a number
        (b"\x80\x02}j\xff\xff\xff\x7f.", "damaged"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.", "truncated"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "truncated"),
        (b"\x80\x04\x96\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "truncated"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "truncated"),
        (b"\x80\x02T\xff\xff\xff\xffabc.", "truncated"),
        (b"\x80\x02\x8b\xff\xff\xff\xffabc.", "truncated"),
        (b"\x80\x02\x8b" + struct.pack("<I", 100_000) + b"\x01" * 100_000 + b".", "number"),
        (b"(dp0\nL" + b"9" * 100_000 + b"\n.", "number"),
        (b"(dp0\nI" + b"9" * 1000 + b"\n.", "number"),
        (b"\x80\x02" + b"(" * 4_000 + b".", "damaged"),
        (b"\x80\x02]" + b"\x85" * 4_000 + b".", "no table"),
        (b"\x80\x02}]" + b"\x85" * 4_000 + b"K\x01s.", "keys"),
        (b"\x80\x02}" + b"}K\x01}s" * 1000 + b".", "."),
        (b"\x80\x02.", "damaged"),
        (b"\x80\x022.", "damaged"),
        (b"\x80\x06}.", "."),
        (b"\x80\x02}\x97.", "opcode"),
        (b"\x80\x02}", "truncated"),
    ],
)
def test_crafted_pickles(tmp_path, code, match):
    path = tmp_path / "flame.pkl"
    path.write_bytes(code)
    assert_refused(path, match)


def test_a_pickle_of_far_too_many_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(_pickle_machine, "_MOST_STEPS", 1000)
    (tmp_path / "flame.pkl").write_bytes(b"\x80\x02}" + b"2" * 1000 + b".")
    assert_refused(tmp_path / "flame.pkl", "far more parts")


def test_arrays_that_lie_about_their_size(rng, tmp_path):
    data = arrays(rng, 20)
    good = python2_pickle(data)
    v = len(data["v_template"])
    for shape in ((1 << 30, 3, 20), (v, 3, 21), (0, 3, 20), (v, 3, 0x7FFFFFFF)):
        claim = b"".join(b"J" + struct.pack("<I", n) for n in shape)
        true = b"".join(b"J" + struct.pack("<I", n) for n in (v, 3, 20))
        assert good.count(true) == 1
        (tmp_path / "flame.pkl").write_bytes(good.replace(true, claim))
        assert_refused(tmp_path / "flame.pkl", "claims the shape")


def test_sparse_and_unevaluated_arrays_are_named(rng, tmp_path):
    data = arrays(rng, 20)
    data["v_template"] = data["J_regressor"]
    assert_refused(write_pickle(tmp_path / "flame.pkl", data), "v_template is no array but a scipy.sparse")
    select = b"\x80\x02}(U\x01fNU\x09shapedirsNU\nv_templatecchumpy.reordering\nSelect\n)\x81}U\x01aNsbu."
    (tmp_path / "select.pkl").write_bytes(select)
    assert_refused(tmp_path / "select.pkl", "unevaluated expression .chumpy.reordering.Select.*plain array")


def test_wrong_file_is_told_from_a_model(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(BadInputError, match="no model file"):
        load_model(tmp_path / "x.pkl")
