"""Precision and recall of cuts on generated footage or on any clips, beside PySceneDetect.

    python -m docs.measure_cuts EACH [CLIP ...]

EACH scenes of every kind are made, from the clips if any are named. The table goes to the output.
"""

import sys
from pathlib import Path

from mardini_cli.media.bulk import clip_bytes
from tests.media.judging import Judgement, oracle, ours
from tests.media.shot_set import CUTS, NO_CUTS, SIZE, Random, Shot, fitted, generated_shot, scenes

ORACLE_THRESHOLDS = (3.0, 4.0, 5.0, 6.0)
"""The first is PySceneDetect's own."""


class ClipShots:
    """Takes shots out of clips, never the same clip twice in a row."""

    def __init__(self, paths: list[Path]) -> None:
        self._clips = [fitted(clip_bytes(path, max(SIZE)).frames[:240]) for path in paths]
        self._last = -1

    def __call__(self, rng: Random, length: int, stride: int = 1) -> Shot:
        """Take frames of some clip, ``stride`` apart where it is long enough."""
        while True:
            number = int(rng.integers(len(self._clips)))
            clip = self._clips[number]
            step = min(stride, (len(clip) - 1) // max(1, length - 1))
            if number != self._last and step:
                break
        self._last = number
        start = int(rng.integers(len(clip) - (length - 1) * step))
        return clip[start : start + (length - 1) * step + 1 : step].copy()


def main(words: list[str]) -> None:
    """Make the set, ask everyone, print the table."""
    each, paths = int(words[0]), [Path(word) for word in words[1:]]
    shots = ClipShots(paths) if paths else generated_shot
    mine, theirs = Judgement(), {threshold: Judgement() for threshold in ORACLE_THRESHOLDS}
    cuts = quiet = 0
    for scene in scenes(shots, each):
        cuts, quiet = cuts + len(scene.cuts), quiet + (not scene.cuts)
        mine.add(scene, ours(scene.frames))
        for threshold, judgement in theirs.items():
            judgement.add(scene, oracle(scene.frames, threshold))
    print(f"{cuts} cuts of {len(CUTS)} kinds, {quiet} scenes without one of {len(NO_CUTS)} kinds")
    print("\n| detector | precision | recall | F1 |\n| --- | --- | --- | --- |")
    rows = [("mardini", mine)] + [(f"adaptive, threshold {t:g}", j) for t, j in theirs.items()]
    for name, judgement in rows:
        whole = judgement.whole
        print(f"| {name} | {whole.precision:.3f} | {whole.recall:.3f} | {whole.f1:.3f} |")
    print("\n| kind | mardini right, wrong, missed | adaptive 3 |\n| --- | --- | --- |")
    for kind, count in mine.kinds.items():
        other = theirs[ORACLE_THRESHOLDS[0]].kinds[kind]
        print(
            f"| {kind} | {count.right}, {count.wrong}, {count.missed} "
            f"| {other.right}, {other.wrong}, {other.missed} |"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
