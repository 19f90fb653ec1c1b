"""Known footage is near, other footage far."""

from pathlib import Path

import numpy as np
import pytest

from vcap.engine.domain import fit_domain, load_domain, save_domain
from vcap.errors import CheckpointError


def footage(seed: int, num_clips: int = 400) -> np.ndarray:
    """Clips [N, 6] that vary much in two directions, little in two and not at all in the rest."""
    spread = np.array([3.0, 3.0, 0.1, 0.1, 0.0, 0.0])
    return np.random.default_rng(seed).normal(size=(num_clips, 6)) * spread + 5.0


def test_training_footage_lies_at_about_one_and_within_the_threshold() -> None:
    known = footage(0)
    domain = fit_domain(known)
    distances = np.array([domain.distance(clip[None]) for clip in known])
    assert 0.5 < np.median(distances) < 1.2
    assert (distances < domain.threshold).all()


def test_new_footage_of_the_same_kind_seldom_exceeds_the_threshold() -> None:
    domain = fit_domain(footage(0))
    far = [domain.distance(clip[None]) > domain.threshold for clip in footage(1)]
    assert np.mean(far) < 0.01


def test_a_small_step_where_training_footage_never_varies_is_far() -> None:
    domain = fit_domain(footage(0))
    usual = np.full((1, 6), 5.0)
    moved_much, moved_little = usual.copy(), usual.copy()
    moved_much[0, 0] += 3.0
    moved_little[0, 5] += 3.0
    assert domain.distance(moved_much) < domain.threshold < domain.distance(moved_little)


def test_the_frames_of_a_clip_are_averaged() -> None:
    domain = fit_domain(footage(0))
    frames = footage(3, num_clips=8)
    mean = frames.mean(axis=0, keepdims=True)
    assert domain.distance(frames) == pytest.approx(domain.distance(mean), rel=1e-4)


def test_statistics_survive_the_way_through_a_file(tmp_path: Path) -> None:
    domain = fit_domain(footage(0))
    save_domain(domain, tmp_path / "domain.safetensors")
    again = load_domain(tmp_path / "domain.safetensors", domain.threshold)
    clip = footage(2)[:3]
    assert again.distance(clip) == domain.distance(clip)
    assert again.threshold == domain.threshold


def test_the_directions_in_which_known_footage_differs_least_can_be_asked_alone() -> None:
    domain = fit_domain(footage(0), directions=4)
    usual = np.full((1, 6), 5.0)
    moved_much, moved_little = usual.copy(), usual.copy()
    moved_much[0, :2] += 30.0
    moved_little[0, 2] += 3.0
    assert domain.whitening.shape == (6, 4)
    assert domain.distance(moved_much) < domain.threshold < domain.distance(moved_little)


def test_one_clip_tells_nothing_about_a_domain() -> None:
    with pytest.raises(ValueError, match="two clips or more, got 1"):
        fit_domain(footage(0, num_clips=1))


def test_a_damaged_or_absent_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "domain.safetensors"
    with pytest.raises(CheckpointError, match=r"domain\.safetensors cannot be read"):
        load_domain(path, 1.0)
    path.write_bytes(b"not tensors at all")
    with pytest.raises(CheckpointError, match=r"domain\.safetensors cannot be read"):
        load_domain(path, 1.0)
