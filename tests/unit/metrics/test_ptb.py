"""The Python PTB tokenizer and the two ways in which texts are cleaned before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcap.metrics.ptb import DROPPED, clean_ascii, clean_paragraph, tokenize_python

# What the Java tokenizer gives for these texts.
TOKENS = {
    'A man (in red) says "hello" to the dog\'s owner.': (
        "a man -lrb- in red -rrb- says hello to the dog 's owner"
    ),
    "don't can't gonna cannot": "do n't ca n't gon na can not",
    "I'd've, it's; they'll": "i 'd 've it 's they 'll",
    "'tis o'clock y'all rock'n'roll 'em": "'t is o'clock y' all rock 'n' roll 'em",
    "the '90s, the 1980s": "the '90s the 1980s",
    "man\u2019s don\u2019t": "man 's do n't",
    "Mr. Smith of Acme Inc. left": "mr. smith of acme inc. left",
    "at 5 a.m. in the U.S.": "at 5 a.m. in the u.s.",
    "see no. 5, no.": "see no. 5 no",
    "vitamin C. The man": "vitamin c the man",
    "vitamin C. the man": "vitamin c. the man",
    "a t.v., a pan., x": "a t.v. a pan. x",
    "$5.00, 50% off & more": "$ 5.00 50 % off & more",
    "£5 5¢ €5": "# 5 5 cents $ 5",
    "1 1/2 cups, ½ cup": "1\u00a01/2 cups 1/2 cup",
    "call 555 555-5555": "call 555\u00a0555-5555",
    "10/20/2014 5,000.50 -5 3:30pm": "10/20/2014 5,000.50 -5 3:30 pm",
    "well-known 5-year-old t-shirt": "well-known 5-year-old t-shirt",
    "and/or AT&T a&b C++": "and/or at&t a & b c++",
    "foo_bar.mp4 5.jpg www.a.com/bc foo@bar.com": "foo_bar mp4 5.jpg www.a.com/bc foo@bar.com",
    "http://x.y/z?a=1. #tag @user": "http://x.y/z?a=1 #tag @user",
    "AT&TX., the U.S.-U.K team": "at&tx. the u.s.-u.k team",
    "abc123!@#": "abc123!@#",
    "!? ... -- . . . wait....": "!? wait",
    "hello--there a---b -----": "hello there a b -----",
    "<b>bold</b> <unk> 5 < 6": "<b> bold </b> <unk> 5 < 6",
    "&amp; &lt; &mdash; caf&eacute;": "& < caf&eacute;",
    ":) [x] {y} -LRB-": ":-rrb- -lsb- x -rsb- -lcb- y -rcb- -lrb-",
    "café — naïve 😀 emoji": "café naïve emoji",
    "a😀b": "a b",
    "狗在跑": "狗在跑",
    "hello.World man.the": "hello.world man.the",
    "tab\there\u00a0nbsp": "tab here nbsp",
    "": "",
    "   ": "",
    "...": "",
}
TEXTS = st.text(
    alphabet=st.sampled_from("aAnbtT15 .,'-/&!?:;()<>\"@#$%_\u2019“é½😀\n"), max_size=30
)
SOME_WORDS = ["a", "The", "dog", "runs,", "don't", "(no)", "5.5", "U.S.", "etc.", "!"]
WORDS = st.lists(st.sampled_from(SOME_WORDS))


@pytest.mark.parametrize("text", TOKENS)
def test_a_text_has_the_tokens_of_the_java_tokenizer(text: str) -> None:
    found = tokenize_python([text])[0]
    assert found == TOKENS[text]


def test_the_last_full_stop_is_judged_as_if_the_caption_followed_itself() -> None:
    assert tokenize_python(["The man has vitamin C."]) == ["the man has vitamin c"]
    assert tokenize_python(["the man has vitamin C."]) == ["the man has vitamin c."]
    assert tokenize_python(["5 times no.", "5 times no. "]) == ["5 times no.", "5 times no"]


def test_no_captions_give_no_tokens() -> None:
    assert tokenize_python([]) == []


@pytest.mark.parametrize("line_break", ["\n", "\r", "\u2028", "\u2029", "\r\n"])
def test_a_line_break_counts_as_a_blank(line_break: str) -> None:
    assert tokenize_python([f"line one{line_break}line two"]) == ["line one line two"]


@pytest.mark.parametrize("text", [" " * 5000, "a" * 5000, "a." * 500, "a@" * 500, "<a b " * 500])
def test_a_long_odd_text_is_tokenized_too(text: str) -> None:
    assert "".join(tokenize_python([text])[0].split()).strip(".") in text.replace(" ", "")


@given(st.lists(TEXTS))
def test_neighbours_change_nothing(captions: list[str]) -> None:
    alone = [tokenize_python([caption])[0] for caption in captions]
    assert tokenize_python(captions) == alone
    assert tokenize_python(captions[::-1]) == alone[::-1]


@given(TEXTS)
def test_tokens_are_lower_case_without_dropped_punctuation_and_empty_ones(text: str) -> None:
    joined = tokenize_python([text])[0]
    tokens = joined.split(" ") if joined else []
    assert all(token and token == token.lower() for token in tokens)
    assert DROPPED.isdisjoint(tokens)


@given(TEXTS)
def test_blanks_around_a_text_change_nothing(text: str) -> None:
    assert tokenize_python([f"  {text}  "]) == tokenize_python([text])


@given(WORDS, st.integers(1, 4))
def test_the_number_of_blanks_between_words_changes_nothing(words: list[str], width: int) -> None:
    assert tokenize_python([(" " * width).join(words)]) == tokenize_python([" ".join(words)])


def test_characters_beyond_ascii_become_one_blank_each() -> None:
    assert clean_ascii("caf\u00e9 — na\u00efve\u007f😀!") == "caf    na ve\u007f !"


def test_a_paragraph_keeps_only_lower_case_words_of_ascii_letters() -> None:
    assert clean_paragraph("A man's 2 dogs.\n  Caf\u00e9 ran! ") == "a man s dogs caf ran"
    assert clean_paragraph(" 12 ... ") == ""


@given(st.text(max_size=40))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean_ascii(clean_ascii(text)) == clean_ascii(text)
    assert clean_paragraph(clean_paragraph(text)) == clean_paragraph(text)
    assert clean_ascii(text).isascii() and len(clean_ascii(text)) == len(text)
