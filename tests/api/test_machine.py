"""How much of the machine a job may take: memory, threads, a compiler."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mardini_cli import api, device
from mardini_cli.api.making import bytes_of
from mardini_cli.errors import ConfigError, DeviceError, MemoryLimitError
from mardini_cli.events import Finished
from tests.pipeline.clips import even_times, nano_weights, write_clip


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@given(
    number=st.integers(1, 999), unit=st.sampled_from("KMGT"), tail=st.sampled_from(["", "B", "iB"])
)
def test_sizes_are_binary_whatever_they_are_called(number: int, unit: str, tail: str) -> None:
    size = number * 1024 ** ("KMGT".index(unit) + 1)

    assert bytes_of(f"{number}{unit}{tail}") == bytes_of(f"{number} {unit.lower()}") == size
    assert bytes_of(str(number)) == number
    assert bytes_of("1.5G") == 3 * 2**29
    assert bytes_of(None) is None


@pytest.mark.parametrize("text", ["", "much", "-8G", "8 apples", "0G", "0.1", "8GG", "1e9"])
def test_other_words_are_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="a size such as 8G"):
        api.InterpolateRequest(clip=Path("a.mp4"), memory_limit=text)


def test_no_threads_are_refused() -> None:
    with pytest.raises(ConfigError, match="threads 0; needs at least 1"):
        api.InterpolateRequest(clip=Path("a.mp4"), threads=0)


def test_a_limit_that_is_too_small_leaves_nothing_behind(tmp_path: Path) -> None:
    model = str(nano_weights(tmp_path / "nano"))
    clip = write_clip(tmp_path / "in.mkv", even_times(3))
    tight = api.InterpolateRequest(clip=clip, model=model, memory_limit="1M")

    with pytest.raises(
        MemoryLimitError, match=r"the weights take 1\.8 MiB on cpu; needs more memory than 1\.0 MiB"
    ):
        list(api.interpolate(tight))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "nano"]


def test_a_limit_and_threads_that_suffice_let_the_work_be_done(tmp_path: Path) -> None:
    model = str(nano_weights(tmp_path / "nano"))
    clip = write_clip(tmp_path / "in.mkv", even_times(3))
    request = api.InterpolateRequest(clip=clip, model=model, memory_limit="2G", threads=1)

    finished = list(api.interpolate(request))[-1]

    assert isinstance(finished, Finished)
    assert finished.made == 2
    assert torch.get_num_threads() == 1


def test_compiling_needs_a_compiler_and_keeps_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"no C compiler.*leave out --compile"):
        device.prepare_compiler()

    compiler = tmp_path / "g++"
    compiler.touch(mode=0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    device.prepare_compiler()

    assert os.environ["TORCHINDUCTOR_CACHE_DIR"].endswith("compiled")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
