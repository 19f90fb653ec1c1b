from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from vcap.engine.names import MAX_BYTES, safe_name

texts = st.text(max_size=30) | st.text(alphabet="./%-~ aAé\u0301\u200d\udc80", max_size=12)


def restored(name: str) -> str:
    return "" if name == "%" else unquote_to_bytes(name).decode("utf-8", "surrogatepass")


@given(texts)
def test_the_id_can_be_read_back_from_its_name_so_no_two_share_one(identity: str) -> None:
    assert restored(safe_name(identity)) == identity


@given(st.text(max_size=300))
def test_a_name_is_always_one_file_in_its_folder(identity: str) -> None:
    name = safe_name(identity)
    assert 0 < len(name.encode()) <= MAX_BYTES
    assert "/" not in name and "\\" not in name and "\x00" not in name
    assert name[0] not in ".- " and name[-1] != " " and name.isprintable()


@given(st.lists(st.text(min_size=190, max_size=260), unique=True, max_size=8))
def test_long_ids_do_not_share_names(identities: list[str]) -> None:
    assert len({safe_name(identity) for identity in identities}) == len(identities)
