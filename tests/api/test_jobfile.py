"""Job files: what they hold becomes items, and what is wrong in them is named with its place."""

from fractions import Fraction
from pathlib import Path

import pytest

from mardini_cli import api
from mardini_cli.errors import MardiniError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("clips/a.mp4", "clips/day/b.mp4", "boat.jpg", "k/1.png", "k/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def jobs(folder: Path, text: str) -> Path:
    path = folder / "jobs.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_job_has_its_own_settings_and_those_that_are_shared(folder: Path) -> None:
    path = jobs(
        folder,
        """
        [all]
        output_dir = "out"
        seed = 3
        factor = 8          # animate has none, and does without

        [[job]]
        input = "clips"
        recursive = true

        [[job]]
        input = "clips/a.mp4"
        factor = 4
        output_dir = "s3://bucket/films"

        [[job]]
        task = "animate"
        input = ["boat.jpg"]
        seconds = 2.5

        [[job]]
        task = "keyframes"
        input = ["k/1.png", "k/2.png"]
        """,
    )

    one, two, three, four, five = api.read_jobs(path)

    assert [item.number for item in (one, two, three, four, five)] == [1, 2, 3, 4, 5]
    assert one.request == api.InterpolateRequest(
        clip=folder / "clips" / "a.mp4",
        factor=8,
        sampler=api.InterpolateRequest(clip=Path()).sampler.__class__(steps=0, seed=3),
        output_dir=folder / "out",
    )
    assert two.request.output_dir == folder / "out" / "day"
    assert (three.send_to, three.request.output_dir) == ("s3://bucket/films", None)
    assert isinstance(four.request, api.AnimateRequest)
    assert four.request.seconds == Fraction(5, 2)
    assert isinstance(five.request, api.KeyframesRequest)
    assert five.request.images == (folder / "k" / "1.png", folder / "k" / "2.png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no job; needs"),
        ("[job]\ninput = 'a'", "'job'"),
        ("[jobs]\n", "'jobs'; needs"),
        ("all = 3\n[[job]]\n", "'all'"),
        ("[all]\nfacto = 3\n[[job]]\ninput = 'boat.jpg'", r"\[all\]: unknown flag 'facto'.*factor"),
        ("[[job]]\nfactor = 2", "job 1 has no input"),
        ("[[job]]\ninput = 7", "job 1: input = 7"),
        ("[[job]]\ninput = ''", "job 1: input = \\[''\\]"),
        ('[[job]]\ninput = "a\\u0000b"', "an input named"),
        ('[[job]]\ninput = "k/1.png"\noutput = "a\\u0000b"', "job 1: .* holds a NUL"),
        ('[[job]]\ninput = "k/1.png"\nmodel = "a\\u0000b"', "job 1: .* holds a NUL"),
        ("[[job]]\ninput = 'boat.jpg'\n[[job]]\ninput = 'a'\ntask = 7", "job 2: task = 7"),
        ("[[job]]\ninput = 'a'\nrecursive = 1", "job 1: recursive = 1"),
        ("[[job]]\ninput = 'a'\nfactor = 2.5", "job 1: factor = 2.5"),
        ("[[job]]\ninput = 'a'\nseconds = 2", "job 1: unknown flag 'seconds'"),
        ("[[job]]\ninput = 'k'\ntask = 'extend'", "nothing there to work on"),
        ("[[job]", "is not TOML"),
        ("a = " + "[" * 100_000, "is not TOML"),
        ("# " + "x" * 2**24, "is larger than"),
    ],
)
def test_what_is_wrong_in_a_job_file_is_one_line(folder: Path, text: str, words: str) -> None:
    with pytest.raises(MardiniError, match=words) as told:
        api.read_jobs(jobs(folder, text))

    assert len(str(told.value).splitlines()) == 1


def test_a_job_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MardiniError, match=r"gone\.toml"):
        api.read_jobs(tmp_path / "gone.toml")
