"""Names of things: found, offered when misspelt, and light to import."""

import subprocess
import sys

import pytest

from vcap.engine import registry
from vcap.errors import UsageError


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no method named prefx; did you mean prefix\?"):
        registry.find(registry.METHODS, "prefx", "method")


def test_a_name_like_no_other_is_answered_with_what_there_is() -> None:
    assert registry.nearest("qqqq", ["one", "two"]) == "known: one, two"
    assert registry.nearest("qqqq", map(str, range(1000, 1100))).endswith("1007 and more")


def test_every_entry_is_listed_under_its_own_name_with_a_sentence() -> None:
    for table in (registry.METHODS, registry.ENCODERS, registry.MODELS, registry.RETRIEVERS):
        for name, entry in table.items():
            assert entry.name == name
            assert entry.summary


def test_every_method_can_be_loaded() -> None:
    for name, entry in registry.METHODS.items():
        assert registry.load(entry).name == name


def test_importing_the_names_loads_nothing_heavy() -> None:
    code = (
        "import sys, vcap.engine.registry\n"
        "print([m for m in ('torch', 'numpy', 'open_clip', 'transformers') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
