"""From a command's words to settings: a field takes the flag of its name.

Room: cli. A command hands its ``locals()`` over before it has any of its own, and what came by the
flags that all tasks share: a new flag is written once, and arrives.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any, TypeVar

from mardini_cli import api
from mardini_cli.cli import options
from mardini_cli.cli.screen import Screen
from mardini_cli.cli.several import Several
from mardini_cli.config import SamplerConfig

Settings = TypeVar("Settings")
Request = TypeVar("Request", bound=api.MakeRequest)
Command = TypeVar("Command", bound=Callable[..., None])

SHARED: Mapping[str, Any] = MappingProxyType(
    {
        "output": options.OutputOpt,
        "output_dir": options.OutputDirOpt,
        "recursive": options.RecursiveOpt,
        "from_file": options.FromFileOpt,
        "workers": options.WorkersOpt,
        "fail_fast": options.FailFastOpt,
        "shard": options.ShardOpt,
        "steps": options.StepsOpt,
        "guidance": options.GuidanceOpt,
        "seed": options.SeedOpt,
        "device": options.DeviceOpt,
        "devices": options.DevicesOpt,
        "dtype": options.DtypeOpt,
        "model": options.ModelOpt,
        "attention": options.AttentionOpt,
        "resolution": options.ResolutionOpt,
        "tile": options.TileOpt,
        "batch": options.BatchOpt,
        "memory_limit": options.MemoryLimitOpt,
        "threads": options.ThreadsOpt,
        "compile": options.CompileOpt,
        "faults": options.FaultsOpt,
        "max_pixels": options.MaxPixelsOpt,
        "max_frames": options.MaxFramesOpt,
        "allow_network": options.AllowNetworkOpt,
        "codec": options.CodecOpt,
        "crf": options.CrfOpt,
        "preset": options.PresetOpt,
        "bitrate": options.BitrateOpt,
        "lossless": options.LosslessOpt,
        "bake_rotation": options.BakeRotationOpt,
        "pix_fmt": options.PixFmtOpt,
        "overwrite": options.OverwriteOpt,
        "skip_existing": options.SkipExistingOpt,
        "resume": options.ResumeOpt,
        "work_dir": options.WorkDirOpt,
        "until": options.UntilOpt,
        "max_minutes": options.MaxMinutesOpt,
        "dry_run": options.DryRunOpt,
        "show_plan": options.ShowPlanOpt,
        "range": options.RangeOpt,
        "preview": options.PreviewOpt,
        "sidecar": options.SidecarOpt,
        "compare": options.CompareOpt,
        "log_file": options.LogFileOpt,
        "json": options.JsonOpt,
        "quiet": options.QuietOpt,
    }
)
"""Flags of every task, in the order in which ``--help`` tells them."""


def shares_flags(defaults: api.MakeRequest) -> Callable[[Command], Command]:
    """Give a command, besides its own, the flags that all tasks share: as ``**shared``.

    Args:
        defaults: what they are where nobody says otherwise.
    """

    def sharing(command: Command) -> Command:
        own = signature(command)
        parameters = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
        parameters += [
            Parameter(
                name, Parameter.KEYWORD_ONLY, default=_default(name, defaults), annotation=kind
            )
            for name, kind in SHARED.items()
        ]
        told = own.replace(parameters=parameters)
        command.__signature__ = told  # type: ignore[attr-defined]  # what typer reads
        return command

    return sharing


def _default(name: str, request: api.MakeRequest) -> Any:
    """Of the first that has a field of this name; a screen has none, and shows all to people."""
    for settings in (request, request.sampler, Several()):
        if name in {field.name for field in fields(settings)}:
            return getattr(settings, name)
    return {"log_file": None, "json": False, "quiet": False}[name]


def screen_from(words: Mapping[str, Any]) -> Screen:
    """The screen that a command's words ask for."""
    return Screen.here(json=words["json"], quiet=words["quiet"], log_file=words["log_file"])


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
