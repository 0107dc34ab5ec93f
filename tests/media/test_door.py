import inspect
import os
from pathlib import Path

import av.error
import pytest

from mardini_cli.errors import (
    DamagedMediaError,
    EncoderError,
    InputError,
    MissingFileError,
    NotMediaError,
    OutputError,
    UnwritableError,
)
from mardini_cli.media.door import Doing, open_source, translate, translated

FOREIGN = [
    kind
    for _, kind in inspect.getmembers(av.error, inspect.isclass)
    if issubclass(kind, av.error.FFmpegError)
]


def error_of(kind: type[av.error.FFmpegError]) -> av.error.FFmpegError:
    return kind(1, "it went wrong", "a file")


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("doing", Doing)
def test_every_error_of_ffmpeg_has_one_of_ours(
    kind: type[av.error.FFmpegError], doing: Doing
) -> None:
    path = Path("walk.mp4")

    ours = translate(error_of(kind), path, doing)

    assert isinstance(ours, OutputError if doing is Doing.WRITING else InputError)
    assert str(ours) == f"walk.mp4: it went wrong; needs {ours.needed}; {ours.do}"


@pytest.mark.parametrize(
    ("kind", "doing", "ours"),
    [
        (av.error.FileNotFoundError, Doing.OPENING, MissingFileError),
        (av.error.PermissionError, Doing.OPENING, MissingFileError),
        (av.error.InvalidDataError, Doing.OPENING, NotMediaError),
        (av.error.InvalidDataError, Doing.DECODING, DamagedMediaError),
        (av.error.EncoderNotFoundError, Doing.WRITING, EncoderError),
        (av.error.ExternalError, Doing.WRITING, EncoderError),
        (av.error.OSError, Doing.WRITING, UnwritableError),
        (OSError, Doing.WRITING, UnwritableError),
        (PermissionError, Doing.OPENING, MissingFileError),
    ],
)
def test_the_telling_ones_say_whose_fault_it_is(
    kind: type[OSError], doing: Doing, ours: type[Exception]
) -> None:
    assert type(translate(kind(28, "no space left"), Path("a"), doing)) is ours


def test_the_cause_is_kept() -> None:
    with pytest.raises(UnwritableError) as caught, translated(Path("a"), Doing.WRITING):
        raise OSError(28, "No space left on device")

    assert isinstance(caught.value.__cause__, OSError)


def test_bugs_pass_untranslated() -> None:
    with pytest.raises(ValueError, match="bug"), translated(Path("a"), Doing.WRITING):
        raise ValueError("bug")


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)

    with pytest.raises(NotMediaError, match="no regular file"):
        open_source(pipe)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://192.0.2.1/a.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '/etc/hostname'\n",
    ],
    ids=["playlist", "concat script"],
)
def test_files_that_name_other_files_are_not_followed(text: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text(text)

    with pytest.raises(NotMediaError):
        open_source(path)
