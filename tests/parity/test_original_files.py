"""Checkpoints that the original saved give its recorded numbers when they are named as a model.

Recorded data: `golden/prefix`, with its README, whose tolerances these are.
"""

import json
from pathlib import Path

import pytest
import torch

from tests.parity.test_prefix import Case, close, read_cases, settings_of
from vcap.engine.original import Original, read_original
from vcap.errors import CheckpointError
from vcap.models.generation import generate

pytestmark = pytest.mark.parity
Loaded = tuple[Case, Original]
ROWS = 4  # of the generations of each case, which are searched alike


def saved(case: Case, folder: Path) -> Path:
    """The file that the original's training wrote, with what it does not say beside it."""
    path = folder / f"{case.name}-009.pt"
    torch.save(case.weights, path)
    notes = {"lm_heads": case.lm["n_head"], "clip_length": case.settings["frames"]}
    notes |= {"encoder": "tiny"}
    if case.name != "mlp":
        notes |= {"mapper": {"self": "transformer", "cross": "cross"}[case.name]}
    path.with_name(f"{path.name}.json").write_text(json.dumps(notes))
    return path


@pytest.fixture(scope="module")
def loaded(golden_root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Loaded]:
    """Each recorded case, and what its file is read as."""
    folder = tmp_path_factory.mktemp("checkpoints")
    cases = read_cases(golden_root / "prefix").values()
    return [(case, read_original(saved(case, folder))) for case in cases]


def test_a_saved_checkpoint_gives_the_recorded_prefix_and_logits(loaded: list[Loaded]) -> None:
    for case, found in loaded:
        model = found.model.eval()
        with torch.no_grad():
            close(model.prefix(*case.clips), case.tensors["mapper_out"])
            close(model(*case.clips, *case.words), case.tensors["logits"], 1e-5, 1e-5)


def test_a_saved_checkpoint_has_the_recorded_loss(loaded: list[Loaded]) -> None:
    for case, found in loaded:
        loss = case.loss(found.model.eval()).item()
        assert loss == pytest.approx(case.recorded["loss"], abs=1e-5)


def test_a_saved_checkpoint_finds_the_recorded_words(loaded: list[Loaded]) -> None:
    for case, found in loaded:
        reader = found.model.eval().reader()
        for item in case.recorded["generations"][:ROWS]:
            prefix = case.tensors["mapper_out"][item["row"]][None]
            words = generate(reader, prefix, [item["stop_token_id"]], settings_of(item))[0]
            ids = [list(one.ids) for one in words]
            assert (ids if item["algo"] == "generate_beam" else ids[0]) == item["ids"]


def test_sizes_are_read_off_the_weights(loaded: list[Loaded]) -> None:
    for case, found in loaded:
        sizes = found.model.config
        assert sizes.feature_width == case.settings["prefix_size"]
        assert sizes.prefix_length == case.recorded["prefix_length"]
        assert sizes.lm_width == case.lm["n_embd"]
        assert str(found.sampler) == f"msrvtt-notebook {case.settings['frames']}"
        assert not sizes.pooled


def test_a_self_attending_mapper_taken_for_the_cross_variant_gives_other_numbers(
    loaded: list[Loaded], tmp_path: Path
) -> None:
    case = next(case for case, _ in loaded if case.name == "self")
    path = saved(case, tmp_path)
    beside = path.with_name(f"{path.name}.json")
    notes = json.loads(beside.read_text())
    beside.write_text(json.dumps({**notes, "mapper": "cross"}))
    with torch.no_grad():
        prefix = read_original(path).model.eval().prefix(*case.clips)
    assert not torch.allclose(prefix, case.tensors["mapper_out"], atol=1e-2)
    beside.write_text(json.dumps({key: notes[key] for key in notes if key != "mapper"}))
    with pytest.raises(CheckpointError, match="does not say if it was trained with --cross"):
        read_original(path)
