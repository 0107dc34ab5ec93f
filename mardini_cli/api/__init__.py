"""One function per command: a request in, events out.

Room: api (floor 7). Prints nothing and exits nowhere. Light to import: torch and the media
libraries come in with the first event, so that the command line may read defaults from here.
"""

from mardini_cli.api.animate import AnimateRequest, animate
from mardini_cli.api.batch import BatchSettings, EngineName, Item, batch, item_of, placed
from mardini_cli.api.clock import ClipAudio
from mardini_cli.api.errands import errand
from mardini_cli.api.extend import Audio, Direction, ExtendRequest, extend
from mardini_cli.api.fill import FillRequest, fill
from mardini_cli.api.inputs import FILMS, PICTURES, gathered, listed
from mardini_cli.api.interpolate import InterpolateRequest, interpolate
from mardini_cli.api.jobfile import read_jobs
from mardini_cli.api.keyframes import Fit, KeyframesRequest, keyframes
from mardini_cli.api.making import Faults, MakeRequest, Plain, Resume, making_of
from mardini_cli.api.probe import ProbeRequest, probe
from mardini_cli.api.proof import VerifyRequest, verify
from mardini_cli.api.rerun import RerunRequest, rerun
from mardini_cli.api.settings import task_of
from mardini_cli.api.shots import AtCuts, Duplicates
from mardini_cli.api.train import train, train_cache, train_export, train_price, train_settings

__all__ = [
    "FILMS",
    "PICTURES",
    "AnimateRequest",
    "AtCuts",
    "Audio",
    "BatchSettings",
    "ClipAudio",
    "Direction",
    "Duplicates",
    "EngineName",
    "ExtendRequest",
    "Faults",
    "FillRequest",
    "Fit",
    "InterpolateRequest",
    "Item",
    "KeyframesRequest",
    "MakeRequest",
    "Plain",
    "ProbeRequest",
    "RerunRequest",
    "Resume",
    "VerifyRequest",
    "animate",
    "batch",
    "errand",
    "extend",
    "fill",
    "gathered",
    "interpolate",
    "item_of",
    "keyframes",
    "listed",
    "making_of",
    "placed",
    "probe",
    "read_jobs",
    "rerun",
    "task_of",
    "train",
    "train_cache",
    "train_export",
    "train_price",
    "train_settings",
    "verify",
]
