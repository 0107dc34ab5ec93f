"""Segments: stretches of made frames on disk, from which stopped work goes on.

Room: media (floor 2). Knows no plan: frames have numbers, and how far the work had come is a
number too, which the caller counts.

What a segment holds. Not encoded output, but the made frames themselves, as the planes that the
encoder is given, in FFV1, which loses nothing. Whoever goes on feeds the encoder from the
beginning: given frames from the source, made ones from here. So the result is that of work that
was never stopped, bit for bit, in every container, with every rate control and every kind of
sound, and where a segment ends changes nothing. Segments of encoded output would take less disk
and spare the second encoding, but a bit rate, two passes, animations and numbered pictures cannot
be joined from parts, and a result would depend on where it was cut, even if it never stopped. What
is expensive is making; encoding anew is not. Measured at 1080p: 1.0 MB and 50 ms of one core a
frame (`docs/reliability.md`).

Made frames that windows to come see as given are needed as the model made them: these few are
kept as float32 beside the segment, and removed when the last such window is made.

On disk. A segment is one ZIP file, whose checksums tell a damaged one; it is written under
another name, brought to the disk, renamed, and the folder is brought to the disk: after a power
cut it is there as a whole or not at all. Segments count from 1; what comes after a gap or a
damaged one does not count. ``manifest.json`` tells what the frames were made from.
"""

import json
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from av import Packet, VideoFrame
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext

from mardini_cli.errors import UnwritableError
from mardini_cli.media.colour import Codes, Floats
from mardini_cli.media.output import sync
from mardini_cli.media.planes import Layout, codes_of, frame_of

Planes = VideoFrame
"""A picture in a pixel format of FFmpeg."""
MANIFEST, ABOUT = "manifest.json", "about.json"
_UNFINISHED = "manifest.part"
_OWN = (".made", ".kept", ".part")
"""Endings of our files, beside the manifest."""
FORMAT = 1
_OPTIONS = {"level": "3", "coder": "0", "context": "0", "slices": "4"}
"""The quickest of FFV1; its slower ways save 3 % (measured)."""
_OPEN = 2
"""Segments that stay open for reading."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """A segment that is whole."""

    number: int
    mark: int
    batch: int
    headers: tuple[bytes, ...]
    frames: frozenset[int]


class Segments:
    """Made frames of one job, on disk."""

    def __init__(self, folder: Path, layout: Layout, size: tuple[int, int]) -> None:
        """Find what is in a folder; none that is damaged, and nothing after it.

        Args:
            folder: is there already (``begin``).
            layout: of the frames.
            size: rows and columns of the frames as they are stored.
        """
        self.folder, self._layout = folder, layout
        alpha = layout.alpha and layout.spare is not None
        shapes = [layout.size(n, *size) for n in range(len(layout.places))]
        self._shapes = (*shapes, size) if alpha else tuple(shapes)
        self._coders: list[VideoCodecContext] = []
        self._open: dict[int, zipfile.ZipFile] = {}
        self._file: zipfile.ZipFile | None = None  # the segment under way
        self._fresh: set[int] = set()  # its frames
        self._kept: dict[int, set[int]] = {}  # segment: frames kept beside it
        self._whole = _found(folder)
        self._places = {f: s.number for s in self._whole for f in s.frames}
        self._tidy()

    @property
    def mark(self) -> int:
        """How far the work had come with the last whole segment."""
        return self._whole[-1].mark if self._whole else 0

    @property
    def batch(self) -> int | None:
        """What the work called a batch; nothing without a segment."""
        return self._whole[-1].batch if self._whole else None

    def __len__(self) -> int:
        """Frames in whole segments."""
        return len(self._places)

    def __contains__(self, frame: int) -> bool:
        return frame in self._places

    # Reading

    def frame(self, number: int) -> VideoFrame:
        """Read a made frame back."""
        segment = self._whole[self._places[number] - 1]
        file = self._opened(segment.number)
        codes = [
            _decoded(file.read(f"{number}.{channel}"), header, shape, self._layout)
            for channel, (header, shape) in enumerate(
                zip(segment.headers, self._shapes, strict=True)
            )
        ]
        channels = len(self._layout.places)
        return frame_of(codes[:channels], self._layout, *codes[channels:])

    def is_kept(self, number: int) -> bool:
        """Whether a frame is kept as the model made it."""
        return any(number in frames for frames in self._kept.values())

    def kept(self, number: int) -> Floats | None:
        """Read back a frame as the model made it; nothing where it is not kept."""
        for segment, frames in self._kept.items():
            if number in frames:
                with np.load(self._kept_path(segment)) as file:
                    (name,) = (n for n in file.files if n.partition(".")[0] == str(number))
                    return _in_order(file[name], name.partition(".")[2])
        return None

    def _opened(self, number: int) -> zipfile.ZipFile:
        if number not in self._open:
            while len(self._open) >= _OPEN:
                self._open.pop(next(iter(self._open))).close()
            self._open[number] = zipfile.ZipFile(_path(self.folder, number))
        return self._open[number]

    # Writing

    def put(self, number: int, frame: VideoFrame) -> None:
        """Add a made frame to the segment under way.

        Raises:
            UnwritableError: the disk refuses.
        """
        with _refusals(self.folder):
            if self._file is None:
                part = self._part()
                self._file = zipfile.ZipFile(part, "w", zipfile.ZIP_STORED)
            for channel, codes in enumerate(codes_of(frame, self._layout)):
                self._file.writestr(f"{number}.{channel}", self._encoded(channel, codes))
            self._fresh.add(number)

    def commit(
        self, mark: int, batch: int, kept: Mapping[int, Floats], needed: Collection[int]
    ) -> None:
        """End the segment under way: from now on it is there, whatever happens.

        Args:
            mark: how far the work has come; all frames made on the way were put.
            batch: what the work calls a batch.
            kept: frames of this segment that work to come needs as they were made.
            needed: all such frames, also of earlier segments; what else is kept is removed.

        Raises:
            UnwritableError: the disk refuses; earlier segments stand.
        """
        if mark == self.mark:
            return
        number = len(self._whole) + 1
        with _refusals(self.folder):
            file = self._file or zipfile.ZipFile(self._part(), "w", zipfile.ZIP_STORED)
            self._file = file
            headers = tuple(bytes(coder.extradata or b"") for coder in self._coders)
            about = {"mark": mark, "batch": batch, "headers": [h.hex() for h in headers]}
            file.writestr(ABOUT, json.dumps(about))
            if kept:
                self._keep(number, kept)
            file.close()
            self._file = None
            sync(self._part())
            self._part().replace(_path(self.folder, number))
            sync(self.folder)
        segment = _Segment(number, mark, batch, headers, frozenset(self._fresh))
        self._whole.append(segment)
        self._places |= dict.fromkeys(self._fresh, number)
        self._fresh = set()
        for done in [n for n, frames in self._kept.items() if frames.isdisjoint(needed)]:
            del self._kept[done]
            self._kept_path(done).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of files; the segment under way is lost."""
        for opened in self._open.values():
            opened.close()
        self._open = {}
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):  # a full disk refuses the end too, and nobody will read it
                file.close()
        self._fresh = set()
        self._part().unlink(missing_ok=True)

    def _keep(self, number: int, kept: Mapping[int, Floats]) -> None:
        path = self._kept_path(number)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            arrays: dict[str, Any] = {
                f"{n}.{_order(f)}": f.transpose(_axes(_order(f))) for n, f in kept.items()
            }
            np.savez(file, **arrays)
        sync(part)
        part.replace(path)
        self._kept[number] = set(kept)

    def _encoded(self, channel: int, codes: Codes) -> bytes:
        if not self._coders:
            self._coders = [_coder("w", shape, self._layout) for shape in self._shapes]
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(codes), format=_gray(self._layout))
        picture.pts = 0
        (packet,) = self._coders[channel].encode(picture)  # intra only: a packet for a picture
        return bytes(packet)

    def _part(self) -> Path:
        return self.folder / "segment.part"

    def _kept_path(self, number: int) -> Path:
        return _path(self.folder, number).with_suffix(".kept")

    def _tidy(self) -> None:
        """Remove what no whole segment owns, and learn what is kept."""
        own = {_path(self.folder, segment.number) for segment in self._whole}
        for path in self.folder.iterdir():
            if path.suffix == ".kept" and path.with_suffix(".made") in own:
                with np.load(path) as file:
                    self._kept[int(path.stem)] = {int(n.partition(".")[0]) for n in file.files}
            elif path.suffix in _OWN and path not in own:
                path.unlink()


def begin(folder: Path, facts: Mapping[str, str]) -> None:
    """Make an empty folder for segments; what is in it is removed.

    Args:
        folder: its parent is there.
        facts: what the frames will be made from.

    Raises:
        UnwritableError: the disk refuses.
    """
    with _refusals(folder):
        _empty(folder)
        folder.mkdir(exist_ok=True)
        part = folder / _UNFINISHED
        part.write_text(json.dumps({"format": FORMAT, "facts": dict(facts)}, indent=1), "utf-8")
        sync(part)
        part.replace(folder / MANIFEST)
        sync(folder)
        sync(folder.parent)


def remove(folder: Path) -> None:
    """Remove a folder of segments, and nothing else: what is not ours in it stays, and keeps it."""
    with suppress(OSError):  # what the disk does not let go is no hindrance to a later run
        _empty(folder)
        folder.rmdir()


def _empty(folder: Path) -> None:
    """Remove what is ours in a folder, the manifest last.

    Killed in the middle, no segment may outlive what tells what it was made from: a later manifest
    would claim it.
    """
    ours = [path for path in folder.glob("*") if path.suffix in _OWN or path.name == MANIFEST]
    for path in sorted(ours, key=lambda path: path.name == MANIFEST):
        path.unlink(missing_ok=True)


def are_in(folder: Path) -> bool:
    """Whether a folder holds a segment."""
    return _path(folder, 1).is_file()


def facts_of(folder: Path) -> dict[str, str] | None:
    """What the frames of a folder were made from; nothing where it holds none that we know."""
    try:
        told = json.loads((folder / MANIFEST).read_text("utf-8"))
        facts = dict(told["facts"]) if told["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts


def _found(folder: Path) -> list[_Segment]:
    whole: list[_Segment] = []
    for number in count(1):
        segment = _read(_path(folder, number), number)
        if segment is None or (whole and segment.mark <= whole[-1].mark):
            return whole
        whole.append(segment)
    raise AssertionError  # counting has no end


def _read(path: Path, number: int) -> _Segment | None:
    """A segment, every byte of it checked; None where it is not there or not whole."""
    try:
        with zipfile.ZipFile(path) as file:
            if file.testzip() is not None:
                return None
            about = json.loads(file.read(ABOUT))
            frames = {int(name.partition(".")[0]) for name in file.namelist() if name != ABOUT}
        headers = tuple(bytes.fromhex(header) for header in about["headers"])
        return _Segment(number, int(about["mark"]), int(about["batch"]), headers, frozenset(frames))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.made"


def _order(picture: Floats) -> str:
    """How a picture lies in memory, the slowest axis first.

    It comes back so: a mean of float32 numbers depends on the order in which they are added.
    """
    return "".join(str(axis) for axis in np.argsort(picture.strides)[::-1])


def _axes(order: str) -> tuple[int, ...]:
    return tuple(int(axis) for axis in order)


def _in_order(stored: Floats, order: str) -> Floats:
    """The picture that was stored by the axes of its order."""
    picture: Floats = stored.transpose(np.argsort(_axes(order)))
    return picture


def _gray(layout: Layout) -> str:
    return "gray" if np.dtype(layout.dtype).itemsize == 1 else "gray16le"


def _coder(way: Literal["r", "w"], shape: tuple[int, int], layout: Layout) -> VideoCodecContext:
    """FFV1 for one channel, which is a gray picture of its own size."""
    coder = CodecContext.create("ffv1", way)
    coder.height, coder.width = shape
    coder.pix_fmt = _gray(layout)
    coder.thread_type = "SLICE"
    if way == "w":
        coder.time_base, coder.gop_size = Fraction(1, 25), 1
        coder.options = _OPTIONS
    return coder


def _decoded(data: bytes, header: bytes, shape: tuple[int, int], layout: Layout) -> Codes:
    decoder = _coder("r", shape, layout)
    decoder.extradata = header
    (picture,) = decoder.decode(Packet(data))
    return cast("Codes", picture.to_ndarray())


@contextmanager
def _refusals(folder: Path) -> Iterator[None]:
    """Say what the disk refused, and how to go on."""
    try:
        yield
    except OSError as error:
        raise UnwritableError(
            f"made frames cannot be kept in {folder}: {error.strerror or error}",
            needed="room on the disk",
            do="make room, or take another --work-dir, and start again; or add --resume never",
        ) from error
