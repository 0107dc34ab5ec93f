"""Write NOTICE: whose clips and photographs the default weights were trained on.

Usage: python docs/make_notice.py DATA. DATA holds the packs, each a folder with a
``sources.csv``; only those that training may use are read.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKS = ("train_clips/*", "train_photos", "train_photos_b")
"""Folders of DATA that training may use."""

EXCLUDED = frozenset(
    {
        "NVIDIA/VideoProcessingFramework",
        "RomanArzumanyan/VALI",
        "collidingScopes/ascii",
        "facebookresearch/sam2",
        "flutter/assets-for-api-docs",
        "immich-app/test-assets",
        "nextcloud/example-files",
    }
)
"""Repositories whose licence says nothing of the footage: left out of training, and of NOTICE."""

HEAD = """\
mardini
Copyright 2026 the mardini authors

Licensed under the Apache License, Version 2.0; see LICENSE.

Examples
--------

examples/cat.mp4
    Cut, scaled and re-encoded from docs/source/_static/media_resized/cat-pikachu-0.mp4 of
    lab4d-org/lab4d (github.com). Lab4D authors, MIT.
examples/boat.jpg
    Cropped and scaled from backgrounds/vents-du-sud.jpg of getsolus/artwork (github.com).
    "Vents du sud" by Christian Ferrer, CC BY 4.0.

Training data of the default weights
------------------------------------

The weights were made with clips and photographs that were cropped, scaled, cut and re-encoded
from the public repositories below (owner/name at github.com), under the licences named, with
thanks to:
"""

LICENCES = {
    "CC BY {}": "https://creativecommons.org/licenses/by/{}/",
    "CC BY-SA {}": "https://creativecommons.org/licenses/by-sa/{}/",
    "CC0 {}": "https://creativecommons.org/publicdomain/zero/{}/",
}


def notice(data: Path) -> str:
    """The whole text, the same for the same sources."""
    repositories: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in sources(data):
        licence = licence_name(row["licence"])
        repositories[row["repository"]][licence].add(credit(row["credit"]))
    names = sorted({licence for told in repositories.values() for licence in told})
    blocks = [_block(name, repositories[name]) for name in sorted(repositories, key=str.lower)]
    return "\n".join([HEAD, *blocks, "", "Licence texts", "-------------", "", *_texts(names), ""])


def sources(data: Path) -> Iterator[Mapping[str, str]]:
    """Every row that training may use, in a fixed order.

    Raises:
        SystemExit: the folder holds no pack at all.
    """
    tables = [table for pack in PACKS for table in sorted(data.glob(f"{pack}/sources.csv"))]
    if not tables:
        sys.exit(f"{data} holds no sources.csv in {', '.join(PACKS)}")
    for table in tables:
        with table.open(encoding="utf-8", newline="") as lines:
            yield from (row for row in csv.DictReader(lines) if row["repository"] not in EXCLUDED)


def licence_name(written: str) -> str:
    """One spelling a licence."""
    name = written.replace("CC-BY", "CC BY").replace("SA-", "SA ").replace("BY-4", "BY 4")
    name = {"CC0": "CC0 1.0", "CC0-1.0": "CC0 1.0"}.get(name, name)
    return "Public domain" if name.lower() == "public domain" else name


def credit(written: str) -> str:
    """One line; the address of the bare picture adds nothing to that of its page."""
    return " ".join(written.split(" Image URL:")[0].split())


def _block(repository: str, told: Mapping[str, set[str]]) -> str:
    lines = [
        f"    {licence}: {'; '.join(sorted(told[licence], key=str.lower))}"
        for licence in sorted(told)
    ]
    return "\n".join([repository, *lines])


def _texts(names: list[str]) -> Iterator[str]:
    for name in names:
        kind, _, version = name.rpartition(" ")
        address = LICENCES.get(f"{kind} {{}}")
        if address and version[0].isdigit():
            yield f"{name}: {address.format(version)}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/make_notice.py DATA")
    target = Path(__file__).parent.parent / "NOTICE"
    target.write_text(notice(Path(sys.argv[1])), encoding="utf-8")
    print(f"{target}: {target.stat().st_size} bytes")
