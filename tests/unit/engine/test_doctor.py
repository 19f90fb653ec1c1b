"""What the doctor says of good and of broken parts."""

import subprocess
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from vcap.engine import doctor
from vcap.engine.doctor import Check, NotThere, look, works
from vcap.errors import UnavailableError


def raising(error: Exception) -> Any:
    """A check that finds something wrong."""

    def find() -> str:
        raise error

    return find


def test_good_news_need_no_mending() -> None:
    assert look("java", lambda: "openjdk 17", "install java") == Check("java", "ok", "openjdk 17")


def test_what_is_absent_names_the_command_that_brings_it() -> None:
    check = look("java", raising(NotThere("no java")), "install java")
    assert (check.state, check.detail, check.mend) == ("absent", "no java", "install java")


@pytest.mark.parametrize(
    "error",
    [
        *(ImportError("x"), OSError("x"), RuntimeError("x"), KeyError(1)),
        *(subprocess.TimeoutExpired("java", 20), HTTPException("no answer")),
    ],
)
def test_what_is_broken_does_not_end_the_examination(error: Exception) -> None:
    check = look("torch", raising(error), "mend", essential=True)
    assert (check.state, check.mend, check.essential) == ("broken", "mend", True)


def test_a_failure_that_brings_its_own_command_keeps_it() -> None:
    error = UnavailableError("weights are absent", hint="vcap download tiny")
    assert look("model", raising(error), "reinstall").mend == "vcap download tiny"


def test_only_the_first_line_of_a_long_failure_is_told() -> None:
    check = look("torch", raising(OSError("libcudart.so: cannot open\n  at line 1\n  at 2")), "m")
    assert check.detail == "libcudart.so: cannot open"


def test_only_essential_parts_decide() -> None:
    gpu = Check("gpu", "absent", "none", "nvidia-smi")
    decoder = Check("decoder", "broken", "no PyAV", "pip", essential=True)
    assert works([gpu])
    assert not works([gpu, decoder])


def test_the_decoder_is_tried_on_the_packaged_video() -> None:
    check = look("decoder", doctor._decoder, "pip")
    assert check.state == "ok"
    assert "31 frames" in check.detail
    assert "ffmpeg" in check.detail


def test_a_full_disk_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 2**20})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    check = look("disk", doctor._disk, "df -h .", essential=True)
    assert (check.state, check.mend) == ("broken", "df -h .")
    assert "0.00 GiB" in check.detail


def test_java_that_is_not_installed_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert look("java", doctor._java, "install").state == "absent"


def test_java_that_fails_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/java")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *a, **k: failed)
    check = look("java", doctor._java, "install")
    assert (check.state, check.detail) == ("broken", "/usr/bin/java -version ended with 1")


def test_java_says_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = subprocess.CompletedProcess([], 0, "", 'openjdk version "17.0.1"\nmore\n')
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/java")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *a, **k: spoken)
    assert look("java", doctor._java, "install").detail == 'openjdk version "17.0.1"'


@pytest.mark.parametrize("name", ["meteor", "spice"])
def test_metrics_that_need_java_are_absent_without_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from vcap.engine.evaluation import tools

    monkeypatch.setattr(tools, "find_java", lambda: None)
    check = look(name, getattr(doctor, f"_{name}"), "mend")
    assert (check.state, check.mend) == ("absent", "mend")
    assert name.upper() in check.detail


def test_meteor_says_its_version_without_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    from vcap.engine.evaluation import tools

    monkeypatch.setattr(tools, "find_java", lambda: "/usr/bin/java")
    monkeypatch.setattr(tools, "java_version", lambda java: "17.0.1")
    check = look("meteor", doctor._meteor, "mend")
    assert (check.state, check.detail.split(",")[0]) == ("ok", "METEOR 1.5")


def test_spice_says_where_its_parser_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    from vcap.engine.evaluation import java

    assert doctor._spice_mend().startswith("unzip -j stanford-corenlp-full-2015-12-09.zip")
    assert doctor._spice_mend().endswith("/lib")
    monkeypatch.setattr(java, "program_path", lambda name: None)
    assert doctor._spice_mend().startswith("pip install")


def test_a_wordnet_that_is_not_there_is_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VCAP_WORDNET", str(tmp_path))
    check = look("wordnet", doctor._wordnet, "apt-get install wordnet-base")
    assert (check.state, check.mend) == ("absent", "apt-get install wordnet-base")


def test_the_hub_is_not_asked_unless_told_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import socket

    from huggingface_hub import constants

    def refuse(*arguments: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--openai--clip").mkdir()
    check = look("hub", doctor._hub, "")
    assert check.state == "ok"
    assert "1 models in" in check.detail


def test_an_offline_environment_is_respected_when_asked_online(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    check = look("hub", doctor._hub_online, "unset HF_HUB_OFFLINE")
    assert (check.state, check.detail) == ("absent", "offline by the environment")
