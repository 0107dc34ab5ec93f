"""What was found out about this machine, kept in the user's cache for later runs.

Room: remembered (floor 1). A cache: a file that is missing, damaged or of another format is as good
as an empty one, and what others have kept stays.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Remembered:
    """A file of entries by key, each of them plain JSON."""

    name: str
    """Of the file, without its ending."""
    format: int = 1
    """Files of another one are not read."""

    @property
    def place(self) -> Path:
        """The file, in the user's cache."""
        from platformdirs import user_cache_path

        return user_cache_path("mardini") / f"{self.name}.json"

    def entries(self) -> dict[str, Any]:
        """All that is kept; nothing where there is no file, or it is no use."""
        try:
            told = json.loads(self.place.read_text(encoding="utf-8"))
            return dict(told["entries"]) if told["format"] == self.format else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def keep(self, key: str, entry: object) -> Path:
        """Add an entry, or put it in another's place.

        Raises:
            OSError: the cache cannot be written.
        """
        path = self.place
        entries = {**self.entries(), key: entry}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        told = {"format": self.format, "entries": entries}
        part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
        return path
