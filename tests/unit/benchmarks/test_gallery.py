"""The gallery search counts a clip as right by what its caption says, and no more."""

from typing import Any

import pytest

from benchmarks import gallery

CIRCLE = {"colour": "red", "shape": "circle", "size": "small", "action": "spins", "novel": False}
SQUARE = {**CIRCLE, "shape": "square"}


def clip(name: str, meta: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "meta": meta, "captions": []}


def test_what_a_caption_does_not_say_is_free() -> None:
    assert gallery.is_right("a red circle spins", CIRCLE, gallery.LOOKS)
    assert gallery.is_right("a red circle spins", {**CIRCLE, "size": "large"}, gallery.LOOKS)
    assert not gallery.is_right("a red circle spins", SQUARE, gallery.LOOKS)
    assert not gallery.is_right("a large red circle spins", CIRCLE, gallery.LOOKS)


def test_the_action_counts_only_where_it_is_asked_for() -> None:
    grows = {**CIRCLE, "action": "grows"}
    assert gallery.is_right("a red circle spins", grows, gallery.LOOKS)
    assert not gallery.is_right("a red circle spins", grows, (*gallery.LOOKS, "action"))


def test_of_needles_the_place_counts_where_that_is_asked_for() -> None:
    left = {**CIRCLE, "position": "left", "action": "appears"}
    queries = [("near the left edge a small red circle is seen", clip("a", left))]
    found = {queries[0][0]: ["b"]}
    wrong = [*queries, ("a star", clip("b", {**left, "position": "right"}))]
    assert gallery.rows(wrong, found, "position")[0][2:4] == ["0.500", "0.000"]
    assert gallery.rows(wrong, found, "action")[0][2:4] == ["0.500", "0.500"]


def test_a_row_tells_shares_of_slots_and_of_the_own_clip() -> None:
    one, other = clip("one", CIRCLE), clip("other", SQUARE)
    twin = clip("twin", CIRCLE)
    queries = [("a red circle spins", one), ("a red square spins", other), ("a circle", twin)]
    found = {
        "a red circle spins": ["twin", "one"],  # right, though not its own clip first
        "a red square spins": ["one", "twin"],  # wrong
        "a circle": ["twin"],
    }
    table = gallery.rows(queries, found)
    assert table == [["all", "3", "0.667", "0.667", "0.333", "0.667"]]


def test_captions_that_name_everything_and_held_out_ones_have_rows_of_their_own() -> None:
    new = clip("new", {**CIRCLE, "novel": True})
    table = gallery.rows([("a small red circle spins", new)], {"a small red circle spins": ["new"]})
    assert [row[0] for row in table] == [
        "all",
        "that name colour, shape and size",
        "of combinations held out of training",
    ]


@pytest.mark.slow
def test_a_small_gallery_is_rendered_and_searched_to_the_goal(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["gallery", "--work", str(tmp_path / "work"), "--count", "60"]
    monkeypatch.setattr("sys.argv", words)
    gallery.main()
    assert "goal: looks in the first 5 >= 0.9: met" in capsys.readouterr().out
