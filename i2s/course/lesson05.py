"""Lesson 5, editing: the people of the London Set as codes, their photos on demand, and the checks of the exercises."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from i2s.course.checks import (
    close,
    expect,
    expect_choice,
    expect_no_mistake,
    expect_sentences,
    expect_tensor,
    mentions,
    passed,
)
from i2s.errors import DownloadError, SettingsError, WeightFileError
from i2s.files import data_dir, read_safetensors, write_safetensors
from i2s.generators.base import Generator
from i2s.weights.fetch import Licence, fetch

# --- helpers: people as codes in W+, so that the lesson needs no network --------------------------------------------

PEOPLE_FILE = "london-64.safetensors"  # made by `python -m training people`
PEOPLE_FORMAT = "i2s-people"
ATTRIBUTION = (
    "Codes computed from photos of the Face Research Lab London Set, (c) Lisa DeBruine and Benedict Jones 2017, "
    "CC BY 4.0, doi 10.6084/m9.figshare.5047666. The people consented to use in web-based studies and illustration."
)


@dataclass(frozen=True)
class People:
    """W+ codes of people, each neutral and smiling; they belong to one generator."""

    names: list[str]  # of the images, not of the people
    neutral: Tensor  # [P, num_ws, w_dim]
    smiling: Tensor  # [P, num_ws, w_dim]
    attribution: str


def generator_fingerprint(generator: Generator) -> str:
    """Return the SHA-256 of w_mean, which tells generators apart."""
    return hashlib.sha256(generator.w_mean.cpu().numpy().tobytes()).hexdigest()


def save_people(people: People, generator: Generator, path: str | Path) -> Path:
    """Write the codes in half precision, with attribution and the fingerprint of their generator.

    Raises:
        OutputError: The file cannot be written.
    """
    metadata = {
        "names": "\n".join(people.names),
        "attribution": people.attribution,
        "generator": generator.name,
        "w_mean": generator_fingerprint(generator),
    }
    tensors = {"neutral": people.neutral.half(), "smiling": people.smiling.half()}
    return write_safetensors(path, tensors, PEOPLE_FORMAT, 1, metadata)


def load_people(generator: Generator, path: str | Path | None = None) -> People:
    """Read codes of people.

    Args:
        generator: The generator that they were made for.
        path: File of `save_people`; None: the one that is shipped.

    Raises:
        WeightFileError: The file is unusable, or was made for another generator.
    """
    path = Path(path) if path is not None else data_dir() / PEOPLE_FILE
    advice = "install i2s again, or name another file of codes"
    kind = "a file of people's codes"
    tensors, metadata = read_safetensors(path, PEOPLE_FORMAT, 1, WeightFileError, kind=kind, advice=advice)
    if metadata.get("w_mean") != generator_fingerprint(generator):
        raise WeightFileError(
            f"{path.name} holds codes for {metadata.get('generator')}, not for this generator: embed the photos anew "
            "with `python -m training people`, or load the shipped generator."
        )
    try:
        neutral, smiling = tensors["neutral"].float(), tensors["smiling"].float()
        return People(metadata["names"].split("\n"), neutral, smiling, metadata["attribution"])
    except KeyError as missing:
        raise WeightFileError(
            f"{path} is broken and cannot be read as {kind} ({missing} is missing): {advice}."
        ) from None


# --- helpers: the photos behind them --------------------------------------------------------------------------------

PHOTO_SOURCE = "https://raw.githubusercontent.com/debruine/webmorphR.stim/master/inst"
PHOTO_PATHS = {"neutral": "neutral_front/{person}_03.jpg", "smiling": "smiling_front/{person}_08.jpg"}
PHOTO_LICENCE = Licence(
    "CC BY 4.0 (Face Research Lab London Set, DeBruine and Jones 2017)",
    "the people consented to use in web-based studies and illustration; keep the attribution, and deceive nobody.",
    "https://doi.org/10.6084/m9.figshare.5047666",
)
PHOTO_SHA256 = {
    ("010", "neutral"): "fe7c68d73e9521b0e4e198042b652e9488a820b6ec750c5fdf69e2da7cb9ef30",
    ("010", "smiling"): "cbc08413ff71b1b0de3a6ec3e91af3bf285f012b118de63eea541d0b324d313f",
    ("011", "neutral"): "b9531c2654879bf22d0982a3643fa78463aaf44bb43408a4dc972c3ea1d7f70e",
    ("011", "smiling"): "2decf0572057ea0ffcc1ba8cbbd0d84f25dd4ff59c235723ab8dcd850567fbbe",
    ("021", "neutral"): "79a946ee6e12592609f1c860ccbda565ef63f3fd95b61fbaea1abe1a493bb008",
    ("021", "smiling"): "82c42a25c889221a75f85236fc0ebc80f2f0615923544f5151d62243094261c8",
    ("031", "neutral"): "e08256c9ab774a8416769e45ab04d8a4a37ced7ca657fa018a8f29b3d8bb9dc1",
    ("031", "smiling"): "6dbfe84f13f633f66129bb1fb6842cfd11cce90d7a7b850600c5d35777c688e2",
}


def fetch_photo(person: str, expression: str, source: str = PHOTO_SOURCE, **options: object) -> Path | None:
    """Return a photo of the London Set (1350 x 1350 px, not aligned) from the cache or the network.

    Args:
        person: "010", "011", "021" or "031".
        expression: "neutral" or "smiling".
        source: Address of the folder that holds the photos.
        options: Those of `i2s.weights.fetch.fetch`.

    Returns:
        Path of the photo, verified; None, after a printed message, if it cannot be downloaded.

    Raises:
        SettingsError: There is no such photo.
    """
    if (person, expression) not in PHOTO_SHA256:
        people = ", ".join(sorted({name for name, _ in PHOTO_SHA256}))
        raise SettingsError(f"There is no photo {person!r}, {expression!r}: people are {people}, neutral or smiling.")
    place = PHOTO_PATHS[expression].format(person=person)
    sha256 = PHOTO_SHA256[person, expression]
    try:
        return fetch(f"{source}/{place}", f"people/{place}", sha256, licence=PHOTO_LICENCE, **options)
    except DownloadError:
        print(f"The photo could not be fetched from {source}; the lesson goes on with the codes.")
        return None


# --- checks ---------------------------------------------------------------------------------------------------------


def random_codes(count: int, seed: int = 0) -> list[Tensor]:
    """Draw codes [4, 6] from a normal distribution."""
    rng = torch.Generator().manual_seed(seed)
    return list(torch.randn(count, 4, 6, generator=rng))


def check_morph(morph: Callable[..., Tensor]) -> None:
    """Exercise 5.1: points on the line between two codes."""
    w1, w2 = random_codes(2)
    found = expect_tensor(
        morph(w1, w2, [1.0, 0.25, 0.0]),
        "morph(w1, w2, [1, 0.25, 0])",
        (3, 4, 6),
        hint="One code for each lambda: torch.stack them.",
    )
    expect(
        not (close(found[0], w2) and close(found[2], w1)),
        "the ends are swapped: lambda 1 is w1, lambda 0 is w2.",
    )
    expect(close(found[0], w1), "lambda 1 should give w1.")
    expect(close(found[2], w2), "lambda 0 should give w2: is the second weight 1 - lambda?")
    expect(close(found[1], 0.25 * w1 + 0.75 * w2), "lambda 0.25 should be a quarter of w1 and three quarters of w2.")
    same = morph(w1, w1, [0.3])[0]
    expect(close(same, w1), "a morph from a code to itself should not move: the two weights add up to 1.")
    passed("lambda 1 is the first face, lambda 0 the second, and between them a straight line.")


def check_give_smile(give_smile: Callable[..., Tensor]) -> None:
    """Exercise 5.2: expression transfer."""
    w1, neutral, smiling = random_codes(3, seed=1)
    found = expect_tensor(give_smile(w1, neutral, smiling, 0.5), "give_smile(w1, neutral2, smiling2, 0.5)", (4, 6))
    smile = smiling - neutral
    mistakes = {
        "this takes the smile away: add smiling minus neutral, not neutral minus smiling.": w1 - 0.5 * smile,
        "the whole smiling person was added: take their neutral code off first; the smile is left.": w1 + 0.5 * smiling,
        "the first code was scaled too: lambda belongs to the smile alone.": 0.5 * (w1 + smile),
        "lambda is not used: multiply the difference by it.": w1 + smile,
    }
    expect_no_mistake(found, mistakes)
    expect(close(give_smile(w1, neutral, smiling, 0.0), w1), "lambda 0 should leave the first code alone.")
    expect(close(found, w1 + 0.5 * smile), "this is not w1 + lambda (w3 - w2).")
    to_its_owner = give_smile(neutral, neutral, smiling, 1.0)
    expect(close(to_its_owner, smiling), "given to its own owner, the smile should give the smiling code.")
    passed("lambda 0 changes nothing, and a person's own smile makes their own smiling code.")


def check_mean_smile(mean_smile: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    """Exercise 5.3: the mean smile of the others."""
    neutral, smiling = torch.stack(random_codes(4, seed=2)), torch.stack(random_codes(4, seed=3))
    found = expect_tensor(
        mean_smile(neutral, smiling, 2),
        "mean_smile(neutral, smiling, 2)",
        (4, 6),
        hint="The mean runs over the people, dim=0.",
    )
    smiles = smiling - neutral
    others = smiles[[0, 1, 3]]
    wanted = others.mean(0)
    mistakes = {
        "this is the mean of the smiling codes: take each person's neutral code off first.": smiling[[0, 1, 3]].mean(0),
        "the person at `left_out` is in the mean as well: leave them out, or the test is no test.": smiles.mean(0),
        "this is the sum of the smiles: divide by their number.": others.sum(0),
        "divide by the number of the others, one fewer than all.": others.sum(0) / 4,
        "this is the smile of the one that should be left out.": smiles[2],
        "smiling minus neutral, not the other way.": -wanted,
    }
    expect_no_mistake(found, mistakes)
    expect(close(found, wanted), "this is not the mean of smiling minus neutral over the others.")
    passed("what the others' smiles share; what is peculiar to one of them fades.")


def check_crossover_prediction(prediction: str | None) -> None:
    """Exercise 5.4: what comes from the style."""
    british = prediction.lower().replace("color", "colour") if isinstance(prediction, str) else prediction
    expect_choice(
        british,
        right="colours",
        wrong={
            "pose": "pose is decided by the coarse rows, the first ones, and they come from the content.",
            "identity": "shape and features sit mostly in the first half, which comes from the content.",
        },
    )
    passed("the fine rows are the last ones: colours and small detail.")


def check_dark_hair(cause: str | None) -> None:
    """Exercise 5.5: why a smile changes the hair."""
    expect_choice(
        cause,
        right="A",
        wrong={
            "B": "no row is a smile, true, but that would hold for every smile; here the hair changed as well.",
            "C": "lambda scales what is added; it adds nothing new.",
        },
    )
    passed("a difference holds all that differs, meant or not: light, pose, and what the search happened to find.")


def check_request(answer: str | None) -> None:
    """Exercise 5.6: a request to edit a portrait; looks for words of consent or labelling, and of a reason."""
    expect_sentences(answer, 15)
    reason = ("dece(iv|pt)", "believ", "misle", "trust", "truth", "untrue", "lies?\\b", "lying", "fake", "manipul")
    reason += ("honest", "dishonest", "fool", "trick", "distort", "evidence", "authentic", "reality", "propagand")
    condition = ("consent", "ask(ed|ing)?\\b", "agree", "label", "say so", "permi", "caption", "marked", "declar")
    condition += ("disclos", "approv", "allow", "transparen", "told", "note\\b")
    expect(mentions(answer, *reason), "say what readers would believe, and whether that is true.")
    expect(mentions(answer, *condition), "say who has to be asked, or what has to stand beside the image.")
    passed("a reason and a condition are there; compare with the solution.")
