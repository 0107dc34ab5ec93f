"""Every encoder, every container: depth, colour, transparency, HDR10, times, and bits if asked."""

import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.video.stream import VideoStream
from PIL import Image

from mardini_cli.media import encoders, planes
from mardini_cli.media.colour import Colour
from mardini_cli.media.encoders import EncodeSettings
from mardini_cli.media.probe import ClipInfo, probe
from mardini_cli.media.reader import read, rgba
from mardini_cli.media.timing import common_time_base
from mardini_cli.media.writer import Writer
from tests.media.clips import UNEVEN, Recipe, even_times, make_clip, raw_frames

MASTERED = (
    "hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    "L(10000000,50):max-cll=1000,400"
)
PQ = (9, 9, 16, 1)  # BT.2020, PQ, limited


def hdr_clip(folder: Path) -> ClipInfo:
    options = {"preset": "ultrafast", "x265-params": f"log-level=error:{MASTERED}"}
    recipe = Recipe(codec="libx265", pixel_format="yuv420p10le", options=options, tags=PQ)
    return probe(make_clip(folder / "hdr.mp4", recipe))


def clear_clip(path: Path, pixel_format: str, codec: str = "ffv1") -> ClipInfo:
    """A disc that moves, opaque inside and clear outside, soft at its edge."""
    with av.open(str(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        if codec == "libvpx-vp9":
            stream.options = {"auto-alt-ref": "0", "crf": "10", "b": "0"}
            stream.metadata["alpha_mode"] = "1"
        y, x = np.mgrid[0:48, 0:64]
        for number in range(4):
            far = np.hypot(y - 24, x - 20 - 6 * number)
            alpha = np.clip((16 - far) / 6, 0, 1).astype(np.float32)
            rgb = np.stack([x / 64, y / 48, np.full_like(x, 0.3, float), alpha], -1)
            layout = planes.LAYOUTS[pixel_format]
            frame = planes.frame_from_rgb(rgb.astype(np.float32), layout, Colour())
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return probe(path)


def doubled(info: ClipInfo, output: Path, encode: EncodeSettings | None = None) -> tuple[str, ...]:
    """Write every frame and a copy of it half way to the next."""
    times = [info.times[0]]
    for after in info.times[1:]:
        times += [(times[-1] + after) / 2, after]
    base = common_time_base([*times, info.end])
    with Writer(output, info, base, info.end, encode, times) as writer:
        place = 0
        for frame in read(info):
            writer.original(frame)
            place += 1
            if place < len(times):
                writer.made(rgba(frame, info), times[place])
                place += 1
    return writer.notices


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "h264"),
        ("a.mp4", "hevc"),
        ("a.mkv", "hevc"),
        ("a.mp4", "av1"),
        ("a.webm", "av1"),
        ("a.mp4", "vp9"),
        ("a.mov", "prores"),
        ("a.mkv", "ffv1"),
    ],
)
@pytest.mark.parametrize("times", [even_times(7, Fraction(24_000, 1001)), UNEVEN])
def test_every_codec_keeps_times_end_and_tags(
    name: str, codec: str, times: tuple[Fraction, ...], tmp_path: Path
) -> None:
    recipe = Recipe(times=times, time_base=common_time_base(times), tags=(1, 1, 1, 1))
    info = probe(make_clip(tmp_path / "source.mp4", recipe))
    tolerance = Fraction(1, 2000) if name.endswith(("mkv", "webm")) else 0

    doubled(info, tmp_path / name, EncodeSettings(codec=codec))

    out = probe(tmp_path / name)
    assert len(out.times) == 2 * len(times) - 1
    assert all(abs(a - b) <= tolerance for a, b in zip(out.times[::2], info.times, strict=True))
    assert abs(out.end - info.end) <= 2 * tolerance
    assert (out.colour.matrix, out.colour.primaries, out.colour.transfer) == (1, 1, 1)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", None), ("a.mkv", None), ("a.webm", None), ("a.mp4", "h264")]
)
def test_hdr10_stays_ten_bit_and_keeps_its_light(
    name: str, codec: str | None, tmp_path: Path
) -> None:
    info = hdr_clip(tmp_path)
    assert info.light.content == (1000, 400)

    notices = doubled(info, tmp_path / name, EncodeSettings(codec=codec))

    out = probe(tmp_path / name)
    assert notices == ()
    assert out.pixel_format == "yuv420p10le"
    assert (out.colour.matrix, out.colour.primaries, out.colour.transfer) == PQ[:3]
    assert out.light.content == (1000, 400)
    assert out.light.display is not None
    assert info.light.display is not None
    np.testing.assert_allclose(
        [float(x) for x in out.light.display],
        [float(x) for x in info.light.display],
        atol=1e-4,
        rtol=1e-4,
    )


def test_light_that_a_codec_cannot_tell_is_told_to_the_user(tmp_path: Path) -> None:
    notices = doubled(hdr_clip(tmp_path), tmp_path / "a.webm", EncodeSettings(codec="vp9"))

    assert "HDR10" in notices[0]
    assert "8 bits" in notices[1]


def hdr10_plus_clip(folder: Path) -> ClipInfo:
    """A raw HEVC stream with a message of SMPTE ST 2094-40 before each picture."""
    options = {"x265-params": "log-level=none:bframes=0"}
    recipe = Recipe(codec="libx265", pixel_format="yuv420p10le", options=options, tags=PQ)
    stream = make_clip(folder / "plain.hevc", recipe).read_bytes()
    head = [(4, 8), (1, 8), (1, 2), (1000, 27), (0, 1)]  # one window, and its target in cd/m²
    window = [(50_000, 17), (40_000, 17), (30_000, 17), (10_000, 17), (0, 4), (0, 10), (0, 3)]
    told = "".join(f"{value:0{width}b}" for value, width in (*head, *window)) + "00000"
    payload = bytes([0xB5, 0, 0x3C, 0, 1]) + int(told, 2).to_bytes(17, "big")
    message = b"\x4e\x01" + bytes([4, len(payload)]) + payload + b"\x80"
    message = re.sub(rb"\0\0(?=[\0-\3])", lambda _: b"\0\0\3", message)
    units = re.split(rb"\0\0\0?\x01", stream)[1:]
    with (folder / "plus.hevc").open("wb") as file:
        for unit in units:
            is_picture = unit[0] >> 1 < 32
            file.write((b"\0\0\0\1" + message if is_picture else b"") + b"\0\0\0\1" + unit)
    return probe(folder / "plus.hevc")


def test_changing_metadata_is_left_out_by_name(tmp_path: Path) -> None:
    info = hdr10_plus_clip(tmp_path)
    assert info.changing_light == ("HDR10+",)

    (notice,) = doubled(info, tmp_path / "a.mp4")

    assert notice.startswith("metadata of HDR10+ is left out")
    assert probe(tmp_path / "a.mp4").changing_light == ()


def test_hevc_in_mp4_bears_the_mark_that_apple_wants(tmp_path: Path) -> None:
    doubled(hdr_clip(tmp_path), tmp_path / "a.mp4")

    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize(
    ("source", "name", "tolerance"),
    [
        ("yuva420p", "a.webm", 0.04),
        ("yuva420p", "a.mkv", 0.04),
        ("yuva444p", "a.webm", 0.04),
        ("yuva444p10le", "a.mov", 0.01),
        ("bgra", "a.mov", 0.01),
        ("bgra", "a.apng", 0.0),
    ],
)
def test_transparency_is_kept_where_the_file_can(
    source: str, name: str, tolerance: float, tmp_path: Path
) -> None:
    info = clear_clip(tmp_path / "source.mkv", source)
    assert info.transparent

    notices = doubled(info, tmp_path / name)

    before = [rgba(frame, info)[..., 3] for frame in read(info)]
    after = alphas(tmp_path / name)
    assert notices == ()
    assert len(after) == 2 * len(before) - 1
    for old, new in zip(before, after[::2], strict=True):
        assert np.abs(old - new).max() <= tolerance + 1e-6
    for old, new in zip(before, after[1::2], strict=False):  # the copies that stand for made ones
        assert np.abs(old - new).max() <= tolerance + 1e-6


def alphas(path: Path) -> list[npt.NDArray[Any]]:
    out = probe(path)
    return [rgba(frame, out)[..., 3] for frame in read(out)]


def test_animated_webp_keeps_transparency(tmp_path: Path) -> None:
    """Read by Pillow, since FFmpeg 8 reads no animated ones. Equal pictures become one there."""
    info = clear_clip(tmp_path / "source.mkv", "yuva420p")

    doubled(info, tmp_path / "a.webp")

    with Image.open(tmp_path / "a.webp") as opened:
        for number, frame in enumerate(read(info)):
            opened.seek(number)
            alpha = np.asarray(opened.convert("RGBA"), np.float32)[..., 3] / 255
            assert np.abs(alpha - rgba(frame, info)[..., 3]).max() < 0.03


def test_vp9_transparency_is_read(tmp_path: Path) -> None:
    assert clear_clip(tmp_path / "a.webm", "yuva420p", "libvpx-vp9").transparent


def test_transparency_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    info = clear_clip(tmp_path / "source.mkv", "yuva420p")

    assert "transparency is left out" in doubled(info, tmp_path / "a.mp4")[0]


def test_an_alpha_channel_that_says_nothing_costs_nothing(tmp_path: Path) -> None:
    recipe = Recipe(codec="ffv1", pixel_format="yuva420p", options={})
    info = probe(make_clip(tmp_path / "a.mkv", recipe))

    assert not info.transparent
    assert doubled(info, tmp_path / "b.mp4") == ()


@pytest.mark.parametrize(
    ("name", "codec", "source"),
    [
        ("a.mkv", "ffv1", "yuv420p"),
        ("a.mkv", None, "yuv444p10le"),
        ("a.mp4", "h264", "yuv420p"),
        ("a.mp4", None, "yuv420p10le"),
        ("a.webm", "vp9", "yuv420p"),
        ("a.mkv", "ffv1", "yuva420p"),
        ("a.mkv", "ffv1", "bgr0"),
    ],
)
def test_lossless_given_frames_come_back_bit_for_bit(
    name: str, codec: str | None, source: str, tmp_path: Path
) -> None:
    recipe = Recipe(codec="ffv1", pixel_format=source, options={})
    info = probe(make_clip(tmp_path / "source.mkv", recipe))

    doubled(info, tmp_path / name, EncodeSettings(codec=codec, lossless=True))

    before, after = raw_frames(tmp_path / "source.mkv"), raw_frames(tmp_path / name)
    shown = 3 if source in ("yuva420p",) else None  # an opaque alpha plane may go
    assert [frame[:shown] for frame in before] == [frame[:shown] for frame in after[::2]]


@pytest.mark.parametrize("name", ["a.gif", "a.apng", "a.webp"])
def test_animated_pictures_keep_times_and_the_end(name: str, tmp_path: Path) -> None:
    """Encoders merge equal pictures, so the made ones differ here."""
    times = tuple(Fraction(n, 50) for n in (0, 4, 10, 12, 30))
    info = probe(make_clip(tmp_path / "s.mkv", Recipe(times=times, end=Fraction(40, 50))))

    times = tuple(sorted({*times, *((a + b) / 2 for a, b in pairwise(times))}))
    with Writer(tmp_path / name, info, Fraction(1, 100), info.end, None, times) as writer:
        for number, time in enumerate(times):
            shade = np.full((48, 64, 3), number / 10, np.float32)
            shade[10:20, 3 * number : 3 * number + 9] = 0.8
            writer.made(shade, time)

    with Image.open(tmp_path / name) as opened:
        lasting = []
        for number in range(opened.n_frames):  # type: ignore[attr-defined]  # not in its stubs
            opened.seek(number)
            opened.load()
            lasting.append(round(opened.info["duration"]))
    assert lasting[:-1] == [40, 40, 60, 60, 20, 20, 180, 180]
    assert abs(lasting[-1] - 200) <= 1
    assert opened.info.get("loop", 0) == 0


def test_hardware_that_is_not_there_gives_way_to_software(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "opens", lambda _codec: False)
    info = probe(make_clip(tmp_path / "s.mp4"))

    notices = doubled(info, tmp_path / "a.mp4", EncodeSettings(codec="h264_nvenc", preset="p3"))

    assert notices == ("h264_nvenc does not run here; h264 in software stands in",)
    assert probe(tmp_path / "a.mp4").codec == "h264"


def test_an_uneven_result_of_an_even_source_still_ends_on_time(tmp_path: Path) -> None:
    """MP4 knows gaps of decoding only: reordered frames would bring the end out of step."""
    info = probe(make_clip(tmp_path / "s.mp4", Recipe(times=even_times(6, 25))))
    times = [Fraction(n, 600) for n in (0, 3, 24, 29, 48, 120)]
    base = common_time_base([*times, info.end])

    with Writer(tmp_path / "a.mp4", info, base, info.end, None, times) as writer:
        for time in times:
            writer.made(np.full((48, 64, 3), 0.5, np.float32), time)

    out = probe(tmp_path / "a.mp4")
    assert list(out.times) == times
    assert out.end == info.end


def test_the_same_frames_give_the_same_file(tmp_path: Path) -> None:
    size = (320, 180)  # rows that are no multiple of x264's blocks, where AVX-512 is at fault
    recipe = Recipe(size=size, times=even_times(45, Fraction(30)))
    info = probe(make_clip(tmp_path / "in.mp4", recipe))
    written = []
    for number in range(3):
        doubled(info, output := tmp_path / f"{number}.mp4")
        written.append(output.read_bytes())

    assert written[0] == written[1] == written[2]
