"""What is measured of made frames: names, precision and what is good, as data.

Room: evaluation. Light: no torch. The arithmetic is in ``metrics`` and ``temporal``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One column of a table."""

    title: str
    good: Literal["more", "less", "one"]
    """Which values are good: large ones, small ones, those near 1."""
    decimals: int = 4

    def shown(self, value: float) -> str:
        """A figure at this measure's precision."""
        return f"{value:.{self.decimals}f}"

    def gain(self, ours: float, theirs: float) -> float:
        """How much better ``ours`` is; below 0: worse."""
        if self.good == "one":
            return abs(theirs - 1) - abs(ours - 1)
        return ours - theirs if self.good == "more" else theirs - ours


MEASURES: Final[Mapping[str, Measure]] = MappingProxyType(
    {
        "psnr": Measure(title="PSNR", good="more", decimals=2),
        "ssim": Measure(title="SSIM", good="more"),
        "ms_ssim": Measure(title="MS-SSIM", good="more"),
        "gmsd": Measure(title="GMSD", good="less"),
        "haarpsi": Measure(title="HaarPSI", good="more"),
        "lpips": Measure(title="LPIPS", good="less"),
        "psnr_middle": Measure(title="PSNR mid", good="more", decimals=2),
        "ssim_middle": Measure(title="SSIM mid", good="more"),
        "lpips_middle": Measure(title="LPIPS mid", good="less"),
        "sharpness": Measure(title="sharpness", good="one", decimals=2),
        "flicker": Measure(title="flicker", good="less", decimals=3),
        "motion": Measure(title="motion", good="one", decimals=2),
        "warp": Measure(title="warp error", good="one", decimals=2),
    }
)
"""By field of a row; a table has the columns that all of its rows have."""
SETS: Final[Mapping[str, Measure]] = MappingProxyType(
    {
        "fid": Measure(title="FID", good="less", decimals=2),
        "fvd": Measure(title="FVD", good="less", decimals=1),
    }
)
"""What is measured of all windows of a method together, against all of the truth's."""
FEWEST: Final[Mapping[str, int]] = MappingProxyType({"fid": 2048, "fvd": 300})
"""Samples (frames, windows) below which such a figure is mostly one of their number: the covariance
of 2,048 features needs more than as many; VIDIM-Bench has 357 windows."""
DRIFT: Final[Mapping[str, Measure]] = MappingProxyType(
    {
        "sharpness": Measure(title="sharpness", good="one", decimals=2),
        "motion": Measure(title="motion", good="one", decimals=2),
        "colour": Measure(title="colour", good="less", decimals=1),
    }
)
"""What is told by the distance from the last given frame, in stretches of so many frames."""
STRETCH: Final = 8
FLAGS: Final = ("frozen", "blank", "exploding")
"""Figures of a row that are 1 or 0: what no one could use."""
MINUS: Final = "\N{MINUS SIGN}"


def drift_key(name: str, last: int) -> str:
    """Field of a row: a measure of ``DRIFT`` over the stretch that ends so many frames away."""
    return f"{name}@{last}"


def signed(measure: Measure, value: float) -> str:
    """A difference at the measure's precision, with its sign."""
    return f"{MINUS if value < 0 else '+'}{measure.shown(abs(value))}"
