"""Plain words for what may stand at a key; for error messages and for config/README.md."""

import operator
import re
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trama.config.backends import Env
from trama.config.model import Config, Train
from trama.config.sections import Words
from trama.config.trees import KeyPath

_BOUNDS = (
    (Ge, "ge", operator.ge),
    (Gt, "gt", operator.gt),
    (Le, "le", operator.le),
    (Lt, "lt", operator.lt),
)


OVERRIDES: dict[tuple[str, str], type[BaseModel]] = {
    ("problems", "env"): Env,
    ("variants", "train"): Train,
}
"""Sections that definitions override, by where these stand and their key of the section's name."""


class Place(NamedTuple):
    """The type, and what bounds it, that belongs to a key path."""

    annotation: Any
    metadata: tuple[Any, ...] = ()


def place_at(path: KeyPath, root: type[BaseModel] = Config) -> Place | None:
    """What may stand at `path`, seen from `root`; None where the model knows no such key.

    Overrides, such as those of a variant (variants.<v>.train), have the shape of their section.
    """
    place = Place(root)
    for depth, key in enumerate(path):
        overridden = OVERRIDES.get((str(path[0]), str(key)))
        if root is Config and depth == 2 and overridden is not None:
            place = Place(overridden)
            continue
        inner = _inside(place.annotation, key)
        if inner is None:
            return None
        place = inner
    return place


def _inside(annotation: Any, key: str | int) -> Place | None:
    for section in _sections(annotation):
        if str(key) in section.model_fields:
            return field_place(section.model_fields[str(key)])
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return _unwrap(arguments[1])
    if get_origin(annotation) is tuple:
        return _unwrap(arguments[0])
    return None


def field_place(field: FieldInfo) -> Place:
    """What may stand at a field of a model."""
    inner = _unwrap(field.annotation)
    return Place(inner.annotation, (*inner.metadata, *field.metadata))


def _unwrap(annotation: Any) -> Place:
    """Take `Annotated` apart; the bounds in its `Field` are spread out."""
    if get_origin(annotation) is not Annotated:
        return Place(annotation)
    inner, *extras = get_args(annotation)
    metadata: list[Any] = []
    for extra in extras:
        metadata += extra.metadata if isinstance(extra, FieldInfo) else [extra]
    return Place(inner, tuple(metadata))


def choices(place: Place) -> tuple[str, ...]:
    """The values that a key can choose from; empty where there is no such list."""
    if get_origin(place.annotation) is Literal:
        return tuple(map(str, get_args(place.annotation)))
    return ()


def names(place: Place) -> tuple[str, ...]:
    """The keys of a section, of all kinds where there are several; empty where any may stand."""
    return tuple(dict.fromkeys(n for s in _sections(place.annotation) for n in s.model_fields))


def is_mapping(place: Place) -> bool:
    """Whether a section or a mapping from names to definitions stands there."""
    return bool(names(place)) or get_origin(place.annotation) is dict


def allows(place: Place, number: float) -> bool:
    """Whether a number lies within the bounds of a key."""
    return all(
        compare(number, getattr(bound, name))
        for bound in place.metadata
        for kind, name, compare in _BOUNDS
        if isinstance(bound, kind)
    )


def places_of(key: str, model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Key paths of all keys of that name, such as "variants.<name>.mixer"."""
    for name, field in model.model_fields.items():
        if name == key:
            yield f"{prefix}{name}"
        if get_origin(field.annotation) is dict:
            name = f"{name}.<name>"
        for section in sections_of(field):
            yield from places_of(key, section, f"{prefix}{name}.")


def sections_of(field: FieldInfo) -> tuple[type[BaseModel], ...]:
    """The section, or definition of one, at a field; all kinds of it; none where a value stands."""
    annotation: Any = field.annotation
    if get_origin(annotation) is dict:
        annotation = get_args(annotation)[1]
    return _sections(_unwrap(annotation).annotation)


def _sections(annotation: Any) -> tuple[type[BaseModel], ...]:
    members = get_args(annotation) if _is_union(annotation) else (annotation,)
    return tuple(m for m in members if isinstance(m, type) and issubclass(m, BaseModel))


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def fields_of(
    model: type[BaseModel], *, nested: bool, prefix: str = ""
) -> Iterator[tuple[str, FieldInfo]]:
    """Fields of `model` by key; `nested`: those of the sections in it follow in their place."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        sections = sections_of(field) if nested else ()
        by_name = get_origin(field.annotation) is dict
        if by_name or not sections:
            yield key, field
        for section in sections:
            inner = f"{key}.<name>." if by_name else f"{key}."
            yield from fields_of(section, nested=True, prefix=inner)


def published(field: FieldInfo) -> str | None:
    """The published value that a field's description gives, in words; None where it gives none."""
    found = re.search(r"\(published[^:)]*: ([^)]+)\)", field.description or "")
    return None if found is None else found[1]


def plain(place: Place) -> str:
    """In plain words, such as "a whole number of at least 1"."""
    annotation, metadata = place
    origin = get_origin(annotation)
    if annotation is bool:
        return "true or false"
    if annotation in (int, float):
        return ("a whole number" if annotation is int else "a number") + _range(metadata)
    if annotation is str:
        return next((m.text for m in metadata if isinstance(m, Words)), "text")
    if origin is Literal:
        values = choices(place)
        return " or ".join(values) if len(values) < 3 else f"one of {', '.join(values)}"
    if origin is tuple:
        return f"a list, each item {plain(_unwrap(get_args(annotation)[0]))}" + _least(metadata)
    if origin is dict and get_args(annotation)[1] is not Any:
        return "a mapping from names to definitions"
    if _is_union(annotation) and not _sections(annotation):
        first = next(a for a in get_args(annotation) if a is not type(None))
        return f"{plain(_unwrap(first))}, or nothing"
    return "a mapping of keys to values"


def _range(metadata: Sequence[Any]) -> str:
    lower = next((m for m in metadata if isinstance(m, Ge | Gt)), None)
    upper = next((m for m in metadata if isinstance(m, Le | Lt)), None)
    if isinstance(lower, Ge) and isinstance(upper, Le):
        return f" from {lower.ge} to {upper.le}"
    parts = []
    if lower is not None:
        parts.append(f"of at least {lower.ge}" if isinstance(lower, Ge) else f"above {lower.gt}")
    if upper is not None:
        parts.append(f"at most {upper.le}" if isinstance(upper, Le) else f"below {upper.lt}")
    return f" {' and '.join(parts)}" if parts else ""


def _least(metadata: Sequence[Any]) -> str:
    least = next((m.min_length for m in metadata if isinstance(m, MinLen)), 0)
    return f"; at least {least} of them" if least else ""
