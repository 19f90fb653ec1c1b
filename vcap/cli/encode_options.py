"""The options that only `vcap encode` has."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

ENCODERS = (
    "tiny (the default), an open_clip name such as ViT-B-32:openai, a folder, or hf:ORG/NAME; "
    "or a retrieval model (a folder, AdaCLIP's .pth): its encoder and sampler, and where its "
    "policy looks at pictures the frames it keeps."
)

Model = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help=ENCODERS, show_default=False)
]
Fps = Annotated[
    float | None,
    typer.Option("--fps", metavar="F", help="F frames a second; default: 1.", show_default=False),
]
NumFrames = Annotated[
    int | None,
    typer.Option(
        "--frames", metavar="N", min=1, help="N frames, evenly spread.", show_default=False
    ),
]
Features = Annotated[
    Literal["embedding", "grid"] | None,
    typer.Option(
        "--features",
        help="One vector a frame, or one for each of 3x3 places too.",
        show_default=False,
    ),
]
Text = Annotated[
    bool,
    typer.Option("--text", help="Encode sentences: captions of manifests, lines of text files."),
]
Import = Annotated[
    bool,
    typer.Option(
        "--import",
        help="Inputs are feature files (HDF5 of MSR-VTT, ClipCap's pickle), read as data; "
        "--model and --sampler say what made them.",
    ),
]
CHOICE = ("include", "exclude")
IDLE = {  # options that have nothing to do in a mode
    "--text": ("fps", "frames", "sampler", *CHOICE, "workers", "checksum"),
    "--import": (*CHOICE, "workers", "batch_size", "device", "dtype"),
}


def refuse_idle(mode: str, given: Mapping[str, Any]) -> None:
    """Refuse options of the command line that would be without effect.

    Raises:
        UsageError: the options are named.
    """
    from vcap.engine.settings import flag_of
    from vcap.errors import UsageError

    said = [name for name in IDLE[mode] if given.get(name) not in (None, False, "auto", [])]
    if said:
        raise UsageError(f"{' and '.join(map(flag_of, said))}: without effect with {mode}")
