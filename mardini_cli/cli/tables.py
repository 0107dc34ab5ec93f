"""What a clip holds and what was proved of a result, in lines for eyes.

Room: cli. Text alone; ``screen`` writes it, and makes control signs visible.
"""

from collections.abc import Iterator
from fractions import Fraction

from mardini_cli.events import Batched, Outcome, Priced, Probed, Verified


def probed_lines(clip: Probed) -> Iterator[str]:
    """What a clip holds, for eyes: a line a subject."""
    yield str(clip.path)
    yield f"file      {clip.container}, {clip.codec}"
    yield (
        f"frames    {clip.frames}, from {float(clip.start):.3f} to {float(clip.end):.3f} s "
        f"({float(clip.duration):.3f} s)"
    )
    yield f"rate      {_rate_text(clip)}"
    yield f"clock     ticks of {clip.clock} s"
    turned = f" upright, turned by {clip.rotation} degrees" if clip.rotation else ""
    aspect = clip.aspect or Fraction(1)
    shape = f", pixels {aspect.numerator}:{aspect.denominator}" if aspect != 1 else ""
    yield f"picture   {clip.width} x {clip.height}{turned}{shape}"
    marks = [
        f"{clip.bits} bits",
        *(["transparent"] if clip.transparent else []),
        *(["interlaced"] if clip.interlaced else []),
    ]
    yield f"pixels    {clip.pixel_format}, {', '.join(marks)}"
    yield (
        f"colour    matrix {clip.matrix}, primaries {clip.primaries}, transfer {clip.transfer}, "
        f"range {clip.range}"
    )
    places = f", at frames {', '.join(map(str, clip.cuts))}" if clip.cuts else ""
    yield f"cuts      {len(clip.cuts)}{places}"
    yield f"held      {clip.held} frames repeat the one before"
    yield from (f"streams   {stream}" for stream in clip.streams)
    yield f"chapters  {clip.chapters}"
    yield from (f"notice    {notice}" for notice in clip.notices)
    yield from (f"frame {number} at {time} s" for number, time in enumerate(clip.times))


def _rate_text(clip: Probed) -> str:
    if clip.rate is None or clip.shortest is None or clip.longest is None:
        return "none: one frame"
    decimal = "" if clip.rate.denominator == 1 else f" = {float(clip.rate):.3f}"
    told = f"{clip.rate}{decimal} frames a second"
    if clip.even:
        return f"{told}, even"
    gaps = f"{float(clip.shortest * 1000):.3g} to {float(clip.longest * 1000):.3g} ms"
    return f"{told} on the mean, uneven: gaps of {gaps}"


def verified_line(result: Verified) -> str:
    """What was proved, in short."""
    failed = sum(not check.passed for check in result.checks)
    count = len(result.checks)
    verdict = f"{failed} of {count} checks failed" if failed else f"all {count} checks hold"
    return f"verified {result.frames} frames in {result.elapsed:.1f} s: {verdict}"


def verified_lines(result: Verified) -> Iterator[str]:
    """What was proved, a line a check: what was found, and what was needed where it failed."""
    width = max(len(check.name) for check in result.checks)
    for check in result.checks:
        needed = "" if check.passed else f"; needs {check.needed}"
        yield f"{'ok  ' if check.passed else 'FAIL'}  {check.name:{width}}  {check.found}{needed}"
    yield verified_line(result)


def priced_lines(run: Priced) -> Iterator[str]:
    """What a training run would cost, for eyes: a line a stage."""
    yield (
        f"{run.preset}: {run.parameters / 1e6:,.1f} M parameters; {run.processes} x {run.device}, "
        f"{run.rate / 1e12:.3g} TFLOP/s each in matrix products, measured now"
    )
    head = ("stage", "steps", "trained M", "tokens planner", "denoiser", "TFLOP", "GiB", "s a step")
    rows = [
        (
            stage.name,
            f"{stage.minutes:,.3g} min" if stage.minutes else f"{stage.steps:,}",
            f"{stage.moving / 1e6:,.1f}",
            f"{stage.planner_tokens:,}",
            f"{stage.denoiser_tokens:,}",
            f"{stage.flops / 1e12:,.3f}",
            f"{stage.memory / 2**30:,.2f}",
            f"{stage.measured:.3f}" if stage.measured else "-",
        )
        for stage in run.stages
    ]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for name, *cells in (head, *rows):
        right = "  ".join(cell.rjust(w) for cell, w in zip(cells, widths[1:], strict=True))
        yield f"{name.ljust(widths[0])}  {right}"
    yield "tokens and TFLOP of a step over all processes; GiB for one of them"
    least = f"at least {run.least_hours:,.2f} hours, if every operation ran at that rate"
    if run.expected_hours is None:
        yield f"{least}; give this again once the run has a log, for the hours to expect"
    else:
        yield f"{least}; {run.expected_hours:,.2f} hours to expect, at the pace of the run's log"


def batched_lines(batch: Batched) -> Iterator[str]:
    """How every item of a batch came out, a line each; then their count."""
    sources = [outcome.source for outcome in batch.outcomes]
    width = max(map(len, sources), default=0)
    for outcome, source in zip(batch.outcomes, sources, strict=True):
        spent = f"{outcome.elapsed:7.1f} s" if outcome.elapsed else " " * 9
        line = f"{outcome.item:4}  {outcome.state:<7}  {spent}  {source:{width}}  {_end(outcome)}"
        yield line.rstrip()
    counts = ("done", "failed", "skipped", "stopped")
    told = ", ".join(f"{getattr(batch, name)} {name}" for name in counts if getattr(batch, name))
    yield f"{batch.items} items in {batch.elapsed:.1f} s: {told or 'none'}"


def _end(outcome: Outcome) -> str:
    return f"{outcome.code}: {outcome.message}" if outcome.code else ", ".join(outcome.outputs)
