"""Embed the people of lesson 5: `python -m training people --photos FOLDER --out data/london-128.safetensors`.

FOLDER holds NAME-neutral.jpg and NAME-smiling.jpg of each person, aligned. Run it again when the generator changes.
"""

import argparse
from pathlib import Path

from i2s.course.lesson05 import ATTRIBUTION, People, save_people
from i2s.embedding import embed
from i2s.errors import ImageError
from i2s.generators import load_generator
from i2s.generators.base import Generator
from i2s.images import load_photos

START = {"encoder": "the encoder's code", "mean": "the mean latent"}


def embed_people(
    folder: Path,
    generator: Generator,
    limit: int | None = None,
    steps: int = 80,
    learning_rate: float = 0.03,
    p_norm_weight: float = 0.02,
    init: str = "encoder",
    progress: bool = True,
) -> People:
    """Embed people: neutral from the encoder's code, smiling from the neutral code.

    Args:
        folder: Of the photos.
        generator: The generator.
        limit: Number of people, the first by name (None: all).
        steps: Of each embedding.
        learning_rate: Of each embedding.
        p_norm_weight: Keeps the codes where those of random faces are (II2S), so that a difference suits others too.
        init: Initial code of the neutral face, a name that `embed` takes.
        progress: Show a progress bar.

    Raises:
        ImageError: The folder holds no such photos.
    """
    names = sorted(p.name.removesuffix("-neutral.jpg") for p in folder.glob("*-neutral.jpg"))[:limit]
    if not names:
        raise ImageError(f"{folder} holds no NAME-neutral.jpg: give the folder of the aligned photos with --photos.")
    neutral, smiling = (
        load_photos([folder / f"{name}-{face}.jpg" for name in names], generator.resolution)
        for face in ("neutral", "smiling")
    )
    options = {"steps": steps, "learning_rate": learning_rate, "p_norm_weight": p_norm_weight, "progress": progress}
    neutral = embed(neutral, generator, init=init, **options).w_plus
    # From the neutral code: W+ has many codes for one image, and only the expression should differ
    smiling = embed(smiling, generator, start=neutral, **options).w_plus
    found = (
        f"{steps} steps of Adam at {learning_rate:g}, from {START[init]}, the smiling face from the neutral one's; "
        f"P_N+ regularisation of weight {p_norm_weight:g}"
    )
    return People([f"person {k + 1}" for k in range(len(names))], neutral, smiling, ATTRIBUTION, found)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--photos", type=Path, required=True, help="folder of aligned photos")
    parser.add_argument("--out", type=Path, required=True, help="file to write (.safetensors)")
    parser.add_argument("--generator", help="name or file (default: the shipped one)")
    parser.add_argument("--people", type=int, default=8, help="number of people, the first by name (default 8)")
    parser.add_argument("--steps", type=int, default=80, help="of each embedding (default 80)")
    parser.add_argument("--learning-rate", type=float, default=0.03, help="of each embedding (default 0.03)")
    parser.add_argument("--p-norm-weight", type=float, default=0.02, help="keeps codes near those of random faces")
    parser.add_argument("--init", choices=START, default="encoder", help="initial code of the neutral face")


def run(options: argparse.Namespace) -> int:
    """Embed the people; the exit code."""
    generator = load_generator(options.generator) if options.generator else load_generator()
    settings = options.people, options.steps, options.learning_rate, options.p_norm_weight, options.init
    people = embed_people(options.photos, generator, *settings)
    print(save_people(people, generator, options.out))
    return 0
