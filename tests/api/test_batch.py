"""Batches: every item once, whatever happens to the others."""

import http.server
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import fsspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli import api
from mardini_cli.api.batch import share
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import ConfigError, MissingFileError, UsageError
from mardini_cli.events import Batched, Began, Event, Failed, Finished, OfItem, Progress
from tests.pipeline.clips import even_times, read_back, write_clip

Told = Event | OfItem
HERE = api.BatchSettings(workers=0)
"""In this process, where a test asks for nothing that processes do: it starts sooner."""


@pytest.fixture
def wish(nano: str, tmp_path: Path) -> api.InterpolateRequest:
    return api.InterpolateRequest(
        clip=tmp_path,
        model=nano,
        device="cpu",
        dtype="fp32",
        sampler=SamplerConfig(steps=0),
        codec="ffv1",
    )


def items_of(
    wish: api.InterpolateRequest, clips: Sequence[Path], out: Path | None = None
) -> list[api.Item]:
    found = api.gathered([str(clip) for clip in clips], api.FILMS).inputs
    return [
        api.item_of(number, wish, one, None if out is None else str(out))
        for number, one in enumerate(found, start=1)
    ]


def clips_in(folder: Path, count: int) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [write_clip(folder / f"{n:03}.mkv", even_times(3)) for n in range(count)]


def ended(events: Iterator[Told]) -> Batched:
    last = list(events)[-1]
    assert isinstance(last, Batched)
    return last


def states(batch: Batched) -> str:
    return " ".join(outcome.state for outcome in batch.outcomes)


def test_a_hundred_inputs_with_ten_broken_ones_give_ninety_results(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    """All clips are equal, so that one comparison holds for all results."""
    clips = clips_in(tmp_path / "in", 1)
    data = clips[0].read_bytes()
    for number in range(1, 100):
        clips.append(tmp_path / "in" / f"{number:03}.mkv")
        clips[-1].write_bytes(data)
    broken = {
        3: b"",
        10: b"no film",
        17: data[: len(data) // 2],
        30: os.urandom(4096),
        44: data[:40],
        51: b"\x1aE\xdf\xa3" + b"\xff" * 60,
        66: b"\0" * 9000,
        80: b"#!/bin/sh\n",
    }
    for place, content in broken.items():
        clips[place].write_bytes(content)
    clips[90].unlink()
    write_clip(clips[99], even_times(1))
    lost = {*broken, 90, 99}

    result = ended(api.batch(items_of(wish, clips, tmp_path / "out"), api.BatchSettings()))

    assert (result.items, result.done, result.failed) == (100, 90, 10)
    assert {n for n, one in enumerate(result.outcomes) if one.state == "failed"} == lost
    assert all(one.code and one.message for one in result.outcomes if one.state == "failed")
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == [f"{n:03}.x2.mkv" for n in range(100) if n not in lost]
    assert len({(tmp_path / "out" / name).read_bytes() for name in made}) == 1
    assert len(read_back(tmp_path / "out" / made[0])) == 5


def test_a_process_that_dies_takes_its_own_item_down_and_no_other(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    """It is killed as a codec library's crash would kill it."""
    items = items_of(wish, clips_in(tmp_path / "in", 3))
    seen: list[Told] = []

    for event in api.batch(items, api.BatchSettings()):
        seen.append(event)
        if isinstance(event, OfItem) and event.item == 2 and isinstance(event.event, Began):
            (worker,) = workers()
            os.kill(worker.pid, signal.SIGSEGV)

    result = seen[-1]
    assert isinstance(result, Batched)
    assert states(result) == "done failed done"
    assert result.outcomes[1].code == "crashed"
    assert "signal 11" in result.outcomes[1].message
    assert workers() == []


def workers() -> list[psutil.Process]:
    """Processes of ours that work on items."""
    found = psutil.Process().children(recursive=True)
    return [one for one in found if "spawn_main" in " ".join(one.cmdline())]


def test_closing_a_batch_stops_its_processes_and_leaves_nothing_half_made(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    clips = [write_clip(tmp_path / f"{name}.mkv", even_times(200)) for name in "ab"]
    before = sorted(path.name for path in tmp_path.iterdir())
    items = items_of(replace(wish, resume="never"), clips)
    events = api.batch(items, api.BatchSettings(workers=2))

    at_work = set[int]()
    while at_work != {1, 2}:
        event = next(events)
        if isinstance(event, OfItem) and isinstance(event.event, Progress):
            at_work.add(event.item)
    assert len(workers()) == 2
    events.close()

    assert workers() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.slow
def test_several_workers_give_the_frames_of_one(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    clips = clips_in(tmp_path / "in", 4)
    sampled = replace(wish, sampler=SamplerConfig(steps=2, seed=5))

    one = ended(api.batch(items_of(sampled, clips, tmp_path / "one"), HERE))
    two = ended(api.batch(items_of(sampled, clips, tmp_path / "two"), api.BatchSettings(workers=2)))

    assert states(one) == states(two) == "done done done done"
    for clip in clips:
        name = f"{clip.stem}.x2.mkv"
        assert read_back(tmp_path / "one" / name) == read_back(tmp_path / "two" / name)


def test_fail_fast_begins_nothing_after_a_failure(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    clips = clips_in(tmp_path / "in", 4)
    clips[1].write_bytes(b"no film")

    result = ended(api.batch(items_of(wish, clips), replace(HERE, fail_fast=True)))

    assert states(result) == "done failed stopped stopped"
    assert (result.done, result.failed, result.stopped) == (1, 1, 2)


def test_a_dry_run_plans_every_item_and_makes_nothing(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    clips = clips_in(tmp_path / "in", 2)
    items = items_of(replace(wish, dry_run=True), clips, tmp_path / "new" / "out")

    result = ended(api.batch(items, HERE))

    assert states(result) == "planned planned"
    assert not (tmp_path / "new").exists()


def test_wrong_words_at_the_first_item_end_the_batch(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    items = items_of(replace(wish, codec="mpeg9"), clips_in(tmp_path / "in", 2))

    with pytest.raises(UsageError, match="unknown codec 'mpeg9'"):
        ended(api.batch(items, HERE))


def test_two_items_for_one_file_are_refused_before_any_work(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_clip(tmp_path / folder / "walk.mkv", even_times(3))
    clips = [tmp_path / folder / "walk.mkv" for folder in "ab"]
    flat = [replace(item.request, output_dir=tmp_path / "out") for item in items_of(wish, clips)]
    items = [api.Item(number=n, request=request) for n, request in enumerate(flat, start=1)]

    with pytest.raises(UsageError, match="would both be written to"):
        ended(api.batch(items, HERE))

    assert states(ended(api.batch(items_of(wish, clips, tmp_path / "out"), HERE))) == ("done done")
    assert (tmp_path / "out" / "b" / "walk.x2.mkv").is_file()


def test_results_are_sent_to_an_address_and_inputs_fetched_from_one(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "walk.mkv", even_times(3))
    (found,) = api.gathered([f"file://{clip}"], api.FILMS).inputs
    item = api.item_of(1, replace(wish, preview=True), found, f"file://{tmp_path}/far/away")

    events = list(api.errand(item))

    (result,) = [event for event in events if isinstance(event, Finished)]
    assert result.address == f"file://{tmp_path}/far/away/walk.x2.mkv"
    assert sorted(path.name for path in (tmp_path / "far" / "away").iterdir()) == [
        "walk.x2.mkv",
        "walk.x2.preview.png",
    ]
    assert len(read_back(tmp_path / "far" / "away" / "walk.x2.mkv")) == 5


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server on this machine with a clip, and one that breaks off."""
    root = tmp_path / "web"
    root.mkdir()
    clip = write_clip(root / "walk.mkv", even_times(3)).read_bytes()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/short.mkv":
                super().do_GET()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(clip)))
            self.end_headers()
            self.wfile.write(clip[:-100])

        def log_message(self, *_words: object) -> None:
            pass

    make = partial(Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), make) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_an_input_is_fetched_from_the_web_and_its_result_sent_to_any_file_system(
    wish: api.InterpolateRequest, web: str
) -> None:
    """``memory://`` stands for the object stores: it knows no folders and no local paths."""
    (found,) = api.gathered([f"{web}/walk.mkv?token=a%20b"], api.FILMS).inputs
    item = api.item_of(1, wish, found, "memory://bucket/far")

    events = list(api.errand(item))

    (result,) = [event for event in events if isinstance(event, Finished)]
    store = fsspec.filesystem("memory")
    assert result.address == "memory://bucket/far/walk.x2.mkv"
    assert store.ls("/bucket/far", detail=False) == ["/bucket/far/walk.x2.mkv"]
    assert store.size("/bucket/far/walk.x2.mkv") == result.size


def test_an_input_comes_from_any_file_system(wish: api.InterpolateRequest, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk.mkv", even_times(3))
    fsspec.filesystem("memory").put_file(str(clip), "/bucket/in/walk.mkv")
    (found,) = api.gathered(["memory://bucket/in/walk.mkv"], api.FILMS).inputs

    list(api.errand(api.item_of(1, wish, found, str(tmp_path / "out"))))

    assert len(read_back(tmp_path / "out" / "walk.x2.mkv")) == 5


def test_the_web_fails_in_one_line_and_leaves_nothing(
    wish: api.InterpolateRequest, web: str, tmp_path: Path
) -> None:
    for name, told in (("short.mkv", "it broke off after"), ("gone.mkv", "HTTP Error 404")):
        (found,) = api.gathered([f"{web}/{name}"], api.FILMS).inputs
        with pytest.raises(MissingFileError, match=told):
            list(api.errand(api.item_of(1, wish, found, str(tmp_path / "out"))))
    assert not (tmp_path / "out").exists()


def test_an_address_that_nothing_answers_to_is_one_line(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    for address in (f"file://{tmp_path}/gone.mkv", "nosuch://a/b.mkv"):
        (found,) = api.gathered([address], api.FILMS).inputs
        item = api.item_of(1, wish, found, str(tmp_path))
        with pytest.raises(MissingFileError, match=address):
            list(api.errand(item))

    with pytest.raises(UsageError, match="nowhere to put the result"):
        api.item_of(1, wish, found, None)


def test_an_address_that_is_none_is_one_line_and_leaves_nothing(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    hosts = ("[x", "a..b", "a" * 70, "127.0.0.1:99999", "\x1b[31m", "")
    for address in (*(f"http://{host}/a.mkv" for host in hosts), "dir://a", "reference://a"):
        (found,) = api.gathered([address], api.FILMS).inputs
        with pytest.raises(MissingFileError, match=re.escape(address)):
            list(api.errand(api.item_of(1, wish, found, str(tmp_path / "out"))))
    assert list(tmp_path.iterdir()) == []


def test_a_store_whose_package_fails_in_its_own_words_is_one_line(
    wish: api.InterpolateRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoCredentialsError(Exception):
        """As boto has one, of no kind that Python knows."""

    def refuse(*_given: object, **_named: object) -> None:
        raise NoCredentialsError

    clip = write_clip(tmp_path / "walk.mkv", even_times(3))
    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    away = api.gathered(["memory://bucket/a.mkv"], api.FILMS).inputs[0]
    here = api.gathered([str(clip)], api.FILMS).inputs[0]

    for one, output in ((away, str(tmp_path / "out")), (here, "memory://bucket/out")):
        with pytest.raises(MissingFileError, match=r"memory://bucket.*: NoCredentialsError"):
            list(api.errand(api.item_of(1, wish, one, output)))
    assert list(tmp_path.iterdir()) == [clip]


def test_a_single_output_is_place_enough_for_an_input_from_an_address(
    wish: api.InterpolateRequest, web: str, tmp_path: Path
) -> None:
    (found,) = api.gathered([f"{web}/walk.mkv"], api.FILMS).inputs
    named = replace(wish, output=tmp_path / "made.mkv")

    list(api.errand(api.item_of(1, named, found, None)))

    assert len(read_back(tmp_path / "made.mkv")) == 5


@given(
    count=st.integers(0, 200),
    shards=st.integers(1, 40),
)
def test_all_shards_together_hold_every_item_once(count: int, shards: int) -> None:
    wish = api.InterpolateRequest(clip=Path("a.mp4"))
    items = [api.Item(number=n, request=wish) for n in range(1, count + 1)]

    parts = [
        share(items, api.BatchSettings(shard=f"{one}/{shards}")) for one in range(1, shards + 1)
    ]

    assert Counter(item.number for part in parts for item in part) == Counter(range(1, count + 1))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_shards_of_a_real_batch_make_every_result_once(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    """Without --overwrite, doing an item twice would fail."""
    items = items_of(wish, clips_in(tmp_path / "in", 5), tmp_path / "out")

    results = [ended(api.batch(items, replace(HERE, shard=f"{one}/3"))) for one in (3, 1, 2)]

    assert [result.done for result in results] == [1, 2, 2]
    assert len(list((tmp_path / "out").iterdir())) == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"shard": "0/3"},
        {"shard": "4/3"},
        {"shard": "1"},
        {"shard": "a/b"},
        {"workers": -1},
        {"engine": "slurm"},
        {"gpu_share": -1.0},
        {"retries": -1},
    ],
)
def test_wrong_words_for_a_batch_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        api.BatchSettings(**wrong)  # type: ignore[arg-type]  # by name


def test_a_failure_is_an_event_with_the_number_of_its_item(
    wish: api.InterpolateRequest, tmp_path: Path
) -> None:
    clips = clips_in(tmp_path / "in", 2)
    clips[1].write_bytes(b"")

    events = list(api.batch(items_of(wish, clips), HERE))

    told = [event for event in events if isinstance(event, OfItem)]
    assert [event.event.code for event in told if isinstance(event.event, Failed)] == ["not-media"]
    assert {event.item for event in told} == {1, 2}
