"""What every part of the recipe is made of: strict, frozen models whose fields carry their own help.

Fields marked `runtime` change how the work is done (when to log, how long to work) and never what comes out, so they
are left out of every digest and never make a stage stale.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


def setting(default: Any, help: str, **constraints: Any) -> Any:
    """A field with its one-line help."""
    return Field(default, description=help, **constraints)


def runtime(default: Any, help: str, **constraints: Any) -> Any:
    """A field that changes how the work is done, never what comes out."""
    return Field(default, description=help, json_schema_extra={"runtime": True}, **constraints)


class Section(BaseModel):
    """A part of the recipe. Unknown keys are refused; values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def deciding(self) -> frozenset[str]:
        """The runtime fields that do change what comes out, as other fields are set."""
        return frozenset()


def identity(section: BaseModel) -> dict[str, Any]:
    """The section as JSON values without its runtime fields: what goes into digests and stage keys."""
    kept: dict[str, Any] = {}
    deciding = section.deciding() if isinstance(section, Section) else frozenset()
    for name, field in type(section).model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra.get("runtime") and name not in deciding:
            continue
        kept[name] = _identity_value(getattr(section, name))
    return kept


def _identity_value(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return identity(value)
    if isinstance(value, list | tuple):
        return [_identity_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _identity_value(item) for key, item in value.items()}
    return value


def optional_sections(section: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The sections that are null by default, by name."""
    return {
        name: kind
        for name, field in section.model_fields.items()
        for kind in get_args(field.annotation)
        if field.default is None and isinstance(kind, type) and issubclass(kind, BaseModel)
    }


def section_defaults(section: type[BaseModel]) -> dict[str | int, Any]:
    """The sections that are there by default, as JSON values.

    A recipe that sets one value of such a section must keep the others: `sft.steps` alone leaves sft's own learning
    rate as it is.
    """
    defaults = {name: field.default for name, field in section.model_fields.items()}
    return {name: value.model_dump(mode="json") for name, value in defaults.items() if isinstance(value, BaseModel)}
