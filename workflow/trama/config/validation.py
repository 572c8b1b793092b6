"""How a model reports rules between keys that do not hold: all of them in one error."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from trama.config.trees import KeyPath


class Broken(NamedTuple):
    """A rule between keys that does not hold.

    `path` is where to mend it, `message` what is wrong; `valid` are the names that could stand
    there, `others` the other keys that the rule reads. Paths are relative to the section whose
    validator reports the rule.
    """

    path: KeyPath
    message: str
    value: Any
    valid: tuple[str, ...] = ()
    others: tuple[KeyPath, ...] = ()


def report(
    section: str, problems: Sequence[Broken], details: Sequence[InitErrorDetails] = ()
) -> None:
    """Raise one `ValidationError` that holds all `problems` and `details`; none: return."""
    if problems or details:
        raise ValidationError.from_exception_data(section, [*map(_detail, problems), *details])


def nested(prefix: KeyPath, error: ValidationError) -> list[InitErrorDetails]:
    """The line errors of `error`, with `prefix` before their paths."""
    details = []
    for item in error.errors():
        context = item.get("ctx", {})
        kind: str | PydanticCustomError = item["type"]
        if kind == "rule":
            kind = PydanticCustomError("rule", "{message}", context)
        details.append(
            InitErrorDetails(
                type=kind, loc=(*prefix, *item["loc"]), input=item["input"], ctx=context
            )
        )
    return details


def duplicates(path: KeyPath, values: Sequence[Any]) -> list[Broken]:
    """The rule that no value stands in the list at `path` twice."""
    return [
        Broken((*path, i), "stands in the list twice", value)
        for i, value in enumerate(values)
        if value in values[:i]
    ]


def at_most(section: BaseModel, smaller: str, larger: str) -> list[Broken]:
    """The rule that key `smaller` of `section` is at most key `larger`."""
    low, high = getattr(section, smaller), getattr(section, larger)
    if low <= high:
        return []
    message = f"{smaller} ({low}) must not be larger than {larger} ({high})"
    return [Broken((smaller,), message, low, others=((larger,),))]


def unknown(path: KeyPath, kind: str, name: str, definitions: Iterable[str]) -> Broken:
    """The rule that `name`, which stands at `path`, is one of the `definitions`."""
    return Broken(path, f"there is no {kind} of this name", name, valid=tuple(definitions))


def rule_error(broken: Broken) -> PydanticCustomError:
    """What a validator raises for a rule that does not hold where it stands itself."""
    return PydanticCustomError("rule", "{message}", broken._asdict())


def is_rule(detail: InitErrorDetails) -> bool:
    """Whether a line error is of a rule between keys, not of a key or value by itself."""
    return isinstance(detail["type"], PydanticCustomError) and detail["type"].type == "rule"


def _detail(broken: Broken) -> InitErrorDetails:
    return InitErrorDetails(type=rule_error(broken), loc=broken.path, input=broken.value)
