"""What can be named on the command line, and where each thing lives; strings only.

Nothing heavy is imported here, so that `--help` answers at once.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from vcap.errors import UsageError


@dataclass(frozen=True)
class Entry:
    """One thing that can be named.

    Attributes:
        name: as typed.
        summary: one line for people who choose.
        where: `module:name` that makes it; empty where only the name counts.
        kind: what family it is of.
        size: download in megabytes; 0 where nothing is fetched.
        source: repository on the model hub, or a folder of the package.
    """

    name: str
    summary: str
    where: str = ""
    kind: str = ""
    size: int = 0
    source: str = ""


def _table(*entries: Entry) -> dict[str, Entry]:
    return {entry.name: entry for entry in entries}


METHODS = _table(
    Entry("encoder", "image and text encoder, trained contrastively",
          "vcap.engine.methods.encoder:EncoderMethod"),
    Entry("lm", "small language model on captions", "vcap.engine.methods.lm:LmMethod"),
    Entry("prefix", "captioner: features become a language model's first words",
          "vcap.engine.methods.prefix:PrefixMethod"),
    Entry("retrieval", "texts find videos by the frames that a policy keeps",
          "vcap.engine.methods.retrieval:RetrievalMethod"),
)  # fmt: skip

ENCODERS = _table(
    Entry("tiny", "embedded; knows rendered shapes only", kind="vcap", source="tiny/clip"),
    Entry("ViT-B-32:openai", "CLIP ViT-B/32, 512 wide", kind="open_clip", size=605),
    Entry("ViT-B-16:openai", "CLIP ViT-B/16, 512 wide", kind="open_clip", size=599),
    Entry("ViT-L-14:openai", "CLIP ViT-L/14, 768 wide", kind="open_clip", size=1710),
    Entry("RN50x4:openai", "CLIP ResNet 50x4, 640 wide", kind="open_clip", size=713),
    Entry("ViT-B-32:laion2b_s34b_b79k", "OpenCLIP ViT-B/32, 512 wide", kind="open_clip", size=605),
)

MODELS = _table(
    Entry("tiny", "embedded prefix captioner; knows rendered shapes only", kind="prefix",
          source="tiny/prefix"),
)  # fmt: skip

RETRIEVERS = _table(
    Entry("tiny", "embedded; knows rendered shapes only", kind="retrieval",
          source="tiny/retrieval"),
)  # fmt: skip

FEATURES = ("embedding", "grid")
USUAL_ENCODERS = {512: "ViT-B-32:openai", 640: "RN50x4:openai"}  # of ClipCap and its kin, by width


def find(table: dict[str, Entry], name: str, what: str) -> Entry:
    """The entry of this name.

    Raises:
        UsageError: there is none; the message lists the nearest.
    """
    if name in table:
        return table[name]
    raise UsageError(f"no {what} named {name}; {nearest(name, table)}")


def nearest(name: str, names: Iterable[str]) -> str:
    """Half a sentence that offers the names most like this one, or all of them."""
    known = list(dict.fromkeys(names))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    return f"known: {', '.join(known[:8])}" + (" and more" if len(known) > 8 else "")


def load(entry: Entry) -> Any:
    """Import what an entry names."""
    module, _, attribute = entry.where.partition(":")
    return getattr(import_module(module), attribute)
