"""How bright a picture of high dynamic range was mastered: side data of HDR10, in and out.

Room: media (floor 2). Numbers and words only.
Source: SMPTE ST 2086 (mastering display), CTA-861.3 (content light); the options of x264, x265 and
SVT-AV1. None of the muxers takes these from PyAV 18, but all three encoders write them into the
stream itself, where decoders find them.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from av import VideoFrame

_CHROMA, _NITS = Fraction(1, 50_000), Fraction(1, 10_000)
"""Units in which ST 2086 stores chromaticities and luminances."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Light:
    """What HDR10 says of a whole film."""

    display: tuple[Fraction, ...] | None = None
    """Mastering display: x and y of red, green, blue and white, then lowest and highest cd/m²."""
    content: tuple[int, int] | None = None
    """Brightest pixel and brightest frame average, cd/m²."""

    def __bool__(self) -> bool:
        return self.display is not None or self.content is not None


def light_of(frame: VideoFrame) -> Light:
    """Read a frame's side data."""
    display, content = _side_data(frame, "MASTERING_DISPLAY_METADATA"), None
    numbers: tuple[Fraction, ...] | None = None
    if display is not None and display.size >= 22 and display[20] and display[21]:
        pairs = display[:20].reshape(10, 2).tolist()
        numbers = tuple(Fraction(top, bottom or 1) for top, bottom in pairs)
    found = _side_data(frame, "CONTENT_LIGHT_LEVEL")
    if found is not None:
        content = (int(found[0]), int(found[1]))
    return Light(display=numbers, content=content)


def _side_data(frame: VideoFrame, name: str) -> Any:
    try:
        kinds: Any = frame.side_data  # its type stub lists no kinds
        return np.frombuffer(memoryview(kinds[name]), np.int32)
    except (KeyError, ValueError):
        return None  # ValueError: PyAV 18 has no name for some other kind of side data


_CHANGING = {"DYNAMIC_HDR_PLUS": "HDR10+", "DOVI_RPU_BUFFER": "Dolby Vision"}


def changing_light_of(frame: VideoFrame) -> tuple[str, ...]:
    """Name the kinds of metadata that tell each scene's or frame's brightness anew."""
    try:
        kinds: Any = frame.side_data  # its type stub lists no kinds
        present = {data.type.name for data in kinds}
    except ValueError:
        return ()  # PyAV 18 has no name for some other kind of side data
    return tuple(name for kind, name in _CHANGING.items() if kind in present)


def options_for(codec: str, light: Light) -> dict[str, str] | None:
    """Options that make an encoder write the light into its stream; None where it cannot."""
    match codec:
        case "h264":
            return {"x264-params": _words(light, "mastering-display", "cll", _whole)}
        case "hevc":
            return {"x265-params": "hdr10=1:" + _words(light, "master-display", "max-cll", _whole)}
        case "av1":
            words = _words(light, "mastering-display", "content-light", _decimal)
            return {"svtav1-params": words}
        case _:
            return None


def _words(light: Light, display: str, content: str, write: Any) -> str:
    words = []
    if light.display is not None:
        red, green, blue, white = (light.display[place : place + 2] for place in (0, 2, 4, 6))
        corners = (("G", green), ("B", blue), ("R", red), ("WP", white))
        told = "".join(
            f"{name}({write(x, _CHROMA)},{write(y, _CHROMA)})" for name, (x, y) in corners
        )
        low, high = light.display[8:]
        words.append(f"{display}={told}L({write(high, _NITS)},{write(low, _NITS)})")
    if light.content is not None:
        words.append(f"{content}={light.content[0]},{light.content[1]}")
    return ":".join(words)


def _whole(value: Fraction, unit: Fraction) -> str:
    return str(round(value / unit))


def _decimal(value: Fraction, _unit: Fraction) -> str:
    return f"{float(value):.6f}"
