"""Charts as SVG text."""

import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from vcap.reports.charts import histogram, scatter

SVG_LIMITS = {"x": 320, "y": 180, "cx": 320, "cy": 180}


def parts(svg: Markup, kind: str) -> list[ElementTree.Element]:
    """The elements of a kind; the text must be well-formed XML."""
    return list(ElementTree.fromstring(svg).iter(kind))


def words(svg: Markup) -> list[str]:
    """What the labels say."""
    return [element.text or "" for element in parts(svg, "text")]


def test_a_bar_says_how_many_items_have_which_score() -> None:
    bars = parts(histogram([0.0, 0.0, 0.0, 1.0], "METEOR"), "rect")
    assert len(bars) == 20
    assert bars[0].findtext("title") == "3 from 0 to 0.05"
    assert bars[-1].findtext("title") == "1 from 0.95 to 1"
    heights = [float(bar.get("height", 0)) for bar in bars]
    assert heights[0] == pytest.approx(3 * heights[-1], abs=0.2)
    assert set(heights[1:-1]) == {0.0}


def test_a_histogram_names_its_score_its_ends_and_its_mean() -> None:
    said = words(histogram([0.25, 0.75], "CIDEr"))
    assert {"0.25", "0.75", "CIDEr, mean 0.5"} <= set(said)


def test_marks_on_the_axes_are_short() -> None:
    said = words(histogram([2.5e-17] * 4321 + [0.607251], "BLEU-4"))
    assert said[:2] == ["0", "0.607"]
    assert said[3] == "4321"


def test_equal_values_make_one_bar() -> None:
    (bar,) = parts(histogram([0.5, 0.5, 0.5], "F1"), "rect")
    assert (bar.findtext("title") or "").startswith("3 from ")


def test_nothing_is_drawn_outside_the_picture() -> None:
    pictures = [
        histogram([-3.0, 0.0, 1e6], "a"),
        scatter([1, 500, 2], [0.0, 9.0, -4.0], "a", "words"),
        scatter([3], [0.5], "a", "words"),
    ]
    for svg in pictures:
        for element in ElementTree.fromstring(svg).iter():
            for name, limit in SVG_LIMITS.items():
                assert 0 <= float(element.get(name, 0)) <= limit


def test_an_item_is_a_dot_and_means_are_a_line() -> None:
    svg = scatter(range(1, 21), [length / 20 for length in range(1, 21)], "CIDEr", "words")
    assert len(parts(svg, "circle")) == 20
    (line,) = parts(svg, "polyline")
    heights = [float(point.split(",")[1]) for point in line.get("points", "").split()]
    assert len(heights) == 10
    assert heights == sorted(heights, reverse=True)  # longer is better here; SVG counts downward


def test_items_of_one_length_have_one_mean() -> None:
    svg = scatter([5] * 8, [0.1] * 4 + [0.3] * 4, "CIDEr", "words")
    (line,) = parts(svg, "polyline")
    assert len(line.get("points", "").split()) == 1


def test_very_many_items_are_thinned_out() -> None:
    svg = scatter(range(10_000), [0.0] * 9_999 + [1.0], "CIDEr", "words")
    assert len(parts(svg, "circle")) == 1500
    assert "CIDEr by words, 10000 items" in words(svg)


def test_words_are_escaped() -> None:
    svg = histogram([0.1, 0.2], "<script>alert(1)</script>")
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg


def test_a_chart_is_the_same_for_items_in_another_order() -> None:
    lengths, values = [3, 9, 4, 4], [0.1, 0.9, 0.2, 0.3]
    there = scatter(lengths, values, "a", "words")
    back = scatter([9, 3, 4, 4], [0.9, 0.1, 0.2, 0.3], "a", "words")
    assert there == back


def test_a_chart_asks_for_nothing_from_outside() -> None:
    svg = histogram([0.1, 0.2], "a") + scatter([1, 2], [0.1, 0.2], "a", "words")
    assert not re.search(r"href|src=|url\(|@import|<image|<use|<script", svg)
