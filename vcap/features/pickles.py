"""Pickles read as data: nothing that they hold is ever called or imported.

A pickle is a program for a small machine. The machine here knows numbers, text, bytes, lists,
tuples and dicts, and the few names that the caller lists, each of which stands for a function of
ours. At any other name or instruction it stops and refuses the file.
"""

import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Known = Mapping[tuple[str, str], Callable[..., Any] | None]
STOP = ord(".")
INSTRUCTIONS = {ord(one.code): one.name for one in pickletools.opcodes}
MOST_CALLS = 16  # a tensor takes four; each may make a copy of what it is given
LONGEST = 1024  # bytes of a whole number; Python puts no more than 4300 digits into words
LINE = 256  # bytes looked at first where an end of line is searched


class RefusedError(Exception):
    """The pickle asks for more than data."""


class Name(NamedTuple):
    """A name that a pickle mentions, with what it stands for here; None: for itself only."""

    module: str
    name: str
    meaning: Callable[..., Any] | None


class Machine:
    """Runs one pickle after the other from the same bytes.

    Attributes:
        at: the byte that comes next.
    """

    def __init__(self, data: memoryview, known: Known, *, persistent: bool = False) -> None:
        """Prepare to read.

        Args:
            data: bytes, one by one; large values are slices of it, not copies.
            known: what may be named, and our function that is called where it is called.
            persistent: whether there may be persistent ids; each is given as it stands.
        """
        self.data = data
        self.at = 0
        self._known = known
        self._persistent = persistent
        self._num_calls = 0
        self._begin()

    def read(self) -> Any:
        """The value of the next pickle.

        Raises:
            RefusedError: it names or does what is not known.
            ValueError: it is damaged. So say the other errors in `DAMAGED`.
        """
        self._begin()
        while True:
            code = self.data[self.at]
            self.at += 1
            if code == STOP:
                return self.stack.pop()
            step = STEPS.get(code)
            if step is None:
                if code not in INSTRUCTIONS:
                    raise ValueError(f"no pickle has the instruction {code}")
                raise RefusedError(f"the instruction {INSTRUCTIONS[code]}")
            step(self)

    def _begin(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        if not 0 <= size <= len(self.data) - self.at:
            raise ValueError(f"it ends within {size} bytes")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form: str) -> Any:
        """The next number, of one of the forms of `struct`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        """The rest of the line."""
        size = LINE
        while (end := bytes(self.data[self.at : self.at + size]).find(b"\n")) < 0:
            if self.at + size > len(self.data):
                raise ValueError("it ends within a line")
            size *= 4
        return bytes(self.take(end + 1)[:end])

    def marked(self) -> list[Any]:
        """Take all values above the last mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def name(self, module: Any, name: Any) -> None:
        """Push a name, if it is known."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is no text")
        if (module, name) not in self._known:
            raise RefusedError(f"the name {module}.{name}")
        self.stack.append(Name(module, name, self._known[module, name]))

    def call(self) -> None:
        """Push what our function for a known name gives."""
        arguments, name = self.stack.pop(), self.stack.pop()
        if type(name) is not Name or name.meaning is None or type(arguments) is not tuple:
            raise RefusedError("a call of what is no function")
        self._num_calls += 1
        if self._num_calls > MOST_CALLS:
            raise RefusedError(f"more than {MOST_CALLS} calls")
        self.stack.append(name.meaning(*arguments))

    def persistent_id(self) -> None:
        """Leave a persistent id as it stands, where there may be one."""
        if not self._persistent:
            raise RefusedError("a persistent id")

    def append(self, values: list[Any]) -> None:
        """Append values to the list on top."""
        target = self.stack[-1]
        if type(target) is not list:
            raise RefusedError("values appended to what is no list")
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        """Put keys and values in turn into the dict on top."""
        target = self.stack[-1]
        if type(target) is not dict:
            raise RefusedError("items set in what is no dict")
        target.update(_pairs(values))


def _pairs(values: list[Any]) -> dict[Any, Any]:
    keys = values[::2]
    if len(values) % 2 or not all(type(key) in (str, int) for key in keys):
        raise ValueError("keys of a dict that are neither text nor whole numbers")
    return dict(zip(keys, values[1::2], strict=True))


def _text(data: memoryview) -> str:
    return str(data, "utf-8", "surrogatepass")


def _whole(data: memoryview) -> int:
    if len(data) > LONGEST:
        raise ValueError(f"a whole number of {len(data)} bytes")
    return int.from_bytes(data, "little", signed=True)


def _decimal(line: bytes) -> int | bool:
    booleans = {b"00": False, b"01": True}
    return booleans[line] if line in booleans else int(line.rstrip(b"L"))


Step = Callable[[Machine], None]


def _push(make: Callable[[Machine], Any]) -> Step:
    return lambda machine: machine.stack.append(make(machine))


def _sized(form: str, read: Callable[[memoryview], Any]) -> Step:
    return lambda machine: machine.stack.append(read(machine.take(machine.number(form))))


def _numbered(form: str) -> Step:
    return lambda machine: machine.stack.append(machine.number(form))


def _tuple(size: int) -> Step:
    def step(machine: Machine) -> None:
        if len(machine.stack) < size:
            raise ValueError("a tuple of more values than there are")
        values = tuple(machine.stack[-size:])
        machine.stack[-size:] = [values]

    return step


def _put(index: Callable[[Machine], int]) -> Step:
    def step(machine: Machine) -> None:
        machine.memo[index(machine)] = machine.stack[-1]

    return step


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.name(module, name)


def _steps(named: Mapping[str | int, Step]) -> dict[int, Step]:
    return {ord(code) if isinstance(code, str) else code: step for code, step in named.items()}


STEPS = _steps(
    {
        0x80: lambda machine: machine.number("<B"),  # the protocol
        0x95: lambda machine: machine.number("<Q"),  # the size of a frame
        "(": lambda machine: machine.marks.append(len(machine.stack)),
        "0": lambda machine: machine.stack.pop(),
        "1": lambda machine: machine.marked().clear(),
        "2": _push(lambda machine: machine.stack[-1]),
        "N": _push(lambda machine: None),
        0x88: _push(lambda machine: True),
        0x89: _push(lambda machine: False),
        "I": _push(lambda machine: _decimal(machine.line())),
        "L": _push(lambda machine: _decimal(machine.line())),
        "F": _push(lambda machine: float(machine.line())),
        "V": _push(lambda machine: machine.line().decode("raw-unicode-escape")),
        "J": _numbered("<i"),
        "K": _numbered("<B"),
        "M": _numbered("<H"),
        "G": _numbered(">d"),
        0x8A: _sized("<B", _whole),
        0x8B: _sized("<i", _whole),
        0x8C: _sized("<B", _text),
        "X": _sized("<I", _text),
        0x8D: _sized("<Q", _text),
        "C": _sized("<B", memoryview),
        "B": _sized("<I", memoryview),
        0x8E: _sized("<Q", memoryview),
        "}": _push(lambda machine: {}),
        "]": _push(lambda machine: []),
        ")": _push(lambda machine: ()),
        "d": _push(lambda machine: _pairs(machine.marked())),
        "l": _push(lambda machine: machine.marked()),
        "t": _push(lambda machine: tuple(machine.marked())),
        0x85: _tuple(1),
        0x86: _tuple(2),
        0x87: _tuple(3),
        "a": lambda machine: machine.append([machine.stack.pop()]),
        "e": lambda machine: machine.append(machine.marked()),
        "s": lambda machine: machine.set_items([machine.stack.pop(), machine.stack.pop()][::-1]),
        "u": lambda machine: machine.set_items(machine.marked()),
        "p": _put(lambda machine: int(machine.line())),
        "q": _put(lambda machine: int(machine.number("<B"))),
        "r": _put(lambda machine: int(machine.number("<I"))),
        0x94: _put(lambda machine: len(machine.memo)),
        "g": _push(lambda machine: machine.memo[int(machine.line())]),
        "h": _push(lambda machine: machine.memo[machine.number("<B")]),
        "j": _push(lambda machine: machine.memo[machine.number("<I")]),
        "c": lambda machine: machine.name(machine.line().decode(), machine.line().decode()),
        0x93: _stack_global,
        "R": lambda machine: machine.call(),
        "Q": lambda machine: machine.persistent_id(),
    }
)

DAMAGED = (  # what a pickle that is no whole one can raise
    *(ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error),
    *(RecursionError, MemoryError),
)
