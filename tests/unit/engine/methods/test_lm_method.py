"""Training a small language model on captions."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.engine.captioned import SIZES, captions
from vcap.engine.methods.language import Language, load_language, new_language
from vcap.engine.methods.lm import LmMethod, begin_anywhere, in_turns
from vcap.engine.reporter import Silent
from vcap.engine.run import Run
from vcap.engine.schedule import TrainConfig
from vcap.engine.tokenizers import load_tokenizer
from vcap.engine.train import train_method
from vcap.engine.training_data import load_splits
from vcap.errors import CheckpointError, ConfigError, UnavailableError


def config(folder: Path, **changes: Any) -> TrainConfig:
    parts: dict[str, Any] = {
        "model": SIZES,
        "options": {"vocabulary": 290},
        "data": {"train": str(captions(folder))},
        "train": {"steps": 2, "batch_size": 8, "device": "cpu"},
    }
    for name, part in changes.items():
        parts[name] = {**parts[name], **part}
    return TrainConfig.model_validate({"method": "lm", **parts})


def method(folder: Path, **changes: Any) -> LmMethod:
    settings = config(folder, **changes)
    torch.manual_seed(0)
    return LmMethod(settings, load_splits(settings.data), Run(folder / "unused"))


def test_all_captions_of_all_training_videos_come_up_in_an_epoch(tmp_path: Path) -> None:
    one = method(tmp_path)
    assert one.num_batches == 36 * 2 // 8
    rows = [row for i in range(one.num_batches) for row in one.batch(0, i)["tokens"].tolist()]
    assert len(rows) == 72


def test_every_caption_ends_in_the_end_token(tmp_path: Path) -> None:
    one = method(tmp_path)
    batch = one.batch(0, 0)
    for row, mask in zip(batch["tokens"], batch["mask"], strict=True):
        text = row[mask].tolist()
        assert text[-1] == one.tokenizer.end_id
        assert one.tokenizer.end_id not in text[:-1]


def test_with_several_captions_a_text_goes_on_to_the_next_caption_of_the_same_clip(
    tmp_path: Path,
) -> None:
    one = method(tmp_path, options={"captions_per_text": 2}, model={"num_positions": 128})
    end = one.tokenizer.end_id
    for index in range(one.num_batches):
        batch = one.batch(0, index)
        for row, mask in zip(batch["tokens"], batch["mask"], strict=True):
            text = row[mask].tolist()
            assert text[-1] == end
            assert text[:-1].count(end) in (0, 1)  # cut anywhere in the first, up to its end
    assert (~batch["mask"]).any()
    assert batch["tokens"][~batch["mask"]].eq(0).all()


def test_a_text_begins_with_each_caption_once_and_goes_round() -> None:
    assert in_turns(["a", "b", "c"], 2) == ["a\x1eb", "b\x1ec", "c\x1ea"]
    assert in_turns(["a\x1ea"], 2) == ["a a\x1ea a"]


def test_texts_are_cut_up_to_the_end_of_their_first_caption_and_the_same_way_again() -> None:
    tokens = torch.tensor([[5, 6, 9, 7, 9], [8, 9, 4, 9, 0]])  # 9 ends a caption
    batch = {"tokens": tokens, "mask": tokens != 0}
    seen = set()
    for seed in range(40):
        made = begin_anywhere(batch, 9, np.random.default_rng(seed))
        rows = [row[mask].tolist() for row, mask in zip(*made.values(), strict=True)]
        assert rows[0] in ([5, 6, 9, 7, 9], [6, 9, 7, 9], [9, 7, 9])
        assert rows[1] in ([8, 9, 4, 9], [9, 4, 9])
        seen.add(tuple(map(tuple, rows)))
        again = begin_anywhere(batch, 9, np.random.default_rng(seed))
        assert torch.equal(again["tokens"], made["tokens"])
    assert len(seen) == 6


class Uniform(nn.Module):
    """Gives every token the same chance and keeps what it was asked."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.vocabulary = vocabulary

    def forward(self, input_ids: torch.Tensor, position_ids: torch.Tensor) -> Any:
        self.input_ids, self.position_ids = input_ids, position_ids
        logits = self.weight.expand(*input_ids.shape, self.vocabulary)
        return type("Output", (), {"logits": logits})()


def test_a_model_that_knows_nothing_is_as_perplexed_as_there_are_tokens(tmp_path: Path) -> None:
    one = method(tmp_path)
    one.model = Uniform(one.tokenizer.size)
    with torch.no_grad():
        metrics = one.validation_metrics()
        loss = one.losses(one.batch(0, 0))["caption"]
    assert metrics["perplexity"] == pytest.approx(one.tokenizer.size, rel=1e-5)
    assert loss.item() == pytest.approx(math.log(one.tokenizer.size), rel=1e-5)


def test_each_token_is_told_from_those_before_it_at_the_places_of_a_captioner(
    tmp_path: Path,
) -> None:
    one = method(tmp_path, options={"first_position": 5})
    one.model = spy = Uniform(one.tokenizer.size)
    batch = one.batch(0, 0)
    one.losses(batch)
    assert (spy.input_ids[:, 0] == one.tokenizer.end_id).all()
    assert torch.equal(spy.input_ids[:, 1:], batch["tokens"][:, :-1])
    assert spy.position_ids[0, :3].tolist() == [4, 5, 6]


def test_padding_does_not_change_the_loss(tmp_path: Path) -> None:
    one = method(tmp_path)
    one.model.eval()
    batch = one.batch(0, 0)
    wider = {name: nn.functional.pad(part, (0, 3)) for name, part in batch.items()}
    assert one.losses(wider)["caption"].item() == pytest.approx(
        one.losses(batch)["caption"].item(), rel=1e-5
    )


def test_training_lowers_the_perplexity(tmp_path: Path) -> None:
    settings = config(tmp_path, train={"steps": 60, "learning_rate": 0.02})
    result = train_method(settings, tmp_path / "run", reporter=Silent())
    assert result.scores["test/perplexity"] < 20


def test_the_same_captions_give_the_same_tokenizer(tmp_path: Path) -> None:
    assert method(tmp_path).tokenizer.to_json() == method(tmp_path).tokenizer.to_json()


def test_captions_longer_than_the_positions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.num_positions"):
        method(tmp_path, model={"num_positions": 5})


def test_a_trained_model_is_read_back_with_its_words(tmp_path: Path) -> None:
    train_method(config(tmp_path), tmp_path / "run", reporter=Silent())
    language = load_language(str(tmp_path / "run"))
    assert language.tokenizer.to_json() == load_tokenizer(tmp_path / "run" / "model").to_json()
    ids = language.encode("a red star spins", end_token=True)
    assert ids[-1] == language.stop_id(end_token=True) == language.tokenizer.end_id
    assert language.tokenizer.decode(ids) == "a red star spins"
    assert language.encode("a red star", end_token=False)[-1] != language.tokenizer.end_id


def test_without_an_end_token_a_full_stop_ends_a_caption() -> None:
    language = new_language(["a red star."], 280, {**SIZES})
    assert isinstance(language, Language)
    assert language.stop_id(end_token=False) == language.tokenizer.encode(".")[0]


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model folder"):
        load_language(str(tmp_path))


def test_a_model_of_another_method_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"method": "encoder"}')
    with pytest.raises(CheckpointError, match="of kind encoder, want lm"):
        load_language(str(tmp_path))


def test_a_model_of_the_hub_that_is_not_here_is_absent_not_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match=r"no-such/model") as caught:
        load_language("hf:no-such/model")
    assert "hf download" in str(caught.value.hint)
