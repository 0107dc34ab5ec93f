"""Planes to RGB and back: exact on flat cards, within one code value on smooth material."""

import time
from collections.abc import Callable

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli.media import colour, planes
from mardini_cli.media.colour import Colour
from mardini_cli.media.planes import LAYOUTS
from tests.media.clips import picture

LIMITED = Colour(matrix=1, range=1)
YUV = sorted(name for name, layout in LAYOUTS.items() if layout.family == "yuv")
RGB = sorted(name for name, layout in LAYOUTS.items() if layout.family == "rgb")
levels = st.floats(min_value=0, max_value=1, width=32)


def smooth(height: int, width: int) -> colour.Floats:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    channels = [
        0.5 + 0.4 * np.sin(x / 60 + y / 90),
        0.5 + 0.4 * np.cos(x / 80),
        0.5 + 0.3 * np.sin(y / 70),
    ]
    return np.stack(channels, axis=-1).astype(np.float32)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_is_a_format_of_ffmpeg_with_that_depth(name: str) -> None:
    frame = av.VideoFrame(16, 16, name)

    luma = frame.format.components[0]

    assert luma.bits == LAYOUTS[name].depth
    assert frame.format.is_rgb == (LAYOUTS[name].family == "rgb")


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_a_flat_card_comes_back_exactly(name: str) -> None:
    layout = LAYOUTS[name]
    rgb = np.broadcast_to(np.array([0.6, 0.4, 0.3], np.float32), (17, 23, 3)).copy()
    card = planes.frame_from_rgb(rgb, layout, LIMITED)

    again = planes.frame_from_rgb(planes.rgb_of(card, LIMITED), layout, LIMITED)

    for before, after in zip(
        planes.channels(card, layout), planes.channels(again, layout), strict=True
    ):
        np.testing.assert_array_equal(before, after)
        assert np.ptp(before) == 0


@given(red=levels, green=levels, blue=levels, matrix=st.sampled_from([1, 6, 9]), full=st.booleans())
def test_any_card_of_any_matrix_and_range_comes_back_exactly(
    red: float, green: float, blue: float, matrix: int, full: bool
) -> None:
    """Rounding moves codes off the RGB cube's faces by up to one; inside it nothing moves."""
    told = Colour(matrix=matrix, range=2 if full else 1)
    level = 0.02 + 0.96 * np.array([red, green, blue], np.float32)
    card = planes.frame_from_rgb(np.broadcast_to(level, (4, 4, 3)).copy(), LAYOUTS["yuv420p"], told)

    again = planes.frame_from_rgb(planes.rgb_of(card, told), LAYOUTS["yuv420p"], told)

    for plane, other in zip(card.planes, again.planes, strict=True):
        assert bytes(plane)[:2] == bytes(other)[:2]


@pytest.mark.parametrize("name", YUV)
def test_smooth_material_comes_back_within_one_code_value(name: str) -> None:
    rgb = smooth(48, 66)
    frame = planes.frame_from_rgb(rgb, LAYOUTS[name], LIMITED)

    again = planes.rgb_of(frame, LIMITED)

    # One code of luma and half a code of each colour difference, through the matrix.
    step = 1 / (219 * 2 ** (LAYOUTS[name].depth - 8))
    edge = 2  # beyond the border nothing is known, so the outermost pixels may differ more
    worst = np.abs(again - rgb)[edge:-edge, edge:-edge].max()
    assert worst <= 1.6 * step + 6e-4  # the latter: curvature between samples of colour


@pytest.mark.parametrize(
    ("matrix", "red"),
    [(6, (81, 90, 240)), (1, (63, 102, 240)), (9, (74, 97, 240))],
    ids=["BT.601", "BT.709", "BT.2020"],
)
def test_pure_red_has_the_codes_of_the_standard(matrix: int, red: tuple[int, ...]) -> None:
    rgb = np.broadcast_to(np.array([1, 0, 0], np.float32), (2, 2, 3)).copy()

    frame = planes.frame_from_rgb(rgb, LAYOUTS["yuv444p"], Colour(matrix=matrix, range=1))

    assert tuple(bytes(plane)[0] for plane in frame.planes) == red


@pytest.mark.parametrize(("span", "black", "white"), [(1, 64, 940), (2, 0, 1023)])
def test_ten_bit_black_and_white(span: int, black: int, white: int) -> None:
    rgb = np.zeros((1, 2, 3), np.float32)
    rgb[0, 1] = 1

    frame = planes.frame_from_rgb(rgb, LAYOUTS["yuv444p10le"], Colour(matrix=1, range=span))

    assert planes.channels(frame, LAYOUTS["yuv444p10le"])[0].tolist() == [[black, white]]


def test_ten_bit_levels_stay_apart() -> None:
    """No way through 8 bits: each of the 1,024 codes gives a level of its own and comes back."""
    layout = LAYOUTS["gray10le"]
    codes = np.arange(1024, dtype=np.uint16).reshape(4, 256)
    told = Colour(range=2)

    rgb = planes.rgb_of(planes.frame_of([codes], layout), told)

    assert len(np.unique(rgb)) == 1024
    again = planes.frame_from_rgb(rgb, layout, told)
    np.testing.assert_array_equal(planes.channels(again, layout)[0], codes)


@pytest.mark.parametrize(("lines", "matrix"), [(719, 6), (720, 1)])
def test_untagged_pictures_are_read_by_their_height(lines: int, matrix: int) -> None:
    assert Colour().read_matrix(lines) == matrix
    assert Colour(matrix=9).read_matrix(lines) == 9


def test_colour_is_sited_left_in_columns_and_between_rows() -> None:
    """A ramp sampled at those sites comes back as the same ramp."""
    rows, columns = 12, 16
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    ramp = 0.01 * x + 0.02 * y
    sites = 0.01 * x[::2, ::2] + 0.02 * (y[::2, ::2] + 0.5)

    out = np.empty((rows, columns), np.float32)
    colour.upsample(sites, rows, columns, out)
    back = colour.downsample(ramp, halve_rows=True, halve_columns=True)

    np.testing.assert_allclose(out[1:-1, :-1], ramp[1:-1, :-1], atol=1e-6)
    np.testing.assert_allclose(back[:, 1:], sites[:, 1:], atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 3), (5, 2), (239, 427)])
def test_any_size_keeps_its_size(size: tuple[int, int]) -> None:
    rgb = np.full((*size, 3), 0.5, np.float32)

    for name in ("yuv420p", "yuv422p", "nv12", "yuv444p"):
        again = planes.rgb_of(planes.frame_from_rgb(rgb, LAYOUTS[name], LIMITED), LIMITED)
        np.testing.assert_allclose(again, rgb, atol=1 / 219)


@pytest.mark.parametrize("matrix", [6, 1])
def test_eight_bit_rgb_agrees_with_swscale(matrix: int) -> None:
    frame = picture(3, (64, 48), "yuv444p")
    frame.colorspace, frame.color_range = matrix, 1
    theirs = frame.reformat(format="rgb24", dst_color_range=2).to_ndarray()

    ours = planes.rgb_of(frame, Colour(matrix=matrix, range=1)) * 255

    assert np.abs(ours - theirs).max() <= 1.01


# On the way to yuvj swscale would stretch the range; its planes are those of yuv.
@pytest.mark.parametrize("name", [name for name in YUV if not name.startswith("yuvj")])
def test_yuv_layouts_lie_where_swscale_puts_them(name: str) -> None:
    source = picture(2, (64, 48), "yuv444p")
    whole = planes.channels(source, LAYOUTS["yuv444p"])
    layout = LAYOUTS[name]

    theirs = planes.channels(source.reformat(format=name), layout)

    scale = 2 ** (layout.depth - 8)
    np.testing.assert_allclose(theirs[0] / scale, whole[0], atol=1)
    for mine, channel in zip(theirs[1:], whole[1:], strict=True):
        sampled = channel[:: 1 + layout.halves[0], :: 1 + layout.halves[1]]
        np.testing.assert_allclose(mine / scale, sampled, atol=6)


@pytest.mark.parametrize("name", RGB)
def test_rgb_layouts_lie_where_swscale_puts_them(name: str) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (6, 10, 3), dtype=np.uint8)
    source = av.VideoFrame.from_ndarray(codes, format="rgb24")

    ours = planes.rgb_of(source.reformat(format=name), Colour())

    # swscale's deep RGB is short by up to 1/256 of full scale.
    np.testing.assert_allclose(
        ours, codes / 255, atol=1e-6 if LAYOUTS[name].depth == 8 else 1 / 200
    )


@pytest.mark.parametrize(
    "name", ["rgb8", "rgb565le", "yuv411p", "yuv410p", "yuv420p10be", "gbrp16be", "x2rgb10le"]
)
def test_formats_without_a_layout_go_through_a_close_one(name: str) -> None:
    source = picture(1, (64, 48), "yuv444p")
    source.colorspace, source.color_range = 6, 1
    told = Colour(matrix=6, range=1)

    rgb = planes.rgb_of(source.reformat(format=name), told)

    assert name not in LAYOUTS
    assert np.abs(rgb - planes.rgb_of(source, told)).mean() < 0.06  # rgb8 has 256 colours


@pytest.mark.parametrize(
    ("name", "target"),
    [("nv12", "yuv420p"), ("nv21", "yuv420p"), ("yuyv422", "yuv422p"), ("p010le", "yuv420p10le")],
)
def test_the_same_numbers_in_another_order_are_moved_not_computed(name: str, target: str) -> None:
    source = picture(4, (32, 16), name)

    moved = planes.converted(source, LIMITED, LAYOUTS[target], LIMITED)

    for before, after in zip(
        planes.channels(source, LAYOUTS[name]), planes.channels(moved, LAYOUTS[target]), strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_widening_colour_leaves_luma_alone() -> None:
    source = picture(4, (33, 17), "yuv420p")

    wide = planes.converted(source, LIMITED, LAYOUTS["yuv444p"], LIMITED)

    np.testing.assert_array_equal(
        planes.channels(source, LAYOUTS["yuv420p"])[0], planes.channels(wide, LAYOUTS["yuv444p"])[0]
    )


def test_a_full_hd_frame_takes_well_under_150_ms_each_way() -> None:
    rgb = smooth(1080, 1920)
    frame = planes.frame_from_rgb(rgb, LAYOUTS["yuv420p"], LIMITED)

    def quickest(work: Callable[[], object]) -> float:
        best = 1.0
        for _ in range(4):
            start = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - start)
        return best

    assert quickest(lambda: planes.rgb_of(frame, LIMITED)) < 0.15
    assert quickest(lambda: planes.frame_from_rgb(rgb, LAYOUTS["yuv420p"], LIMITED)) < 0.15
