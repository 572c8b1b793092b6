"""What all sections of the configuration are made of: their base, and types of values."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Words:
    """What may stand at a key, in words, where its type and bounds do not tell."""

    text: str


Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_]+$"), Words("a name of letters, digits and underscores")
]
"""A name that becomes part of a path."""

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
EnvSteps = Annotated[int, Field(le=10**12)]


class Section(BaseModel):
    """A mapping of known keys: extras are forbidden, types are not converted, nothing changes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )


def listed(default: Any, description: str, min_length: int = 1) -> Any:
    """A field for a tuple, which comes from YAML as a list; its items stay strict."""
    return Field(default, description=description, min_length=min_length, strict=False)
