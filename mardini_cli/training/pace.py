"""How far a run is, in steps, where minutes may end a stage before its steps do.

Room: training. Arithmetic alone.
"""

from collections.abc import Sequence

from mardini_cli.training.stages import StageConfig


class Pace:
    """Steps that lie behind, and steps to expect in all."""

    def __init__(self, stages: Sequence[StageConfig]) -> None:
        self.stages = stages
        self._ended: dict[str, int] = {}

    def at(self, stage: StageConfig, done: int, behind: float, seconds: float) -> tuple[int, int]:
        """Tell how far the run is.

        Args:
            stage: the one under way; those before it are done.
            done: its steps that are done, at least 1.
            behind: share of it that they are; 1 or more is its end.
            seconds: that they took.

        Returns:
            Steps that are done, and steps to expect; equal at the end of the last stage.
        """
        place = [each.name for each in self.stages].index(stage.name)
        before = sum(self._ended.get(s.name, _told(s)) for s in self.stages[:place])
        own = stage.steps
        if stage.minutes:
            own = done if behind >= 1 else max(done, min(own, round(done / max(behind, 1e-9))))
        if behind >= 1:
            self._ended[stage.name] = own
        pace = done / max(seconds, 1e-9)
        after = sum(_expected(s, pace) for s in self.stages[place + 1 :])
        return before + done, before + own + after


def _told(stage: StageConfig) -> int:
    """Steps of a stage that ended before this process began: known if no minutes ended it."""
    return 0 if stage.minutes else stage.steps


def _expected(stage: StageConfig, pace: float) -> int:
    """Steps of a stage to come, at the pace of the one under way."""
    return min(stage.steps, round(60 * stage.minutes * pace)) if stage.minutes else stage.steps
