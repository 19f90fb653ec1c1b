"""`vcap doctor` as a user meets it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from vcap.engine import doctor
from vcap.engine.doctor import Check

GOOD = Check("decoder", "ok", "PyAV 18, 31 frames", essential=True)
ABSENT = Check("java", "absent", "no java", "apt-get install default-jre-headless")
BROKEN = Check("torch", "broken", "libcudart.so: cannot open", "pip install torch", True)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the doctor find these things."""

    def find(*checks: Check) -> None:
        def check_all(online: bool = False) -> Iterator[Check]:
            yield from checks

        monkeypatch.setattr(doctor, "check_all", check_all)

    return find


def test_each_line_that_is_not_ok_names_the_command_that_mends_it(vcap: Any, found: Any) -> None:
    found(GOOD, ABSENT)
    result = vcap("doctor")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "decoder     ok      PyAV 18, 31 frames",
        "java        absent  no java",
        "                    try: apt-get install default-jre-headless",
    ]


def test_something_essential_that_is_broken_ends_with_5(vcap: Any, found: Any) -> None:
    found(GOOD, BROKEN)
    result = vcap("doctor")
    assert result.exit_code == 5
    assert "torch       BROKEN  libcudart.so: cannot open" in result.stdout


def test_json_is_one_object_a_check(vcap: Any, found: Any) -> None:
    found(GOOD, ABSENT)
    first, second = map(json.loads, vcap("doctor", "--json").stdout.splitlines())
    assert first["name"] == "decoder" and first["state"] == "ok"
    assert second["mend"] == "apt-get install default-jre-headless"


def test_the_real_examination_looks_at_everything(
    vcap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_tiny", lambda: "says of the sample: a red triangle moves up")
    result = vcap("doctor", "--json")
    checks = {check["name"]: check for check in map(json.loads, result.stdout.splitlines())}
    assert [*checks] == [
        *("decoder", "disk", "torch", "gpu", "model tiny", "search"),
        *("java", "meteor", "spice", "wordnet", "hub"),
    ]
    assert checks["decoder"]["state"] == checks["torch"]["state"] == "ok"
    assert all(check["mend"] for check in checks.values() if check["state"] != "ok")
