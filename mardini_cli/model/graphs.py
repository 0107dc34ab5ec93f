"""The sampling step as one CUDA graph: recorded once a shape, then replayed at every step.

Room: model. A step starts hundreds of kernels, and for short ones that takes the processor longer
than the work takes the GPU. A graph starts all of them at once, but reads and writes the memory
that it was recorded with: so what changes is copied into tensors of the graph's own. The noisy
tokens and t change with every step, what is kept of windows (``KeptWindows``) with the window.

Windows run in threads. What they share is guarded twice:

- A replay, with its copies before and after, is handed over in one piece, under a lock; since the
  threads share a stream (it is part of a graph's key), the GPU works it in one piece too.
- Recording forbids the process much: no thread may wait for the device meanwhile, as the compiler
  does when it times what it made. So a kind of window that is met first passes alone
  (``Graphs.window``), and only then is recorded; all later ones pass side by side.

What cannot be recorded is run as it is, and so is everything after it; ``Graphs.complaint`` says
why, once. Recorder and graphs know nothing of each other but the protocol, so that the logic runs
on any device.

Dimension key
    b  windows in the batch     m  made slots     n  tokens of a frame     c  channels
"""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from threading import Condition, Lock
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet, ref

import torch
from torch import Tensor

from mardini_cli.model.denoiser import KeptWindows

MOST = 4
"""Graphs that are held at most: the whole batch, the last one, and the shorter windows at a clip's
end are three. Further shapes run as they are: where many take turns, to put one graph in another's
place would be to record at every turn."""

Step = Callable[[Tensor, Tensor, KeptWindows], Tensor]
"""``Denoiser.step``."""
Held = TypeVar("Held")


class Recording(Protocol):
    """What was recorded."""

    out: Tensor
    """What the run gave; written anew by each replay."""

    def replay(self) -> None:
        """Do it again, from the same memory to the same memory."""

    def forget(self) -> None:
        """Give its memory back, once the device has done with it."""


Recorder = Callable[[Callable[[], Tensor]], Recording]
"""Records a run. Raises RuntimeError where that cannot be done."""


def tensors_of(held: object) -> Iterator[Tensor]:
    """All tensors in nested tuples and dataclasses."""
    if isinstance(held, Tensor):
        yield held
    elif isinstance(held, tuple):
        for one in held:
            yield from tensors_of(one)
    elif is_dataclass(held):
        for field in fields(held):
            yield from tensors_of(getattr(held, field.name))


def blank_like(held: Held) -> Held:
    """The same nest with tensors of its own, not filled in."""
    found: Any = held  # what follows keeps the type, which no annotation can say
    if isinstance(held, Tensor):
        found = torch.empty_like(held, memory_format=torch.contiguous_format)
    elif isinstance(held, tuple):
        found = tuple(blank_like(one) for one in held)
    elif is_dataclass(held) and not isinstance(held, type):
        told = {field.name: blank_like(getattr(held, field.name)) for field in fields(held)}
        found = replace(held, **told)
    return found  # type: ignore[no-any-return] # see above


@dataclass(eq=False, slots=True)
class _Memory:
    """What a graph reads."""

    noisy: Tensor
    t: Tensor
    kept: KeptWindows
    filled: "ref[KeptWindows] | None" = None
    """Whose values stand in ``kept``."""

    @classmethod
    def like(cls, noisy: Tensor, t: Tensor, kept: KeptWindows) -> "_Memory":
        return cls(*blank_like((noisy, t, kept)))

    def fill(self, noisy: Tensor, t: Tensor, kept: KeptWindows) -> None:
        self.noisy.copy_(noisy)
        self.t.copy_(t)
        if self.filled is None or self.filled() is not kept:
            torch._foreach_copy_(list(tensors_of(self.kept)), list(tensors_of(kept)))
            self.filled = ref(kept)


class Graphs:
    """The recorded steps of one model. Safe to call from several threads.

    The model's weights must stay where they are as long as its steps are held.

    Args:
        record: who records: ``CudaRecorder``.
        most: graphs that are held, and kinds of windows that pass alone first.
    """

    def __init__(self, record: Recorder, most: int = MOST) -> None:
        self._record, self._most = record, most
        self._held: dict[Hashable, tuple[_Memory, Recording]] = {}
        self._kinds: set[Hashable] = set()
        self._shapes: WeakKeyDictionary[KeptWindows, Hashable] = WeakKeyDictionary()
        self._lock = Lock()
        self._gate = _Gate()
        self._here = threading.local()
        self._trouble = ""
        self._untold = ""

    @property
    def held(self) -> int:
        """Graphs that are held."""
        return len(self._held)

    @contextmanager
    def window(self, kind: Hashable) -> Iterator[None]:
        """Run windows: beside others, or alone if none of their kind was run, to be recorded.

        Args:
            kind: all that the shapes of their steps follow from.
        """
        with self._lock:
            known = kind in self._kinds or len(self._kinds) >= self._most or self._trouble
        if known:
            with self._gate.beside():
                self._here.beside = True
                try:
                    yield
                finally:
                    self._here.beside = False
            return
        with self._gate.alone():
            yield
            with self._lock:
                self._kinds.add(kind)

    def step(self, run: Step, noisy: Tensor, t: Tensor, kept: KeptWindows) -> Tensor:
        """Do a sampling step: what ``run`` says, by its graph where there is one.

        The first step of a shape is run as it is, and recorded after that; not where other threads
        are at work beside (see ``window``), outside of inference mode, or where enough are held.

        Args:
            run: ``Denoiser.step``.
            noisy: see there.
            t: see there.
            kept: see there; its tensors must not change while it lives.

        Returns:
            ``s b m n c``, the caller's own.
        """
        if self._trouble or not torch.is_inference_mode_enabled():
            return run(noisy, t, kept)
        with self._lock:
            key = self._key(noisy, t, kept)
            if key in self._held:
                memory, recording = self._held[key]
                memory.fill(noisy, t, kept)
                recording.replay()
                return recording.out.clone()
            full = len(self._held) >= self._most
            if not (full or self._trouble or getattr(self._here, "beside", False)):
                return self._first(key, run, noisy, t, kept)
        return run(noisy, t, kept)

    def _first(
        self, key: Hashable, run: Step, noisy: Tensor, t: Tensor, kept: KeptWindows
    ) -> Tensor:
        """Run a step of a new shape, then record it."""
        try:
            memory = _Memory.like(noisy, t, kept)
        except torch.OutOfMemoryError as error:
            self._give_up(error)
            return run(noisy, t, kept)
        memory.fill(noisy, t, kept)

        def again() -> Tensor:
            return run(memory.noisy, memory.t, memory.kept)

        with _uncached(noisy.device):
            # From the graph's own memory: the compiler looks at layouts, and kernels are chosen and
            # loaded by shape. Nothing of it may be left to do when it is recorded.
            answer = again()
            try:
                self._held[key] = memory, self._record(again)
            except RuntimeError as error:  # what a recorder cannot do; the answer stands
                self._give_up(error)
        return answer

    def _key(self, noisy: Tensor, t: Tensor, kept: KeptWindows) -> Hashable:
        """All that a recorded step depends on, but for the values in its memory."""
        device = noisy.device
        shapes = self._shapes.get(kept)  # the same at every step, and many
        if shapes is None:
            found = tuple((one.shape, one.dtype) for one in tensors_of(kept))
            shapes = self._shapes[kept] = found, kept.signals, kept.grid.rows, kept.grid.cols
        return (
            shapes,
            *((one.shape, one.dtype) for one in (noisy, t)),
            device,
            torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0,
            torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type),
        )

    def _give_up(self, error: Exception) -> None:
        """Run all steps as they are from here on."""
        full = isinstance(error, torch.OutOfMemoryError)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        self._refuse("there is too little memory for them" if full else lines[0])

    def _refuse(self, why: str) -> None:
        self._trouble = self._untold = why
        self._let_go()

    def _let_go(self) -> None:
        while self._held:
            self._held.popitem()[1][1].forget()
        self._kinds.clear()

    def refuse(self, why: str) -> None:
        """Record nothing any more, and say why once."""
        with self._lock:
            if not self._trouble:
                self._refuse(why)

    def forget(self) -> None:
        """Give all memory back; what comes next is recorded anew."""
        with self._lock:
            self._let_go()

    def complaint(self) -> str:
        """Why nothing is recorded any more; empty if all is well, or it was said before."""
        with self._lock:
            told, self._untold = self._untold, ""
        return told


def _uncached(device: torch.device) -> AbstractContextManager[object]:
    """Keep autocast from shortening weights into a cache of its own.

    It drops the cache when its context ends, and a graph would go on to read that memory.
    """
    kind = device.type
    if not torch.is_autocast_enabled(kind):
        return nullcontext()
    return torch.autocast(kind, dtype=torch.get_autocast_dtype(kind), cache_enabled=False)


class _Gate:
    """Some pass side by side, others alone; who wants to be alone waits for no newcomer."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._inside = self._waiting = 0
        self._closed = False

    @contextmanager
    def beside(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._closed and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._closed and not self._inside)
            finally:
                self._waiting -= 1
            self._closed = True
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()


_RECORDING = Lock()
"""Torch records one graph of a process at a time; two devices have a model each."""


class CudaRecording:
    """A CUDA graph, and what it writes."""

    def __init__(self, graph: torch.cuda.CUDAGraph, out: Tensor) -> None:
        self.graph, self.out = graph, out
        self.pool: Any = graph.pool()  # a token of torch's; None once it is given back

    def replay(self) -> None:
        """Hand it to the current stream."""
        self.graph.replay()

    def forget(self) -> None:
        """Wait for the device, then give the graph's memory back."""
        torch.cuda.synchronize(self.out.device)
        self.graph.reset()
        self.pool = None


class CudaRecorder:
    """Records on one device; its recordings share their memory, since none runs beside another.

    Args:
        device: where the model is.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream: torch.cuda.Stream | None = None
        self._living: WeakSet[CudaRecording] = WeakSet()

    def __call__(self, run: Callable[[], Tensor]) -> CudaRecording:
        """Record a run that was run before, on the same thread: kernels and handles are there.

        Raises:
            RuntimeError: something in it waits for the device, or memory is too small.
        """
        with _RECORDING, torch.cuda.device(self.device):
            # Torch's own stream would be one of the device that recorded first.
            self._stream = self._stream or torch.cuda.Stream(self.device)
            shared = (one.pool for one in self._living if one.pool)
            pool = next(shared, None) or torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            try:
                # Outside: a recording that breaks off leaves the thread on the recorder's stream.
                # "thread_local": other threads of the process (a second model, a reader that pins
                # memory) may allocate meanwhile; by torch's default that would end the recording,
                # or their work. They allocate elsewhere: the pool is the recording stream's.
                with (
                    torch.cuda.stream(torch.cuda.current_stream()),
                    torch.cuda.graph(graph, pool, self._stream, capture_error_mode="thread_local"),
                ):
                    out = run()
            except RuntimeError:
                _end(self.device, pool, self._stream)
                raise
            recording = CudaRecording(graph, out)
            self._living.add(recording)
            return recording


def _end(device: torch.device, pool: Any, stream: torch.cuda.Stream) -> None:
    """Bring torch out of a recording that broke off, as it does itself after one that ended.

    Its allocator would go on to record: it would give back nothing that it caches. The functions
    are private, hence the guard; where the recording did end, the first refuses. Its generator of
    random numbers would go on too, and refuse to draw: until the next recording that ends well.
    """
    index = device.index if device.index is not None else torch.cuda.current_device()
    with suppress(AttributeError, RuntimeError):
        torch._C._cuda_endAllocateToPool(index, pool)
        torch._C._cuda_releasePool(index, pool)
    with suppress(RuntimeError), torch.cuda.stream(torch.cuda.current_stream()):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            torch.zeros(1, device=device)
