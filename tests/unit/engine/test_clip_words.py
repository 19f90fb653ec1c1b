"""The ids of a text are those that open_clip gives it."""

import gzip
import random
import subprocess
import sys
from pathlib import Path

import pytest
from open_clip.tokenizer import SimpleTokenizer

from vcap.engine import clip_words
from vcap.errors import UnavailableError

TEXTS = [
    "",
    "a red star spins",
    "It's what they'd DO; we'll see, I've said, you're right, I'm",
    "<end_of_text> typed <START_of_text>by hand",
    "fish &amp; chips &lt;i&gt; &amp;lt; & more",
    "<p>left &amp; alone</p>",
    "  blanks\tand\nlines  ",
    "Caf\u00e9 \u201cquoted\u201d \ufb01n \u017ft's",
    "\uff11\uff12 \u00bd \u2167 123",
    "\u65e5\u672c\u8a9e \u30c6\u30b9\u30c8 \u0438 \u0440\u0443\u0441\u0441\u043a\u0438\u0439",
    "snake_case__name...!?",
    "\U0001f600\U0001f468\u200d\U0001f469 smile",
    "\x1b[31mred\x1b[0m a\x00b\x7f",
    "antidisestablishmentarianism",
]


@pytest.fixture(scope="module")
def theirs() -> SimpleTokenizer:
    return SimpleTokenizer()


def wanted(theirs: SimpleTokenizer, text: str) -> list[int]:
    return [theirs.sot_token_id, *theirs.encode(text), theirs.eot_token_id]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_has_open_clips_ids(theirs: SimpleTokenizer, text: str) -> None:
    assert clip_words.clip_words().encode(text) == wanted(theirs, text)


@pytest.mark.parametrize("letters", ["abcXYZ 09'!;<>_-.,", "ab c'&\t\n\u00e9\u65e5\u00bd\u00a0"])
def test_any_text_has_open_clips_ids(theirs: SimpleTokenizer, letters: str) -> None:
    chance = random.Random(0)
    for _ in range(500):
        text = "".join(chance.choices(letters, k=chance.randint(0, 25)))
        assert clip_words.clip_words().encode(text) == wanted(theirs, text), ascii(text)


def test_the_same_word_has_the_same_ids_when_it_comes_again() -> None:
    once, twice = map(clip_words.clip_words().encode, ("zebra", "zebra zebra"))
    assert twice[1:-1] == 2 * once[1:-1]


def test_neither_open_clip_nor_what_only_other_scripts_need_is_loaded() -> None:
    code = (
        "import sys; from vcap.engine.clip_words import clip_words;"
        "clip_words().encode('a red star');"
        "print([n for n in ('open_clip', 'torch', 'ftfy', 'regex', 'numpy') if n in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_a_vocabulary_that_cannot_be_read_is_told_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_words, "open_clip_folder", lambda: tmp_path)
    for content in (None, b"no archive", gzip.compress(b"\xff\xfe")):
        if content is not None:
            (tmp_path / clip_words.VOCABULARY).write_bytes(content)
        with pytest.raises(UnavailableError, match="vocabulary of CLIP cannot be read") as caught:
            clip_words.clip_words.__wrapped__()
        assert "open_clip_torch" in str(caught.value.hint)


def test_without_open_clip_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_words, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="open_clip is not installed"):
        clip_words.open_clip_folder()
