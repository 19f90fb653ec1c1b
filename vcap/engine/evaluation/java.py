"""Java, and the programs of pycocoevalcap that run in it; the PTB tokenizer is one of them."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from vcap.errors import DeviceError, UnavailableError, VcapError

INSTALL_JAVA = "apt-get install default-jre-headless"
INSTALL_PROGRAMS = "pip install --force-reinstall pycocoevalcap"
TOKENIZER_JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
TOKENIZER_CLASS = "edu.stanford.nlp.process.PTBTokenizer"
QUICK_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
DROPPED = frozenset(
    ("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", *".?!,:-;", "--", "...")
)
VERSION_SECONDS = 20
# Of a caption that ends in a full stop after a lone letter ("vitamin C."), or after a word that is
# short before a number ("no."), the tokenizer looks at the next line to tell whether the stop is
# part of the word. Only a last word of two letters or more can be no lone letter, not even in part.
SURE_END = re.compile(
    r"(?:^|.*\s)(?!(?:art|ca|figs?|nos?|op|pp|prop)\.)[A-Za-z]{2,}\.\s*", re.IGNORECASE
)


def find_java() -> str | None:
    """The Java program: of JAVA_HOME, or the one on the path."""
    home = os.environ.get("JAVA_HOME")
    return (shutil.which("java", path=str(Path(home) / "bin")) if home else None) or shutil.which(
        "java"
    )


@cache
def java_version(java: str) -> str:
    """`17.0.15`: from the file beside the program, or from the program itself.

    Raises:
        UnavailableError: the program does not run.
    """
    release = Path(java).resolve().parents[1] / "release"
    if release.is_file():
        for line in release.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("JAVA_VERSION="):
                return line.partition("=")[2].strip('"')
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"{java} does not run: {error}", hint=INSTALL_JAVA) from error
    return (done.stderr or done.stdout).split('"')[1::2][0] if '"' in done.stderr else "unknown"


@cache
def program_path(name: str) -> Path | None:
    """A file of the package pycocoevalcap, without importing it; None where it is not there."""
    found = find_spec("pycocoevalcap")
    folders = found.submodule_search_locations if found else None
    paths = [Path(folder) / name for folder in folders or ()]
    return next((path for path in paths if path.is_file()), None)


def programs_version() -> str | None:
    """The version of pycocoevalcap; None where it is not installed."""
    try:
        return version("pycocoevalcap")
    except PackageNotFoundError:
        return None


def require_program(name: str) -> Path:
    """A file of the package pycocoevalcap.

    Raises:
        UnavailableError: it is not there.
    """
    path = program_path(name)
    if path is None:
        raise UnavailableError(f"pycocoevalcap has no file {name}", hint=INSTALL_PROGRAMS)
    return path


def java_error(program: str, code: int | None, said: str) -> VcapError:
    """What to tell of a Java program that ended, from what it wrote on stderr."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if "OutOfMemoryError" in said or "Could not reserve enough space" in said:
        return DeviceError(
            f"{program} used up its memory: {_telling(lines)}",
            hint="vcap evaluate ... --metrics BLEU,ROUGE-L,CIDEr",
        )
    ended = f"was killed by signal {-code}" if code and code < 0 else f"ended with {code}"
    told = f": {_telling(lines)}" if lines else ""
    return UnavailableError(f"{program} (Java) {ended}{told}", hint="vcap doctor")


def _telling(lines: Sequence[str]) -> str:
    telling = [line for line in lines if "Error" in line or "Exception" in line]
    return (telling or lines)[0][:200]


def run_java(name: str, command: Sequence[str], text: bytes = b"") -> tuple[bytes, str]:
    """Run a Java program to its end: what it wrote on stdout, and on stderr.

    Raises:
        VcapError: it cannot be started, or ended with another code than 0.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # an interrupt reaches vcap alone, which then ends this
        )
    except OSError as error:
        raise UnavailableError(f"cannot start {command[0]}: {error}", hint="vcap doctor") from error
    with process:
        try:
            out, said = process.communicate(text)
        finally:
            process.kill()
    told = said.decode("utf-8", "replace")
    if process.returncode != 0:
        raise java_error(name, process.returncode, told)
    return out, told


def tokenize_java(java: str, captions: Sequence[str]) -> list[str]:
    """Each caption (without a line break) as the PTB tokenizer gives it, in one run of Java.

    A caption whose last full stop is judged by the line after it is followed by itself, as in
    `vcap.metrics.ptb`, so that the captions beside it and their order change nothing.

    Raises:
        VcapError: the program failed, or gave another number of lines than it was given.
    """
    lines: list[str] = []
    places = []
    for caption in captions:
        places.append(len(lines))
        lines += [caption] * (1 + judged_by_next(caption))
    found = tokenize_lines(java, lines)
    return [found[place] for place in places]


def judged_by_next(caption: str) -> bool:
    """Whether the tokens of a caption can depend on the line after it."""
    return caption.rstrip().endswith(".") and SURE_END.fullmatch(caption) is None


def tokenize_lines(java: str, lines: Sequence[str]) -> list[str]:
    """Each line as the PTB tokenizer gives it where they stand in this order.

    Raises:
        VcapError: the program failed, or gave another number of lines than it was given.
    """
    jar = require_program(TOKENIZER_JAR)
    command = [java, *QUICK_START, "-Xmx1G", "-cp", str(jar), TOKENIZER_CLASS]
    text = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
    out, _ = run_java("the PTB tokenizer", [*command, "-preserveLines", "-lowerCase"], text)
    *found, _ = out.decode("utf-8", "replace").split("\n")
    if len(found) != len(lines):
        raise UnavailableError(
            f"the PTB tokenizer (Java) gave {len(found)} lines for {len(lines)} captions",
            hint="vcap doctor",
        )
    return [
        " ".join(word for word in line.rstrip().split(" ") if word not in DROPPED) for line in found
    ]
