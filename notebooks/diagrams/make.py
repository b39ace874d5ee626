"""Draw the diagrams: `python notebooks/diagrams/make.py`, or with `--check` compare them with `notebooks/images/`."""

import argparse
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parent / "images"
NAMES = ("networks", "adain_and_demodulation", "spaces", "loop", "loss", "edits")


def drawn(name: str) -> str:
    """The SVG text of one diagram."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    return importlib.import_module(name).draw().svg()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which (default: all): {', '.join(NAMES)}")
    parser.add_argument("--check", action="store_true", help="compare, write nothing; exit 1 where one differs")
    options = parser.parse_args(arguments)
    wrong = []
    for name in options.names or NAMES:
        path = IMAGES / f"{name}.svg"
        if not options.check:
            IMAGES.mkdir(exist_ok=True)
            path.write_text(drawn(name), encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != drawn(name):
            wrong.append(f"images/{name}.svg does not follow from diagrams/{name}.py.")
    if options.check:
        print("\n".join(wrong) or f"{len(options.names or NAMES)} diagrams are up to date.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
