"""What the command line reads from sources and headings agrees with what is imported."""

import inspect
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hydra.utils import get_object

from sam_train.config_types import fits
from sam_train.settings.arguments import prepared
from sam_train.settings.headings import CONFIGS, first_sentence, options
from sam_train.settings.help_page import help_page
from sam_train.settings.missing import example_of, missing_keys
from sam_train.settings.nearest import did_you_mean
from sam_train.settings.signatures import signature_of

TARGETS = sorted(
    {
        line.partition("_target_:")[2].split("}")[0].split(",")[0].strip()
        for path in CONFIGS.rglob("*.yaml")
        for line in path.read_text().splitlines()
        if "_target_:" in line
    }
)
VALUES: list[Any] = [None, True, 3, 2.5, "text", "", [1], ["a"], [], {"a": 1}]


@pytest.mark.parametrize("target", TARGETS)
def test_a_signature_read_from_the_source_is_that_of_the_imported_target(target: str) -> None:
    pytest.importorskip(target.partition(".")[0])
    imported, read = get_object(target), signature_of(target)
    if read is None:
        assert target == "datetime.timedelta"  # written in C
        return
    parameters = inspect.signature(imported).parameters.values()
    named = {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    assert read.hints.keys() == named
    assert read.takes_any == any(p.kind is p.VAR_KEYWORD for p in parameters)
    is_class = inspect.isclass(imported)
    function = inspect.getattr_static(imported, "__init__") if is_class else imported
    try:
        hints = get_type_hints(function)
    except NameError:  # of Optuna's, whose types are imported for type checkers alone
        assert target.startswith("optuna.")
        return
    for name in named & hints.keys():
        for value in VALUES:  # what is refused from the source is refused by the type itself
            assert fits(value, read.hints[name]) or not fits(value, hints[name])


def test_the_types_of_our_own_constructors_are_read_in_full() -> None:
    hints = signature_of("sam_train.data.stream.datamodule.SamDataModule").hints

    assert (hints["batch_size"], hints["version"]) == (int, int | str)
    assert signature_of("data_engine.pool.single_set_pool").takes_any


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_an_abbreviation_does_not_end_the_first_sentence_of_a_heading(path: Path) -> None:
    sentence = first_sentence(path)
    assert sentence
    assert sentence.count("(") == sentence.count(")")


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_value_that_must_be_given_has_an_example(path: Path) -> None:
    import yaml

    group = "" if path.parent == CONFIGS else path.parent.name
    if group != "experiment":
        for key in missing_keys(yaml.safe_load(path.read_text()), group):
            assert example_of(key), f"no heading has an example of {key}"


@pytest.mark.parametrize("command", ["train", "evaluate", "engine", "serve"])
def test_help_has_a_line_for_every_group(command: str) -> None:
    page = help_page(command)

    assert len(page.splitlines()) < 60
    assert max(map(len, page.splitlines())) <= 110
    assert "cuda where there is one" in help_page("evaluate")
    for option in options("model"):
        assert f"model={option}" in help_page(command, groups=["model"])


@pytest.mark.parametrize("command", ["plan", "doctor", "simulate_person"])
def test_help_leaves_the_choices_of_hydra_out(command: str) -> None:
    assert "hydra" not in help_page(command)


def test_a_config_is_found_by_a_relative_and_by_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine" / "experiment" / "best.yaml"
    mine.parent.mkdir(parents=True)
    mine.touch()

    found = prepared([f"experiment={mine}"])
    assert found == ["experiment=best", f"--config-dir={tmp_path / 'mine'}"]
    assert prepared(["experiment=mine/experiment/best.yaml"]) == found
    assert prepared(["--config-path", "mine"]) == prepared(["-cd", str(tmp_path / "mine")])
    assert prepared(["print_config=true"]) == ["--cfg=job"]


def test_the_nearest_name_is_meant() -> None:
    assert did_you_mean("lr", ["optim.lr", "model.dropout"]) == "did you mean optim.lr?"
    assert did_you_mean("x", ["lr", "betas"], "optim") == "there are betas, lr"
    assert did_you_mean("depth", ["decoder_depth"], "model") == "did you mean model.decoder_depth?"
