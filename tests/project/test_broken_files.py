"""Broken files through the whole program: ``docs/measure_faults.py``, in small and in full."""

from pathlib import Path

import pytest

from docs import mutants
from docs.measure_faults import Tally, corpus, measure


def worked_through(place: Path, **counts: int) -> Tally:
    numbers = {what: range(counts.get(what, 0)) for what in ("media", "weights", "config")}
    return measure(corpus(place, numbers, None), place)


def test_a_few_broken_files_of_each_kind_end_in_results_or_one_line(tmp_path: Path) -> None:
    tally = worked_through(tmp_path, media=46, weights=16, config=20)

    assert tally.findings == []
    assert sum(tally.outcomes.values()) == 82
    assert {"result", "damaged-media", "not-media"} <= {told for _, told in tally.outcomes}


@pytest.mark.slow
def test_so_do_thousands(tmp_path: Path) -> None:
    tally = worked_through(tmp_path, media=2000, weights=400, config=100)

    assert tally.findings == []


def test_what_hangs_dies_or_fails_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurement itself: a child that dies, one that is silent, a bug, a file left behind."""
    from docs import measure_faults

    (tmp_path / "child.py").write_text(
        "import json, os, pathlib, sys, time\n"
        "for line in sys.stdin:\n"
        "    name = pathlib.Path(json.loads(line)[1]).name\n"
        "    if 'die' in name: os.abort()\n"
        "    if 'sleep' in name: time.sleep(60)\n"
        f"    if 'leave' in name: pathlib.Path({str(tmp_path)!r}, 'place', 'left').touch()\n"
        "    print(json.dumps('bug: no' if 'bug' in name else 'not-media'), flush=True)\n"
    )
    monkeypatch.setattr(measure_faults, "LONGEST", 0.5)
    monkeypatch.setattr(measure_faults, "WARMING", 5.0)
    monkeypatch.setattr(measure_faults, "CHILD", [str(tmp_path / "child.py")])
    names = ["fine", "die", "fine", "sleep", "bug", "leave", "fine"]

    def files() -> "list[tuple[str, Path, str]]":
        made = []
        for number, name in enumerate(names):
            path = tmp_path / f"{number}-{name}"
            path.touch()
            made.append(("media", path, "none"))
        return made

    tally = measure(iter(files()), tmp_path)

    assert [name for name, _, _ in tally.findings] == ["1-die", "3-sleep", "4-bug", "5-leave"]
    told = [told for _, _, told in tally.findings]
    assert told[0] == "crash: the process ended with -6"
    assert told[1] == "hang"
    assert told[3] == "left behind: left after not-media"
    assert tally.outcomes["media", "not-media"] == 3


def test_the_corpus_is_the_same_every_time(tmp_path: Path) -> None:
    seeds = mutants.media_seeds(tmp_path / "seeds")

    def bytes_of(name: str) -> list[bytes]:
        folder = tmp_path / name
        folder.mkdir()
        return [path.read_bytes() for path, _ in mutants.media_mutants(seeds, folder, range(60))]

    assert bytes_of("one") == bytes_of("two")


def test_a_corpus_of_others_begins_with_a_later_number(tmp_path: Path) -> None:
    seeds = mutants.media_seeds(tmp_path / "seeds")

    def bytes_of(numbers: range) -> list[bytes]:
        folder = tmp_path / str(numbers.start)
        folder.mkdir()
        return [path.read_bytes() for path, _ in mutants.media_mutants(seeds, folder, numbers)]

    assert bytes_of(range(30, 60)) == bytes_of(range(60))[30:]
