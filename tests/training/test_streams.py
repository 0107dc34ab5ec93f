"""Windows straight from files and shards."""

import os
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from mardini_cli.errors import ConfigError, MissingFileError, WeightsError
from mardini_cli.events import Trained, Warned
from mardini_cli.training import clips, shards, streams
from mardini_cli.training.batches import Batches
from mardini_cli.training.crew import Own
from mardini_cli.training.stages import StageConfig, TrainConfig
from mardini_cli.training.streams import Looking, StreamWindows
from tests.training.runs import (
    SIDE,
    data_folder,
    moving_clip,
    run,
    run_until_save,
    saved,
    settings,
    stage,
    write_film,
)

LOOKING = Looking(slots=5, side=SIDE, short=72)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def windows(folder: Path, **changes: object) -> StreamWindows:
    entries = clips.listed([folder])
    looking: Looking = replace(LOOKING, **changes)  # type: ignore[arg-type]
    return StreamWindows(lambda _: entries, looking)


def packed(folder: Path, count: int = 3) -> list[Path]:
    """Shards of two clips each, with captions beside them as other trainers want."""
    paths = []
    for number in range(count):
        clips_of = data_folder(folder / f"source{number}", 2)
        path = folder / f"set-{number:03}.tar"
        with tarfile.open(path, "w") as shard:
            for clip in sorted(clips_of.iterdir()):
                shard.add(clip, f"part{number}/{clip.stem}{number}.mkv")
            (folder / "a.txt").write_text("a caption")
            shard.add(folder / "a.txt", f"part{number}/a.txt")
        paths.append(path)
    return paths


# Streams


def test_windows_are_those_of_the_seed_alone(tmp_path: Path) -> None:
    folder, kept = data_folder(tmp_path), torch.arange(5)

    one, again, other = (windows(folder).draw(3, kept, chance(seed)) for seed in (1, 1, 2))

    assert one.frames.shape == (3, 5, 3, SIDE, SIDE)
    assert torch.equal(one.frames, again.frames)
    assert not torch.equal(one.frames, other.frames)
    assert bool((one.frames[:, 0] != one.frames[:, -1]).any())


def test_a_process_decodes_its_own_windows_alone_and_they_are_the_same(tmp_path: Path) -> None:
    entries, kept = clips.listed([data_folder(tmp_path)]), torch.arange(5)
    whole = StreamWindows(lambda _: entries, LOOKING).draw(4, kept, chance())

    second = StreamWindows(lambda _: entries, LOOKING, Own(1, 1, 2)).draw(4, kept, chance())

    assert torch.equal(second.frames[1::2], whole.frames[1::2])
    assert not bool(second.frames[::2].any())


def test_batches_of_processes_make_the_whole_batch(tmp_path: Path) -> None:
    entries, one = clips.listed([data_folder(tmp_path)]), stage("guided", batch=4, slots=5)

    def made(own: Own | None) -> Batches:
        return Batches((StreamWindows(lambda _: entries, LOOKING, own or Own()), None), one, 0, own)

    whole, parts = made(None)[1], [made(Own(rank, 1, 2))[1] for rank in range(2)]

    assert [part.own for part in parts] == [True, True]
    assert torch.equal(torch.stack([p.made for p in parts], 1).flatten(0, 1), whole.made)
    assert whole.flow is not None
    flows = [p.flow for p in parts if p.flow is not None]
    assert torch.equal(torch.stack(flows, 1).flatten(0, 1), whole.flow)


def test_no_window_crosses_a_cut(tmp_path: Path) -> None:
    """Two shots that differ in colour alone tell which shot a window is of."""
    first, second = moving_clip(30).frames, moving_clip(30, seed=1).frames
    first[:, 0], second[:, 2] = 255, 255
    write_film(tmp_path / "two.mkv", torch.cat((first, second)))

    drawn = windows(tmp_path).draw(12, torch.arange(5), chance()).frames.float()

    red = drawn[:, :, 0].mean((2, 3)) > 220  # b f
    assert bool((red.all(1) | ~red.any(1)).all())
    assert {bool(one) for one in red[:, 0]} == {True, False}


def test_still_and_black_stretches_are_left_out(tmp_path: Path) -> None:
    moving = moving_clip(30).frames
    still, black = moving[:1].expand(30, -1, -1, -1), torch.zeros_like(moving)
    for name, frames in (("a", moving), ("b", still), ("c", black)):
        write_film(tmp_path / f"{name}.mkv", frames)

    drawn = windows(tmp_path).draw(8, torch.arange(5), chance()).frames

    assert all(bool((one[0] != one[-1]).any()) for one in drawn)


def test_groups_are_drawn_alike_if_asked(tmp_path: Path) -> None:
    for number in range(4):
        write_film(tmp_path / "many" / f"{number}.mkv", moving_clip(12).frames)
    write_film(tmp_path / "one" / "x.mkv", moving_clip(12).frames)
    source, rng = windows(tmp_path, balance=True), chance()

    picked = Counter(source._pick(source.entries(0), rng).group for _ in range(200))

    assert 70 < picked[f"{tmp_path.name}/one"] < 130


def test_held_out_clips_are_never_trained_on(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.mkv").touch()
    train, held = (windows(tmp_path, held_out=3, held=held) for held in (False, True))
    entries = train.entries(0)

    apart = [(train._wanted(entry), held._wanted(entry)) for entry in entries]

    assert all(one != other for one, other in apart)
    assert {one for one, _ in apart} == {True, False}


def test_damaged_clips_are_named_and_bounded(tmp_path: Path) -> None:
    data_folder(tmp_path)
    (tmp_path / "x.mp4").write_bytes(b"no film")
    patient = windows(tmp_path).draw(12, torch.arange(5), chance())
    for number in range(30):
        (tmp_path / f"y{number}.mp4").write_bytes(b"no film")

    assert patient.bad == ("x.mp4",)
    with pytest.raises(ConfigError, match=r"of \d+ clips do not decode: y"):
        windows(tmp_path).draw(40, torch.arange(5), chance())


def test_nothing_usable_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of 17 frames of 200 x 200 pixels"):
        windows(data_folder(tmp_path), slots=17, side=200).draw(1, torch.arange(17), chance())


def streaming(folder: Path, data: str, *stages: StageConfig, **changes: object) -> TrainConfig:
    return settings(folder, *stages, data=(data,), stream="yes", **changes)


def test_a_run_from_files_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_folder(tmp_path / "data")
    (data / "x.mp4").write_bytes(b"no film")
    config = streaming(tmp_path, str(data), stage("joint", slots=5))
    unbroken = replace(config, out=str(tmp_path / "unbroken"))

    events = run(unbroken)
    run_until_save(config, 1, monkeypatch)
    run(config)

    wanted, found = saved(unbroken.out), saved(config.out)
    assert all(torch.equal(wanted[name], value) for name, value in found.items())
    told = [event.message for event in events if isinstance(event, Warned)]
    assert told == ["left out, do not decode: x.mp4"]


# On Python 3.12 and later a fork beside threads warns; torch's loader forks on Linux.
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_an_error_in_a_worker_is_one_line_too(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    config = streaming(tmp_path, str(data), stage("denoiser", side=96), workers=1)

    with pytest.raises(ConfigError, match="none of 9 frames of 96 x 96"):
        run(config)


def test_clips_that_memory_would_not_hold_are_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path, stage("denoiser"))
    entries = clips.listed([tmp_path / "data"])
    exact = sum(clip.frames.nbytes for clip in clips.load([tmp_path / "data"], 72)[0])

    assert streams.streamed(config) is None
    assert streams.decoded(entries, 72) == pytest.approx(exact, rel=0.05)
    monkeypatch.setattr(streams, "_free", lambda: 1000.0)
    assert streams.streamed(config) is not None
    assert streams.streamed(replace(config, stream="no")) is None


# Shards


def test_a_shard_gives_the_clips_that_went_in(tmp_path: Path) -> None:
    path = packed(tmp_path, 1)[0]

    found = shards.index(path)

    assert [(one.name, one.group) for one in found] == [
        ("clip00.mkv", "part0"), ("clip10.mkv", "part0"),
    ]  # fmt: skip
    wanted = (tmp_path / "source0" / "clip1.mkv").read_bytes()
    assert found[1].read().getvalue() == wanted


@pytest.mark.parametrize("word", ["set-{000..002}.tar", "set-00{0,1,2}.tar", "set-*.tar"])
def test_a_run_trains_on_shards(word: str, tmp_path: Path) -> None:
    packed(tmp_path)
    config = streaming(tmp_path, str(tmp_path / word), stage("denoiser", slots=5))

    *_, trained = run(replace(config, stream="auto"))

    assert isinstance(trained, Trained)
    assert trained.steps == 4


def test_patterns_count_with_their_zeros() -> None:
    assert shards.expanded("s3://b/{098..101}-{a,b}.tar")[:3] == [
        "s3://b/098-a.tar", "s3://b/098-b.tar", "s3://b/099-a.tar",
    ]  # fmt: skip


def test_every_shard_is_visited_once_a_lap_in_another_order_each_time() -> None:
    names = tuple("abcdefg")
    visits = shards.Visits(names, seed=0, lanes=2, windows=5)

    seen = [visits.at(number) for number in range(2 * 7 * 2 * 5)]

    spans = [seen[lane::2][5 * turn] for turn in range(14) for lane in range(2)]
    assert [Counter(spans[7 * lap : 7 * lap + 7]) for lap in range(4)] == [Counter(names)] * 4
    assert spans[:7] != spans[7:14]
    assert seen == [shards.Visits(names, 0, 2, 5).at(number) for number in range(len(seen))]
    assert Counter(seen).most_common()[-1][1] == 20


class Quiet(SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def log_message(self, *told: object) -> None:
        del told
        self.asked.append(self.path)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server for the folder ``web``, and a cache of its own."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "cache")
    (tmp_path / "web").mkdir()
    Quiet.asked.clear()
    handler = partial(Quiet, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_shards_behind_a_url_are_fetched_once(host: str, tmp_path: Path) -> None:
    packed(tmp_path / "web", 2)

    paths = [shards.here(f"{host}/set-00{n}.tar") for n in (0, 1, 0, 1)]

    assert paths[0].read_bytes() == (tmp_path / "web" / "set-000.tar").read_bytes()
    assert len(set(paths)) == 2
    assert Quiet.asked == ["/set-000.tar", "/set-001.tar"]


def test_shards_behind_any_url_that_fsspec_opens(host: str, tmp_path: Path) -> None:
    del host
    (path,) = packed(tmp_path / "web", 1)

    assert shards.here(path.as_uri()).read_bytes() == path.read_bytes()


def test_fetched_shards_that_were_not_used_for_longest_go(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "KEPT", 2)
    packed(tmp_path / "web", 3)
    first, second = (shards.here(f"{host}/set-00{n}.tar") for n in (0, 1))
    os.utime(first, (1, 1))

    third = shards.here(f"{host}/set-002.tar")

    assert [path.exists() for path in (first, second, third)] == [False, True, True]


@pytest.mark.parametrize("url", ["{host}/none.tar", "nosuch://a/b.tar", "http://127.0.0.1:9/x.tar"])
def test_a_shard_that_cannot_be_reached_is_one_line(url: str, host: str, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="cannot be read") as raised:
        shards.here(url.format(host=host))

    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "cache").rglob("*.tar"))


def test_what_is_no_shard_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no tar" * 200)

    with pytest.raises(WeightsError, match="is no tar file"):
        shards.index(tmp_path / "x.tar")
    with pytest.raises(MissingFileError, match="matches nothing"):
        shards.expanded(str(tmp_path / "y*.tar"))
    with pytest.raises(MissingFileError, match="is no file"):
        shards.here(str(tmp_path / "y.tar"))
    with pytest.raises(ConfigError, match="names shards and folders"):
        shards.named(["x.tar", "folder"])
    with pytest.raises(ConfigError, match="stream = no with shards"):
        streams.streamed(TrainConfig(data=("x.tar",), stream="no"))
