"""What happened, in one line each for eyes.

Room: cli. Text alone; ``screen`` writes it, and makes control signs visible.
"""

from mardini_cli.events import (
    Began,
    Cached,
    Examined,
    Exported,
    Failed,
    Fetched,
    Finished,
    Intact,
    Joined,
    Located,
    Measured,
    Paused,
    Planned,
    Progress,
    Pushed,
    Removed,
    Resumed,
    Trained,
)


def failed_line(failure: Failed) -> str:
    """Why there is no result, for eyes."""
    return f"mardini: {failure.found}; needs {failure.needed}; {failure.do}"


def began_line(item: Began, number: int) -> str:
    """Which item of a batch it is the turn of, for eyes."""
    again = f", attempt {item.attempt}" if item.attempt > 1 else ""
    return f"item {number} of {item.items}: {item.task} {item.source}{again}"


def progress_line(progress: Progress, item: int) -> str:
    """How far the work is, for a log."""
    fresh = max(progress.done - progress.restored, 1)
    left = progress.elapsed * (progress.total - progress.done) / fresh
    of = f"item {item}: " if item else ""
    return (
        f"{of}{progress.done} of {progress.total} {progress.unit}, "
        f"{progress.elapsed:.0f} s, about {left:.0f} s left"
    )


def plan_line(plan: Planned) -> str:
    """What will be done, for eyes."""
    shots = f", {plan.cuts} cut{'' if plan.cuts == 1 else 's'}" if plan.cuts else ""
    shots += f", {plan.held} repeated" if plan.held else ""
    return (
        f"{plan.task}: {plan.source.name}, {plan.width}x{plan.height}, "
        f"{plan.given} given + {plan.made} made = {plan.given + plan.made} frames{shots} "
        f"in {plan.windows} window{'' if plan.windows == 1 else 's'}; "
        f"{plan.weights} on {plan.device}, steps {plan.steps}, seed {plan.seed}; to {plan.output}"
        f"{f'; takes about {duration(plan.estimate)}' if plan.estimate else ''}"
    )


def duration(seconds: float) -> str:
    """A time as a person says it: seconds, then minutes, then hours, two parts at the most."""
    if seconds < 1:
        return "a second"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def resumed_line(resumed: Resumed) -> str:
    """What earlier work left, for eyes."""
    other = f"; they were made with another {', '.join(resumed.other)}" if resumed.other else ""
    return (
        f"goes on from earlier work: {resumed.kept} of {resumed.made} made frames are there{other}"
    )


def finished_line(result: Finished) -> str:
    """What was done, for eyes."""
    return (
        f"made {result.made} of {result.frames} frames, {float(result.duration):.2f} s of video, "
        f"{result.size / 1024:.0f} KiB, in {result.elapsed:.1f} s"
    )


def joined_line(join: Joined) -> str:
    """How a border between windows came out, for eyes."""
    return (
        f"join at {float(join.time):.2f} s: step {join.step:.4f} (usual up to {join.usual:.4f}),"
        f" colour {join.colour:.4f}, sharpness {join.sharpness:.2f}"
    )


def measured_line(result: Measured) -> str:
    """What was measured, for eyes."""
    return f"measured {result.windows} windows of {result.clips} clips in {result.elapsed:.1f} s"


def trained_line(result: Trained) -> str:
    """What was trained, for eyes."""
    return f"trained {result.steps} steps in {result.elapsed:.1f} s"


def paused_line(result: Paused) -> str:
    """Where a run stands that was asked to end."""
    return (
        f"asked to end: saved step {result.step} of stage {result.stage} after "
        f"{result.elapsed:.1f} s; the same command goes on from there"
    )


def cached_line(result: Cached) -> str:
    """What was kept for a stage."""
    return (
        f"kept {result.steps} batches for stage {result.stage}, {_mib(result.size)}, "
        f"in {result.elapsed:.1f} s"
    )


def exported_line(result: Exported) -> str:
    """What was made of a run, for eyes."""
    at = f" at its step {result.step}" if result.step else ""
    return (
        f"averaged weights of {result.run} after stage {result.stage}{at}, {_mib(result.size)}; "
        "README.md waits for what only you know"
    )


def fetched_line(result: Fetched) -> str:
    """What was fetched, for eyes."""
    return (
        f"{result.name} at {result.revision[:12]}: {result.files} files, {_mib(result.size)}, "
        f"every byte checked, in {result.elapsed:.1f} s"
    )


def result_line(result: Located | Intact | Removed | Pushed | Examined) -> str:
    """What a command was asked for, one line."""
    match result:
        case Located(path=None):
            return f"{result.name}  on the Hub, not here: mardini weights download {result.name}"
        case Located():
            at = f"  {result.revision[:12]}" if result.revision else ""
            size = _mib(result.size)
            return f"{result.name}  {result.kind}  {result.preset}  {size}{at}  {result.path}"
        case Intact(size=0):
            told = "no digests to compare with (format 1)"
            return f"{result.name}  whole: {result.tensors} tensors fit, {told}  {result.path}"
        case Intact():
            compared = f"{_mib(result.size)} compared"
            return f"{result.name}  whole: {result.tensors} tensors fit, {compared}  {result.path}"
        case Removed():
            return f"{result.name}  removed, {_mib(result.size)} free again"
        case Pushed():
            door = "private" if result.private else "public"
            verb = "would send" if result.dry_run else f"{result.revision}: sent"
            names = ", ".join(result.files)
            return f"{result.address}  {door}  {verb} {names} ({_mib(result.size)})"
        case Examined():
            do = f"; {result.do}" if result.do else ""
            return f"{result.state:<8} {result.name:<10} {result.found}{do}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
