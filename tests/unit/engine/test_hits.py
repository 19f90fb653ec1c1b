"""What was found, as lines for eyes, as JSON and as playlists."""

import json
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.hit_output import choose_format, refuse_file, write_hits
from vcap.engine.hits import Found, Hit, json_lines_of, rendered, text_of
from vcap.engine.playlist import edl, m3u, timecode
from vcap.errors import OutputError, UsageError
from vcap.types import Segment

PATH = "/footage/rome/a.mp4"
MOMENT = Segment(12.0, 15.5)


def hit(rank: int = 1, **fields: Any) -> Hit:
    """A hit for `a dog`."""
    record = fields.pop("record", {"id": "a", "path": PATH})
    return Hit("a dog", str(record["id"]), rank, 0.123456789, record, **fields)


def found(*hits: Hit, query: str = "a dog") -> list[Found]:
    return [Found(query, hits)]


def test_eyes_get_the_query_then_rank_score_id_and_times() -> None:
    text = text_of([*found(hit(), hit(2, segment=MOMENT)), Found("a\ncat")])
    assert text.splitlines() == [
        "a dog",
        "   1  0.1235  a",
        "   2  0.1235  a  00:12.000 --> 00:15.500",
        "",
        "a cat",
        "      nothing found",
    ]


def test_a_text_that_was_found_is_shown_on_one_line() -> None:
    known = hit(record={"id": "a", "text": "two dogs\nrun"})
    assert text_of(found(known)).splitlines()[1] == "   1  0.1235  a  two dogs run"
    assert json.loads(json_lines_of(found(known)))["text"] == "two dogs\nrun"


def test_a_json_hit_carries_its_query_rank_path_times_and_what_is_known_of_it() -> None:
    record = {"id": "a", "path": PATH, "split": "test", "label": {"name": "dog"}}
    more = {"captions": [{"text": "long"}], "segment": [0, 20], "rank": "of another kind"}
    line = json_lines_of(found(hit(3, record=record | more, segment=MOMENT)))
    assert json.loads(line) == {
        "query": "a dog",
        "id": "a",
        "rank": 3,
        "score": 0.123457,
        "path": PATH,
        "start": 12.0,
        "end": 15.5,
        "split": "test",
        "label": {"name": "dog"},
    }
    assert list(json.loads(line))[:4] == ["query", "id", "rank", "score"]


def test_paths_are_whole_and_odd_names_stay_valid_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = json_lines_of(found(hit(record={"id": "b\udcff", "path": "b\udcff.mp4"})))
    assert line.encode()  # can be written
    assert json.loads(line)["path"] == f"{tmp_path}/b\udcff.mp4"
    assert "ü" in json_lines_of(found(hit(record={"id": "ü"})))


def test_a_query_without_hits_gives_no_line_of_json() -> None:
    assert json_lines_of([Found("a dog"), *found(hit())]).count("\n") == 1


def test_a_playlist_opens_each_file_at_its_moment() -> None:
    lines = m3u(found(hit(segment=MOMENT), hit(2), hit(3, record={"id": "only a text"})))
    assert lines.splitlines() == [
        "#EXTM3U",
        "# made by vcap retrieve",
        "#PLAYLIST:a dog",
        "#EXTINF:4,1. a",
        "#EXTVLCOPT:start-time=12",
        "#EXTVLCOPT:stop-time=15.5",
        PATH,
        "#EXTINF:-1,2. a",
        PATH,
    ]


def test_a_line_break_in_a_name_does_not_break_the_playlist() -> None:
    lines = m3u(found(hit(record={"id": "a\nb", "path": "/x/a\nb.mp4"}))).splitlines()
    assert lines[-2:] == ["#EXTINF:-1,1. a b", "file:///x/a%0Ab.mp4"]


def test_an_edit_decision_list_counts_frames_of_source_and_sequence() -> None:
    second = hit(2, segment=Segment(60.0, 61.04))
    lines = edl(found(hit(segment=Segment(12.0, 15.6)), second), length=lambda _: (25.0, 90.0))
    assert lines.splitlines()[:2] == ["TITLE: a dog", "FCM: NON-DROP FRAME"]
    assert [line for line in lines.splitlines() if line[:1] == "0"] == [
        "001  AX       V     C        00:00:12:00 00:00:15:15 00:00:00:00 00:00:03:15",
        "002  AX       V     C        00:01:00:00 00:01:01:01 00:00:03:15 00:00:04:16",
    ]
    assert "* FROM CLIP NAME: a.mp4" in lines


@pytest.mark.parametrize(
    ("rate", "code"), [(30000 / 1001, "00:59:56:12"), (24000 / 1001, "00:59:56:10")]
)
def test_time_codes_name_the_frame_that_is_shown_then_at_rates_that_are_not_whole(
    rate: float, code: str
) -> None:
    lines = edl(found(hit(segment=Segment(3600.0, 3601.0))), length=lambda _: (rate, None))
    assert f"C        {code} " in lines
    hours, minutes, seconds, frames = map(int, code.split(":"))
    count = (3600 * hours + 60 * minutes + seconds) * round(rate) + frames
    assert count / rate == pytest.approx(3600, abs=0.5 / rate)


def test_more_pieces_than_an_edit_decision_list_holds_are_told() -> None:
    warnings: list[str] = []
    many = [hit(rank, segment=MOMENT) for rank in range(1, 1002)]
    lines = rendered(found(*many), "edl", warn=warnings.append)
    assert "\n999  AX" in lines and "1000  AX" not in lines
    assert warnings == ["an edit decision list holds 999 pieces; 1001 were found"]
    rendered(found(*many[:999]), "edl", warn=warnings.append)
    assert len(warnings) == 1


def test_an_edit_decision_list_names_files_with_all_their_blanks() -> None:
    record = {"id": "a", "path": "/my  clips/ lead  two\n.mp4"}
    lines = edl(found(hit(record=record, segment=MOMENT)), length=lambda _: (25.0, 90.0))
    assert "* FROM CLIP NAME:  lead  two\\n.mp4\n" in lines
    assert "* SOURCE FILE: /my  clips/ lead  two\\n.mp4\n" in lines


def test_names_cannot_command_a_terminal() -> None:
    odd = "esc\x1b[31mred\x07\x9b2J\u202ecod.mp4"
    text = text_of([Found(odd, [hit(record={"id": odd, "text": odd})])])
    assert "\\x1b[31mred\\x07\\x9b2J\\u202ecod.mp4" in text
    assert not set(odd) & set(text) - set("esc[31mred2Jcod.p4")
    plain = "caf\u00e9 \u65e5\u672c b\udcff"
    assert plain in text_of([Found(plain)])


def test_a_whole_video_is_as_long_as_it_is_and_one_of_unknown_length_is_left_out() -> None:
    lines = edl(found(hit()), length=lambda _: (30.0, 2.0))
    assert "00:00:00:00 00:00:02:00 00:00:00:00 00:00:02:00" in lines
    assert "001" not in edl(found(hit()), length=lambda _: (None, None))
    assert "001" not in edl(found(hit(record={"id": "a text"})), length=lambda _: (30.0, 2.0))


def test_the_length_is_read_from_the_file(small_videos: Path) -> None:
    record = {"id": "0", "path": str(small_videos / "0.mp4")}
    lines = edl(found(hit(record=record), hit(2, record={"id": "b", "path": "/gone.mp4"})))
    assert "00:00:00:00 00:00:03:00 00:00:00:00 00:00:03:00" in lines
    assert "002" not in lines


def test_time_codes_count_hours_minutes_seconds_and_frames() -> None:
    assert timecode(25 * (3600 + 61) + 7, 25) == "01:01:01:07"
    assert timecode(0, 30) == "00:00:00:00"


def test_the_format_follows_the_option_then_the_name_of_the_file() -> None:
    assert choose_format(None, None, False) == "text"
    assert choose_format(None, None, True) == "jsonl"
    assert choose_format("m3u", Path("a.html"), False) == "m3u"
    assert choose_format(None, Path("a.HTML"), True) == "html"
    assert choose_format(None, Path("a.txt"), False) == "text"
    with pytest.raises(UsageError, match="both want stdout"):
        choose_format("html", None, True)


@pytest.mark.parametrize("form", ["jsonl", "m3u", "edl", "html"])
def test_what_a_search_wrote_may_be_written_again(form: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"hits.{form}"
    refuse_file(path)
    write_hits(found(hit(segment=MOMENT)), path, form)
    refuse_file(path)
    before = path.read_bytes()
    write_hits(found(hit(segment=MOMENT)), path, form)
    assert path.read_bytes() == before


def test_a_file_of_somebody_else_is_kept_without_force(tmp_path: Path) -> None:
    path = tmp_path / "hits.jsonl"
    path.write_text('{"id": "mine"}\n', encoding="utf-8")
    with pytest.raises(OutputError, match="not written by vcap retrieve") as caught:
        refuse_file(path)
    assert caught.value.hint == "--force"
    refuse_file(path, force=True)
    with pytest.raises(OutputError, match="folder"):
        refuse_file(tmp_path)


def test_a_page_shows_queries_hits_and_what_was_unwanted(small_videos: Path) -> None:
    record = {"id": "0.mp4", "path": str(small_videos / "0.mp4")}
    own = hit(record=record, segment=Segment(0.5, 2.0), frame_times=(1.0,))
    page = rendered([Found("a <dog>", [own], None, ("snow",))], "html")
    assert "a &lt;dog&gt;" in page and "snow" in page
    assert "data:image/jpeg;base64," in page and "#t=0.5,2" in page
