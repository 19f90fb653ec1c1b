"""`vcap retrieve` as a user meets it: streams, files, exit codes, and the pipe that leads to it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.cli.test_schemas import check
from vcap.cli.app import app
from vcap.data.manifest import read_manifest
from vcap.metrics.tiou import tiou_matrix
from vcap.video.decode import read_frames
from vcap.video.sample import Sampler
from vcap.video.write import write_mp4

LONG = "a red circle " * 200


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips, their features and their index."""
    folder = tmp_path_factory.mktemp("retrieve")
    for words in (
        ("download", "shapes:clips", "-o", f"{folder}/clips", "--limit", "6"),
        ("encode", f"{folder}/clips/shapes-clips.jsonl", "-o", f"{folder}/features", "--fps", "2"),
        ("index", f"{folder}/features", "-o", f"{folder}/index"),
    ):
        result = CliRunner().invoke(app, [*words, "-q"])
        assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def find(vcap: Any, clips: Path) -> Callable[..., Any]:
    """Search the index of the clips."""

    def run(*words: object, stdin: str | None = None) -> Any:
        return vcap("retrieve", *words, "--index", clips / "index", stdin=stdin)

    return run


def records(clips: Path) -> dict[str, Any]:
    found = read_manifest(clips / "clips" / "shapes-clips.jsonl")
    return {record.id: record for record in found}


def test_captions_find_their_clips_among_the_first(find: Callable[..., Any], clips: Path) -> None:
    known = records(clips)
    captions = {record.captions[0].text: name for name, record in known.items()}
    result = find("-", "--json", "-k", 3, stdin="\n".join(captions))
    hits = check("retrieve", result.stdout)
    assert result.exit_code == 0 and len(hits) == 3 * len(captions)
    right = [hit for hit in hits if captions[hit["query"]] == hit["id"]]
    assert len(right) >= 0.9 * len(captions)
    assert all(Path(hit["path"]).is_file() and hit["split"] for hit in hits)


def test_eyes_get_ranked_lines_on_stdout_and_nothing_else(find: Callable[..., Any]) -> None:
    result = find("a red circle", "-k", 2)
    query, first, second = result.stdout.splitlines()
    assert query == "a red circle"
    assert first.split()[0] == "1" and second.split()[0] == "2"
    assert float(first.split()[1]) >= float(second.split()[1])


def test_hits_are_what_evaluate_reads(
    find: Callable[..., Any], vcap: Any, clips: Path, tmp_path: Path
) -> None:
    manifest = clips / "clips" / "shapes-clips.jsonl"
    texts = [caption.text for each in records(clips).values() for caption in each.captions]
    hits = find("-", "--json", stdin="\n".join(dict.fromkeys(texts)))
    (tmp_path / "hits.jsonl").write_text(hits.stdout, encoding="utf-8")
    references = ("--references", manifest, "--json")
    result = vcap("evaluate", "retrieval", tmp_path / "hits.jsonl", *references)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["scores"]["R@5"] > 80


def test_stores_index_and_search_are_one_pipe(vcap: Any, clips: Path, tmp_path: Path) -> None:
    videos = clips / "clips"
    encoded = vcap("encode", videos, "-o", tmp_path / "feats", "--frames", 2, "--json", "-q")
    index = vcap("index", "-", "-o", tmp_path / "idx", "--json", stdin=encoded.stdout)
    assert index.exit_code == 0, index.stderr
    result = vcap("retrieve", "a red circle", "--index", "-", "--json", stdin=index.stdout)
    hits = check("retrieve", result.stdout)
    assert len(hits) == 10 and all(Path(hit["path"]).is_file() for hit in hits)
    plain = vcap("index", tmp_path / "feats", "-o", tmp_path / "idx")
    again = vcap("retrieve", "a red circle", "--index", "-", "--json", stdin=plain.stdout)
    assert again.stdout == result.stdout


def test_moments_have_seconds_and_become_clips(find: Callable[..., Any], tmp_path: Path) -> None:
    words = ("a red circle", "-k", 2, "--cut", tmp_path / "cut", "--json")
    result = find(*words)
    hits = check("retrieve", result.stdout)
    assert result.exit_code == 0 and "clips: 2 done" in result.stderr
    assert all(hit["start"] < hit["end"] and Path(hit["clip"]).is_file() for hit in hits)
    again = find(*words)
    assert "nothing to do" in again.stderr and again.stdout == result.stdout


def test_a_page_and_playlists_are_written_to_files(
    find: Callable[..., Any], tmp_path: Path
) -> None:
    page = tmp_path / "hits.html"
    result = find("a red circle", "--moments", "-k", 3, "-o", page)
    assert (result.exit_code, result.stdout) == (0, "")
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg") >= 3 and "a red circle" in text
    lines = find("a red circle", "--moments", "-k", 3, "-f", "m3u").stdout.splitlines()
    assert lines[0] == "#EXTM3U" and sum(line.startswith("#EXTVLCOPT:start") for line in lines) == 3
    assert find("a red circle", "--moments", "-f", "edl").stdout.startswith("TITLE: a red circle\n")
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    result = find("a red circle", "-o", tmp_path / "mine.txt")
    assert result.exit_code == 7 and "--force" in result.stderr
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine"


def test_conditions_on_records_choose_hits(find: Callable[..., Any]) -> None:
    hits = check("retrieve", find("a red circle", "--json", "--where", "split=val").stdout)
    assert len(hits) == 6 and {hit["split"] for hit in hits} == {"val"}
    result = find("a red circle", "--where", "split")
    assert result.exit_code == 2 and "--where split=test" in result.stderr


def test_unwanted_words_push_hits_down(find: Callable[..., Any], clips: Path) -> None:
    known = records(clips)
    caption = next(iter(known.values())).captions[0].text
    plain = check("retrieve", find(caption, "--json", "-k", 18).stdout)
    turned = check("retrieve", find(caption, "--not", caption, "--json", "-k", 18).stdout)
    assert [hit["id"] for hit in plain] == [hit["id"] for hit in turned]  # one direction only
    other = next(r for r in known.values() if r.id == plain[1]["id"]).captions[0].text
    turned = check("retrieve", find(caption, "--not", other, "--json", "-k", 18).stdout)
    place = {hit["id"]: hit["score"] for hit in turned}
    assert place[plain[1]["id"]] < plain[1]["score"]


def test_a_sentence_longer_than_the_encoder_reads_is_cut_with_a_warning(
    find: Callable[..., Any],
) -> None:
    result = find(LONG, "-k", 1)
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 2
    assert "warning" in result.stderr and "tokens" in result.stderr


def test_searching_with_a_stored_video_loads_no_torch(clips: Path) -> None:
    name = next(iter(records(clips)))
    words = ["retrieve", "--like", name, "--index", str(clips / "index"), "--json"]
    code = (
        "import sys; from vcap.cli.app import app; "
        f"code = app({words!r}, standalone_mode=False); "
        "heavy = ('torch', 'av', 'open_clip', 'transformers', 'faiss', 'yaml', 'pydantic'); "
        "print([name for name in heavy if name in sys.modules]); "
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    *hits, loaded = done.stdout.splitlines()
    assert (done.returncode, loaded) == (0, "[]"), done.stderr
    assert len(hits) == 10 and name not in {json.loads(hit)["id"] for hit in hits}


def test_a_folder_without_an_index_names_the_command_that_makes_one(
    vcap: Any, tmp_path: Path
) -> None:
    result = vcap("retrieve", "a red circle", "--index", tmp_path)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "vcap index" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "nothing to look for"),
        (("gone.mp4",), 4, "gone.mp4: no such file"),
        (("--like", "gone"), 4, "no video 'gone'"),
        (("a", "--json", "-f", "html"), 2, "both want stdout"),
        (("a", "--per-video", 2), 2, "--per-video counts moments"),
        (("a", "--model", "tinny"), 2, "tinny"),
        (("a", "-k", 0), 2, "-k"),
        (("a \udcff",), 2, "not valid UTF-8"),
        (("a", "--not", "\udcff"), 2, "not valid UTF-8"),
    ],
)
def test_what_cannot_be_answered_is_told_in_one_line_with_its_exit_code(
    find: Callable[..., Any], words: tuple[object, ...], code: int, message: str
) -> None:
    result = find(*words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr and "Traceback" not in result.stderr


def test_a_dry_run_tells_what_would_be_searched_and_does_nothing(vcap: Any, tmp_path: Path) -> None:
    words = ("a dog", "--index", tmp_path / "none", "--cut", tmp_path / "cut", "-n", "--json")
    told = json.loads(vcap("retrieve", *words).stdout)
    assert told["queries"] == ["a dog"] and told["moments"] is True
    assert told["index"] == str(tmp_path / "none") and not list(tmp_path.iterdir())


def test_moments_of_a_long_video_are_those_of_the_parts_it_was_made_of(
    vcap: Any, clips: Path, tmp_path: Path
) -> None:
    parts, truth, start = [], {}, 0.0
    for record in list(records(clips).values())[:4]:
        frames = read_frames(clips / "clips" / record.path, Sampler("fps", 8)).pixels
        parts.append(frames)
        truth[record.captions[0].text] = (start, start + len(frames) / 8)
        start += len(frames) / 8
    write_mp4(tmp_path / "long.mp4", np.concatenate(parts), frames_per_second=8)
    vcap("encode", tmp_path / "long.mp4", "-o", tmp_path / "feats", "--fps", 4, "-q")
    vcap("index", tmp_path / "feats", "-o", tmp_path / "idx", "-q")
    words = ("--index", tmp_path / "idx", "--moments", "--json")
    hits = check("retrieve", vcap("retrieve", "-", *words, stdin="\n".join(truth)).stdout)
    found = [(hit["start"], hit["end"]) for hit in hits]
    overlaps = np.diag(tiou_matrix(found, list(truth.values())))
    assert len(found) == 4 and (overlaps > 0.7).sum() >= 3


@pytest.mark.media
def test_real_videos_go_through_the_pipe(vcap: Any, media_root: Path, tmp_path: Path) -> None:
    given = ("--frames", 2, "--exclude", "broken/*", "--json", "-q")
    encoded = vcap("encode", media_root, "-o", tmp_path / "feats", *given)
    index = vcap("index", "-", "-o", tmp_path / "idx", stdin=encoded.stdout)
    result = vcap("retrieve", "a dog runs", "--index", "-", "--json", "-k", 99, stdin=index.stdout)
    hits = check("retrieve", result.stdout)
    assert len(hits) == len(encoded.stdout.splitlines()) > 9
    assert all(Path(hit["path"]).is_file() for hit in hits)
