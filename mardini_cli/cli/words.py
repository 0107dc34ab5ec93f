"""From a command's words to settings: a field takes the flag of its name.

Room: cli. A command hands its ``locals()`` over before it has any of its own, so that a new flag is
written once in its signature and arrives.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from mardini_cli import api
from mardini_cli.config import SamplerConfig

Settings = TypeVar("Settings")
Request = TypeVar("Request", bound=api.MakeRequest)


def settings_from(words: Mapping[str, Any], kind: type[Settings], **others: Any) -> Settings:
    """Build settings.

    Args:
        words: values of flags by their names; those that are no fields are left alone.
        kind: a dataclass.
        others: fields that no flag is named after, or that differ from it.
    """
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # any dataclass
    return kind(**({name: word for name, word in words.items() if name in names} | others))


def request_from(words: Mapping[str, Any], kind: type[Request], **others: Any) -> Request:
    """Build the request of a task, its sampler included; see ``settings_from``."""
    return settings_from(words, kind, sampler=settings_from(words, SamplerConfig), **others)
