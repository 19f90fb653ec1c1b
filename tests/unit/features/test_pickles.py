"""Pickles of plain data are read as Python reads them, in every protocol, and nothing else is."""

import pickle
import pickletools
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcap.features.pickles import DAMAGED, Machine, Name, RefusedError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.text(alphabet="\\\n\r\x00\u20ac\U0001f600'\""),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers()), inner),
    ),
    max_leaves=20,
)


def read(data: bytes, **more: Any) -> Any:
    """The value of a pickle; by default no name is known."""
    return Machine(memoryview(data), more.pop("known", {}), **more).read()


@settings(max_examples=150, deadline=None)
@given(value=VALUES, protocol=st.sampled_from(PROTOCOLS))
def test_plain_data_come_back_as_they_were(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol=protocol)
    assert repr(read(data)) == repr(value)
    assert repr(read(pickletools.optimize(data))) == repr(value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_stands_twice_is_one_thing(protocol: int) -> None:
    one = ["a"]
    found = read(pickle.dumps([one, one, {"x": one}], protocol=protocol))
    assert found[0] is found[1] is found[2]["x"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_list_that_holds_itself_is_no_trap(protocol: int) -> None:
    one: list[Any] = []
    one.append(one)
    found = read(pickle.dumps(one, protocol=protocol))
    assert found[0] is found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_lists_and_dicts_come_in_many_parts(protocol: int) -> None:
    value = [list(range(3000)), {str(number): number for number in range(3000)}]
    assert read(pickle.dumps(value, protocol=protocol)) == value


def test_bytes_are_slices_of_the_file_and_no_copies() -> None:
    data = pickle.dumps([b"x" * 10, b"y" * 300, b"z" * 70_000], protocol=4)
    found = read(data)
    assert [bytes(one) for one in found] == [b"x" * 10, b"y" * 300, b"z" * 70_000]
    assert all(one.obj is data for one in found)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_large_bytes_and_text_are_read_whole(protocol: int) -> None:
    value = ["é" * 70_000, 2**4000, -(2**4000)]
    assert read(pickle.dumps(value, protocol=protocol)) == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"I01\n.", True),
        (b"I00\n.", False),
        (b"I-7\n.", -7),
        (b"L12L\n.", 12),
        (b"F1.5\n.", 1.5),
        (b"(I1\nI2\nl.", [1, 2]),
        (b"(Vk\nI2\nd.", {"k": 2}),
        (b"I1\nI2\n0.", 1),
        (b"I1\n(I2\nI3\n1.", 1),
        (b"(I1\n2t.", (1, 1)),
        (b"\x8d\x02" + b"\x00" * 7 + b"ab.", "ab"),
        (b"\x8b\x02\x00\x00\x00\x00\x01.", 256),
    ],
)
def test_rare_instructions_do_what_they_do_in_python(data: bytes, value: Any) -> None:
    assert pickle.loads(data) == value
    assert read(data) == value


def test_several_pickles_follow_one_another_with_memories_of_their_own() -> None:
    machine = Machine(memoryview(pickle.dumps(["a"]) + pickle.dumps({"b": 1}) + b"rest"), {})
    assert [machine.read(), machine.read()] == [["a"], {"b": 1}]
    assert bytes(machine.take(4)) == b"rest"


def test_a_known_name_is_called_as_our_function_and_not_as_itself() -> None:
    data = b"cos\nsystem\n(Vecho\ntR."
    assert read(data, known={("os", "system"): str.upper}) == "ECHO"


def test_a_name_without_a_function_stands_for_itself_and_cannot_be_called() -> None:
    known = {("torch", "HalfStorage"): None}
    assert read(b"ctorch\nHalfStorage\n.", known=known) == Name("torch", "HalfStorage", None)
    with pytest.raises(RefusedError, match="a call of what is no function"):
        read(b"ctorch\nHalfStorage\n)R.", known=known)


@pytest.mark.parametrize("data", [b"Va\n)R.", b"])R.", b"cos\nsystem\n]R."])
def test_nothing_but_a_name_and_a_tuple_makes_a_call(data: bytes) -> None:
    with pytest.raises(RefusedError, match="a call of what is no function"):
        read(data, known={("os", "system"): str})


def test_calls_are_counted() -> None:
    data = b"(" + b"cbuiltins\nlen\n(Vab\ntR" * 17 + b"l."
    with pytest.raises(RefusedError, match="more than 16 calls"):
        read(data, known={("builtins", "len"): len})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"cos\nsystem\n.", r"the name os\.system"),
        (b"\x8c\x02os\x8c\x06system\x93.", r"the name os\.system"),
        (b"(Vecho\nios\nsystem\n.", "the instruction INST"),
        (b"(cos\nsystem\nVecho\no.", r"the name os\.system"),
        (b"]}b.", "the instruction BUILD"),
        (b"])\x81.", "the instruction NEWOBJ"),
        (b"])}\x92.", "the instruction NEWOBJ_EX"),
        (b"\x82\x01.", "the instruction EXT1"),
        (b"\x83\x01\x00.", "the instruction EXT2"),
        (b"P0\n.", "the instruction PERSID"),
        (b"]Q.", "a persistent id"),
        (b"\x97.", "the instruction NEXT_BUFFER"),
        (b"\x96" + b"\x00" * 8 + b".", "the instruction BYTEARRAY8"),
        (b"(\x91.", "the instruction FROZENSET"),
        (b"S'a'\n.", "the instruction STRING"),
        (b"}Va\na.", "appended to what is no list"),
        (b"]Va\nVb\ns.", "set in what is no dict"),
    ],
)
def test_whatever_makes_more_than_data_is_refused_by_name(data: bytes, told: str) -> None:
    with pytest.raises(RefusedError, match=told):
        read(data)


def test_a_persistent_id_stands_as_it_is_where_there_may_be_one() -> None:
    assert read(b"(Va\nVb\ntQ.", persistent=True) == ("a", "b")


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b".",
            b"]",
            b"\xff.",
            b"Vno end of line",
            b"Inumber\n.",
            b"Fnumber\n.",
            b"t.",
            b"a.",
        ),
        *(b"h\x07.", b"g9\n.", b"q\x00.", b"\x85.", b"Va\n\x86.", b"(Va\nd."),
        *(b"}])s.", b"(])d.", b"\x8c\x05ab.", b"\x8c\x01\xff.", b"G\x00.", b"K1K2\x93."),
        b"X" + struct.pack("<I", 2**31) + b"abc.",
        b"\x8e" + struct.pack("<Q", 2**63) + b"abc.",
        b"\x8b" + struct.pack("<i", -5) + b"abcdefgh.",
        b"I" + b"9" * 10_000 + b"\n.",
        b"\x8b" + struct.pack("<i", 3000) + b"\x7f" * 3000 + b".",
    ],
)
def test_damage_is_told_as_such_and_takes_no_memory(data: bytes) -> None:
    with pytest.raises(DAMAGED):
        read(data)


def test_a_memory_slot_of_a_huge_number_costs_nothing() -> None:
    assert read(b"Va\nr\xff\xff\xff\xff0j\xff\xff\xff\xff.") == "a"


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60), value=VALUES, place=st.integers(0, 60))
def test_any_bytes_at_all_end_in_data_or_in_an_error(data: bytes, value: Any, place: int) -> None:
    good = pickle.dumps(value)
    for spoilt in (data, good[:place] + data + good[place + len(data) :], good[:place]):
        try:
            read(spoilt)
        except (RefusedError, *DAMAGED):
            continue
