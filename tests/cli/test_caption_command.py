"""`vcap caption` as a user meets it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.small_videos import ColourCaptioner, make_video
from vcap.engine import caption as caption_module

BROKEN = "broken/manifest.jsonl"


def rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def captioner(monkeypatch: pytest.MonkeyPatch) -> ColourCaptioner:
    """A captioner that needs no torch, whatever is asked for."""
    model = ColourCaptioner()
    monkeypatch.setattr(caption_module, "open_captioner", lambda *_: model)
    return model


def test_a_single_video_prints_its_caption_and_nothing_else(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path
) -> None:
    result = vcap("caption", small_videos / "0.mp4")
    assert result.exit_code == 0
    [line] = result.stdout.splitlines()
    assert line.startswith("colour ")


def test_segments_are_printed_with_their_times(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path
) -> None:
    result = vcap("caption", small_videos / "0.mp4", "--every", "2s")
    heads = [line.partition("] ")[0] for line in result.stdout.splitlines()]
    assert heads == ["[00:00.000 --> 00:02.000", "[00:02.000 --> 00:03.000"]


def test_several_videos_are_printed_with_their_ids_in_order(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path
) -> None:
    result = vcap("caption", small_videos)
    assert [line.split(": ")[0] for line in result.stdout.splitlines()] == [
        f"{number}.mp4" for number in range(7)
    ]


def test_json_has_a_prediction_a_video_that_a_pipe_can_read(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path
) -> None:
    result = vcap("caption", "-", "--json", "-q", stdin=f"{small_videos / '1.mp4'}\n")
    [prediction] = [json.loads(line) for line in result.stdout.splitlines()]
    assert list(prediction) == ["id", "path", "media", "duration", "captions", "model"]
    assert prediction["path"] == str(small_videos / "1.mp4")
    assert set(prediction["captions"][0]) == {"text", "score"}
    again = vcap("caption", "-", "--json", stdin=result.stdout)  # predictions are records
    assert json.loads(again.stdout)["captions"] == prediction["captions"]


def test_several_captions_are_printed_one_a_line_best_first(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path
) -> None:
    result = vcap("caption", small_videos / "0.mp4", "--num-captions", 3)
    first, second, third = result.stdout.splitlines()
    assert (second, third) == (f"{first} again", f"{first} again again")
    cut = vcap("caption", small_videos / "0.mp4", "--num-captions", 2, "--every", "2s")
    heads = [line.partition("] ")[0] for line in cut.stdout.splitlines()]
    assert heads == ["[00:00.000 --> 00:02.000"] * 2 + ["[00:02.000 --> 00:03.000"] * 2


def test_several_captions_are_in_every_output_with_their_scores(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path, tmp_path: Path
) -> None:
    asked = ("caption", small_videos / "0.mp4", "--num-captions", 3)
    printed = json.loads(vcap(*asked, "--json", "-q").stdout)["captions"]
    assert [set(each) for each in printed] == [{"text", "score"}] * 3
    scores = [each["score"] for each in printed]
    assert scores == sorted(scores, reverse=True)
    assert vcap(*asked, "-f", "all", "-o", tmp_path).exit_code == 0
    assert json.loads((tmp_path / "0.json").read_text())["captions"] == printed
    assert rows(tmp_path / "captions.jsonl")[0]["captions"] == printed
    texts = [each["text"] for each in printed]
    assert (tmp_path / "0.txt").read_text().splitlines() == texts
    assert [line.split("\t")[2] for line in (tmp_path / "0.tsv").read_text().splitlines()[1:]] == (
        texts
    )
    for kind in ("srt", "vtt"):
        shown = (tmp_path / f"0.{kind}").read_text()
        assert shown.count("-->") == 1
        assert f"\n{texts[0]}\n" in shown


def test_asking_for_more_captions_does_the_videos_again(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path, tmp_path: Path
) -> None:
    asked = ("caption", small_videos / "0.mp4", "-f", "txt", "-o", tmp_path)
    assert vcap(*asked).exit_code == 0
    assert "1 done" in vcap(*asked, "--num-captions", 2).stderr
    assert len((tmp_path / "0.txt").read_text().splitlines()) == 2
    assert "nothing to do" in vcap(*asked, "--num-captions", 2).stderr


def test_words_may_be_set_in_the_environment_and_flags_are_stronger(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCAP_SET__caption__num_captions", "2")
    monkeypatch.setenv("VCAP_SET__caption__strategy", "sample")
    monkeypatch.setenv("VCAP_SET__caption__top_p", "0.9")
    shown = json.loads(vcap("caption", small_videos, "-n", "--json", "--top-p", "0.5").stdout)
    assert (shown["num_captions"], shown["strategy"], shown["top_p"]) == (2, "sample", 0.5)
    assert len(vcap("caption", small_videos / "0.mp4").stdout.splitlines()) == 2
    refused = vcap("caption", small_videos, "--strategy", "beam")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--strategy beam has no use for --top-p" in refused.stderr


def test_every_way_of_wording_reaches_the_model(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path
) -> None:
    words = {"strategy": "sample", "top_p": 0.8, "top_k": 7, "temperature": 1.5, "seed": 3}
    words |= {"repetition_penalty": 1.2, "min_length": 2, "max_length": 9}
    flags = [part for key, value in words.items() for part in (f"--{key.replace('_', '-')}", value)]
    assert vcap("caption", small_videos / "0.mp4", *flags).exit_code == 0
    [asked] = captioner.asked
    assert {key: getattr(asked, key) for key in words} == words


def test_files_are_written_as_whisper_names_them_and_stdout_stays_empty(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path, tmp_path: Path
) -> None:
    result = vcap("caption", small_videos, "-f", "srt", "-f", "txt", "-o", tmp_path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert sorted(path.name for path in tmp_path.glob("0.*")) == ["0.srt", "0.txt"]
    again = vcap("caption", small_videos, "-f", "srt", "-f", "txt", "-o", tmp_path)
    assert "nothing to do" in again.stderr


def test_files_go_to_the_current_folder_by_default(
    vcap: Any,
    captioner: ColourCaptioner,
    small_videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    vcap("caption", small_videos / "3.mp4", "-f", "vtt")
    assert (tmp_path / "3.vtt").read_text().startswith("WEBVTT\n\n00:00.000 --> 00:03.000\n")


def test_beside_puts_each_file_next_to_its_video(
    vcap: Any, captioner: ColourCaptioner, tmp_path: Path
) -> None:
    first = make_video(tmp_path / "x" / "a.mp4", 1)
    second = make_video(tmp_path / "y" / "b.mp4", 2)
    for _ in range(2):
        result = vcap("caption", first, second, "-f", "txt", "--beside")
        assert result.exit_code == 0, result.stderr
    assert (tmp_path / "x" / "a.txt").is_file()
    assert (tmp_path / "y" / "b.txt").is_file()
    assert "nothing to do" in result.stderr


def test_two_videos_of_one_stem_keep_their_suffix(
    vcap: Any, captioner: ColourCaptioner, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "in" / "a.mp4", 1)
    shutil.copy(video, tmp_path / "in" / "a.mkv")
    vcap("caption", tmp_path / "in", "-f", "txt", "-o", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.txt")) == [
        "a.mkv.txt",
        "a.mp4.txt",
    ]


def test_a_file_that_vcap_did_not_make_ends_with_7_and_stays(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "0.txt").write_text("mine")
    result = vcap("caption", small_videos / "0.mp4", "-f", "txt", "-o", tmp_path)
    assert (result.exit_code, captioner.calls) == (7, [])
    assert "0.txt" in result.stderr
    assert "--force" in result.stderr
    assert (tmp_path / "0.txt").read_text() == "mine"
    assert vcap("caption", small_videos / "0.mp4", "-f", "txt", "-o", tmp_path, "--force"
                ).exit_code == 0  # fmt: skip
    assert (tmp_path / "0.txt").read_text() != "mine"


def test_one_bad_video_ends_with_3_and_the_others_are_captioned(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.mp4").write_text("no video")
    result = vcap("caption", small_videos, tmp_path / "bad.mp4", "-f", "jsonl", "-o", tmp_path)
    assert result.exit_code == 3
    assert "failed: bad.mp4: " in result.stderr
    assert len((tmp_path / "captions.jsonl").read_text().splitlines()) == 7


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--every", "10s", "--scenes"], "--every and --scenes"),
        (["--every", "soon"], "soon"),
        (["-f", "srtt"], "srt"),
        (["--beside"], "format"),
        (["--beam", 0], "beam"),
        (["--retry-failed"], "--retry-failed needs a format"),
        (["--num-captions", 0], "--num-captions"),
        (["--strategy", "best"], "--strategy"),
        (["--top-p", 0], "'--top-p': 0 is not a number above 0"),
        (["--top-p", 1.5], "--top-p"),
        (["--temperature", "nan"], "'--temperature': nan is not a number above 0"),
        (["--strategy", "greedy", "--top-k", 3], "--strategy greedy has no use for --top-k"),
        (["--strategy", "greedy", "--top-k", 3, "-n"], "--strategy greedy has no use for --top-k"),
        (["--beam", 2, "--num-captions", 3], "--beam 2 is too narrow for --num-captions 3"),
        (["--top-k", 3], "the model's own strategy, beam, has no use for --top-k"),
    ],
)
def test_wrong_usage_ends_with_2(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path, flags: list[Any], told: str
) -> None:
    result = vcap("caption", small_videos, *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert result.stderr.count("error: ") == 1
    assert captioner.calls == []


def test_a_model_that_does_not_exist_is_named_with_the_nearest(
    vcap: Any, small_videos: Path
) -> None:
    result = vcap("caption", small_videos, "--model", "tinny")
    assert result.exit_code == 2
    assert "tiny" in result.stderr
    assert "vcap caption --list-models" in result.stderr


def test_the_models_that_have_names_are_listed_without_any_video(vcap: Any) -> None:
    result = vcap("caption", "--list-models")
    assert result.exit_code == 0
    assert "tiny\t" in result.stdout


def test_a_dry_run_computes_nothing(
    vcap: Any, captioner: ColourCaptioner, small_videos: Path, tmp_path: Path
) -> None:
    result = vcap("caption", small_videos, "-n", "-f", "srt", "-o", tmp_path / "out", "--json")
    assert json.loads(result.stdout)["videos"] == 7
    assert captioner.calls == []
    assert not (tmp_path / "out").exists()


def test_a_real_model_folder_captions_and_is_named_in_the_prediction(
    vcap: Any, model_folder: Path, small_videos: Path
) -> None:
    result = vcap("caption", small_videos, "--model", model_folder, "--json", "--every", "1s")
    assert result.exit_code == 0, result.stderr
    predictions = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(predictions) == 7
    assert all(len(one["captions"]) == 3 for one in predictions)
    assert predictions[0]["model"] == str(model_folder)
    assert predictions[0]["captions"][0]["score"] < 0


def test_a_real_model_gives_as_many_different_captions_as_asked(
    vcap: Any, model_folder: Path, small_videos: Path
) -> None:
    asked = ("caption", small_videos, "--model", model_folder, "--json", "-q", "--every", "2s")
    for words in (["--num-captions", 4], ["--num-captions", 4, "--strategy", "sample"]):
        result = vcap(*asked, *words)
        assert result.exit_code == 0, result.stderr
        assert "fewer than" not in result.stderr
        for prediction in map(json.loads, result.stdout.splitlines()):
            said = [(one["start"], one["text"], one["score"]) for one in prediction["captions"]]
            assert [start for start, _, _ in said] == [0.0] * 4 + [2.0] * 4
            for some in (said[:4], said[4:]):
                assert len({text for _, text, _ in some}) == 4
                assert some == sorted(some, key=lambda one: -one[2])
        assert vcap(*asked, *words).stdout == result.stdout


def test_the_python_face_gives_what_the_command_prints(
    vcap: Any, model_folder: Path, small_videos: Path
) -> None:
    import vcap as package

    [made] = package.load_model(str(model_folder)).caption(small_videos / "0.mp4")
    result = vcap("caption", small_videos / "0.mp4", "--model", model_folder, "--json")
    assert json.loads(result.stdout)["captions"][0]["text"] == made.text


@pytest.mark.media
@pytest.mark.slow
def test_every_real_and_broken_video_is_captioned_or_named(
    vcap: Any, captioner: ColourCaptioner, media_root: Path, tmp_path: Path
) -> None:
    result = vcap("caption", media_root, "-f", "jsonl", "-o", tmp_path)
    assert result.exit_code == 3
    good, broken = (rows(media_root / name) for name in ("manifest.jsonl", BROKEN))
    hopeless = {row["file"] for row in broken if not row["opens"] or not row["video_streams"]}
    predictions = {row["id"]: row for row in rows(tmp_path / "captions.jsonl")}
    assert set(predictions) == {row["file"] for row in [*good, *broken]} - hopeless
    failed = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert {line.split(": ")[1] for line in failed} == hopeless
    told = {name for name, row in predictions.items() if row.get("warnings")}
    damaged = {row["file"] for row in broken if row.get("bad_packets")} - hopeless
    cut_short = {row["file"] for row in broken if "truncated" in row["file"]}
    assert told == damaged | cut_short


@pytest.mark.media
def test_a_stream_that_is_no_video_is_named_with_those_that_are(
    vcap: Any, captioner: ColourCaptioner, media_root: Path
) -> None:
    video = media_root / "nasa_13013.mp4"
    result = vcap("caption", video, "--stream", 1)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "stream 1 is no video; video streams: 0, 3" in result.stderr
    assert vcap("caption", video, "--stream", 0, "-q").exit_code == 0
