"""Similarities of texts and videos: as a matrix of numpy, or made from two feature stores.

Shapes: Q texts (rows), V videos (columns), T frames, D feature width.
"""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vcap.engine.evaluation.inputs import Given
from vcap.engine.evaluation.problems import Problems
from vcap.engine.evaluation.retrieval import Wanted
from vcap.engine.fingerprint import differences
from vcap.errors import AnnotationError, FeatureError, UsageError
from vcap.features.store import FeatureStore
from vcap.metrics.outcome import Outcome

if TYPE_CHECKING:
    from vcap.engine.evaluate import EvaluateSettings

Floats = npt.NDArray[np.float32]
LOWEST = np.finfo(np.float32).min  # below every cosine, above what is never found
SAME = ("weights", "quick_gelu", "features")  # of an encoder whose texts and videos meet
POOLING = "frames to unit length, mean, unit length; cosine"


def score_matrix(
    similarity: npt.NDArray[Any], name: str, wanted: Wanted, settings: "EvaluateSettings"
) -> Outcome:
    """Score a matrix of similarities [Q, V]; rows and columns go as the references do.

    Args:
        name: of its file.

    Raises:
        UsageError: videos without prediction are to be left out, which a matrix cannot lack.
        AnnotationError: it is of another size than the references.
    """
    from vcap.metrics.retrieval import score_retrieval

    if settings.missing == "skip":
        raise UsageError(f"{name}: a matrix has every video; --missing skip leaves none out")
    columns = wanted.columns
    rows, width = similarity.shape
    targets = wanted.targets()
    texts = "as in the references"
    if rows == width == len(columns) != len(targets):
        targets, texts = np.arange(rows), "one row a video, whatever texts it stands for"
    if rows != len(targets) or width != len(columns):
        raise AnnotationError(
            f"{name}: want similarities of [{len(targets)} texts, {len(columns)} videos] "
            f"as in the references, got {[rows, width]}"
        )
    outcome = score_retrieval(similarity, targets, ties=settings.ties, video_ids=columns)
    facts = {"similarity": f"matrix of {similarity.dtype}", "texts": texts}
    return replace(outcome, protocol={**outcome.protocol, **facts})


def read_matrix(given: Given) -> npt.NDArray[Any]:
    """The matrix of a .npy file, mapped where it is a file and not packed.

    Raises:
        AnnotationError: it is damaged, no matrix of real numbers, or holds NaN.
    """
    try:
        if given.path is not None and not given.packed:
            array = np.load(given.path, mmap_mode="r", allow_pickle=False)
        else:
            array = np.load(io.BytesIO(given.bytes()), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AnnotationError(f"{given.name}: damaged array: {error}") from error
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "fiu":
        raise AnnotationError(
            f"{given.name}: want similarities [texts, videos], got {array.dtype} {[*array.shape]}"
        )
    wrong = np.argwhere(np.isnan(array)) if array.dtype.kind == "f" else np.empty((0, 2))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise AnnotationError(
            f"{given.name}: {len(wrong)} similarities are NaN, first row {row} column {column}"
        )
    return np.asarray(array)


def score_stores(
    videos: Path,
    texts: str,
    wanted: Wanted,
    settings: "EvaluateSettings",
    problems: Problems,
) -> Outcome:
    """Score the cosine similarities of two stores; the references say whose they are.

    A video or a text that has no features is never found, and nothing is found for it.

    Raises:
        FeatureError: a store is damaged, holds NaN, or they come from different encoders.
        InputError: no id is in both.
    """
    from vcap.metrics.retrieval import score_retrieval

    video_store, text_store = FeatureStore(videos), FeatureStore(Path(texts))
    _refuse_strangers(video_store, text_store)
    names = {clip: _name_in(video_store, clip, wanted) for clip in wanted.columns}
    asked = [name or clip for clip, name in names.items()]
    problems.compare(video_store.ids, asked, name=str(videos))
    columns = [c for c, name in names.items() if name or settings.missing == "zero"]
    features, targets, absent = _text_rows(text_store, columns, wanted, settings, problems)
    gallery = [_pooled(video_store, names[c]) for c in columns]
    similarity = _similarities(features, gallery, targets, absent)
    outcome = score_retrieval(similarity, targets, ties=settings.ties, video_ids=columns)
    return replace(outcome, protocol={**outcome.protocol, "similarity": POOLING})


def _name_in(store: FeatureStore, clip: str, wanted: Wanted) -> str | None:
    """What a store calls a clip: itself, or the video that it is of."""
    names = (clip, wanted.clips_of.get(clip, clip))
    return next((name for name in names if name in store), None)


def _text_rows(
    store: FeatureStore,
    columns: Sequence[str],
    wanted: Wanted,
    settings: "EvaluateSettings",
    problems: Problems,
) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Unit features [Q, D] of the texts, their columns [Q], and which have no features [Q]."""
    count = Counter(wanted.videos)
    rows: list[Floats] = []
    targets: list[int] = []
    absent: list[bool] = []
    for column, video in enumerate(columns):
        known = video in store
        if not known:
            problems.add("missing", f"text of {video}")
            if settings.missing == "skip":
                continue
        own = _unit(_checked(store, video)) if known else np.zeros((count[video], store.width))
        if known and len(own) != count[video]:
            problems.add("other number of texts", f"{video}: {len(own)}, not {count[video]}")
        rows.append(np.asarray(own, dtype=np.float32))
        targets += [column] * len(own)
        absent += [not known] * len(own)
    for video in store.ids:
        if video not in count:
            problems.add("extra", f"text of {video}")
    if all(absent):
        raise FeatureError(f"{store.folder}: no features of the texts of any wanted video")
    return np.concatenate(rows), np.array(targets), np.array(absent)


def _similarities(
    texts: Floats,
    videos: Sequence[Floats | None],
    targets: npt.NDArray[np.int64],
    absent: npt.NDArray[np.bool_],
) -> Floats:
    """Cosines [Q, V]; what has no features loses against everything, in both directions."""
    missing = np.array([video is None for video in videos])  # [V]
    width = texts.shape[1]
    pooled = np.stack([np.zeros(width, np.float32) if v is None else v for v in videos])  # [V, D]
    similarity: Floats = texts @ pooled.T  # [Q, V]
    similarity[absent] = LOWEST
    similarity[:, missing] = LOWEST
    lost = np.flatnonzero(absent | missing[targets])
    similarity[lost, targets[lost]] = -np.inf
    return similarity


def _pooled(store: FeatureStore, name: str | None) -> Floats | None:
    """One unit feature [D] of a video; None where there is no video."""
    if name is None:
        return None
    mean = _unit(_checked(store, name)).mean(axis=0, keepdims=True)  # [1, D]
    return _unit(mean).reshape(-1)


def _checked(store: FeatureStore, name: str) -> Floats:
    features = store.features(name).astype(np.float32)  # [T, D]
    if not len(features) or not np.isfinite(features).all():
        raise FeatureError(f"{store.folder}: the features of {name} are absent or no numbers")
    return features


def _unit(features: Floats) -> Floats:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(length > 0, length, 1), dtype=np.float32)


def _refuse_strangers(videos: FeatureStore, texts: FeatureStore) -> None:
    """Refuse two stores whose features cannot be compared."""
    ours, theirs = (_encoder(store) for store in (videos, texts))
    shared = [key for key in SAME if key in ours and key in theirs]
    told = differences({k: ours[k] for k in shared}, {k: theirs[k] for k in shared})
    if videos.width != texts.width:
        told.append(f"width: {videos.width} here, {texts.width} there")
    if told:
        raise FeatureError(
            f"{videos.folder} and {texts.folder} come from different encoders: {'; '.join(told)}",
            hint="vcap encode --text with the same --model",
        )


def _encoder(store: FeatureStore) -> Mapping[str, Any]:
    encoder = store.fingerprint.get("encoder")
    return encoder if isinstance(encoder, Mapping) else {}
