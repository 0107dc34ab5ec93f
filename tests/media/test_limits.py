"""Headers that promise more than a file holds, playlists, and links: refused before they cost."""

import functools
import http.server
import io
import os
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mardini_cli.errors import (
    ConfigError,
    InputError,
    LimitError,
    NotMediaError,
    OutputError,
)
from mardini_cli.media.limits import Limits
from mardini_cli.media.output import PartFile, check_output, part_for
from mardini_cli.media.probe import probe
from mardini_cli.media.reader import read
from mardini_cli.media.sequences import open_clip
from mardini_cli.media.stills import load
from tests.media.clips import make_clip

SIDE = 64


def png_bomb() -> bytes:
    """30000 x 30000, all black: 2.7 GB from 6 KB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compress(bytes(1 + 30_000 * 3) * 60, 9)
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def spoilt(form: str, edit: Callable[[bytearray], None], frames: int = 1) -> bytes:
    """A small picture with other numbers in its header."""
    file = io.BytesIO()
    first, *rest = [Image.new("RGB", (SIDE, SIDE), (40 * n, 0, 0)) for n in range(frames)]
    more = {"save_all": True, "append_images": rest, "duration": 40} if rest else {}
    first.save(file, form, **more)
    data = bytearray(file.getvalue())
    edit(data)
    return bytes(data)


def gif_size(data: bytearray) -> None:
    data[6:10] = struct.pack("<HH", 65_535, 65_535)


def jpeg_size(data: bytearray) -> None:
    start = data.find(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", 65_500, 65_500)


def bmp_size(data: bytearray) -> None:
    data[18:26] = struct.pack("<ii", 60_000, 60_000)


def webp_size(data: bytearray) -> None:
    start = data.find(b"VP8X")
    data[start + 12 : start + 18] = (16_382).to_bytes(3, "little") * 2


BOMBS: dict[str, Callable[[], bytes]] = {
    "a.png": png_bomb,
    "a.gif": lambda: spoilt("GIF", gif_size),
    "a.jpg": lambda: spoilt("JPEG", jpeg_size),
    "a.bmp": lambda: spoilt("BMP", bmp_size),
    "a.webp": lambda: spoilt("WEBP", webp_size, frames=2),
    "a.ppm": lambda: b"P6 60000 60000 255\n" + bytes(100),
    "a.y4m": lambda: b"YUV4MPEG2 W60000 H60000 F25:1 C420\nFRAME\n" + bytes(100),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_takes_no_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    ways: list[Callable[[], object]] = [
        lambda: probe(path),
        lambda: load(path),
        lambda: open_clip(path, Fraction(25)),
    ]

    tracemalloc.start()
    for way in ways:
        with pytest.raises(InputError):
            way()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 50 * 2**20


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif"])
def test_a_picture_over_the_limit_is_refused_and_with_a_higher_one_read(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(path)

    with pytest.raises(InputError, match="1999"):
        load(path, limits=Limits(pixels=1999))

    assert load(path, limits=Limits(pixels=2000)).size == (50, 40)


def test_a_film_over_the_limits_is_refused_and_the_flag_is_named(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4")

    with pytest.raises(LimitError, match=r"64x48; needs at most 3071 .*--max-pixels 3072"):
        probe(clip, limits=Limits(pixels=3071))
    with pytest.raises(LimitError, match=r"8 frames; needs at most 7; .*--max-frames 8"):
        probe(clip, limits=Limits(frames=7))

    info = probe(clip, limits=Limits(pixels=3072, frames=8))
    assert len(list(read(info))) == 8


def test_pictures_of_a_folder_and_of_an_animation_count(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    pictures = [Image.new("RGB", (SIDE, SIDE), (40 * n, 0, 0)) for n in range(4)]
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
    film = tmp_path / "a.webp"
    pictures[0].save(film, save_all=True, append_images=pictures[1:], duration=40)

    for path in (folder, film):
        with pytest.raises(LimitError, match="4 frames"):
            open_clip(path, Fraction(25), limits=Limits(frames=3))
        assert len(open_clip(path, Fraction(25), limits=Limits(frames=4)).info.times) == 4


@pytest.mark.parametrize("wrong", [{"pixels": 0}, {"frames": -1}])
def test_limits_that_let_nothing_through_are_wrong_words(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="max-pixels"):
        Limits(**wrong)  # type: ignore[arg-type]  # numbers alone


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A web server on this machine with a film, and what was asked of it."""
    asked: list[str] = []
    root = tmp_path / "web"
    root.mkdir()
    make_clip(root / "a.ts")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_words: object) -> None:
            pass

    make = functools.partial(Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), make) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


def playlist(path: Path, entry: str) -> Path:
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{entry}\n#EXT-X-ENDLIST\n")
    return path


@pytest.mark.parametrize("name", ["a.m3u8", "a.mp4", "a.ts"])
def test_a_playlist_reaches_no_host_unless_it_is_allowed_to(
    name: str, tmp_path: Path, host: tuple[str, list[str]]
) -> None:
    address, asked = host
    path = playlist(tmp_path / name, f"{address}/a.ts")

    with pytest.raises(NotMediaError, match=r"playlist.*--allow-network"):
        probe(path)
    assert asked == []

    if name == "a.m3u8":  # FFmpeg itself refuses lists under other names
        info = probe(path, limits=Limits(network=True))
        assert len(list(read(info))) == 8
        assert "/a.ts" in asked


@pytest.mark.parametrize("entry", ["/etc/hostname", "file:///etc/hostname", "a.m3u8"])
def test_a_playlist_of_what_is_no_film_fails_even_then(entry: str, tmp_path: Path) -> None:
    path = playlist(tmp_path / "a.m3u8", entry)

    with pytest.raises(InputError):
        probe(path, limits=Limits(network=True))


def master(path: Path, *entries: str) -> Path:
    """A list of lists."""
    streams = "".join(f"#EXT-X-STREAM-INF:BANDWIDTH=1\n{entry}\n" for entry in entries)
    path.write_text(f"#EXTM3U\n{streams}")
    return path


@pytest.mark.parametrize(
    "entries",
    [
        ("a.m3u8",),
        ("./a.m3u8",),
        ("file:a.m3u8",),
        ("list.m3u8", "link.m3u8"),
        ("other.m3u8",),
        ('list.m3u8\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="a.m3u8"',),
    ],
    ids=["itself", "dot", "scheme", "link", "in-turn", "sound"],
)
def test_a_list_of_lists_that_names_itself_is_refused_before_ffmpeg_reads_it(
    entries: tuple[str, ...], tmp_path: Path
) -> None:
    """FFmpeg took 140 s for the first of these, and memory without end."""
    path = master(tmp_path / "a.m3u8", *entries)
    master(tmp_path / "other.m3u8", "a.m3u8")
    playlist(tmp_path / "list.m3u8", "a.ts")
    (tmp_path / "link.m3u8").symlink_to(path)

    with pytest.raises(NotMediaError, match=r"list of lists, and names .* which is one too"):
        probe(path, limits=Limits(network=True))


def test_a_list_of_lists_on_this_machine_is_read(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.ts")
    playlist(tmp_path / "list.m3u8", "a.ts")

    info = probe(master(tmp_path / "a.m3u8", "list.m3u8"), limits=Limits(network=True))

    assert len(list(read(info))) == 8


def test_a_list_of_lists_names_no_pipe_and_nothing_that_is_not_here(tmp_path: Path) -> None:
    """A named pipe would block for ever."""
    os.mkfifo(tmp_path / "pipe.m3u8")

    for name in ("pipe.m3u8", "gone.m3u8", "crypto:a.m3u8"):
        with pytest.raises(NotMediaError, match=f"{name}, which is no file here"):
            probe(master(tmp_path / "a.m3u8", name), limits=Limits(network=True))


def test_a_list_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.m3u8"
    path.write_bytes(b"#EXTM3U\n" + b"#" * 2**24)

    with pytest.raises(NotMediaError, match="more than 16 MiB"):
        probe(path, limits=Limits(network=True))


def test_a_result_never_goes_through_a_link(tmp_path: Path) -> None:
    """Neither when it is checked nor when it gets its name, whatever was put there meanwhile."""
    victim = tmp_path / "precious.txt"
    victim.write_text("mine")
    link = tmp_path / "out.mp4"
    link.symlink_to(victim)
    part = PartFile(link)
    part.path.write_bytes(b"film")

    part.publish()

    assert victim.read_text() == "mine"
    assert not link.is_symlink()
    assert link.read_bytes() == b"film"


def test_a_link_that_leads_nowhere_is_no_free_name(tmp_path: Path) -> None:
    link = tmp_path / "out.mp4"
    link.symlink_to(tmp_path / "later.mp4")

    with pytest.raises(OutputError, match="no regular file"):
        check_output(link, tmp_path / "in.mp4", overwrite=False)

    assert not (tmp_path / "later.mp4").exists()


def test_numbered_pictures_never_go_through_links_either(tmp_path: Path) -> None:
    victim = tmp_path / "precious.txt"
    victim.write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "0001.png").symlink_to(victim)
    part = part_for(folder / "%04d.png")
    part.begin()
    (part.path.parent / "0001.png").write_bytes(b"picture")

    part.publish()

    assert victim.read_text() == "mine"
    assert (folder / "0001.png").read_bytes() == b"picture"
