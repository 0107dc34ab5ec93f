"""Crops of the denoiser's view inside the frame that the planner sees whole.

Room: training. What tiles are when frames are made: the same box, the same place in the frame.
"""

from mardini_cli.model.positions import Grid
from mardini_cli.model.tiles import Box
from mardini_cli.training.crew import Chance


def draw_crop(grid: Grid, share: float, chance: Chance) -> Box | None:
    """Draw half of a frame's rows and columns, anywhere; or nothing: the whole is seen.

    Args:
        grid: the denoiser's tokens of the whole frame.
        share: how often there is a crop, from 0 to 1.
        chance: of this step; all of its windows share the crop.
    """
    if not share:  # draws nothing then
        return None
    drawn, down, across = chance.common(3)
    if drawn >= share:
        return None
    rows, cols = max(1, grid.rows // 2), max(1, grid.cols // 2)
    top, left = int(down * (grid.rows - rows + 1)), int(across * (grid.cols - cols + 1))
    return Box(top, left, rows, cols)
