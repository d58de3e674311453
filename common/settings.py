"""Settings out of loose values (YAML, a checkpoint, --change): checked by pydantic, told by us.

A section of settings is a class of `Settings` whose fields say what they may be
(`epochs: int = Field(80, ge=1)`); `settings_from` makes it, or says in one sentence what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from common.errors import UserError, did_you_mean

_T = TypeVar("_T", bound=BaseModel)
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a word",
    "tuple": "a list",
}


class Settings(BaseModel):
    """Base of every section of settings: nothing unknown is taken, nothing is changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, about: ValidationInfo) -> Any:
        """Let true and false be no numbers, which Python takes for 1 and 0."""
        kind = cls.model_fields[about.field_name or ""].annotation
        return str(value) if isinstance(value, bool) and kind in (int, float) else value


def settings_from(kind: type[_T], values: Mapping[str, Any], *, source: str, section: str) -> _T:
    """Make settings of loose values; numbers may be written as text, as YAML takes 1e-3.

    `kind` is a class of `Settings`, whose validators raise ValueError with a sentence that says
    what to do; `source` and `section` are named in the sentence of a UserError: the first setting
    that is unknown, missing or impossible.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        sentence = _sentence(error.errors()[0], kind, section)
        raise UserError(f"{source}: {sentence}") from error


def _sentence(problem: Mapping[str, Any], kind: type[BaseModel], section: str) -> str:
    name, what = str(problem["loc"][0]) if problem["loc"] else "", problem["type"]
    if what == "extra_forbidden":
        return f'{section} has no setting "{name}".{did_you_mean(name, kind.model_fields)}'
    if what == "missing":
        return f'the setting "{name}" of {section} is missing.'
    if what == "value_error":
        return str(problem.get("ctx", {}).get("error", problem["msg"]))
    given = problem["input"]
    said = f"{section}.{name} is " + (f'"{given}"' if isinstance(given, str) else f"{given}")
    if what == "literal_error":
        allowed = [str(one) for one in get_args(kind.model_fields[name].annotation)]
        return f"{said}: choose one of {', '.join(allowed)}.{did_you_mean(str(given), allowed)}"
    limits = _limits(kind, name)
    if limits and what.startswith(("greater", "less")):
        return f"{said}: give {limits}."
    wanted = _KINDS.get(what.split("_")[0])
    return f"{said}, but must be {wanted}." if wanted else f"{said}: {problem['msg']}."


def _limits(kind: type[BaseModel], name: str) -> str:
    """Return the range of a number in words: `0 to below 1`, `1 or more`."""
    field = kind.model_fields[name]
    limits = {
        bound: f"{getattr(one, bound):g}"
        for one in field.metadata
        for bound in ("ge", "gt", "le", "lt")
        if getattr(one, bound, None) is not None
    }
    low = limits.get("ge") or (f"more than {limits['gt']}" if "gt" in limits else "")
    high = limits.get("le") or (f"below {limits['lt']}" if "lt" in limits else "")
    if low and high:
        return f"{low} to {high}" if "ge" in limits else f"{low}, at most {high}"
    return f"{low} or more" if "ge" in limits else low or high
