"""Ranked hits, as `vcap retrieve --json` gives them: one JSON object a hit.

A hit has `query` (the text), `id` or `video_id`, and `score` or `rank`. Records whose `hits` are a
list of such are read too. Only the way from text to video can be scored from them.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vcap.engine.evaluation.inputs import Given, id_of
from vcap.engine.evaluation.problems import Problems, number_of
from vcap.engine.evaluation.retrieval import Wanted
from vcap.errors import AnnotationError
from vcap.metrics.outcome import Outcome
from vcap.metrics.retrieval import BACK, RankRange, score_ranks

if TYPE_CHECKING:
    from vcap.engine.evaluate import EvaluateSettings

ONE_WAY = "hits of texts say nothing of how a video ranks the texts"


@dataclass
class _Hits:
    """The hits of one query: video -> how good it is, higher is better."""

    scores: dict[str, float] = field(default_factory=dict)

    def ranks(self, video: str) -> tuple[int, int] | None:
        """Best and worst rank of a video among the hits; None where it is not one."""
        if video not in self.scores:
            return None
        own = self.scores[video]
        above = sum(score > own for score in self.scores.values())
        return 1 + above, above + sum(score == own for score in self.scores.values())


def score_hits(
    given: Given, wanted: Wanted, settings: "EvaluateSettings", problems: Problems
) -> Outcome:
    """Score hits; a right video that is not among them ranks last of all videos known.

    Raises:
        AnnotationError: the file cannot be read or holds no hits.
        InputError: no query is in both.
    """
    found = read_hits(given, problems)
    keys = _keys(wanted, found)
    asked = [key or text or video for key, text, video in zip(keys, *_rows(wanted), strict=True)]
    problems.compare(found, dict.fromkeys(asked), what="query", name=given.name)
    gallery = {*wanted.columns, *(video for hits in found.values() for video in hits.scores)}
    best, worst, videos, lost = [], [], [], 0
    for key, name, video in zip(keys, asked, wanted.videos, strict=True):
        if key is None and settings.missing == "skip":
            continue
        ranks = None if key is None else _video_ranks(found[key], video, wanted)
        if ranks is None:
            lost += 1
            if key is not None:
                problems.add("right video not among the hits", name)
        low, high = ranks or (len(gallery), len(gallery))
        best.append(low)
        worst.append(high)
        videos.append(video)
    outcome = _outcome(RankRange(np.array(best), np.array(worst)), videos, settings)
    told = f"{lost} of {len(videos)} texts do not have their video among their hits; its rank is "
    told += f"taken as the last of {len(gallery)}, so that ranks are upper bounds."
    details = {**outcome.details, "gallery": len(gallery), "not among the hits": lost}
    warnings = (*outcome.warnings, told) if lost else outcome.warnings
    return replace(outcome, details=details, warnings=warnings)


def _outcome(ranks: RankRange, videos: list[str], settings: "EvaluateSettings") -> Outcome:
    units = list(dict.fromkeys(videos))
    place = {video: number for number, video in enumerate(units)}
    unit_of_text = np.array([place[video] for video in videos], dtype=np.int64)
    outcome = score_ranks(ranks, unit_of_text, units, ties=settings.ties)
    return replace(
        outcome,
        protocol={**outcome.protocol, "similarity": "ranked hits"},
        unavailable={f"{BACK}ranks": ONE_WAY},
    )


def _rows(wanted: Wanted) -> tuple[list[str | None], list[str]]:
    return wanted.rows, wanted.videos


def _keys(wanted: Wanted, found: Mapping[str, _Hits]) -> list[str | None]:
    """What the hits call each row: its text, or the id of a video that has no other text."""
    alone = {video for video, count in Counter(wanted.videos).items() if count == 1}
    return [
        text if text in found else video if video in alone and video in found else None
        for text, video in zip(*_rows(wanted), strict=True)
    ]


def _video_ranks(hits: _Hits, video: str, wanted: Wanted) -> tuple[int, int] | None:
    """Ranks of a video, or of the longer one that it was cut from."""
    ranks = hits.ranks(video)
    return hits.ranks(wanted.clips_of.get(video, video)) if ranks is None else ranks


def read_hits(given: Given, problems: Problems) -> dict[str, _Hits]:
    """The hits of each query, in file order; a video counts once a query, by its first hit.

    Raises:
        AnnotationError: the file cannot be read or holds no hits.
    """
    value = given.load(problems)
    found: dict[str, _Hits] = {}
    for where, query, hit in _entries(value, given, problems):
        hits = found.setdefault(query, _Hits())
        if hit is None:
            continue
        video, score = _hit(hit, len(hits.scores), where, problems)
        if video is None:
            problems.add("unusable record", where)
        elif video in hits.scores:
            problems.add("duplicate", f"{where}, video {video}")
        else:
            hits.scores[video] = score
    if not found:
        raise AnnotationError(
            f"{given.name}: no hits in it; want one JSON object a line with query, id and score"
        )
    return found


def _entries(
    value: Any, given: Given, problems: Problems
) -> Iterator[tuple[str, str, Mapping[str, Any] | None]]:
    """Where each hit stands, its query and itself; a query without hits comes with None."""
    for number, entry in enumerate(value if isinstance(value, list) else [value], start=1):
        where = f"{given.name}: record {number}"
        known = entry if isinstance(entry, Mapping) else {}
        listed = known.get("hits")
        query = id_of(known.get("query", known.get("id") if isinstance(listed, list) else None))
        if query is None:
            problems.add("unusable record", where)
        elif not isinstance(listed, list):
            yield where, query, known
        else:
            yield where, query, None
            for hit in listed:
                yield where, query, hit if isinstance(hit, Mapping) else {"id": hit}


def _hit(
    hit: Mapping[str, Any], number: int, where: str, problems: Problems
) -> tuple[str | None, float]:
    """The video of a hit and how good it is: its score, else its rank, else its place."""
    ids = (id_of(hit.get(key)) for key in ("id", "video_id"))
    video = next((name for name in ids if name is not None), None)
    for key, sign in (("score", 1.0), ("rank", -1.0)):
        value = hit.get(key)
        if value is None:
            continue
        found = number_of(value)
        if found is None:
            problems.add("not a number", where)
            return video, -math.inf
        return video, sign * found
    return video, float(-number)
