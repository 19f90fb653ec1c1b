"""ClipCap's pickle of pictures' vectors."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.feature_files import clipcap_content, clipcap_file
from vcap.errors import FeatureError
from vcap.features.clipcap import read_clipcap


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64])
def test_every_protocol_and_number_type_gives_the_same_numbers(
    tmp_path: Path, protocol: int, kind: torch.dtype
) -> None:
    content = clipcap_content()
    content["clip_embedding"] = content["clip_embedding"].to(kind)
    found = read_clipcap(clipcap_file(tmp_path / "a.pkl", content, protocol))
    assert np.array_equal(found.features, content["clip_embedding"].numpy())
    assert found.kind == (512, str(kind).removeprefix("torch."))


def test_a_picture_of_several_captions_counts_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    content = clipcap_content(num_pictures=3, each=2)
    found = read_clipcap(clipcap_file(tmp_path / "a.pkl", content))
    assert found.ids == ["000000000000", "000000000001", "000000000002"]
    vector = content["clip_embedding"][2:3].numpy()
    assert np.array_equal(found.read("000000000001"), vector)


def test_ids_that_are_numbers_become_text(tmp_path: Path) -> None:
    content = clipcap_content(num_pictures=1, each=1)
    content["captions"][0]["image_id"] = 318556
    assert read_clipcap(clipcap_file(tmp_path / "a.pkl", content)).ids == ["318556"]


def test_captions_may_be_fewer_than_vectors_and_in_another_order(tmp_path: Path) -> None:
    content = clipcap_content(num_pictures=3, each=1)
    content["captions"] = content["captions"][:0:-1]
    found = read_clipcap(clipcap_file(tmp_path / "a.pkl", content))
    assert found.rows == {"000000000002": 2, "000000000001": 1}


def test_a_part_of_a_larger_tensor_is_read_where_it_lies(tmp_path: Path) -> None:
    content = clipcap_content(num_pictures=3, each=1)
    whole = content["clip_embedding"]
    content["clip_embedding"] = torch.cat([whole, whole + 1])[2:5]
    found = read_clipcap(clipcap_file(tmp_path / "a.pkl", content))
    assert np.array_equal(found.features, content["clip_embedding"].numpy())


def test_a_parameter_of_a_gradient_is_as_good_as_any_tensor(tmp_path: Path) -> None:
    content = clipcap_content()
    content["clip_embedding"].requires_grad_(True)
    assert len(read_clipcap(clipcap_file(tmp_path / "a.pkl", content)).ids) == 3


def test_small_differences_between_runs_of_a_gpu_are_no_matter(tmp_path: Path) -> None:
    content = clipcap_content(num_pictures=1, each=2)
    content["clip_embedding"][1] *= 1.001
    found = read_clipcap(clipcap_file(tmp_path / "a.pkl", content))
    assert found.rows == {"000000000000": 0}
    content["clip_embedding"][1] += 1
    with pytest.raises(FeatureError, match=r"captions\[1\]: picture 000000000000 has other feat"):
        read_clipcap(clipcap_file(tmp_path / "a.pkl", content))


@pytest.mark.parametrize("field", ["image_id", "clip_embedding"])
def test_a_number_too_long_to_be_told_is_refused_in_words(tmp_path: Path, field: str) -> None:
    path = clipcap_file(tmp_path / "a.pkl", captions(**{field: 10**6000}))
    with pytest.raises(FeatureError, match="a whole number of 2492 bytes"):
        read_clipcap(path)


def captions(**changes: Any) -> dict[str, Any]:
    """Content whose second caption is changed."""
    content = clipcap_content()
    content["captions"][1].update(changes)
    return content


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1, 2], "want an object with clip_embedding and captions"),
        ({"captions": []}, "want an object with clip_embedding and captions"),
        ({**clipcap_content(), "captions": []}, "at least one caption"),
        ({**clipcap_content(), "captions": {"a": 1}}, "captions: want a list"),
        ({**clipcap_content(), "clip_embedding": [1.0]}, r"want a tensor \[N, D\], got list"),
        ({**clipcap_content(), "clip_embedding": torch.zeros(3)}, r"\[N, D\], got \[3\]"),
        ({**clipcap_content(), "clip_embedding": torch.zeros(0, 3)}, r"\[N, D\], got \[0, 3\]"),
        (captions(image_id=None), r"captions\[1\]: image_id: .* got NoneType"),
        (captions(image_id=""), r"captions\[1\]: image_id"),
        (captions(image_id=[[[]]]), r"captions\[1\]: image_id: .* got list"),
        (captions(clip_embedding=6), r"captions\[1\]: clip_embedding: want a row from 0 to 5"),
        (captions(clip_embedding=-1), r"captions\[1\]: clip_embedding: .* got -1"),
        (captions(clip_embedding=True), r"captions\[1\]: clip_embedding"),
        ({**clipcap_content(), "captions": ["a dog"]}, r"captions\[0\]: image_id"),
    ],
)
def test_content_of_another_form_is_told_with_its_place(
    tmp_path: Path, content: Any, told: str
) -> None:
    path = clipcap_file(tmp_path / "a.pkl", content)
    with pytest.raises(FeatureError, match=told) as caught:
        read_clipcap(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(4, 6).t(),
        torch.zeros(1, 6).expand(4, 6),
        torch.zeros(4, 6, dtype=torch.int64),
        torch.zeros(4, 6, dtype=torch.bfloat16),
    ],
)
def test_tensors_of_a_kind_that_clipcap_never_wrote_are_refused(
    tmp_path: Path, tensor: torch.Tensor
) -> None:
    path = clipcap_file(tmp_path / "a.pkl", {**clipcap_content(), "clip_embedding": tensor})
    with pytest.raises(FeatureError, match=r"a\.pkl"):
        read_clipcap(path)


@pytest.mark.parametrize("size", [0, 1, 100, 400, 3000, -1])
def test_a_file_cut_short_is_named(tmp_path: Path, size: int) -> None:
    path = clipcap_file(tmp_path / "a.pkl")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FeatureError, match=r"a\.pkl: cannot be read as a pickle"):
        read_clipcap(path)


def test_a_file_that_is_no_pickle_or_absent_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_text("# a page\n")
    with pytest.raises(FeatureError, match="cannot be read as a pickle"):
        read_clipcap(tmp_path / "a.pkl")
    with pytest.raises(FeatureError, match="cannot be read"):
        read_clipcap(tmp_path / "absent.pkl")
    with pytest.raises(FeatureError, match="cannot be read"):
        read_clipcap(tmp_path)
