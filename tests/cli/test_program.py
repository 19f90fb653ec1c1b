"""The program around the commands: help, version, wrong usage, failures, start-up cost."""

import json
import os
import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from vcap import __version__
from vcap.cli import app as program
from vcap.cli import command as command_module
from vcap.errors import (
    CheckpointError,
    ConfigError,
    DeviceError,
    InputError,
    OutputError,
    PartialError,
    UnavailableError,
    UsageError,
)

HEAVY = ["torch", "torchvision", "open_clip", "transformers", "faiss", "av", "numpy", "rich"]


@pytest.fixture
def failing(vcap: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `vcap doctor` (or another) with a body that raises; gives the result."""

    def run(error: BaseException, *arguments: str, name: str = "doctor") -> Any:
        def command(verbose: bool = False) -> None:
            """Fail."""
            raise error

        import types

        module = types.SimpleNamespace(command=command)
        monkeypatch.setattr(command_module, "import_module", lambda name: module)
        return vcap(name, *arguments)

    return run


def child(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "vcap", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def loaded(code: str, **environment: str) -> set[str]:
    """Names of the modules that are loaded after a piece of code has run."""
    tail = "import sys, json; print('\\n' + json.dumps(sorted(sys.modules)))"
    text = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tail}"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(json.loads(text.splitlines()[-1]))


RUN = "from vcap.cli.app import app\ntry: app({!r})\nexcept SystemExit: pass"


def test_help_lists_every_command_with_its_summary(vcap: Any) -> None:
    result = vcap("--help")
    assert (result.exit_code, result.stderr) == (0, "")
    for name, summary in program.COMMANDS.items():
        assert f"  {name} " in result.stdout
        assert summary.split()[0] in result.stdout


def test_the_short_help_flag_is_the_long_one(vcap: Any) -> None:
    assert vcap("-h").stdout == vcap("--help").stdout


def test_no_command_shows_the_overview_on_stderr_and_is_wrong_usage(vcap: Any) -> None:
    result = vcap()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: vcap")


def test_the_version_is_the_packages(vcap: Any) -> None:
    assert vcap("--version").stdout == f"vcap {__version__}\n"


def test_python_dash_m_is_the_program() -> None:
    done = child("--version")
    assert (done.returncode, done.stdout) == (0, f"vcap {__version__}\n")


def test_a_wrong_command_is_answered_with_the_nearest(vcap: Any) -> None:
    result = vcap("captoin")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: no such command 'captoin'. Did you mean 'caption'?\n  try: vcap --help\n"
    )


def test_a_wrong_option_is_answered_with_the_nearest(vcap: Any) -> None:
    result = vcap("download", "shapes:clips", "--limt", "3")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "error: no such option: --limt (did you mean --limit?)\n  try: vcap download --help\n"
    )


def test_a_wrong_value_is_answered_with_the_allowed_ones(vcap: Any) -> None:
    result = vcap("download", "shapes:clips", "--on-error", "panic")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: invalid value for '--on-error': 'panic' is not one of 'skip', 'stop'\n"
        "  try: vcap download --help\n"
    )


def test_a_number_out_of_range_says_the_range(vcap: Any) -> None:
    result = vcap("download", "shapes:clips", "--limit", "0")
    assert result.exit_code == 2
    assert "'--limit': must be greater than or equal to 1" in result.stderr


def test_an_option_without_its_value_is_wrong_usage(vcap: Any) -> None:
    result = vcap("download", "shapes:clips", "-o")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: option '-o' requires an argument\n  try: vcap download --help\n",
    )


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (UsageError, 2),
        (ConfigError, 2),
        (PartialError, 3),
        (InputError, 4),
        (CheckpointError, 4),
        (UnavailableError, 5),
        (DeviceError, 6),
        (OutputError, 7),
    ],
)
def test_each_failure_is_one_line_a_hint_and_its_exit_code(
    failing: Any, kind: type, code: int
) -> None:
    result = failing(kind("clip.mp4 is wrong", hint="vcap doctor"))
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == "error: clip.mp4 is wrong\n  try: vcap doctor\n"


def test_a_full_disk_is_an_output_failure(failing: Any) -> None:
    result = failing(OSError(28, "No space left on device", "out/store.json"))
    assert result.exit_code == 7
    assert result.stderr == "error: cannot write out/store.json: No space left on device\n"


@pytest.mark.parametrize("name", program.COMMANDS)
def test_memory_that_is_used_up_names_a_smaller_batch_where_there_are_any(
    failing: Any, name: str
) -> None:
    is_batched = "batch_size" in signature(import_module(f"vcap.cli.{name}").command).parameters
    result = failing(MemoryError(), name=name)
    assert result.exit_code == 6
    hint = f"  try: vcap {name} --batch-size 1\n" if is_batched else ""
    assert result.stderr == f"error: memory is used up\n{hint}"


def test_a_device_out_of_memory_is_a_device_failure(failing: Any) -> None:
    class OutOfMemoryError(RuntimeError):
        """Stands for the one of torch, which the program does not import."""

    result = failing(OutOfMemoryError("CUDA out of memory"))
    assert result.exit_code == 6
    assert "memory of the device" in result.stderr


def test_an_interrupt_ends_with_130(failing: Any) -> None:
    result = failing(KeyboardInterrupt())
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_our_own_bug_is_one_line_that_says_where_the_traceback_is(failing: Any) -> None:
    result = failing(ZeroDivisionError("division by zero"))
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: a bug in vcap: ZeroDivisionError: division by zero (traceback")
    log = Path(line.rpartition(" in ")[2].rstrip(")"))
    text = log.read_text()
    log.unlink()
    assert text.startswith("vcap doctor\n")
    assert "Traceback (most recent call last)" in text


def test_only_the_first_line_of_a_long_bug_is_told(failing: Any) -> None:
    result = failing(ValueError("1 error for Record\nid\n  Input should be a string"))
    (line,) = result.stderr.splitlines()
    assert "ValueError: 1 error for Record (traceback in " in line
    Path(line.rpartition(" in ")[2].rstrip(")")).unlink()


def test_verbose_shows_the_traceback_of_our_own_bug(failing: Any) -> None:
    result = failing(ZeroDivisionError("division by zero"), "--verbose")
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback (most recent call last)")
    assert result.stderr.endswith("error: a bug in vcap: ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("name", program.COMMANDS)
def test_a_working_folder_that_was_deleted_is_told_and_help_still_there(
    vcap: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    words = {"doctor": [], "train": ["lm", "-o", "run"], "evaluate": ["qa", "a.json", "-r", "b"]}
    words["retrieve"] = ["a query", "--index", "idx"]
    needed = words.get(name, ["sample", "-o", "out"])
    result = vcap(name, *needed)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "error: the working folder was deleted\n  try: cd\n"
    assert vcap(name, "--help").exit_code == 0


def test_a_closed_pipe_ends_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "vcap", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (141, "")


def test_a_full_standard_output_is_told() -> None:
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "vcap", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert process.returncode == 7
    assert process.stderr == "error: cannot write: No space left on device\n"


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["download", "--help"], ["captoin"]])
def test_heavy_modules_stay_out_until_a_command_runs(words: list[str]) -> None:
    assert not loaded(RUN.format(words)) & set(HEAVY)


def test_help_loads_no_command() -> None:
    modules = loaded(RUN.format(["--help"]))
    assert not {f"vcap.cli.{name}" for name in program.COMMANDS} & modules
    assert "pydantic" not in modules


@pytest.mark.parametrize("words", ["vcap d", "vcap download --o", "vcap download --on-error "])
def test_completion_loads_nothing_heavy(words: str) -> None:
    modules = loaded(
        RUN.format([]),
        _VCAP_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(words.count(" ")),
    )
    assert not modules & {*HEAVY, "pydantic"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded("import vcap; vcap.__version__") & {*HEAVY, "typer", "pydantic"}


def test_the_public_names_are_listed_before_they_are_loaded() -> None:
    import vcap

    assert {"load_model", "encode", "__version__"} <= set(dir(vcap))
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        _ = vcap.load_modle


def test_the_public_names_are_the_engines_functions() -> None:
    import vcap
    from vcap.engine.captioner import load_model
    from vcap.engine.encode import encode

    assert vcap.load_model is load_model
    assert vcap.encode is encode


def complete(words: str, shell: str = "bash") -> list[str]:
    """What the shell is offered for a line that ends at the cursor."""
    return child(
        _VCAP_COMPLETE=f"complete_{shell}",
        COMP_WORDS=words,
        COMP_CWORD=str(words.count(" ")),
        _TYPER_COMPLETE_ARGS=words,
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    ).stdout.splitlines()


def test_commands_are_completed() -> None:
    assert complete("vcap d") == ["download", "doctor"]


def test_options_are_completed_with_their_help() -> None:
    assert "--on-error\tGo on after an item that fails, or stop." in complete(
        "vcap download --o", "fish"
    )


def test_the_values_of_an_option_are_completed() -> None:
    assert complete("vcap download --on-error ") == ["skip", "stop"]


def test_the_completion_scripts_are_current() -> None:
    import runpy

    folder = Path(__file__).parents[2] / "completions"
    generator = runpy.run_path(str(folder / "generate.py"))
    for shell, name in generator["FILES"].items():
        assert (folder / name).read_text() == generator["script"](shell)
