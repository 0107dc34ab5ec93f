"""Our cuts and PySceneDetect's over the measuring set, counted the same way."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from av import VideoFrame
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from mardini_cli.media.shots import Watch
from mardini_cli.tasks.cuts import find_cuts
from tests.media.shot_set import Scene, Shot

Finder = Callable[[Shot], Iterable[int]]


def ours(frames: Shot) -> tuple[int, ...]:
    """Cuts as a clip's reader would find them."""
    watch = Watch()
    for frame in frames:
        watch(VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
    return find_cuts(watch.steps)


def oracle(frames: Shot, threshold: float = 3.0) -> list[int]:
    """PySceneDetect's adaptive detector; any length of shot, since some here are short."""
    detector = AdaptiveDetector(adaptive_threshold=threshold, min_scene_len=1)
    found = []
    for number, frame in enumerate(frames):
        picture = np.ascontiguousarray(frame[..., ::-1])
        found += detector.process_frame(FrameTimecode(number, 25.0), picture)
    return [cut.frame_num for cut in found]


@dataclass
class Count:
    """How a finder did."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.right / max(1, 2 * self.right + self.wrong + self.missed)


@dataclass
class Judgement:
    """Counts over all scenes and by kind."""

    whole: Count = field(default_factory=Count)
    kinds: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))

    def add(self, scene: Scene, found: Iterable[int]) -> None:
        got, true = set(found), set(scene.cuts)
        for count in (self.whole, self.kinds[scene.kind]):
            count.right += len(got & true)
            count.wrong += len(got - true)
            count.missed += len(true - got)
