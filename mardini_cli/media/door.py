"""The door to FFmpeg: how files are opened, and how its errors become ours.

Room: media (floor 2). Must not decode, convert or write pictures.
Source: measurements of PyAV 18.1 in this project; FFmpeg's error codes.

Only regular files are opened (a named pipe would block for ever), only through the ``file``
protocol, and only by demuxers that read one file of sound and pictures: playlists and scripts
that could reach for other files or hosts are left out, unless the limits allow the network.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any, BinaryIO, Final

import av
import av.error
from av.container import InputContainer

from mardini_cli.errors import (
    DamagedMediaError,
    EncoderError,
    MardiniError,
    MissingFileError,
    NotMediaError,
    UnwritableError,
)
from mardini_cli.media.limits import USUAL, Limits
from mardini_cli.media.playlists import check_playlist, is_playlist

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,flv,mpegts,mpeg,mpegvideo,h261,h263,h264,"
    "hevc,vvc,m4v,mjpeg,vc1,obu,av1,ivf,ogg,yuv4mpegpipe,nut,mxf,asf,dv,rm,wtv,swf,wav,mp3,aac,"
    "ac3,flac,image2,png_pipe,jpeg_pipe,jpegls_pipe,webp_pipe,tiff_pipe,bmp_pipe,exr_pipe,"
    "dpx_pipe,j2k_pipe,gif_pipe,pnm_pipe,ppm_pipe,pgm_pipe,pam_pipe,qoi_pipe,tga_pipe"
)

PLAYLISTS = "hls"
REMOTE = "file,http,https,tcp,tls,httpproxy,crypto,data"
PATIENCE = 20.0
"""Seconds that a host may take to answer."""

# PyAV 18 decodes metadata strictly unless told otherwise; 19 takes no such argument.
_METADATA: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)


def ffmpeg_version() -> str:
    """Versions of FFmpeg's libraries, ``name version`` with commas between."""
    libraries = sorted(av.library_versions.items())
    return ", ".join(f"{name} {'.'.join(map(str, number))}" for name, number in libraries)


class Doing(Enum):
    """What was going on when FFmpeg failed: it decides whose error it is."""

    OPENING = auto()
    DECODING = auto()
    WRITING = auto()


_CLASSES: dict[Doing, tuple[tuple[type[BaseException], type[MardiniError]], ...]] = {
    Doing.OPENING: (
        (FileNotFoundError, MissingFileError),
        (PermissionError, MissingFileError),
        (Exception, NotMediaError),
    ),
    Doing.DECODING: (
        (FileNotFoundError, MissingFileError),
        (Exception, DamagedMediaError),
    ),
    Doing.WRITING: (
        (av.error.ExperimentalError, EncoderError),
        (OSError, UnwritableError),
        (MemoryError, UnwritableError),
        (Exception, EncoderError),
    ),
}

_ADVICE: dict[type[MardiniError], tuple[str, str]] = {
    MissingFileError: ("a file that can be read", "check the path and its permissions"),
    NotMediaError: ("a film or picture that FFmpeg reads", "check that the file is whole"),
    DamagedMediaError: ("a file that decodes", "repair or re-encode it first"),
    UnwritableError: ("room and permission to write", "choose another place with -o"),
    EncoderError: ("an encoder that takes these frames", "try another file ending or codec"),
}


def translate(error: Exception, path: Path, doing: Doing) -> MardiniError:
    """Say in our words what FFmpeg or the system said about a file."""
    ours = next(mine for theirs, mine in _CLASSES[doing] if isinstance(error, theirs))
    needed, do = _ADVICE[ours]
    return ours(f"{path}: {_reason(error)}", needed, do)


def _reason(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(reason).splitlines()[0]


BROKEN: Final = (av.error.FFmpegError, IndexError)
"""What reading packets of a damaged file ends in; PyAV has an IndexError for a stream that turns up
on the way, as some damaged FLV files have."""


@contextmanager
def translated(path: Path, doing: Doing) -> Iterator[None]:
    """Turn errors of FFmpeg and of the system into ours, with the cause kept."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise translate(error, path, doing) from error


def open_source(path: Path, limits: Limits = USUAL) -> InputContainer:
    """Open a regular file for reading.

    Args:
        path: of the file.
        limits: what it may ask for; decoders refuse larger pictures before they make room for them.

    Raises:
        MissingFileError: nothing there, or no permission.
        NotMediaError: a folder, a device, or nothing that FFmpeg knows.
    """
    with translated(path, Doing.OPENING):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise NotMediaError(
                f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}",
                needed="a file",
                do="name the file itself",
            )
        if path.stat().st_size == 0:
            raise NotMediaError(
                f"{path} is empty (0 bytes)",
                needed="a film or picture that FFmpeg reads",
                do="copy or download it again",
            )
        if is_playlist(path):
            if not limits.network:
                raise NotMediaError(
                    f"{path} is a playlist, which names other files or hosts",
                    needed="a film or picture of its own",
                    do="name the film itself; if you trust the list, add --allow-network",
                )
            check_playlist(path)
        container: InputContainer = av.open(
            str(path.absolute()),  # so that no name can be taken for a protocol or an option
            "r",
            options={
                "protocol_whitelist": REMOTE if limits.network else "file",
                "format_whitelist": f"{FORMATS},{PLAYLISTS}" if limits.network else FORMATS,
                "max_pixels": str(limits.padded),
            },
            timeout=PATIENCE if limits.network else None,
            **_METADATA,
        )
        return container


def open_bytes(source: BinaryIO, name: str, limits: Limits = USUAL) -> InputContainer:
    """Open a film that lies inside another file, which can reach for nothing else.

    Args:
        source: its bytes.
        name: what to call it in an error.
        limits: see ``open_source``.

    Raises:
        NotMediaError: nothing that FFmpeg knows.
    """
    with translated(Path(name), Doing.OPENING):
        container: InputContainer = av.open(
            source,
            "r",
            options={
                "protocol_whitelist": "",
                "format_whitelist": FORMATS,
                "max_pixels": str(limits.padded),
            },
            **_METADATA,
        )
        return container
