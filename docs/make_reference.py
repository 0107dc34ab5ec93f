"""Write docs/reference.md and docs/mardini.1 from what ``--help`` says.

Usage: python docs/make_reference.py (or: just reference)

Both are made of the very text that the program shows, so a test can hold them equal to it.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from typer.main import get_command

from mardini_cli import __version__
from mardini_cli.cli.app import app

DOCS = Path(__file__).parent
AGAIN = "python docs/make_reference.py"
HEAD = f"""\
# Commands and flags

Made by `{AGAIN}` from what `--help` says; a test keeps the two equal.
"""
MAN_HEAD = f"""\
.\\" Made by {AGAIN} from what --help says.
.TH MARDINI 1 "" "mardini {__version__}" "User Commands"
.SH NAME
mardini \\- make the video frames that are missing
.SH SYNOPSIS
.B mardini
[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]...
"""
MAN_TAIL = """\
.SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
failed: input, output, weights or machine
.TP
.B 2
wrong words on the command line or in a config
.TP
.B 130
interrupted (Ctrl\\-C)
.TP
.B 143
terminated (SIGTERM)
.SH ENVIRONMENT
.TP
.B MARDINI_HUB_REPO
the repository that the word hub stands for as a name of weights
.TP
.B HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE
mirror, cache, access token and offline mode of the Hugging Face Hub
.TP
.B NO_COLOR
no colours, if it is not empty
"""


def helps() -> Iterator[tuple[tuple[str, ...], str]]:
    """Every command's words and its help, the program's own first."""
    root: Any = get_command(app)  # a group, whose type is Typer's own affair
    yield (), _help(())
    for name, command in root.commands.items():
        yield (name,), _help((name,))
        for word, inner in getattr(command, "commands", {}).items():
            if not inner.hidden:  # one that its group's help stands for
                yield (name, word), _help((name, word))


@cache
def _help(words: tuple[str, ...]) -> str:
    told = subprocess.run(
        [sys.executable, "-m", "mardini_cli", *words, "--help"],
        env={"COLUMNS": "80", "PYTHONPATH": str(DOCS.parent), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return told.stdout.strip("\n")


def reference() -> str:
    """The page of all flags."""
    parts = [HEAD]
    for words, text in helps():
        title = " ".join(("mardini", *words))
        parts.append(f"## {title}\n\n```\n{text}\n```\n")
    return "\n".join(parts)


def man_page() -> str:
    """The same as a manual page."""
    parts = [MAN_HEAD]
    for words, text in helps():
        title = " ".join(("mardini", *words)) if words else "DESCRIPTION"
        parts.append(f'.SH "{title}"\n{_roff(text)}')
    return "".join(parts) + MAN_TAIL


def _roff(text: str) -> str:
    """Usage, paragraphs, then lists of terms and what they mean."""
    lines: list[str] = []
    in_list = False
    for line in text.splitlines():
        term = re.fullmatch(r"  (\S+(?: \S+)*)(?:  +(\S.*))?", line)
        if re.fullmatch(r"[A-Z]\w+:", line):
            lines.append(f".SS {line[:-1]}")
            in_list = True
        elif in_list and term:
            lines += [".TP", f".B {_escaped(term[1])}", *([_escaped(term[2])] if term[2] else [])]
        elif line.startswith("Usage: "):
            lines += [".B " + _escaped(line.removeprefix("Usage: "))]
        elif not line.strip():
            lines.append(".PP")
        else:
            lines.append(_escaped(line.strip()))
    return re.sub(r"(?:\.PP\n)+(?=\.S|\Z)", "", "\n".join(lines) + "\n")


def _escaped(text: str) -> str:
    safe = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{safe}" if safe[:1] in (".", "'") else safe


def main() -> None:
    """Write both files."""
    (DOCS / "reference.md").write_text(reference(), encoding="utf-8")
    (DOCS / "mardini.1").write_text(man_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
