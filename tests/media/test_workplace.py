"""The hidden folder beside a result: its name, its lock, what stays in it."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mardini_cli import stopping
from mardini_cli.errors import OutputBusyError, UnwritableError
from mardini_cli.media import output as places
from mardini_cli.media import segments, workplace
from mardini_cli.media.planes import LAYOUTS
from mardini_cli.media.segments import Segments
from mardini_cli.media.workplace import Workplace, hidden_folder, tidy
from tests.cutting import cut_everywhere


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def keep_one(place: Workplace) -> None:
    """What a run leaves that was stopped."""
    folder = place.segments
    assert folder is not None
    segments.begin(folder, {})
    kept = Segments(folder, LAYOUTS["gray"], (8, 8))
    kept.commit(1, 1, {}, ())
    kept.close()


def test_it_stands_beside_the_result_and_a_folder_of_pictures_has_one(tmp_path: Path) -> None:
    assert hidden_folder(tmp_path / "a.mp4") == tmp_path / ".a.mp4.mardini"
    assert hidden_folder(tmp_path / "out" / "%04d.png") == tmp_path / ".out.mardini"


def test_results_of_one_name_do_not_meet_in_a_work_dir(tmp_path: Path) -> None:
    first, second = (hidden_folder(tmp_path / n / "a.mp4", tmp_path / "w") for n in "xy")

    assert first != second
    assert first.parent == second.parent == tmp_path / "w"


def test_the_longest_name_that_a_file_may_have_can_be_worked_on(tmp_path: Path) -> None:
    output = tmp_path / ("ä" * 120 + ".mp4")
    output.touch()
    output.unlink()

    with Workplace.taken(output) as place:
        place.part.path.touch()

    assert names(tmp_path) == []


def test_work_that_ends_early_leaves_what_is_of_use_and_nothing_else(tmp_path: Path) -> None:
    def stopped(*, keeping: bool) -> None:
        with Workplace.taken(tmp_path / "a.mp4") as place:
            place.part.path.touch()
            if keeping:
                keep_one(place)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stopped(keeping=False)
    assert names(tmp_path) == []

    with pytest.raises(RuntimeError):
        stopped(keeping=True)
    assert names(tmp_path / ".a.mp4.mardini") == ["lock", "segments"]

    with Workplace.taken(tmp_path / "a.mp4") as place:
        place.is_done = True
    assert names(tmp_path) == []


def test_a_second_run_is_refused_also_from_another_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from mardini_cli.errors import OutputBusyError\n"
        "from mardini_cli.media.workplace import Workplace\n"
        "try:\n    Workplace.taken(Path(sys.argv[1])).__enter__()\n"
        "except OutputBusyError as error:\n    print(error.code)\n"
    )
    output = tmp_path / "a.mp4"

    with Workplace.taken(output):
        with pytest.raises(OutputBusyError), Workplace.taken(output):
            pass
        other = subprocess.run(
            [sys.executable, "-c", code, str(output)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert other.stdout == "output-busy\n"

    with Workplace.taken(output):  # free again
        pass


def test_what_a_killed_run_left_after_it_was_done_is_taken_away(tmp_path: Path) -> None:
    output = tmp_path / "a.mp4"
    holding = Workplace.taken(output)  # never left
    killed = holding.__enter__()
    keep_one(killed)
    killed.part.path.touch()
    killed.will_publish()

    tidy(output)  # it still has its part file: it was killed before
    assert names(tmp_path) == [".a.mp4.mardini"]

    for part in (tmp_path / ".a.mp4.mardini").glob("*.part"):
        part.replace(output)
    tidy(output)  # it still holds the lock
    assert names(tmp_path) == [".a.mp4.mardini", "a.mp4"]
    lock = killed._lock
    assert lock is not None
    lock.release()
    tidy(output)

    assert names(tmp_path) == ["a.mp4"]


def test_a_segment_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that a power cut cannot harm: bytes, name, folder; the kept frame before all."""
    told: list[str] = []
    sync, replace = places.sync, Path.replace

    def synced(path: Path) -> None:
        told.append(f"sync {path.name}")
        sync(path)

    def renamed(self: Path, target: Path) -> Path:
        told.append(f"{self.name} becomes {target.name}")
        return replace(self, target)

    monkeypatch.setattr(segments, "sync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    segments.begin(tmp_path / "work", {})
    kept = Segments(tmp_path / "work", LAYOUTS["gray"], (8, 8))

    kept.commit(1, 1, {}, ())

    assert told == [
        "sync manifest.part",
        "manifest.part becomes manifest.json",
        "sync work",
        f"sync {tmp_path.name}",
        "sync segment.part",
        "segment.part becomes 000001.made",
        "sync work",
    ]


def cut_off(action: Callable[[], object]) -> None:
    """As the program does: what a signal left on the list is taken away in the end."""
    try:
        action()
    finally:
        stopping.tidy()


def test_a_signal_at_any_instruction_leaves_neither_folder_nor_lock(tmp_path: Path) -> None:
    """Also between the folder and its lock, and in the middle of the tidying up."""
    output = tmp_path / "a.mp4"

    def work() -> None:
        with Workplace.taken(output) as place:
            place.part.path.touch()

    made = 0
    for at in cut_everywhere(partial(cut_off, work), workplace, places, stopping, contextlib):
        assert names(tmp_path) == [], f"instruction {at}"
        made = at

    assert made > 200
    with Workplace.taken(output):  # nothing holds it any more
        pass


def test_a_signal_anywhere_leaves_kept_frames_whole(tmp_path: Path) -> None:
    """Frames of use stay with what tells of them, or all of it goes: never frames alone."""
    output = tmp_path / "a.mp4"

    def work() -> None:
        with Workplace.taken(output) as place:
            keep_one(place)

    for at in cut_everywhere(partial(cut_off, work), workplace, segments, stopping, step=11):
        left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
        assert left in (set(), {"lock", "manifest.json", "000001.made"}), f"instruction {at}"
        with Workplace.taken(output) as place:
            place.is_done = True
        assert names(tmp_path) == []


def test_a_signal_at_any_instruction_writes_a_small_file_whole_or_not(tmp_path: Path) -> None:
    write = partial(places.write_whole, tmp_path / "a.json", "{}")

    seen = set()
    for _ in cut_everywhere(partial(cut_off, write), places, stopping, contextlib):
        left = names(tmp_path)
        seen.add(tuple(left))
        for name in left:
            assert (tmp_path / name).read_text() == "{}"
            (tmp_path / name).unlink()

    assert seen == {(), ("a.json",)}


def test_a_signal_at_any_instruction_leaves_no_scratch_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def work() -> None:
        with places.scratch() as folder:
            (folder / "fetched").touch()

    for at in cut_everywhere(partial(cut_off, work), places, stopping, contextlib):
        assert names(tmp_path) == [], f"instruction {at}"


def test_segments_that_outlived_their_manifest_are_never_taken_for_other_work(
    tmp_path: Path,
) -> None:
    """A run that was killed while it removed them may leave some."""
    folder = tmp_path / "work"
    segments.begin(folder, {"seed": "1"})
    kept = Segments(folder, LAYOUTS["gray"], (8, 8))
    kept.commit(1, 1, {}, ())
    kept.close()
    (folder / "manifest.json").unlink()

    segments.begin(folder, {"seed": "2"})

    assert names(folder) == ["manifest.json"]


def test_what_others_put_beside_segments_stays(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    segments.begin(folder, {})
    (folder / "notes.txt").touch()

    segments.remove(folder)

    assert names(folder) == ["notes.txt"]


@pytest.mark.parametrize("stands", [False, True], ids=["new", "replaced"])
def test_numbered_pictures_are_on_the_disk_before_they_have_their_names(
    stands: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    sync = places.sync
    part = places.part_for(tmp_path / "out" / "%04d.png")
    part.begin()
    for name in ("0001.png", "0002.png"):
        (part.path.parent / name).write_bytes(b"picture")
    if stands:
        (tmp_path / "out").mkdir()

    def synced(path: Path) -> None:
        named = (tmp_path / "out" / "0001.png").exists()
        told.append(f"{path.name.replace(part.path.parent.name, 'part')}{' named' * named}")
        sync(path)

    monkeypatch.setattr(places, "sync", synced)
    part.publish()

    last = "out named" if stands else f"{tmp_path.name} named"
    assert told == ["0001.png", "0002.png", "part", last]
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["0001.png", "0002.png"]


@pytest.mark.parametrize("name", ["beside", "segments", "apart"])
def test_a_link_in_the_place_of_the_hidden_folder_is_refused_and_not_followed(
    name: str, tmp_path: Path
) -> None:
    """Somebody may put it there beforehand, in a folder that many can write to."""
    theirs, output = tmp_path / "theirs", tmp_path / "made.mkv"
    (theirs / "segments").mkdir(parents=True)
    for path in ("000001.made", ".mardini-1.part", "segments/000001.made"):
        (theirs / path).write_text("theirs", encoding="utf-8")
    work_dir = tmp_path if name == "apart" else None
    link = hidden_folder(output, work_dir)
    if name == "segments":
        link.mkdir()
        link /= "segments"
    link.symlink_to(theirs)
    before = sorted(theirs.rglob("*"))

    with (
        pytest.raises(UnwritableError, match="is a link"),
        Workplace.taken(output, work_dir),
    ):
        pass

    assert sorted(theirs.rglob("*")) == before
    assert link.is_symlink()
