"""A card of one colour through the weights that come with the program: no shift, no tint."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mardini_cli import api
from tests.media.clips import card, raw_frames

Card = tuple[int, int, int]


def write_card(path: Path, codes: Card, grain: int) -> None:
    """Three flat frames, 8 bits, BT.709, limited range, without loss; grain keeps its mean."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1
        context.color_range = 1
        for number in range(3):
            frame = card(codes, (96, 64))
            for plane, code in zip(frame.planes, codes, strict=True):
                noise = random.integers(-grain, grain + 1, plane.buffer_size)
                plane.update((code + noise).astype(np.uint8).tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("codes", "grain"), [((120, 100, 160), 0), ((120, 100, 160), 4), ((60, 128, 128), 4)]
)
def test_made_frames_of_a_flat_card_keep_its_mean_to_half_a_code_value(
    codes: Card, grain: int, tmp_path: Path
) -> None:
    """Flat ones stand still; grain, other in each frame, sends every pixel through the model."""
    write_card(tmp_path / "card.mkv", codes, grain)
    request = api.InterpolateRequest(
        clip=tmp_path / "card.mkv",
        output=tmp_path / "made.mkv",
        factor=3,
        codec="ffv1",
        device="cpu",
        cuts="off",
    )

    list(api.interpolate(request))

    frames = raw_frames(tmp_path / "made.mkv")
    means = np.array([[np.mean(list(plane)) for plane in frame] for frame in frames])
    given, made = means[::3], np.stack([means[1::3], means[2::3]])
    assert np.abs(given - codes).max() < 0.2
    assert (made >= np.minimum(given[:-1], given[1:]) - 0.5).all()
    assert (made <= np.maximum(given[:-1], given[1:]) + 0.5).all()
