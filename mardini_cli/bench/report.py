"""What was measured, for eyes (a Markdown table) and for programs (JSON).

Room: bench. Writes no file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from mardini_cli.bench.measuring import STAGES, Measured
from mardini_cli.bench.profiling import Profile

NETWORKS = ("plan", "denoise")
"""Stages whose speed is told beside the ceiling: the two networks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One run of the bench."""

    machine: Mapping[str, str | int | float]
    ceiling: float
    """Operations a second of the fastest matrix product."""
    cells: Sequence[Measured] = ()
    profiles: Sequence[Profile] = ()
    kernels: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Attention: by shape, the seconds of each kernel that ran."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """The kernel that each shape was given."""
    notes: Sequence[str] = ()

    def to_json(self) -> str:
        """All of it, with what follows from it."""
        told = {
            **asdict(self),
            "cells": [
                asdict(cell)
                | (
                    {}
                    if cell.failed
                    else {
                        "total": cell.total,
                        "frame": cell.frame,
                        "networks_rate": cell.rate(*NETWORKS),
                        "of_ceiling": cell.rate(*NETWORKS) / self.ceiling,
                    }
                )
                for cell in self.cells
            ],
        }
        return json.dumps(told, indent=1) + "\n"

    def to_text(self) -> str:
        """Tables in Markdown, milliseconds and GiB."""
        machine = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        parts = [f"{machine}\n\nfastest matrix product: {self.ceiling / 1e12:.2f} TFLOP/s\n"]
        if self.cells:
            parts.append(_cells(self))
        for profile in self.profiles:
            parts.append(_profile(profile))
        if self.kernels:
            parts.append(_kernels(self.kernels))
        return "\n".join([*parts, *self.notes])


def _cells(report: Report) -> str:
    head = [
        "cell",
        *(f"{stage} ms" for stage in STAGES),
        "all ms",
        "ms a made frame",
        "GFLOP a made frame",
        "plan + denoise TFLOP/s",
        "of ceiling",
        "peak GiB",
        "first s",
    ]
    rows = [head, ["---"] * len(head)]
    for cell in report.cells:
        if cell.failed:
            rows.append([cell.name, cell.failed, *[""] * (len(head) - 2)])
            continue
        rate = cell.rate(*NETWORKS)
        counted = any(cell.flops.values())
        rows.append(
            [
                cell.name,
                *(f"{1e3 * cell.seconds[stage]:.1f}" for stage in STAGES),
                f"{1e3 * cell.total:.1f}",
                f"{1e3 * cell.frame:.1f}",
                f"{sum(cell.flops.values()) / cell.made / 1e9:.1f}" if counted else "",
                f"{rate / 1e12:.3g}" if counted else "",
                f"{rate / report.ceiling:.0%}" if counted else "",
                f"{cell.peak / 2**30:.2f}",
                f"{cell.first:.1f}",
            ]
        )
    return _table(rows)


def _profile(profile: Profile) -> str:
    total = sum(profile.kinds.values()) or 1.0
    rows = [["kind", "ms", "share"], ["---"] * 3]
    rows += [[k, f"{1e3 * s:.2f}", f"{s / total:.1%}"] for k, s in profile.kinds.items()]
    rows += [
        [f"`{n[:90]}` x {calls}", f"{1e3 * s:.2f}", f"{s / total:.1%}"]
        for n, s, calls in profile.kernels
    ]
    return f"{profile.name}\n\n{_table(rows)}"


def _kernels(kernels: Mapping[str, Mapping[str, float]]) -> str:
    names = sorted({name for shape in kernels.values() for name in shape})
    rows = [["attention, ms", *names], ["---"] * (1 + len(names))]
    for shape, found in kernels.items():
        rows.append([shape, *(f"{1e3 * found[n]:.3f}" if n in found else "-" for n in names)])
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
