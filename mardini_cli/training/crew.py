"""The processes of a run: who am I, how do we agree, and chance that does not care how many we are.

Room: training. Every process makes the whole batch and works on its share; gradients, statistics
and chance are those of the whole batch, so that two processes do what one does.

Dimension key
    b  windows of this process
"""

import atexit
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

_MESSAGE = 256 * 2**20  # bytes of gradients that are sent together
_meshes: list[DeviceMesh] = []


@dataclass(frozen=True, slots=True)
class Own:
    """Which windows of a batch one process works on: ``count`` of every ``every``."""

    first: int = 0
    count: int = 1
    every: int = 1

    def has(self, number: int) -> bool:
        """Whether a window is among them."""
        return self.first <= number % self.every < self.first + self.count


@dataclass(frozen=True, slots=True)
class Crew:
    """This process among the others; one alone by default."""

    rank: int = 0
    world: int = 1

    def share(self, part: tuple[int, int]) -> tuple[int, int]:
        """First window of a part of this process's, and how far the next one is.

        Args:
            part: its number, and how many there are.
        """
        number, parts = part
        return self.rank * parts + number, self.world * parts

    def own(self, parts: int) -> Own:
        """Windows of this process, where a step is worked through in so many parts."""
        return Own(self.rank * parts, parts, self.world * parts)

    def meet(self, parameters: list[nn.Parameter]) -> None:
        """Average gradients over the processes."""
        if self.world == 1:
            return
        # Those of weights that are shared out have met on their way back.
        gradients = [
            p.grad for p in parameters if p.grad is not None and not isinstance(p, DTensor)
        ]
        for some in _bundles(gradients):
            joined = torch.cat([gradient.flatten() for gradient in some])
            dist.all_reduce(joined)
            parts = joined.div_(self.world).split([gradient.numel() for gradient in some])
            for gradient, part in zip(some, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    def clip(self, parameters: list[nn.Parameter], most: float) -> Tensor:
        """Shorten gradients to a length of at most ``most``, all together.

        Returns:
            Their length before.
        """
        if not any(isinstance(parameter, DTensor) for parameter in parameters):
            return nn.utils.clip_grad_norm_(parameters, most)
        whole = [p.grad for p in parameters if p.grad is not None and not isinstance(p, DTensor)]
        parts = [p.grad._local_tensor for p in parameters if isinstance(p.grad, DTensor)]
        square = torch.stack([part.float().square().sum() for part in parts]).sum()
        dist.all_reduce(square)
        if whole:
            square = square + torch.stack([x.float().square().sum() for x in whole]).sum()
        length: Tensor = square.sqrt()
        torch._foreach_mul_([*whole, *parts], (most / (length + 1e-6)).clamp(max=1.0))
        return length

    def gather(self, tensor: Tensor) -> Tensor:
        """Join what every process has along the first dimension."""
        if self.world == 1:
            return tensor
        tensor = tensor.contiguous()  # and so are its likes: NCCL asks it of both
        parts = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(parts, tensor)
        return torch.cat(parts)

    def norm(self, tensor: Tensor) -> Tensor:
        """Length of the vector of which every process holds a part."""
        square: Tensor = tensor.square().sum()
        if self.world > 1:
            dist.all_reduce(square)
        return square.sqrt()

    def mean(self, tensor: Tensor) -> Tensor:
        """Mean of what the processes have of the same shape, in a tensor of its own."""
        if self.world == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total / self.world

    def agree(self, value: float, device: torch.device) -> float:
        """The largest of all processes' values: they must end a stage at the same step."""
        if self.world == 1:
            return value
        most = torch.tensor(value, dtype=torch.float64, device=device)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        return float(most)


def _bundles(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients that meet in one message each: long ones are quick, a copy of all is too much."""
    bundle, size = list[Tensor](), 0
    for gradient in gradients:
        if bundle and size + gradient.nbytes > _MESSAGE:
            yield bundle
            bundle, size = [], 0
        bundle.append(gradient)
        size += gradient.nbytes
    if bundle:
        yield bundle


def mesh(crew: Crew, device: torch.device) -> DeviceMesh:
    """All processes in a row, for networks that are shared out over them."""
    _meshes.append(init_device_mesh(device.type, (crew.world,)))
    return _meshes[-1]


def join() -> Crew:
    """Join the processes that torchrun started beside this one, if it did.

    They are left when the interpreter ends, at the latest: threads that talk to the others must not
    meet one that is being taken down, which aborts the process.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not dist.is_initialized():
        # Both where there are GPUs: checkpoints are written from the host.
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    if world > 1:
        atexit.register(leave)
    return Crew(int(os.environ.get("RANK", "0")), world)


def leave() -> None:
    """Let the other processes go. Threads that talk to them end with what is shared out."""
    if dist.is_initialized():
        dist.destroy_process_group()
    for one in _meshes:  # torch's caches of sharding keep meshes; these need not keep the threads
        getattr(one, "_pg_registry", {}).clear()
    _meshes.clear()
    gc.collect()  # networks that are shared out are in cycles with their hooks


class Chance:
    """Draws for the windows of this process, as if one process drew for all of them.

    A step may be worked through in parts; each part draws its own share, and the same as without.
    """

    def __init__(
        self, seed: int, device: torch.device, crew: Crew, part: tuple[int, int] = (0, 1)
    ) -> None:
        self.rng, self.crew, self.parts = torch.Generator(device).manual_seed(seed), crew, part[1]
        self.first, self.every = crew.share(part)
        self.host = torch.Generator().manual_seed(seed + 1)  # not what the others begin with

    def normal(self, like: Tensor) -> Tensor:
        """Unit normal of that shape, ``b ...``."""
        shape = (len(like) * self.every, *like.shape[1:])
        return self._mine(torch.randn(shape, generator=self.rng, device=self.rng.device))

    def uniform(self, b: int) -> Tensor:
        """``b`` numbers in [0, 1)."""
        count = b * self.every
        return self._mine(torch.rand(count, generator=self.rng, device=self.rng.device))

    def integers(self, b: int, low: int, high: int) -> Tensor:
        """``b`` whole numbers from ``low`` to below ``high``."""
        shape = (b * self.every,)
        return self._mine(
            torch.randint(low, high, shape, generator=self.rng, device=self.rng.device)
        )

    def common(self, count: int) -> list[float]:
        """``count`` numbers in [0, 1) that all windows of a step share; known to the host."""
        drawn: list[float] = torch.rand(count, generator=self.host).tolist()
        return drawn

    def _mine(self, drawn: Tensor) -> Tensor:
        return drawn[self.first :: self.every]
