"""`vcap encode` as a user meets it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_videos import ColourEncoder
from vcap.engine import encode as encode_module
from vcap.features.store import FeatureStore


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The settings that an encoder was asked for with; the encoder needs no torch."""
    seen: list[Any] = []

    def load(settings: Any, *_: Any) -> ColourEncoder:
        seen.append(settings)
        return ColourEncoder()

    monkeypatch.setattr(encode_module, "load_named", load)
    monkeypatch.setattr("vcap.engine.encode_text.load_named", load)
    return seen


def test_a_folder_becomes_a_store_and_stdout_says_where(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    result = vcap("encode", small_videos, "-o", tmp_path / "store", "--frames", 4)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'store'}\n")
    assert "videos: 7 done" in result.stderr
    assert FeatureStore(tmp_path / "store").features("3.mp4").shape == (4, 6)


def test_a_second_run_does_nothing_and_says_so(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    vcap("encode", small_videos, "-o", tmp_path)
    result = vcap("encode", small_videos, "-o", tmp_path)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}\n")
    assert "nothing to do" in result.stderr


def test_json_has_an_object_a_video_with_absolute_paths(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    for _ in range(2):  # what is done already is told too
        result = vcap("encode", small_videos, "-o", tmp_path, "--json", "-q", "--fps", 2)
        told = [json.loads(line) for line in result.stdout.splitlines()]
        assert [one["id"] for one in told] == [f"{number}.mp4" for number in range(7)]
        assert told[0] == {
            "id": "0.mp4",
            "path": str(small_videos / "0.mp4"),
            "frames": 6,
            "store": str(tmp_path),
        }


def test_without_a_model_one_line_says_what_tiny_is_and_how_to_name_another(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    result = vcap("encode", small_videos, "-o", tmp_path / "a")
    [line] = [line for line in result.stderr.splitlines() if "tiny" in line]
    assert "rendered shapes only" in line
    assert "--model " in line
    named = vcap("encode", small_videos, "-o", tmp_path / "b", "--model", "tiny")
    assert "rendered shapes" not in named.stderr


def test_a_list_on_stdin_is_encoded(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    records = [{"id": f"v{n}", "path": str(small_videos / f"{n}.mp4")} for n in (4, 2)]
    text = "".join(json.dumps(record) + "\n" for record in records)
    assert vcap("encode", "-", "-o", tmp_path, stdin=text).exit_code == 0
    assert FeatureStore(tmp_path).ids == ["v4", "v2"]


def test_settings_come_from_flags_before_the_environment(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCAP_SET__encode__model", "from-environment")
    monkeypatch.setenv("VCAP_SET__encode__sampler", "uniform 2")
    monkeypatch.setenv("VCAP_SET__train__epochs", "3")  # for another command
    vcap("encode", small_videos, "-o", tmp_path, "--fps", 4)
    assert (asked[0].model, asked[0].sampler) == ("from-environment", "fps 4.0")
    vcap("encode", small_videos, "-o", tmp_path / "b", "--model", "flag")
    assert (asked[1].model, asked[1].sampler) == ("flag", "uniform 2")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--fps", 1, "--frames", 2], "--fps and --frames"),
        (["--sampler", "sometimes"], "no sampler 'sometimes'"),
        (["--fps", 0], "above 0"),
        (["--features", "grit"], "grit"),
    ],
)
def test_wrong_usage_ends_with_2_before_anything_is_written(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path, flags: list[Any], told: str
) -> None:
    result = vcap("encode", small_videos, "-o", tmp_path / "store", *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_dry_run_prints_what_would_be_done_and_does_nothing(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    result = vcap("encode", small_videos, "-o", tmp_path / "store", "-n", "--json")
    told = json.loads(result.stdout)
    assert (told["inputs"], told["model"], told["sampler"]) == (7, "tiny", "fps 1")
    assert not (tmp_path / "store").exists()


def test_some_bad_videos_end_with_3_and_are_named(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    absent = tmp_path / "absent.mp4"
    result = vcap("encode", small_videos / "0.mp4", absent, "-o", tmp_path / "store")
    assert result.exit_code == 3
    assert "absent.mp4" in result.stderr
    assert "no such file" in result.stderr


def test_a_store_of_another_sampler_is_refused_with_4(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    vcap("encode", small_videos, "-o", tmp_path, "--fps", 1)
    result = vcap("encode", small_videos, "-o", tmp_path, "--frames", 3)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "sampler fps 1" in result.stderr
    assert "sampler uniform 3" in result.stderr


def test_captions_of_a_manifest_become_a_text_store(
    vcap: Any, asked: list[Any], tmp_path: Path
) -> None:
    records = [
        {"id": "a", "path": "a.mp4", "captions": [{"text": "a red circle"}, {"text": "it spins"}]},
        {"id": "b", "path": "b.mp4", "captions": [{"text": "a star"}]},
        {"id": "none", "path": "c.mp4"},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    result = vcap("encode", tmp_path / "m.jsonl", "--text", "-o", tmp_path / "store", "--json")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["id"], one["texts"]) for one in told] == [("a", 2), ("b", 1)]
    store = FeatureStore(tmp_path / "store")
    assert store.times("a").tolist() == [0.0, 1.0]
    wanted = ColourEncoder().encode_text(["a red circle", "it spins"])
    assert np.array_equal(store.features("a"), wanted.astype(np.float16))


def test_lines_of_a_text_file_become_rows_in_their_order(
    vcap: Any, asked: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "bank.txt").write_text("a dog runs\n\n  a cat\n")
    vcap("encode", tmp_path / "bank.txt", "--text", "-o", tmp_path / "store")
    assert FeatureStore(tmp_path / "store").features("bank.txt")[:, 0].tolist() == [1.0, 1.0]
    again = vcap("encode", tmp_path / "bank.txt", "--text", "-o", tmp_path / "store")
    assert "nothing to do" in again.stderr


def test_a_limit_counts_texts_too(vcap: Any, asked: list[Any], tmp_path: Path) -> None:
    records = [
        {"id": name, "path": f"{name}.mp4", "captions": [{"text": f"a {name}"}]} for name in "abc"
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    done = vcap("encode", tmp_path / "m.jsonl", "--text", "-o", tmp_path / "s", "--limit", 2)
    assert done.exit_code == 0, done.stderr
    assert sorted(FeatureStore(tmp_path / "s")) == ["a", "b"]


@pytest.mark.parametrize(
    "flags",
    [
        *(["--include", "a*"], ["--exclude", "a*"], ["--workers", "2"], ["--checksum"]),
        *(["--fps", "1"], ["--frames", "3"], ["--sampler", "all"]),
    ],
    ids=lambda flags: flags[0],
)
def test_what_texts_have_no_use_for_is_refused_by_name(
    vcap: Any, asked: list[Any], tmp_path: Path, flags: list[str]
) -> None:
    done = vcap("encode", "-", "--text", "-o", tmp_path / "s", *flags, stdin="a dog\n")
    assert done.exit_code == 2
    assert f"{flags[0]}: without effect with --text" in done.stderr
    assert not (tmp_path / "s").exists()


def test_a_byte_order_mark_is_no_part_of_a_sentence(
    vcap: Any, asked: list[Any], tmp_path: Path
) -> None:
    marked = b"\xef\xbb\xbf" + b'{"id": "a", "path": "a.mp4", "captions": [{"text": "a dog"}]}\n'
    (tmp_path / "records.txt").write_bytes(marked)
    for words, stdin in ((tmp_path / "records.txt", None), ("-", marked.decode())):
        result = vcap("encode", words, "--text", "-o", tmp_path / "s", "--json", stdin=stdin)
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["id"] == "a"


def test_texts_do_not_go_into_a_store_of_videos(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    vcap("encode", small_videos / "0.mp4", "-o", tmp_path / "store")
    result = vcap("encode", "-", "--text", "-o", tmp_path / "store", stdin="a dog\n")
    assert result.exit_code == 4
    assert "sampler text" in result.stderr


@pytest.mark.parametrize(
    ("stdin", "flags", "code"),
    [("", [], 4), ("a dog\n", ["--features", "grid"], 2), ("a dog\n", ["--stream", "0"], 2)],
)
def test_texts_that_cannot_be_encoded_are_refused(
    vcap: Any, asked: list[Any], tmp_path: Path, stdin: str, flags: list[str], code: int
) -> None:
    result = vcap("encode", "-", "--text", "-o", tmp_path / "store", *flags, stdin=stdin)
    assert result.exit_code == code
    assert "error: " in result.stderr


@pytest.mark.slow
def test_a_real_encoder_folder_makes_projected_features_of_its_width(
    vcap: Any, model_folder: Path, small_videos: Path, tmp_path: Path
) -> None:
    from vcap.engine.encoders import load_encoder

    model = str(model_folder / "clip")
    result = vcap("encode", small_videos, "-o", tmp_path, "--model", model, "--features", "grid")
    assert result.exit_code == 0, result.stderr
    store = FeatureStore(tmp_path)
    assert store.fingerprint["encoder"]["features"] == "grid"
    assert store.width == load_encoder(model, features="grid").width
    again = vcap("encode", small_videos, "-o", tmp_path / "b", "--model", model, "--features",
                 "grid", "--batch-size", 5)  # fmt: skip
    assert again.exit_code == 0
    for name in store:
        other = FeatureStore(tmp_path / "b").features(name)
        assert np.allclose(store.features(name), other, atol=2e-3)


def test_fast_frames_are_said_to_be_approximate_on_stderr(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    result = vcap("encode", small_videos, "-o", tmp_path, "--frames", 3, "--fast-frames")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}\n")
    assert result.stderr.count("approximate") == 1
    assert FeatureStore(tmp_path).fingerprint["sampler"] == "uniform 3 keyframes-only"


def test_exact_pixels_are_a_flag_and_a_setting(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    result = vcap("encode", small_videos, "-o", tmp_path / "a", "--exact-pixels")
    assert result.exit_code == 0
    assert FeatureStore(tmp_path / "a").fingerprint["pixels"] == "exact"
    monkeypatch.setenv("VCAP_SET__encode__exact_pixels", "true")
    assert vcap("encode", small_videos, "-o", tmp_path / "b").exit_code == 0
    assert FeatureStore(tmp_path / "b").fingerprint == FeatureStore(tmp_path / "a").fingerprint


def test_frames_that_cannot_be_fast_are_wrong_usage(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    flags = ("--sampler", "all", "--fast-frames")
    result = vcap("encode", small_videos, "-o", tmp_path / "store", *flags)
    assert result.exit_code == 2
    assert "cannot be fast" in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_list_of_times_can_be_asked_for(
    vcap: Any, asked: list[Any], small_videos: Path, tmp_path: Path
) -> None:
    result = vcap("encode", small_videos, "-o", tmp_path, "--sampler", "times 0.5,1")
    assert result.exit_code == 0
    assert FeatureStore(tmp_path).times("3.mp4").tolist() == [0.5, 1.0]
