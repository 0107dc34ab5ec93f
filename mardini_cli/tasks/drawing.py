"""A plan as text for eyes: one line a window.

Room: tasks.
"""

from mardini_cli.tasks.plan import Plan, Slot, Window

LEGEND = "G given, g given and not shown, M made, m made and not shown, e made earlier"


def draw(plan: Plan) -> str:
    """Draw the windows in the order of making, each with its frames, times and slots."""
    count = "1 window" if len(plan.windows) == 1 else f"{len(plan.windows)} windows"
    lines = [f"{count} over {len(plan.slots)} frames: {LEGEND}"]
    digits = len(str(plan.slots[-1].index))
    for number, window in enumerate(plan.windows):
        first, last = window.slots[0], window.slots[-1]
        lines.append(
            f"window {number:<{len(str(len(plan.windows)))}}  "
            f"frames {first.index:>{digits}} to {last.index:>{digits}}  "
            f"{float(first.time):8.3f} to {float(last.time):8.3f} s  "
            f"{''.join(_sign(slot, window) for slot in window.slots)}"
        )
    return "\n".join(lines)


def _sign(slot: Slot, window: Window) -> str:
    if window.makes(slot):
        return "M" if slot.shown else "m"
    if slot.is_made:
        return "e"
    return "G" if slot.shown else "g"
