"""The documents of the configuration: in step with its model, and complete."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from trama.config import document
from trama.config.describe import sections_of
from trama.config.model import Config, Representation, Variant

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config" / "config.yaml"
PRESETS = sorted((ROOT / "config" / "presets").glob("*.yaml"))


def _leaves(tree: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Key paths of the values of nested mappings."""
    if not isinstance(tree, dict):
        yield prefix
        return
    for key, value in tree.items():
        yield from _leaves(value, (*prefix, key))


def _fields(model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str]]:
    """Each field of `model` and of the models in it."""
    for name, field in model.model_fields.items():
        yield model, name
        for section in sections_of(field):
            yield from _fields(section)


def _with_comments_live() -> dict[str, Any]:
    """config.yaml with its commented keys as values."""
    text = CONFIG.read_text(encoding="utf-8")
    live: dict[str, Any] = yaml.safe_load(re.sub(r"^(\s+)# (\w+: )", r"\1\2", text, flags=re.M))
    return live


@pytest.mark.parametrize(
    ("path", "text"),
    [(document.README, document.readme()), (document.SCHEMA, document.schema())],
    ids=["README", "schema"],
)
def test_generated_files_are_in_step_with_the_model(path: Path, text: str) -> None:
    written = (ROOT / path).read_text(encoding="utf-8")
    assert written == text, "run: python -m trama.config.document"


def test_every_key_is_described() -> None:
    for model, name in _fields(Config):
        description = model.model_fields[name].description
        assert description, f"{model.__name__}.{name}"
        assert description.endswith("."), f"{model.__name__}.{name}"


def test_every_number_has_a_range() -> None:
    for model, name in _fields(Config):
        field = model.model_fields[name]
        if field.annotation in (int, float):
            assert field.metadata, f"{model.__name__}.{name}"


def test_every_key_stands_in_config_yaml() -> None:
    """Live, or as a comment where a preset may set it."""
    shown = _with_comments_live()
    written = {path for path in _leaves(shown) if path[0] not in ("representations", "variants")}
    full = Config.model_validate(shown).model_dump(mode="json")
    expected = {p for p in _leaves(full) if p[0] not in ("representations", "variants")}
    assert written == expected
    for section, model in (("representations", Representation), ("variants", Variant)):
        used = {key for definition in shown[section].values() for key in definition}
        assert used == set(model.model_fields), section


def test_comments_show_the_defaults() -> None:
    shown, live = _with_comments_live(), yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    commented = set(_leaves(shown)) - set(_leaves(live))
    # What a study runs has no default.
    required = {key: shown[key] for key in ("study", "problems", "representations", "variants")}
    defaults = Config.model_validate(required).model_dump(mode="json")
    assert commented
    for path in commented - {("study", "problems"), ("study", "variants")}:
        value, default = shown, defaults
        for key in path:
            value, default = value[key], default[key]
        assert value == default, path


@pytest.mark.parametrize("preset", PRESETS, ids=[path.stem for path in PRESETS])
def test_config_yaml_does_not_override_a_preset(preset: Path) -> None:
    live = set(_leaves(yaml.safe_load(CONFIG.read_text(encoding="utf-8"))))
    assert not live & set(_leaves(yaml.safe_load(preset.read_text(encoding="utf-8"))))
