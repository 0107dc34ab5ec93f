"""Make the frames between a clip's frames, from Python.

Usage: python examples/from_python.py CLIP RESULT
"""

import sys
from pathlib import Path

from mardini_cli import api
from mardini_cli.config import SamplerConfig
from mardini_cli.errors import MardiniError
from mardini_cli.events import Finished, Progress


def main(clip: Path, result: Path) -> None:
    """Follow the events of one job; they come as the work goes on."""
    request = api.InterpolateRequest(
        clip=clip, output=result, factor=2, sampler=SamplerConfig(steps=0), overwrite=True
    )
    for event in api.interpolate(request):
        match event:
            case Progress(done=done, total=total):
                print(f"\r{done} of {total}", end="", file=sys.stderr)
            case Finished(output=output, made=made):
                print(f"\n{made} frames made: {output}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/from_python.py CLIP RESULT")
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except MardiniError as error:
        sys.exit(str(error))
