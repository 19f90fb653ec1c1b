import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from vcap.engine import settings as module
from vcap.engine.settings import dump_yaml, fill, find_config, load_settings, parse_yaml
from vcap.errors import ConfigError


class Train(BaseModel):
    model_config = ConfigDict(extra="forbid")
    epochs: int = 10
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["linear", "cosine"] = "linear"


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    method: str = "prefix"
    train: Train = Train()
    data: dict[str, list[str]] = {}
    seed: int | None = None
    warm_start: Path | None = None
    extra: Train | None = None


@dataclass(frozen=True)
class Mapper:
    layers: int = 2
    kind: Literal["mlp", "transformer"] = "mlp"


@dataclass(frozen=True)
class Model:
    width: int
    dropout: float = 0.0
    sizes: tuple[int, ...] = (1, 2)
    mapper: Mapper = field(default_factory=Mapper)
    second: Mapper | None = None

    def __post_init__(self) -> None:
        if self.width % 2:
            raise ValueError("width must be even")


def load(*overrides: str, config: Path | None = None, **environment: str) -> Settings:
    return load_settings(Settings, config=config, overrides=overrides, environment=environment)


def complaint(*overrides: str, config: Path | None = None, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*overrides, config=config, **environment)
    assert caught.value.exit_code == 2
    return str(caught.value)


# who wins


def test_the_strongest_source_of_a_key_wins_and_the_others_keep_theirs(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("train: {epochs: 1, batch_size: 1, learning_rate: 0.1}\nmethod: lm\n")
    found = load(
        "train.epochs=3",
        config=path,
        VCAP_SET__train__epochs="2",
        VCAP_SET__train__batch_size="2",
        OTHER__train__epochs="9",
    )
    assert found.method == "lm"
    assert (found.train.epochs, found.train.batch_size, found.train.learning_rate) == (3, 2, 0.1)
    assert found.train.schedule == "linear"


def test_what_the_environment_says_to_another_command_is_passed_over() -> None:
    assert load(VCAP_SET__caption__model="mine", VCAP_SET__encode__fps="3") == Settings()
    assert load(VCAP_SET__index__level="frame") == Settings()


def test_without_any_source_there_are_the_defaults() -> None:
    assert load() == Settings()


def test_of_two_equal_sources_the_last_wins() -> None:
    assert load("train.epochs=3", "train.epochs=4").train.epochs == 4


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.learning_rate=1e-4", 1e-4),
        ("train.learning_rate=3", 3.0),
        ("train.betas=[0.8, 0.9]", (0.8, 0.9)),
        ("train={epochs: 4, schedule: cosine}", None),
        ("method=no", "no"),
        ("method=a=b", "a=b"),
        ("seed=null", None),
        ("warm_start=a/b.pt", Path("a/b.pt")),
        ("data={train: [a.jsonl], val: []}", {"train": ["a.jsonl"], "val": []}),
        ("extra.epochs=5", Train(epochs=5)),
    ],
)
def test_values_are_read_as_yaml(override: str, value: object) -> None:
    found = load(override)
    key = override.partition("=")[0]
    if value is None and key == "train":
        assert found.train == Train(epochs=4, schedule="cosine")
        return
    for part in key.split(".")[: 1 if key.startswith("extra") else None]:
        found = getattr(found, part)
    assert found == value


# what is refused


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.batch_sise=3", "--set train.batch_sise: unknown setting train.batch_sise"),
        ("train.batch_sise=3", "did you mean train.batch_size?"),
        ("batch_size=3", "did you mean train.batch_size?"),
        ("metod=lm", "did you mean method?"),
        ("optim.epoch=3", "optim.epoch; did you mean train.epochs?"),
        ("extra.epoch=3", "did you mean extra.epochs?"),
        ("train.batch_size=3.5", "train.batch_size: must be a valid integer, got 3.5"),
        ("train.batch_size='3'", 'must be a valid integer, got "3"'),
        ("train.batch_size=true", "must be a valid integer, got true"),
        ("train.batch_size=0", "must be greater than or equal to 1, got 0"),
        ("train.schedule=step", "must be 'linear' or 'cosine', got \"step\""),
        ("train.betas=[1]", "train.betas.1 is absent"),
        ("train=3", "train: "),
        ("train.epochs", "want key=value"),
        ("=3", "want key=value"),
        ("train.betas=[1", "--set train.betas:1: "),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(override: str, words: str) -> None:
    assert words in complaint(override)


def test_nothing_near_means_no_offer() -> None:
    assert "did you mean" not in complaint("zzzzzzzz=1")


def test_all_mistakes_are_told_at_once_each_with_its_source(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("train:\n  epochs: many\n  learning_rate: fast\n")
    lines = complaint("seed=x", config=path, VCAP_SET__train__batch_size="few").splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        str(path),
        "VCAP_SET__train__batch_size",
        str(path),
        "--set seed",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: [", ":1: "),
        ("- a\n", "want keys and values, got list"),
        ("method: a\nseed: 1\nmethod: b\n", ":1: the key 'method' stands twice"),
        ("seed: !!python/object:os.system 1\n", "could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    message = complaint(config=path)
    assert str(path) in message and words in message


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("# nothing yet\n")
    assert load(config=tmp_path / "a.yml") == Settings()


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    assert "cannot read" in complaint(config=tmp_path / "a.yaml")


# dataclasses


def test_a_dataclass_is_filled_with_its_parts() -> None:
    given = {"width": 4, "sizes": [3, 4], "mapper": {"layers": 3}, "second": {"kind": "mlp"}}
    assert fill(Model, given, "config.json") == Model(
        4, sizes=(3, 4), mapper=Mapper(3), second=Mapper()
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"width": 4, "mapper": {"layer": 3}}, "mapper.layer; did you mean mapper.layers?"),
        ({"width": 4, "second": {"layer": 3}}, "second.layer; did you mean second.layers?"),
        ({"width": "4"}, 'width: must be a valid integer, got "4"'),
        ({"width": 4, "mapper": {"kind": "rnn"}}, "mapper.kind: must be 'mlp' or 'transformer'"),
        ({}, "width is absent and has no default"),
        ({"width": 3}, "width must be even"),
        ({"width": 4, "dropout": None}, "dropout: must be a valid number"),
    ],
)
def test_a_dataclass_is_filled_strictly(given: dict, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fill(Model, given, "config.json")
    assert str(caught.value).startswith("config.json: ") and words in str(caught.value)


@pytest.mark.parametrize("value", [Settings(), Model(4, second=Mapper()), {"a": (1, Path("b"))}])
def test_settings_are_written_so_that_they_can_be_read_again(value: object) -> None:
    text = dump_yaml(value)
    read = parse_yaml(text, "dump")
    assert yaml.safe_load(text) is not None
    if isinstance(value, Settings):
        assert Settings.model_validate_json(json.dumps(read)) == value
    elif isinstance(value, Model):
        assert fill(Model, read, "dump") == value
    else:
        assert read == {"a": [1, "b"]}


def test_small_numbers_survive_being_written() -> None:
    for number in (1e-5, 2.5e-7, 1e20, 0.1):
        assert parse_yaml(dump_yaml({"a": number}), "dump") == {"a": number}


# names


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny-clip.yaml").write_text("method: encoder\n")
    (tmp_path / "tiny-lm.yaml").touch()
    monkeypatch.setattr(module, "config_folders", lambda: [tmp_path])
    return tmp_path


def test_shipped_settings_are_found_by_name(shipped: Path) -> None:
    assert find_config("tiny-clip") == shipped / "tiny-clip.yaml"
    assert load_settings(Settings, config="tiny-clip", environment={}).method == "encoder"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tiny-clop", "did you mean tiny-clip?"),
        ("qqq", "there are tiny-clip, tiny-lm"),
        ("tiny-clip.yaml", "no such configuration file: tiny-clip.yaml"),
        ("a/tiny-clip", "no such configuration file"),
    ],
)
def test_a_configuration_that_is_not_there_is_refused(
    shipped: Path, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    with pytest.raises(ConfigError) as caught:
        find_config(name)
    assert words in str(caught.value)


def test_the_repository_keeps_its_settings_where_they_are_looked_for() -> None:
    assert any(folder.name == "configs" for folder in module.config_folders())


def test_reading_settings_loads_nothing_heavy() -> None:
    code = "import sys, vcap.engine.settings; print({'torch', 'numpy', 'av'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout == "set()\n", result.stderr
