"""Read the configuration from its layers, lowest first.

They are the defaults, the definitions of the experiments, the preset, config.yaml, --configfile and
--config.
"""

import difflib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trama.config.describe import (
    OVERRIDES,
    Place,
    allows,
    choices,
    is_mapping,
    names,
    place_at,
    places_of,
    plain,
)
from trama.config.experiments import OF_EVALUATIONS
from trama.config.model import Config
from trama.config.relations import broken_relations, unknown_names, unmeasured
from trama.config.trees import KeyPath, deep_merge, has_path, value_at
from trama.config.validation import Broken, is_rule
from trama.errors import TramaError

COMMAND_LINE = "--config"

_CONFIG_YAML = 2
"""Place of config.yaml among the layers: after the experiments and the preset."""

_LISTED = 8
"""Most valid names that a message shows."""

# What YAML reads a key as that is not text.
_KEY_KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing"}


class Layer(NamedTuple):
    """Values from one source, and the line of each key path in it."""

    source: str
    values: dict[str, Any]
    lines: dict[KeyPath, int]


def load_config(
    base: Path,
    shipped: Path,
    extra_files: Sequence[Path] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Merge and validate the configuration.

    Args:
        base: the file that a user edits, config/config.yaml.
        shipped: folder config of the repository, with `experiments.yaml`, and
            `presets/<preset>.yaml`.
        extra_files: files given by --configfile, the last one wins.
        overrides: Snakemake's mapping of --config, in which nested values are still text.

    Raises:
        TramaError: one message with every problem: its source, key path, value, what is expected
            and the nearest valid name.
    """
    layers = [_read(base), *(_read(path) for path in extra_files)]
    layers.append(Layer(COMMAND_LINE, _typed(overrides or {}), {}))
    problems = list(_nulls(layers[-1].values))
    layers[:0] = [_read(shipped / "experiments.yaml"), _preset(layers, shipped / "presets")]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = deep_merge(merged, layer.values)
    merged = _filled(merged)
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        problems += _problems([*error.errors(), *_unknown_names(error, merged)], merged, layers)
    else:
        if not problems:
            return config
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise TramaError(f"The configuration has {count}:\n" + "\n".join(f"- {p}" for p in problems))


def check_experiment(config: Config, name: str) -> None:
    """See that an experiment could be a study, and that something has each of its measures.

    `load_config` asks this of the study alone, since nobody need want all experiments.

    Raises:
        TramaError: one message with every problem.
    """
    study, experiment = config.with_study_of(name), config.experiments[name]
    broken, details = broken_relations(study)
    if not experiment.measures_any(OF_EVALUATIONS):
        broken = [each for each in broken if each.path[0] != "evaluate"]
    broken += [
        Broken(detail["loc"], detail["ctx"]["message"], detail["input"])
        for detail in details
        if is_rule(detail)
    ]
    broken = broken or unmeasured(study, name)
    if broken:
        lines = [
            f"- {_path(_of_experiment(each.path, name))} = {_show(each.value)}: {each.message}."
            for each in broken
        ]
        raise TramaError(
            f"Experiment {name} does not fit the configuration; config/config.yaml may change "
            "either:\n" + "\n".join(lines)
        )


def _of_experiment(path: KeyPath, name: str) -> KeyPath:
    """Where an experiment has what the path has in section study."""
    return ("experiments", name, *path[1:]) if path[0] == "study" else path


def _preset(layers: Sequence[Layer], presets_dir: Path) -> Layer:
    """The preset that the highest layer names; it cannot name another one itself."""
    name: Any = Config.model_fields["preset"].default
    source = ""
    for layer in layers:
        if layer.values.get("preset") is not None:
            name, source = layer.values["preset"], _source(layer, ("preset",)) + ": "
    known = sorted(path.stem for path in presets_dir.glob("*.yaml"))
    if name not in known:
        raise TramaError(
            f"{source}preset = {_show(name)}: there is no preset of this name in {presets_dir}."
            + _nearest(name, known)
        )
    layer = _read(presets_dir / f"{name}.yaml")
    if "preset" in layer.values:
        raise TramaError(f"{_source(layer, ('preset',))}: a preset must not set preset: remove it.")
    return layer


# --- reading -------------------------------------------------------------------------------------


def _read(path: Path) -> Layer:
    """A YAML file that holds a mapping (or nothing); every key must stand in it once."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise TramaError(f"{path}: the configuration file cannot be read: {reason}.") from error
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        if node is not None:
            _index(node, (), lines, str(path))
        # The loader has composed the document already; construct it from the same nodes.
        values = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        reason = getattr(error, "problem", None) or str(error)
        raise TramaError(f"{path}{line}: not valid YAML: {reason}.") from error
    except RecursionError as error:
        raise TramaError(
            f"{path}: not a valid configuration: an alias (*) stands within what it names; remove "
            "it there."
        ) from error
    finally:
        loader.dispose()
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise TramaError(f"{path}: must hold keys and values, not {_show(values)}.")
    return Layer(str(path), values, lines)


def _index(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], source: str) -> None:
    """Note the line of every key path below `node`; keys must be text and stand there once.

    What comes by a merge key (`<<`) is noted where it stands.
    """
    if isinstance(node, yaml.MappingNode):
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # a list or mapping as a key: the constructor rejects it
            inner = (*path, key.value)
            line = key.start_mark.line + 1
            kind = key.tag.rpartition(":")[2]
            if kind not in ("str", "merge"):
                raise TramaError(
                    f"{source}, line {line}: {_path(inner)}: YAML reads this key as "
                    f"{_KEY_KINDS.get(kind, kind)}, but keys are names: write another one, or put "
                    "it in quotes."
                )
            if inner in lines:
                raise TramaError(
                    f"{source}, line {line}: {_path(inner)} stands twice, first in line "
                    f"{lines[inner]}: remove one."
                )
            lines[inner] = line
            if kind == "merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            else:
                _index(value, inner, lines, source)
        for each in merged:  # keys of one's own are in force, and then those of the first
            of_merged: dict[KeyPath, int] = {}
            _index(each, path, of_merged, source)
            own = {inner[: len(path) + 1] for inner in lines}
            lines |= {
                inner: line
                for inner, line in of_merged.items()
                if inner[: len(path) + 1] not in own
            }
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            lines[*path, i] = item.start_mark.line + 1
            _index(item, (*path, i), lines, source)


def _filled(values: Mapping[str, Any], path: KeyPath = ()) -> dict[str, Any]:
    """A section whose keys are all comments reads as empty: it is a mapping without keys."""
    filled = dict(values)
    for key, value in values.items():
        inner = (*path, key)
        if isinstance(value, Mapping):
            filled[key] = _filled(value, inner)
        elif value is None and (place := place_at(inner)) is not None and is_mapping(place):
            filled[key] = {}
    return filled


def _typed(value: Any) -> Any:
    """Values of --config as YAML reads them: Snakemake leaves nested ones as text."""
    if isinstance(value, Mapping):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if isinstance(value, str) and value.strip():
        try:
            scalar = yaml.safe_load(value)
        except yaml.YAMLError:
            return value
        # Anything but a scalar was text already: Snakemake has parsed the rest.
        return scalar if isinstance(scalar, bool | int | float | None) else value
    return value


def _nulls(values: Mapping[str, Any], path: KeyPath = ()) -> Iterator[str]:
    """Problems with --config: null in place of a mapping, which would change nothing.

    In a file it is a section whose keys are all comments.
    """
    for key, value in values.items():
        inner = (*path, key)
        if isinstance(value, Mapping):
            yield from _nulls(value, inner)
        elif value is None and (place := place_at(inner)) is not None and is_mapping(place):
            yield (
                f"{COMMAND_LINE}: {_path(inner)} = null: a section or definition cannot be null: "
                "give its keys, or leave it out."
            )


# --- error messages ------------------------------------------------------------------------------


def _problems(
    errors: Iterable[ErrorDetails], merged: Mapping[str, Any], layers: Sequence[Layer]
) -> list[str]:
    errors = list(errors)
    # A list with a bad item counts as too short as well; the item's error says it all.
    bad_items = {error["loc"][:-1] for error in errors if isinstance(error["loc"][-1], int)}
    return [
        _problem(error, merged, layers)
        for error in errors
        if not (error["type"] == "too_short" and error["loc"] in bad_items)
    ]


def _unknown_names(error: ValidationError, merged: Mapping[str, Any]) -> list[ErrorDetails]:
    """Names in section study without definition: wrong types keep the model from looking."""
    reported = {tuple(item["loc"]) for item in error.errors()}
    found = []
    for kind in ("problem", "variant"):
        path, definitions = ("study", f"{kind}s"), merged.get(f"{kind}s")
        listed = value_at(merged, path) if has_path(merged, path) else None
        if isinstance(listed, list) and isinstance(definitions, Mapping):
            found += unknown_names(kind, listed, definitions)
    return [
        ErrorDetails(
            type="rule", loc=name.path, msg=name.message, input=name.value, ctx=name._asdict()
        )
        for name in found
        if name.path not in reported
    ]


def _problem(error: ErrorDetails, merged: Mapping[str, Any], layers: Sequence[Layer]) -> str:
    """One problem: where, the value, what is wrong, and what to write instead."""
    kind, context = error["type"], error.get("ctx", {})
    path = error["loc"]
    bad_name = path[-1] == "[key]"
    if bad_name:
        path = path[:-1]
    located = _in_force(path, merged)
    if kind == "missing":
        place = place_at(path)
        expected = "" if place is None else f": {plain(place)}"
        return f"{_home(path[:-1], layers)}: {_path(path)} is missing{expected}."
    given = has_path(merged, located)
    value = value_at(merged, located) if given else error["input"]
    start = f"{_where(located, layers)}: {_path(located)} = {_show(value)}: "
    if bad_name:
        return f"{start}the name must be letters, digits and underscores."
    if kind == "extra_forbidden":
        section = place_at(path[:-1])
        valid = () if section is None else names(section)
        return f"{start}there is no such key.{_nearest_key(str(path[-1]), valid)}"
    if kind == "rule":
        prefix = path[: len(path) - len(context["path"])]
        others = "".join(
            f" [{_path(other)} = {_show(value_at(merged, other))} in {_where(other, layers)}]"
            for relative in context["others"]
            if has_path(merged, other := _in_force((*prefix, *relative), merged))
        )
        return f"{start}{context['message']}.{_nearest(value, context['valid'])}{others}"
    place = place_at(path)
    assert place is not None  # pydantic reports a wrong value only at keys that it knows
    return f"{start}must be {plain(place)}.{_number(value, place)}{_near(value, choices(place))}"


def _in_force(path: KeyPath, merged: Mapping[str, Any]) -> KeyPath:
    """`path`; where a definition does not override that key, the one in the section itself."""
    in_override = len(path) > 2 and (path[0], path[2]) in OVERRIDES
    return path[2:] if in_override and not has_path(merged, path) else path


def _where(path: KeyPath, layers: Sequence[Layer]) -> str:
    """The source that decides `path`: the highest layer that sets it or else what holds it."""
    while path:
        for layer in reversed(layers):
            if has_path(layer.values, path):
                return _source(layer, path)
        path = path[:-1]
    return layers[_CONFIG_YAML].source  # where the key belongs


def _home(path: KeyPath, layers: Sequence[Layer]) -> str:
    """Where a key that is missing in `path` belongs: config.yaml, or where a definition begins."""
    in_definition = len(path) > 1
    config_yaml = layers[_CONFIG_YAML]
    for layer in layers if in_definition else [config_yaml]:
        if path and has_path(layer.values, path):
            return _source(layer, path)
    return config_yaml.source


def _source(layer: Layer, path: KeyPath) -> str:
    line = layer.lines.get(path)
    return layer.source if line is None else f"{layer.source}, line {line}"


def _path(path: KeyPath) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def _show(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _nearest(name: Any, valid: Sequence[str]) -> str:
    """The nearest valid name; where none is near, a few of them."""
    return _near(name, valid) or _listing(valid)


def _nearest_key(key: str, valid: Sequence[str]) -> str:
    """The nearest key of a section, and where else a key of exactly this name stands."""
    places = list(places_of(key))
    elsewhere = f" A key of this name is {_some(places)}." if places else ""
    return _near(key, valid) + elsewhere or _listing(valid)


def _near(name: Any, valid: Sequence[str]) -> str:
    """The nearest valid name, if any is near."""
    folded = {option.lower(): option for option in valid}
    near = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.5)
    return f" Did you mean '{folded[near[0]]}'?" if near else ""


def _listing(valid: Sequence[str]) -> str:
    return f" There are: {_some(valid)}." if valid else ""


def _some(options: Sequence[str]) -> str:
    rest = len(options) - _LISTED
    return ", ".join(options[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _number(value: Any, place: Place) -> str:
    """What to write for a number that did not come as one, or not as a whole one."""
    kind = place.annotation
    if kind not in (int, float) or not isinstance(value, str | float):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    whole = number.is_integer()
    if not math.isfinite(number) or not allows(place, number) or (kind is int and not whole):
        return ""
    if not isinstance(value, str):
        return f" Write {int(number)}."
    if isinstance(yaml.safe_load(value), int if kind is int else int | float):
        return f" This is text: write {value.strip()}, without quotes."
    written = str(int(number)) if kind is int else _with_point(value)
    return f" YAML reads this as text: write {written}."


def _with_point(number: str) -> str:
    """A number that YAML 1.1 reads as one: a point in the mantissa, a sign in the exponent."""
    mantissa, _, exponent = number.strip().lower().partition("e")
    mantissa += "" if "." in mantissa else ".0"
    return f"{mantissa}e{exponent if exponent[:1] in ('+', '-') else '+' + exponent}"
