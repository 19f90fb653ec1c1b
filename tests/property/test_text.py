"""Laws of the tokenizer: any text survives, and batches keep to their length."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small_models import TEXTS
from vcap.engine.tokenizers import train_tokenizer

TOKENIZER = train_tokenizer(TEXTS, 300)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(anything)
@settings(deadline=None)
def test_text_comes_back_as_it_was(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert all(0 < number < TOKENIZER.end_id for number in ids)


@given(st.lists(anything, min_size=1, max_size=5), st.integers(1, 40))
@settings(deadline=None)
def test_each_row_of_a_batch_ends_once_and_is_padded_behind(texts: list[str], length: int) -> None:
    rows = TOKENIZER.batch(texts, length)
    assert rows.shape == (len(texts), length)
    for row, text in zip(rows.tolist(), texts, strict=True):
        end = row.index(TOKENIZER.end_id)
        assert row[:end] == TOKENIZER.encode(text)[: length - 1]
        assert set(row[end + 1 :]) <= {TOKENIZER.pad_id}


@given(anything, anything)
@settings(deadline=None)
def test_bytes_of_two_texts_add_up(first: str, second: str) -> None:
    joined = TOKENIZER.encode(first) + TOKENIZER.encode(second)
    assert TOKENIZER.decode(joined) == first + second
