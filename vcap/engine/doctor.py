"""What works on this machine, and the command that mends what does not."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from vcap.engine.reporter import Silent
from vcap.errors import UnavailableError, VcapError

State = Literal["ok", "absent", "broken"]
FAILURES = (  # what a broken part can raise
    *(VcapError, ImportError, OSError, RuntimeError, ValueError, AttributeError, LookupError),
    *(subprocess.SubprocessError, HTTPException),
)
JAVA_SECONDS = 20
HUB_SECONDS = 5
LEAST_FREE_BYTES = 2**30
GIB = 2**30


class NotThere(Exception):
    """Something is not installed or not plugged in; nothing is broken."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        essential: whether vcap can do its daily work without it.
        detail: what was found, or what is wrong, in one line.
        mend: a command that mends it; empty where nothing is wrong.
    """

    name: str
    state: State
    detail: str
    mend: str = ""
    essential: bool = False


def check_all(online: bool = False) -> Iterator[Check]:
    """Look at everything, one after the other, the quick things first.

    Args:
        online: whether the model hub may be asked over the network.
    """
    yield look("decoder", _decoder, "pip install --force-reinstall av", essential=True)
    yield look("disk", _disk, "df -h .", essential=True)
    yield look("torch", _torch, "pip install --force-reinstall torch", essential=True)
    yield look("gpu", _gpu, "nvidia-smi")
    yield look("model tiny", _tiny, "pip install --force-reinstall vcap", essential=True)
    yield look("search", _search, "pip install faiss-cpu")
    yield look("java", _java, "apt-get install default-jre-headless")
    yield look("meteor", _meteor, "pip install --force-reinstall pycocoevalcap")
    yield look("spice", _spice, _spice_mend())
    yield look("wordnet", _wordnet, "apt-get install wordnet-base")
    hub = _hub_online if online else _hub
    yield look("hub", hub, "unset HF_HUB_OFFLINE TRANSFORMERS_OFFLINE && vcap doctor --online")


def look(name: str, find: Callable[[], str], mend: str, essential: bool = False) -> Check:
    """Run one check: what it returns is good news, what it raises is not."""
    try:
        return Check(name, "ok", find(), essential=essential)
    except NotThere as error:
        return Check(name, "absent", _first_line(error), mend, essential)
    except FAILURES as error:
        hint = getattr(error, "hint", None)
        return Check(name, "broken", _first_line(error), hint or mend, essential)


def works(checks: list[Check]) -> bool:
    """Whether everything essential is there."""
    return all(check.state == "ok" for check in checks if check.essential)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _decoder() -> str:
    from vcap.engine.sample import sample_path
    from vcap.video.decode import read_frames
    from vcap.video.probe import decoder_version
    from vcap.video.sample import Sampler

    frames = read_frames(sample_path(), Sampler("all"))
    return f"{decoder_version()}; the sample has {len(frames.times)} frames"


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free
    if free < LEAST_FREE_BYTES:
        raise OSError(f"only {free / GIB:.2f} GiB are free in {Path.cwd()}")
    return f"{free / GIB:.0f} GiB free in {Path.cwd()}"


def _torch() -> str:
    import torch

    total = float(torch.ones(2, 2).matmul(torch.ones(2, 2)).sum())
    if total != 8:
        raise RuntimeError(f"the product of two matrices of ones sums to {total:g}, not to 8")
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        built = "" if torch.version.cuda else "; this torch is built without CUDA"
        raise NotThere(f"no CUDA device, models run on the processor{built}")
    names = [
        f"cuda:{number} {torch.cuda.get_device_name(number)}, "
        f"{torch.cuda.get_device_properties(number).total_memory / GIB:.0f} GiB"
        for number in range(torch.cuda.device_count())
    ]
    return "; ".join(names)


def _tiny() -> str:
    from vcap.engine.captioner import load_model
    from vcap.engine.sample import sample_path

    captions = load_model("tiny", device="cpu").caption(str(sample_path()))
    return f"says of the sample: {captions[0].text}"


def _search() -> str:
    for package in ("faiss-gpu", "faiss-cpu", "faiss"):
        try:
            found = f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
        import faiss

        return f"{found}, {faiss.get_num_gpus() if hasattr(faiss, 'get_num_gpus') else 0} GPUs"
    raise NotThere("faiss is not installed; it is for search only")


def _java() -> str:
    program = shutil.which("java")
    if program is None:
        raise NotThere("no java; METEOR and SPICE need it, nothing else does")
    done = subprocess.run(
        [program, "-version"], capture_output=True, text=True, timeout=JAVA_SECONDS, check=False
    )
    lines = (done.stderr or done.stdout).strip().splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{program} -version ended with {done.returncode}")
    return lines[0]


def _meteor() -> str:
    return _metric("METEOR")


def _spice() -> str:
    return _metric("SPICE")


def _spice_mend() -> str:
    """How the parts of the archive, once it is here, get to where SPICE looks for them."""
    from vcap.engine.evaluation.java import program_path
    from vcap.engine.evaluation.spice import JAR, PARSER

    jar = program_path(JAR)
    if jar is None:
        return "pip install --force-reinstall pycocoevalcap"
    wanted = " ".join(f"'*/{name}'" for name in PARSER)
    return f"unzip -j stanford-corenlp-full-2015-12-09.zip {wanted} -d {jar.parent / 'lib'}"


def _metric(name: str) -> str:
    """The version of a metric that runs in Java; nothing is started to find out."""
    from vcap.engine.evaluation.tools import open_tools

    with open_tools(reporter=Silent()) as tools:
        if name in tools.unavailable:
            raise NotThere(tools.unavailable[name])
        stamp = tools.stamp()
    return f"{name} {stamp[name]}, from pycocoevalcap {stamp['pycocoevalcap']}"


def _wordnet() -> str:
    from vcap.engine.evaluation.wordnet import find_wordnet

    try:
        return f"WordNet 3.0 in {find_wordnet()}"
    except UnavailableError as error:
        raise NotThere(str(error)) from error


def _hub() -> str:
    """What is known without the network: the settings and what was fetched before."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    fetched = len(list(cache.glob("models--*"))) if cache.is_dir() else 0
    state = "offline by the environment" if constants.HF_HUB_OFFLINE else "not asked"
    return f"{state}; {fetched} models in {cache} (ask with: vcap doctor --online)"


def _hub_online() -> str:
    from urllib.request import urlopen

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or os.environ.get("TRANSFORMERS_OFFLINE") == "1":
        raise NotThere("offline by the environment")
    with urlopen(constants.ENDPOINT, timeout=HUB_SECONDS) as answer:
        return f"{constants.ENDPOINT} answers with {answer.status}"
