"""Model cards say what was measured."""

from vcap.reports.card import model_card, score_table

SCORES = {"val/mean": 0.5, "test/mean": 0.91234, "test/colour": 1.0, "test majority/mean": 0.2}


def test_scores_are_rows_and_parts_are_columns() -> None:
    assert score_table(SCORES).splitlines() == [
        "| score | val | test | test majority |",
        "| --- | --- | --- | --- |",
        "| mean | 0.5000 | 0.9123 | 0.2000 |",
        "| colour |  | 1.0000 |  |",
    ]


def test_a_score_without_a_part_stands_in_a_column_of_its_own() -> None:
    assert score_table({"loss": 2.0}).splitlines()[0] == "| score | value |"


def test_a_card_has_every_part_it_was_given() -> None:
    card = model_card(
        {
            "title": "A captioner",
            "knows": "rendered shapes only",
            "facts": {"seed": 3, "loss": 0.25},
            "scores": SCORES,
            "departures": ["times are added"],
            "command": "vcap train prefix -c tiny-prefix -o RUN",
            "settings": {"train": {"steps": 5}, "method": "prefix"},
        }
    )
    assert card.startswith("# A captioner\n\n**What it knows:** rendered shapes only\n")
    assert "| seed | 3 |\n| loss | 0.2500 |" in card
    assert "majority" in card.partition("## Departures")[0].splitlines()[-2]
    assert "- times are added" in card
    assert "```\nvcap train prefix -c tiny-prefix -o RUN\n```" in card
    assert "| `train.steps` | `5` |\n| `method` | `prefix` |" in card
    assert card.endswith("|\n")


def test_parts_that_are_absent_leave_no_headings() -> None:
    assert model_card({"title": "A model"}) == "# A model\n"


def test_a_bar_in_a_value_does_not_break_the_table() -> None:
    assert "a\\|b" in model_card({"settings": {"name": "a|b"}})
