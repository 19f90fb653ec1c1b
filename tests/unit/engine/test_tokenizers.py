"""The small tokenizer: lossless, the same each time, and with an end where encoders look for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_models import TEXTS
from vcap.engine.tokenizers import (
    END,
    PAD,
    Tokenizer,
    hub_tokenizer,
    load_tokenizer,
    train_tokenizer,
)
from vcap.errors import CheckpointError, UnavailableError


def test_words_seen_in_training_become_few_tokens() -> None:
    tokenizer = train_tokenizer(TEXTS, 400)
    assert len(tokenizer.encode(TEXTS[0])) <= 6
    assert tokenizer.decode(tokenizer.encode(TEXTS[0])) == TEXTS[0]


def test_the_end_token_has_the_highest_id_and_padding_the_lowest() -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    assert (tokenizer.pad_id, tokenizer.end_id) == (0, tokenizer.size - 1)
    assert tokenizer.size <= 300


def test_the_same_texts_in_any_order_give_the_same_tokenizer_in_another_process() -> None:
    here = train_tokenizer(reversed(TEXTS), 320).to_json()
    code = (
        "import json, sys\n"
        "from vcap.engine.tokenizers import train_tokenizer\n"
        "print(train_tokenizer(json.load(sys.stdin), 320).to_json(), end='')"
    )
    command = [sys.executable, "-c", code]
    there = subprocess.run(
        command, input=json.dumps(TEXTS), capture_output=True, text=True, check=True, timeout=60
    )
    assert there.stdout == here


@pytest.mark.parametrize("text", ["", " ", "naïve 東京 🎥\n\ttwo  blanks ", f"a {END} and a {PAD}"])
def test_any_text_comes_back_as_it_was(text: str) -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.end_id not in ids
    assert tokenizer.pad_id not in ids


def test_end_and_padding_vanish_when_a_caption_is_read_back() -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    ids = [*tokenizer.encode("a star"), tokenizer.end_id, tokenizer.pad_id]
    assert tokenizer.decode(ids) == "a star"


def test_a_batch_is_cut_ended_and_padded() -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    short, long = tokenizer.batch(["a", "a red star spins and spins and spins"], 5).tolist()
    assert short == [*tokenizer.encode("a"), tokenizer.end_id, 0, 0, 0]
    assert long == [*tokenizer.encode("a red star spins and spins")[:4], tokenizer.end_id]


def test_a_vocabulary_without_room_for_the_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 258"):
        train_tokenizer(TEXTS, 200)


def test_a_saved_tokenizer_reads_back_the_same_from_its_folder(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    again = load_tokenizer(tmp_path)
    assert again.encode(f"a red star {END}") == tokenizer.encode(f"a red star {END}")
    assert (again.size, again.end_id, again.pad_id) == (tokenizer.size, tokenizer.end_id, 0)


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"model": {"vocab": [], "merges": {}}}', "\x00\xff"]
)
def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is no"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    content = json.loads(train_tokenizer(TEXTS, 300).to_json())
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != END]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=f"has neither {END} nor"):
        load_tokenizer(tmp_path)


def test_a_hub_tokenizer_that_is_not_here_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UnavailableError, match="no-such-place is not on this machine") as caught:
        hub_tokenizer(str(tmp_path / "no-such-place"))
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("hf download ")


def test_a_tokenizer_of_the_hubs_kind_is_read_from_a_folder(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    path = tmp_path / "own.json"
    path.write_text(train_tokenizer(TEXTS, 300).to_json(), encoding="utf-8")
    PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token=END).save_pretrained(tmp_path)
    tokenizer = hub_tokenizer(str(tmp_path))
    ids = tokenizer.encode("a red star")
    assert tokenizer.decode([*ids, tokenizer.end_id]) == "a red star"
    assert tokenizer.first_id("a red star") == ids[0]
    with pytest.raises(CheckpointError, match="cannot be written"):
        Tokenizer(object(), end_id=0, pad_id=0, size=1).to_json()


def test_a_tokenizer_of_gpt2s_kind_written_into_a_model_folder_reads_back(tmp_path: Path) -> None:
    from tokenizers import AddedToken, models, pre_tokenizers
    from tokenizers import Tokenizer as Library
    from transformers import PreTrainedTokenizerFast

    library = Library(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=library, eos_token="<|endoftext|>")
    wrapped.save_pretrained(tmp_path / "hub")
    there = hub_tokenizer(str(tmp_path / "hub"))
    (tmp_path / "tokenizer.json").write_text(there.to_json(), encoding="utf-8")
    here = load_tokenizer(tmp_path)
    assert here.encode("abba") == there.encode("abba") == [2, 1, 0]
    assert (here.end_id, here.pad_id, here.size) == (there.end_id, there.pad_id, there.size)


def unigram(folder: Path, **marks: str | None) -> Path:
    """A tokenizer of another kind than ours, as transformers keeps it."""
    from tokenizers import AddedToken, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Library
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "</s>", "<blank>", "▁a", "▁red", "▁star", "▁", "r", "e", "d", "<", "/", "s"]
    library = Library(models.Unigram([(piece, -float(n)) for n, piece in enumerate(pieces)], 0))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoders.Metaspace()
    library.add_special_tokens([AddedToken(mark, special=True) for mark in pieces[:3]])
    library.enable_truncation(2)
    library.enable_padding(length=9)
    given = {"eos_token": "</s>", "pad_token": "<blank>", "unk_token": "<unk>", **marks}
    PreTrainedTokenizerFast(tokenizer_object=library, **given).save_pretrained(folder)
    return folder


def test_a_tokenizer_of_another_kind_reads_back_the_same(tmp_path: Path) -> None:
    there = hub_tokenizer(str(unigram(tmp_path / "hub")))
    assert (there.end_id, there.pad_id, there.size) == (1, 2, 13)
    ids = there.encode("a red star a red star")
    assert len(ids) == 6, "neither cut nor padded, whatever its file asks for"
    assert there.decode([*ids, 1, 2]) == "a red star a red star"
    (tmp_path / "own").mkdir()
    there.save(tmp_path / "own")
    here = load_tokenizer(tmp_path / "own")
    assert here.encode("a red star a red star") == ids
    assert (here.end_id, here.pad_id, here.size) == (1, 2, 13)


def test_a_mark_in_a_caption_is_text_to_a_tokenizer_of_the_hub_too(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    path = tmp_path / "own.json"
    path.write_text(train_tokenizer(TEXTS, 300).to_json(), encoding="utf-8")
    PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token=END).save_pretrained(tmp_path)
    tokenizer = hub_tokenizer(str(tmp_path))
    ids = tokenizer.encode(f"a {END}")
    assert tokenizer.end_id not in ids
    assert tokenizer.decode(ids) == f"a {END}"


def test_our_own_tokenizer_needs_no_second_file(tmp_path: Path) -> None:
    train_tokenizer(TEXTS, 300).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_transformers_reads_what_we_write(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    there = hub_tokenizer(str(unigram(tmp_path / "hub")))
    (tmp_path / "own").mkdir()
    there.save(tmp_path / "own")
    found = AutoTokenizer.from_pretrained(tmp_path / "own")
    assert found.encode("a red", add_special_tokens=False) == there.encode("a red")
    assert (found.eos_token, found.pad_token) == ("</s>", "<blank>")


def test_a_hub_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not say how a text ends"):
        hub_tokenizer(str(unigram(tmp_path, eos_token=None)))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"eos_token": 7}', "want texts"),
        ('{"eos_token": "<stop>"}', "has no <stop> to end a text with"),
    ],
)
def test_marks_that_make_no_sense_are_named(tmp_path: Path, content: str, complaint: str) -> None:
    train_tokenizer(TEXTS, 300).save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(CheckpointError, match=complaint):
        load_tokenizer(tmp_path)


def test_marks_may_be_told_as_objects(tmp_path: Path) -> None:
    train_tokenizer(TEXTS, 300).save(tmp_path)
    marks = {"eos_token": {"content": END}, "pad_token": {"content": END}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(marks))
    found = load_tokenizer(tmp_path)
    assert found.end_id == found.pad_id == found.size - 1
