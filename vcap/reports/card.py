"""Model cards: a model folder's README.md from the numbers its run measured."""

from collections.abc import Mapping, Sequence
from typing import Any


def model_card(card: Mapping[str, Any]) -> str:
    """A card as Markdown.

    Args:
        card: any of `title`, `summary`, `knows` (what it was trained on and for), `command`,
            `settings` (a nested mapping), `scores` (name -> number; names of the form
            `part/score` become one table row a score and one column a part), `baseline` (the same
            names, for the column beside), `departures` (sentences), `facts` (name -> value).
    """
    parts = [f"# {card.get('title', 'model')}", card.get("summary", "")]
    if card.get("knows"):
        parts.append(f"**What it knows:** {card['knows']}")
    if card.get("facts"):
        parts.append(_table(("", ""), [(name, _shown(v)) for name, v in card["facts"].items()]))
    if card.get("scores"):
        parts += ["## Scores", score_table(card["scores"], card.get("baseline", {}))]
        if card.get("baseline"):
            parts.append(
                "`majority` always names the most frequent value of a slot on the same clips."
            )
    if card.get("departures"):
        parts += ["## Departures from the published system"]
        parts.append("\n".join(f"- {sentence}" for sentence in card["departures"]))
    if card.get("command"):
        parts += ["## How it was made", f"```\n{card['command']}\n```"]
    if card.get("settings"):
        parts += ["## Settings", _table(("setting", "value"), _flat(card["settings"]))]
    return "\n\n".join(part for part in parts if part) + "\n"


def score_table(scores: Mapping[str, float], baseline: Mapping[str, float]) -> str:
    """Scores named `part/score` as a table: a row a score, a column a part and its baseline."""
    parts = list(dict.fromkeys(name.rpartition("/")[0] for name in scores))
    rows = list(dict.fromkeys(name.rpartition("/")[2] for name in scores))
    columns = [(part, source) for part in parts for source in _sources(part, scores, baseline)]
    head = ["score", *(_head(part, source is baseline) for part, source in columns)]
    body = [
        (row, *(_shown(source.get(_join(part, row), "")) for part, source in columns))
        for row in rows
    ]
    return _table(head, body)


def _sources(
    part: str, scores: Mapping[str, float], baseline: Mapping[str, float]
) -> list[Mapping[str, float]]:
    known = any(name.rpartition("/")[0] == part for name in baseline)
    return [scores, baseline] if known else [scores]


def _head(part: str, is_baseline: bool) -> str:
    return f"{part} majority".strip() if is_baseline else part or "value"


def _join(part: str, row: str) -> str:
    return f"{part}/{row}" if part else row


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"`{prefix}{name}`", f"`{value}`"))
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(head), line(["---"] * len(head)), *(line(row) for row in rows)])
