"""A machine that follows the opcodes of a pickle, and neither imports nor calls anything.

The opcodes are documented in CPython's ``pickletools``. Lists, tuples, dicts, numbers and text are made;
sets serve as lists; for all that would be a call in Python it is written down what was to be called with
what: a `Recorded`. Only the names that pickles of numpy, scipy.sparse and chumpy arrays need are let through
(`_ALLOWED`); any other ends the reading.

Bytes are never copied: they are views of the file. Every claimed length is checked against what is there,
the memo is a dict (an index in the billions costs nothing), and keys of dicts are text or numbers, so that
deep nesting cannot exhaust the stack.
"""

from __future__ import annotations

import codecs
import re
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from morphkit.archive.layouts._columns import shown
from morphkit.archive.source import ModelSource


@dataclass(frozen=True)
class Name:
    """A class or function that the pickle names; it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Recorded:
    """What would have been a call, or a new object, with the state that would have been set."""

    called: Name
    arguments: tuple[Any, ...]
    state: Any = None


_NUMPY = re.compile(r"numpy\.(_)?core\.(multiarray|numeric)")
_ALLOWED = {
    "array": {"_reconstruct", "scalar", "_frombuffer"},
    "numpy": {"ndarray", "dtype"},
    "_codecs": {"encode"},
    "builtin": {"object", "bytes", "bytearray", "set", "frozenset", "dict", "list"},
    "copy_reg": {"_reconstructor"},
    "collections": {"OrderedDict", "defaultdict"},
    "weakref": {"WeakKeyDictionary", "WeakValueDictionary"},  # in the state of chumpy arrays
}
_BUILTIN = ("builtins", "__builtin__")
_SPARSE = re.compile(r"scipy\.sparse\.(_?(csc|csr|coo|lil|dok|dia|bsr)|_arrays)")
CHUMPY = re.compile(r"chumpy(\.[a-z_]+)*")
_MOST_STEPS = 100_000  # a FLAME pickle takes some hundred
_MOST_DIGITS = 300
_MARK = object()


def text(value: Any) -> str | None:
    """Return text or bytes (which Python 2 did not tell apart) as text; None if it is neither."""
    if isinstance(value, memoryview | bytes | bytearray):
        return bytes(value).decode("latin-1")
    return value if isinstance(value, str) else None


class Machine:
    """Follows one pickle."""

    def __init__(self, source: ModelSource, data: memoryview) -> None:
        self.source, self.data, self.at = source, data, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(_MOST_STEPS):
            code = bytes(self.take(1))
            if code == b".":
                return self.pop()
            action = _ACTIONS.get(code)
            if action is None:
                raise self.bad(f"it uses the opcode {code!r}, which no pickle of arrays needs")
            action(self)
        raise self.bad("it has far more parts than any model")

    def bad(self, what: str) -> Exception:
        return self.source.bad(f"the pickle is refused at byte {self.at}: {what}")

    # --- the bytes

    def take(self, count: int) -> memoryview:
        """Return the next bytes, after checking that they are there."""
        if count < 0 or self.at + count > len(self.data):
            raise self.bad("it is truncated or damaged")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def counted(self, form: str) -> memoryview:
        return self.take(self.number(form))

    def line(self) -> bytes:
        """Return the bytes up to the next line end."""
        start, step = self.at, 1 << 12
        while True:
            piece = bytes(self.data[self.at : self.at + step])
            end = piece.find(b"\n")
            if end >= 0:
                self.at += end + 1
                return bytes(self.data[start : self.at - 1])
            if len(piece) < step:
                raise self.bad("it is truncated or damaged")
            self.at, step = self.at + step, 2 * step

    def word(self) -> str:
        return self.line().decode("latin-1").strip()

    # --- the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise self.bad("its parts do not fit together; it is damaged")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise self.bad("its parts do not fit together; it is damaged")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        items: list[Any] = []
        while self.stack:
            item = self.stack.pop()
            if item is _MARK:
                items.reverse()
                return items
            items.append(item)
        raise self.bad("its parts do not fit together; it is damaged")

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise self.bad("it refers to a part that is not there; it is damaged")
        self.push(self.memo[index])

    def remember(self, index: int) -> None:
        self.memo[index] = self.top(object)

    # --- values

    def integer(self, digits: bytes) -> int:
        try:
            if len(digits) <= _MOST_DIGITS:
                return int(digits.strip().rstrip(b"L"))
        except ValueError:
            pass
        raise self.bad("a number is damaged")

    def small_integer(self, data: memoryview) -> int:
        if len(data) > _MOST_DIGITS:
            raise self.bad("a number is damaged")
        return int.from_bytes(data, "little", signed=True)

    def quoted(self) -> bytes:
        """Return a string as protocol 0 of Python 2 wrote it: quoted, with escapes."""
        line = self.line().strip()
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
            raise self.bad("a string is damaged")
        try:
            with warnings.catch_warnings(action="ignore"):  # of escapes that are none
                return codecs.escape_decode(line[1:-1])[0]
        except ValueError as error:
            raise self.bad("a string is damaged") from error

    def unicode(self, data: memoryview) -> str:
        try:
            return str(data, "utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise self.bad("a string is damaged") from error

    def set_items(self, target: Any, items: list[Any]) -> None:
        if len(items) % 2:
            raise self.bad("its parts do not fit together; it is damaged")
        for key, value in zip(items[::2], items[1::2], strict=True):
            name = text(key)
            if name is None and not isinstance(key, int | float | None):
                raise self.bad("a dict has keys that are neither text nor numbers")
            if isinstance(target, dict):
                target[key if name is None else name] = value

    # --- what would be code

    def named(self, module: str, name: str) -> None:
        if not _allowed(module, name):
            raise self.bad(
                f"it names {shown(module)}.{shown(name)}, which no pickle of arrays needs and which "
                "could run code; nothing was run"
            )
        self.push(Name(module, name))

    def record(self, arguments: Any, called: Any) -> None:
        if not isinstance(called, Name) or not isinstance(arguments, tuple):
            raise self.bad("it calls something that is not a name")
        self.push(Recorded(called, arguments))

    def build(self) -> None:
        state = self.pop()
        self.top(Recorded).state = state


def _allowed(module: str, name: str) -> bool:
    if _NUMPY.fullmatch(module):
        return name in _ALLOWED["array"]
    if module in _BUILTIN:
        return name in _ALLOWED["builtin"]
    if module in ("copy_reg", "copyreg"):
        return name in _ALLOWED["copy_reg"]
    if _SPARSE.fullmatch(module):
        return re.fullmatch(r"[a-z]{3}_(matrix|array)", name) is not None
    if CHUMPY.fullmatch(module):
        return re.fullmatch(r"[A-Z][A-Za-z]*", name) is not None
    return name in _ALLOWED.get(module, ())


def _set_one(m: Machine) -> None:
    value, key = m.pop(), m.pop()
    m.set_items(_dictlike(m), [key, value])


def _set_many(m: Machine) -> None:
    items = m.pop_mark()
    m.set_items(_dictlike(m), items)


def _dictlike(m: Machine) -> Any:
    """Return the dict on top; items of recorded objects (OrderedDict) become their state."""
    found = m.top(object)
    if isinstance(found, Recorded) and found.called.name == "OrderedDict":
        found.state = found.state if isinstance(found.state, dict) else {}
        return found.state
    return m.top(dict)


def _append(m: Machine) -> None:
    value = m.pop()
    m.top(list).append(value)


def _append_many(m: Machine) -> None:
    items = m.pop_mark()
    m.top(list).extend(items)


def _make_dict(m: Machine) -> None:
    items = m.pop_mark()
    m.push({})
    m.set_items(m.top(dict), items)


def _tuple_of(count: int) -> Callable[[Machine], None]:
    def act(m: Machine) -> None:
        m.push(tuple([m.pop() for _ in range(count)][::-1]))

    return act


def _reduce(m: Machine) -> None:
    arguments, called = m.pop(), m.pop()
    m.record(arguments, called)


def _new_with_keywords(m: Machine) -> None:
    _, arguments, called = m.pop(), m.pop(), m.pop()
    m.record(arguments, called)


def _global_line(m: Machine) -> None:
    module, name = m.word(), m.word()
    m.named(module, name)


def _global_stack(m: Machine) -> None:
    name, module = text(m.pop()), text(m.pop())
    m.named(str(module), str(name))


def _int_line(m: Machine) -> None:
    line = m.line()
    m.push({b"01": True, b"00": False}[line] if line in (b"01", b"00") else m.integer(line))


def _float_line(m: Machine) -> None:
    try:
        m.push(float(m.line()[:_MOST_DIGITS]))
    except ValueError as error:
        raise m.bad("a number is damaged") from error


def _protocol(m: Machine) -> None:
    if m.number("<B") > 5:
        raise m.bad("it is of a newer protocol than 5, or damaged")


def _frame(m: Machine) -> None:
    if m.number("<Q") > len(m.data) - m.at:
        raise m.bad("it is truncated or damaged")


def _unicode_line(m: Machine) -> None:
    try:
        m.push(m.line().decode("raw_unicode_escape"))
    except UnicodeDecodeError as error:
        raise m.bad("a string is damaged") from error


_ACTIONS: dict[bytes, Callable[[Machine], Any]] = {
    b"\x80": _protocol,
    b"\x95": _frame,
    b"(": lambda m: m.push(_MARK),
    b"0": lambda m: m.pop(),
    b"1": lambda m: m.pop_mark(),
    b"2": lambda m: m.push(m.top(object)),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": _int_line,
    b"L": lambda m: m.push(m.integer(m.line())),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": lambda m: m.push(m.small_integer(m.counted("<B"))),
    b"\x8b": lambda m: m.push(m.small_integer(m.counted("<I"))),
    b"F": _float_line,
    b"G": lambda m: m.push(m.number(">d")),
    b"S": lambda m: m.push(m.quoted()),
    b"T": lambda m: m.push(m.counted("<I")),
    b"U": lambda m: m.push(m.counted("<B")),
    b"B": lambda m: m.push(m.counted("<I")),
    b"C": lambda m: m.push(m.counted("<B")),
    b"\x8e": lambda m: m.push(m.counted("<Q")),
    b"\x96": lambda m: m.push(m.counted("<Q")),
    b"V": _unicode_line,
    b"X": lambda m: m.push(m.unicode(m.counted("<I"))),
    b"\x8c": lambda m: m.push(m.unicode(m.counted("<B"))),
    b"\x8d": lambda m: m.push(m.unicode(m.counted("<Q"))),
    b"]": lambda m: m.push([]),
    b"\x8f": lambda m: m.push([]),  # sets serve as lists: nothing is hashed
    b"\x90": _append_many,
    b"\x91": lambda m: m.push(m.pop_mark()),
    b"a": _append,
    b"e": _append_many,
    b"l": lambda m: m.push(m.pop_mark()),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.pop_mark())),
    b"\x85": _tuple_of(1),
    b"\x86": _tuple_of(2),
    b"\x87": _tuple_of(3),
    b"}": lambda m: m.push({}),
    b"d": _make_dict,
    b"s": _set_one,
    b"u": _set_many,
    b"p": lambda m: m.remember(m.integer(m.line())),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"g": lambda m: m.recall(m.integer(m.line())),
    b"h": lambda m: m.recall(m.number("<B")),
    b"j": lambda m: m.recall(m.number("<I")),
    b"c": _global_line,
    b"\x93": _global_stack,
    b"R": _reduce,
    b"\x81": _reduce,
    b"\x92": _new_with_keywords,
    b"b": Machine.build,
}
