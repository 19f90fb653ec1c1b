"""The HTML page of one evaluation."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.unit.reports.test_table import full_sheet
from vcap.reports.html import leading_score, page, texts, worst_and_best
from vcap.reports.table import Sheet

EVIL = "<script>document.title = 'owned'</script><img src=x onerror=alert(1)>"


def sheet_of(scores: list[float], name: str = "CIDEr", **more: Any) -> Sheet:
    """A sheet with an item for each score."""
    items = [
        {"id": f"v{number:02d}", "scores": {name: score}, "prediction": "a dog", "length": number}
        for number, score in enumerate(scores, start=1)
    ]
    return Sheet("caption", {name: 0.5}, items=items, **more)


class Reader(HTMLParser):
    """The names of all elements, and the cells of each table by the id of the table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        if tag == "table":
            self.rows = self.tables.setdefault(str(dict(attributes).get("id")), [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.open = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.open &= tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        if self.open:
            self.rows[-1][-1] += data


def test_the_table_of_scores_is_there() -> None:
    found = Reader(page(full_sheet())).tables
    assert found["scores"] == [
        ["metric", "score", "90 % interval", "against old.json", "p"],
        ["BLEU-1", "62.31", "60.00 to 65.00", "", ""],
        ["CIDEr", "105.00", "90.00 to 120.00", "-1.00 (-3.00 to +2.00)", "0.400"],
    ]


def test_problems_and_the_stamp_are_there() -> None:
    found = Reader(page(full_sheet())).tables
    assert found["problems"] == [["missing", "5 (a, b, c, ...)"]]
    assert ["protocol, tious", "0.3, 0.5"] in found["stamp"]
    assert "METEOR: not available: no java here" in page(full_sheet())


def test_scores_at_thresholds_are_there() -> None:
    sheet = Sheet("dense", {"METEOR": 0.1}, thresholds={"METEOR": {"0.3": 0.12, "0.5": 0.08}})
    assert Reader(page(sheet)).tables["thresholds"] == [
        ["metric", "0.3", "0.5"],
        ["METEOR", "12.00", "8.00"],
    ]


def test_words_of_the_data_stay_words() -> None:
    item = {"id": EVIL, "scores": {EVIL: 0.1}, "prediction": EVIL, "references": [EVIL]}
    kinds = {EVIL: {"count": 1, "examples": [EVIL]}}
    sheet = Sheet(
        "caption",
        {EVIL: 0.1},
        items=[item],
        problems=kinds,
        stamp={EVIL: EVIL},
        unavailable={EVIL: EVIL},
        warnings=(EVIL,),
        comparison={EVIL: {"difference": 0.1, "low": 0.0, "high": 0.2, "p": 0.5}},
        other=EVIL,
        thresholds={EVIL: {EVIL: 0.1}},
    )
    names = Reader(page(sheet)).names
    assert "script" not in names
    assert "img" not in names
    assert page(sheet).count("&lt;script&gt;") > 10


def test_the_page_has_no_address_and_forbids_every_request() -> None:
    text = page(sheet_of([0.1, 0.9]))
    assert not re.search(r"https?:|src=|href=|url\(|@import|<script|<link|<iframe", text)
    assert "default-src 'none'" in text


def test_the_page_is_whole_without_items() -> None:
    found = Reader(page(Sheet("caption", {"CIDEr": 0.1})))
    assert "svg" not in found.names
    assert found.tables["scores"][1] == ["CIDEr", "10.00"]


def test_the_worst_and_the_best_items_are_shown_with_their_words() -> None:
    rows = Reader(page(sheet_of([0.3, 0.1, 0.9]))).tables["None"]
    assert [row[0] for row in rows] == ["id", "v02", "v01", "id", "v03"]
    assert rows[1][1:3] == ["10.00", "a dog"]


def test_there_are_ten_items_at_each_end_and_none_is_at_both() -> None:
    low, high = worst_and_best(sheet_of([n / 100 for n in range(50)]), "CIDEr")
    assert [item["id"] for item in low] == [f"v{n:02d}" for n in range(1, 11)]
    assert [item["id"] for item in high] == [f"v{n:02d}" for n in range(50, 40, -1)]
    low, high = worst_and_best(sheet_of([0.1, 0.2, 0.3]), "CIDEr")
    assert (len(low), len(high)) == (2, 1)


def test_the_worst_rank_is_the_highest() -> None:
    low, _ = worst_and_best(sheet_of([1, 57, 3], "rank"), "rank")
    assert low[0]["scores"]["rank"] == 57


@pytest.mark.parametrize(
    ("names", "leading"),
    [
        (["BLEU-1", "METEOR", "CIDEr"], "CIDEr"),
        (["BLEU-4", "METEOR"], "METEOR"),
        (["something"], "something"),
        ([], ""),
    ],
)
def test_items_are_sorted_by_the_best_known_score(names: list[str], leading: str) -> None:
    item = {"id": "a", "scores": dict.fromkeys(names, 0.5)}
    assert leading_score(Sheet("caption", {}, items=[item])) == leading


def test_items_without_a_number_are_left_out_of_the_charts() -> None:
    sheet = sheet_of([0.1, float("nan"), 0.9])
    low, high = worst_and_best(sheet, "CIDEr")
    assert [item["id"] for item in low + high] == ["v01", "v03"]
    assert "CIDEr, mean 50<" in page(sheet)


def test_charts_have_the_scale_of_the_tables() -> None:
    text = page(sheet_of([0.2, 0.4]))
    assert ">CIDEr, mean 30<" in text
    assert text.count(">40</text>") == 2  # the best of the spread, and by length
    ranks = Sheet("retrieval", {"MdR": 3.0}, items=sheet_of([1, 57, 3], "rank").items)
    assert ">57</text>" in page(ranks)


def test_every_score_of_the_items_has_its_histogram() -> None:
    item = {"id": "a", "scores": {"METEOR": 0.1, "CIDEr": 0.2}}
    assert Reader(page(Sheet("caption", {}, items=[item]))).names.count("svg") == 2


def test_the_plot_by_length_needs_lengths() -> None:
    assert 'id="lengths"' in page(sheet_of([0.1, 0.2]))
    without = Sheet("caption", {}, items=[{"id": "a", "scores": {"CIDEr": 0.2}}])
    assert 'id="lengths"' not in page(without)


def test_captions_with_times_are_told_with_their_times() -> None:
    assert texts([{"text": "a dog", "start": 1, "end": 2.5}]) == ["1.00 to 2.50 s: a dog"]
    assert texts([{"text": "a dog"}]) == ["a dog"]
    assert texts({"odd": 1}) == ['{"odd": 1}']
    assert texts(None) == []


def test_a_text_of_several_lines_is_shown_in_several_lines() -> None:
    assert texts("a dog\na cat") == ["a dog", "a cat"]
    assert texts("") == []


def test_long_lists_are_cut_and_the_rest_is_counted() -> None:
    assert texts(["a"] * 15) == ["a"] * 12 + ["... and 3 more"]


def test_the_same_sheet_gives_the_same_page() -> None:
    assert page(sheet_of([0.1, 0.2])) == page(sheet_of([0.1, 0.2]))
