"""Print the commands below one of the README's bold titles, for a workflow to run them as they stand there."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
_BLOCK = re.compile(r"^\*\*(?P<title>[^*\n]+)\*\*[^\n]*\n\n```sh\n(?P<lines>.*?)^```$", re.M | re.S)


def blocks(text: str) -> dict[str, str]:
    """Title → lines of the shell block below it."""
    return {match["title"]: match["lines"] for match in _BLOCK.finditer(text)}


def main() -> None:
    """Print a block; exit code 2 where the README has none with that title."""
    found = blocks(README.read_text())
    parser = argparse.ArgumentParser(description=__doc__, epilog='Example: python ci/readme.py "conda or mamba"')
    parser.add_argument("title", choices=found, help="what stands between ** above the block")
    sys.stdout.write(found[parser.parse_args().title])


if __name__ == "__main__":
    main()
