"""Walk a plan: read the given frames, make the others window by window, write all in time order.

Room: pipeline. Three stages overlap. One thread decodes and converts given frames, the caller's
thread runs the model, one thread encodes. Bounded channels lie between, and each frame is dropped
after the last window that needs it, so that memory depends on the window and never on the clip.
"""

from collections.abc import Container, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from time import monotonic

from mardini_cli import events
from mardini_cli.events import Progress, Warned
from mardini_cli.media.reader import Frame, rgba
from mardini_cli.media.source import Source
from mardini_cli.media.writer import Writer
from mardini_cli.model.mardini import MarDini
from mardini_cli.pipeline import memory
from mardini_cli.pipeline.channel import Channel
from mardini_cli.pipeline.crew import Crew
from mardini_cli.pipeline.desk import Decoded, Desk, Page, Picture, StoredFrame, given_uses
from mardini_cli.pipeline.keeping import Keeper, KeepSettings
from mardini_cli.pipeline.making import Maker
from mardini_cli.pipeline.settings import MakeSettings
from mardini_cli.pipeline.sight import Sight
from mardini_cli.tasks.plan import Plan, Slot, Window

DECODED_AHEAD = 3
"""Given frames that may wait for the model."""
WRITTEN_BEHIND = 9
"""Frames that may wait for the encoder: a window of the default model."""
PROGRESS_SECONDS = 0.5
"""How often progress is told while only the encoder is still at work."""


def run(
    plan: Plan,
    source: Source,
    models: Sequence[MarDini],
    settings: MakeSettings,
    writer: Writer,
    keeping: KeepSettings | None = None,
) -> Generator[Progress | Warned | events.Window, None, None]:
    """Make and write every frame of a plan; closing the iterator stops all of it.

    The writer is entered and left by the caller, so that what happens to an unfinished file is
    decided in one place.

    Args:
        plan: what to make.
        source: given frames.
        models: make the others: the same model, on each device that shares the work.
        settings: how.
        writer: of the result.
        keeping: where made frames are kept for the case that the work is stopped.

    Raises:
        StoppedError: the work was asked to end (``stopping``), and what is made is kept.
        MadeFrameError: the model made what cannot be right, twice.
        MemoryLimitError: a window does not fit into memory, however it is cut.
        MardiniError: whatever the reader or the writer meets, raised here.
    """
    began = monotonic()
    keeper = Keeper(plan, writer, keeping or KeepSettings())
    decoded = Channel[Decoded](DECODED_AHEAD)
    pages = Channel[Page](WRITTEN_BEHIND)
    tally = _Tally()
    total = len(plan.times)

    def progress() -> Progress:
        return Progress(
            done=tally.written,
            total=total,
            elapsed=monotonic() - began,
            restored=len(keeper.restored),
        )

    def window(made: Sequence[tuple[Slot, Picture]]) -> events.Window:
        times = tuple(slot.time for slot, _ in made if slot.shown)
        return events.Window(times=times, elapsed=monotonic() - began)

    windows_left = plan.windows[keeper.done :]
    needed = {given for given, last in given_uses(plan).items() if last >= keeper.done}
    # Left in turn: the channels let their threads go before the threads are waited for.
    with (
        ThreadPoolExecutor(2, thread_name_prefix="mardini") as threads,
        decoded,
        pages,
        ExitStack() as stack,
    ):
        reading = threads.submit(_read, source, needed, decoded)
        writing = threads.submit(_write, writer, pages, tally)
        desk = stack.enter_context(closing(Desk(plan, decoded, reading, pages, writing, keeper)))
        wished = replace(settings, batch=keeper.batch or settings.batch)
        wide, high = source.info.upright_size
        makers = [one for model in models for one in makers_for(model, wished, plan, (high, wide))]
        size = at_once(makers, len(windows_left), wished.batch)
        crew = stack.enter_context(Crew(makers, keeper.done))
        stack.enter_context(keeper)
        for _ in desk.catch_up():
            yield progress()
        keeper.begin(size, len(models))
        with keeper.patience():
            for windows in batches(windows_left, size):
                for made in crew.ready(windows):
                    keeper.take(made)  # first: it is kept, even if the encoder then fails
                    desk.take(made)
                    yield from _noticed(makers)
                    yield window(made)
                    yield progress()
                if keeper.is_asked_to_stop:
                    break
                crew.begin(windows, desk.give(windows))
            for made in crew.rest():
                keeper.take(made)
                desk.take(made)
                yield from _noticed(makers)
                yield window(made)
                yield progress()
            keeper.finish()
        keeper.check()
        desk.finish()
        while not wait([writing], timeout=PROGRESS_SECONDS).done:
            yield progress()
        writing.result()
        yield progress()


def makers_for(
    model: MarDini, settings: MakeSettings, plan: Plan, size: tuple[int, int]
) -> list[Maker]:
    """Makers that share a device and what they know of given frames.

    A GPU gets two: one finds flow, copies and converts on the processor while the other's networks
    run. A CPU, whose cores one maker keeps busy, gets one; so does a model whose planner must make
    room in between.

    Args:
        model: on its device, settled.
        settings: how it is run.
        plan: what is to be made.
        size: height and width of the frames, pixels.

    Raises:
        MemoryLimitError: a window does not fit, however it is cut.
    """
    device, sight = next(model.parameters()).device, Sight(model, settings.resolution)
    if model.graphs is not None:
        model.graphs.forget()  # of the job before: other shapes, and memory that is asked for below
    if not plan.windows:
        return [Maker(model, settings, sight)]
    job = memory.job_of(memory.largest_of(plan), model, size, settings)
    wish = memory.wish_of(job, settings, device)
    free = memory.free_bytes(device, settings.memory, memory.weight_bytes(model))
    if free is None:
        return [Maker(model, settings, sight, wish)]
    count = 2 if device.type == "cuda" else 1
    fixed = settings.tile != "auto"
    fit = memory.fitted(job, replace(wish, batch=count * wish.batch), free, fixed)
    if fit.batch < count:
        count = 1
    each = replace(fit, batch=min(fit.batch // count, wish.batch))
    return [Maker(model, settings, sight, each) for _ in range(count)]


def at_once(makers: Sequence[Maker], windows: int, asked: int | None) -> int:
    """How many windows a batch has: what fits; unless it was asked for, no maker is left idle."""
    size = min((maker.fit.batch for maker in makers if maker.fit), default=1)
    return size if asked else max(1, min(size, -(-windows // len(makers))))


def _noticed(makers: Sequence[Maker]) -> Iterator[Warned]:
    """What the makers had to say since they were last asked."""
    for maker in makers:
        while maker.notices:
            yield maker.notices.pop(0)


def batches(windows: Sequence[Window], size: int) -> Iterator[tuple[Window, ...]]:
    """Consecutive windows with as many given and as many made slots, wherever these are.

    A window that sees what another one makes is never in one batch with it.
    """
    batch: list[Window] = []
    making: set[int] = set()
    for window in windows:
        alike = batch and _counts(batch[0]) == _counts(window) and len(batch) < size
        if batch and not (alike and making.isdisjoint(window.earlier)):
            yield tuple(batch)
            batch, making = [], set()
        batch.append(window)
        making.update(slot.index for slot in window.made)
    if batch:
        yield tuple(batch)


def _counts(window: Window) -> tuple[int, int]:
    return len(window.given), len(window.slots)


@dataclass(slots=True)
class _Tally:
    """Written by the encoding thread alone."""

    written: int = 0


def _read(source: Source, needed: Container[int], decoded: Channel[Decoded]) -> None:
    """Thread: decode every given frame, and convert those that a window needs."""
    try:
        with closing(source.frames()) as frames:
            for number, frame in enumerate(frames):
                picture = rgba(frame, source.info) if number in needed else None
                if not decoded.put(Decoded(frame, picture)):
                    return
    finally:
        decoded.close()


def _write(writer: Writer, pages: Channel[Page], tally: _Tally) -> None:
    """Thread: encode the output's frames in time order."""
    try:
        while (page := pages.get()) is not None:
            if isinstance(page.content, Frame):
                writer.original(replace(page.content, time=page.time))
            elif isinstance(page.content, StoredFrame):
                writer.restored(page.content.planes, page.time)
            else:
                writer.made(page.content, page.time)
            tally.written += 1
    finally:
        pages.close(drop=True)
