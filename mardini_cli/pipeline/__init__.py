"""A plan, a model and a source become a finished file.

Room: pipeline (floor 5). Knows the plan, the model and the media; not where the weights came from
nor who asked. Prints nothing.
"""

from mardini_cli.pipeline.desk import Picture
from mardini_cli.pipeline.joins import matched
from mardini_cli.pipeline.keeping import KeepSettings, fits
from mardini_cli.pipeline.making import Maker, paint
from mardini_cli.pipeline.settings import MakeSettings
from mardini_cli.pipeline.still import hold_still
from mardini_cli.pipeline.walking import run

__all__ = [
    "KeepSettings",
    "MakeSettings",
    "Maker",
    "Picture",
    "fits",
    "hold_still",
    "matched",
    "paint",
    "run",
]
