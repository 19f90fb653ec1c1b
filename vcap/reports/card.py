"""Model cards: a model folder's README.md from the numbers its run measured."""

from collections.abc import Mapping, Sequence
from typing import Any


def model_card(card: Mapping[str, Any]) -> str:
    """A card as Markdown.

    Args:
        card: any of `title`, `knows` (what the model was made for), `facts` (name -> value),
            `scores` (as in `score_table`), `departures` (sentences), `command`, `settings` (a
            nested mapping).
    """
    parts = [f"# {card.get('title', 'A model')}"]
    if card.get("knows"):
        parts.append(f"**What it knows:** {card['knows']}")
    if card.get("facts"):
        parts.append(_table(("", ""), [(name, _shown(v)) for name, v in card["facts"].items()]))
    if card.get("scores"):
        parts += ["## Scores", score_table(card["scores"])]
    if any("majority" in name for name in card.get("scores", {})):
        parts.append("`majority` always names the most frequent value of a slot in the same clips.")
    if card.get("departures"):
        parts.append("## Departures from the published system")
        parts.append("\n".join(f"- {sentence}" for sentence in card["departures"]))
    if card.get("command"):
        parts += ["## How it was made", f"```\n{card['command']}\n```"]
    if card.get("settings"):
        parts += ["## Settings", _table(("setting", "value"), _flat(card["settings"]))]
    return "\n\n".join(parts) + "\n"


def score_table(scores: Mapping[str, float]) -> str:
    """Scores named `part/score` as a table: a row a score, a column a part."""
    parts = list(dict.fromkeys(name.rpartition("/")[0] for name in scores))
    rows = list(dict.fromkeys(name.rpartition("/")[2] for name in scores))
    body = [
        (row, *(_shown(scores.get(f"{part}/{row}" if part else row, "")) for part in parts))
        for row in rows
    ]
    return _table(["score", *(part or "value" for part in parts)], body)


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
