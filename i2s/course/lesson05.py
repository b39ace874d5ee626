"""Lesson 5, editing: the people of the London Set as codes, measures of an edit, and the checks of the exercises."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from i2s.course.checks import (
    compare,
    exercise,
    expect,
    expect_choice,
    expect_number,
    expect_text,
    passed,
    random_tensors,
)
from i2s.errors import DownloadError, SettingsError, WeightFileError
from i2s.files import data_dir, read_safetensors, write_safetensors
from i2s.generators.base import Generator
from i2s.losses.base import FeatureNet
from i2s.weights.fetch import Licence, fetch

# --- helpers: people as codes in W+, so that the lesson needs no network --------------------------------------------

PEOPLE_FILE = "london-128.safetensors"  # made by `python -m training people`
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
    settings: str = ""  # how the codes were found


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
        "settings": people.settings,
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
        names = metadata["names"].split("\n")
        return People(names, neutral, smiling, metadata["attribution"], metadata.get("settings", ""))
    except KeyError as missing:
        raise WeightFileError(
            f"{path} is broken and cannot be read as {kind} ({missing} is missing): {advice}."
        ) from None


# --- helpers: images of codes, and what an edit has done to them ----------------------------------------------------

BATCH = 8  # images drawn or compared at once
MOUTH = (0.55, 0.85), (0.28, 0.72)  # rows and columns of an aligned face, as shares of the side: mouth and cheeks
BACKGROUND = (0.0, 0.3), (0.0, 0.1)  # beside the forehead, at the left


@torch.no_grad()
def draw(generator: Generator, codes: Tensor | Sequence[Tensor]) -> Tensor:
    """Draw the images of codes, without gradients.

    Args:
        generator: The generator.
        codes: [N, num_ws, w_dim], or a list of [num_ws, w_dim].

    Returns:
        [N, 3, R, R] on the CPU, in [-1, 1].
    """
    codes = codes if isinstance(codes, Tensor) else torch.stack(list(codes))
    images = [generator.synthesis(some.to(generator.w_mean)).cpu() for some in codes.split(BATCH)]
    return torch.cat(images).clamp(-1, 1)


@torch.no_grad()
def distance(net: FeatureNet, a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of feature maps, summed over the taps, of images [N, 3, R, R] in pairs: [N]."""
    device = next(net.parameters()).device
    found = []
    for x, y in zip(a.split(BATCH), b.split(BATCH)):
        taps = zip(net.features(x.to(device)), net.features(y.to(device)))
        found.append(sum((p - q).square().mean(dim=(1, 2, 3)) for p, q in taps).cpu())
    return torch.cat(found)


def remaining(net: FeatureNet, edited: Tensor, neutral: Tensor, own: Tensor) -> Tensor:
    """Distance of edited faces to their people's own smiles, as a share of that of the neutral faces.

    Args:
        net: Perceptual network.
        edited: Images [N, 3, R, R].
        neutral: The same people, neutral.
        own: The same people, smiling.

    Returns:
        [N]; 0 is the own smile, 1 no nearer to it than the neutral face, more is farther away.
    """
    return distance(net, edited, own) / distance(net, neutral, own)


def cut(images: Tensor, region: tuple = MOUTH) -> Tensor:
    """Cut a region out of aligned faces [N, 3, R, R]: mouth and cheeks, unless another one is given."""
    side = images.shape[-1]
    (top, bottom), (left, right) = region
    return images[..., round(top * side) : round(bottom * side), round(left * side) : round(right * side)]


def changes(before: Tensor, after: Tensor) -> dict[str, float]:
    """Mean change of a pixel, of 255, in two regions of aligned faces [N, 3, R, R]: "mouth" and "background"."""
    moved = (after - before).abs() * 127.5
    corners = [cut(part, BACKGROUND).mean() for part in (moved, moved.flip(3))]  # at the left, at the right
    return {"mouth": cut(moved).mean().item(), "background": torch.stack(corners).mean().item()}


def nearest(net: FeatureNet, images: Tensor, gallery: Tensor) -> Tensor:
    """Index of the image of the gallery [M, 3, R, R] that each of the images [N, 3, R, R] is most like, [N]."""
    return torch.stack([distance(net, image.expand_as(gallery), gallery).argmin() for image in images[:, None]])


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
    except DownloadError as error:
        print(f"No photo: {error} The lesson goes on with the codes.".replace(str(Path.home()), "~"))
        return None


# --- checks ---------------------------------------------------------------------------------------------------------

CODE = (6, 5)  # num_ws, w_dim of the random codes


def line(w1: Tensor, w2: Tensor, lams: Sequence[float]) -> Tensor:
    """Return lam w1 + (1 - lam) w2 for each lambda, [len(lams), num_ws, w_dim]."""
    return torch.stack([lam * w1 + (1 - lam) * w2 for lam in lams])


def bent(shape: Callable[[float], float]) -> Callable:
    """Return `line` with another function of lambda as the weight of w1."""
    return lambda w1, w2, lams: line(w1, w2, [shape(lam) for lam in lams])


@exercise(needed=True)
def check_morph(morph: Callable[[Tensor, Tensor, list[float]], Tensor]) -> None:
    """Exercise 5.1: points on the line between two codes."""
    all_lams = ([1.0, 0.25, 0.0], [-1.0, 2.0, 0.5, 0.125], [0.75])
    compare(
        morph,
        line,
        inputs=[(*random_tensors(CODE, CODE, seed=k), lams) for k, lams in enumerate(all_lams)],
        mistakes=[
            (bent(lambda lam: 1 - lam), "the ends are swapped: lambda 1 is w1, lambda 0 is w2."),
            (
                bent(lambda lam: min(max(lam, 0.0), 1.0)),
                "lambda is held between 0 and 1: -1 and 2 are points of the line, too, beyond its ends.",
            ),
            (
                lambda w1, w2, lams: torch.stack([lam * w1 + lam * w2 for lam in lams]),
                "both codes get the weight lambda: the second weight is 1 - lambda.",
            ),
            (
                lambda w1, w2, lams: torch.stack([lam * w1 for lam in lams]),
                "w2 is missing: add (1 - lambda) times w2.",
            ),
            (
                lambda w1, w2, lams: torch.stack([lam * w1 + w2 for lam in lams]),
                "w2 is added in full: its weight is 1 - lambda.",
            ),
            (
                lambda w1, w2, lams: torch.stack([w1 + lam * (w1 - w2) for lam in lams]),
                "this starts at w1 and goes away from w2: at lambda 1 it has to be w1 itself.",
            ),
            (bent(lambda lam: lam**2), "the way between the ends is not even: lambda enters as it is, not squared."),
            (bent(lambda lam: 0.5), "lambda is not used: each frame is half of both."),
            (
                lambda w1, w2, lams: line(w1, w2, lams).flatten(0, 1),
                "the frames are joined along the rows: torch.stack makes a batch, torch.cat one long code.",
            ),
            (lambda w1, w2, lams: line(w1, w2, lams)[0], "one frame came back: give one for each lambda of the list."),
            (lambda w1, w2, lams: line(w1, w2, lams).flip(0), "the frames come in reverse order."),
        ],
        otherwise="this is not lambda w1 + (1 - lambda) w2, one code for each lambda.",
        name="morph(w1, w2, lams)",
        hint="One code for each lambda: torch.stack them.",
    )
    passed("lambda 1 is the first face, lambda 0 the second, and the line goes on beyond both.")


@exercise(needed=True)
def check_transfer(transfer: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> None:
    """Exercise 5.2: expression transfer."""
    compare(
        transfer,
        lambda w1, w2, w3, lam: w1 + lam * (w3 - w2),
        inputs=[(*random_tensors(CODE, CODE, CODE, seed=k), lam) for k, lam in enumerate((0.5, 1.5, -0.75, 0.0))],
        mistakes=[
            (
                lambda w1, w2, w3, lam: w1 + lam * (w2 - w3),
                "this takes the smile away: add smiling minus neutral, not neutral minus smiling.",
            ),
            (
                lambda w1, w2, w3, lam: w1 + lam * w3,
                "the whole smiling person was added: subtract their neutral code first, and the smile is left.",
            ),
            (
                lambda w1, w2, w3, lam: w1 + lam * (w3 - w1),
                "this is a morph from the target to the smiling source: it brings their face, not their smile. "
                "Subtract the source's neutral code w2, not w1.",
            ),
            (
                lambda w1, w2, w3, lam: w2 + lam * (w3 - w2),
                "this is the source's own smile: start from the target's code w1.",
            ),
            (
                lambda w1, w2, w3, lam: lam * (w1 + w3 - w2),
                "the target's code was scaled, too: lambda belongs to the smile alone.",
            ),
            (lambda w1, w2, w3, lam: w1 + (w3 - w2), "lambda is not used: multiply the difference by it."),
            (
                lambda w1, w2, w3, lam: w1 + lam * w3 - w2,
                "lambda multiplies w3 alone: put the difference w3 - w2 in brackets.",
            ),
            (lambda w1, w2, w3, lam: lam * (w3 - w2), "the target is missing: add the smile to w1."),
            (
                lambda w1, w2, w3, lam: w1 + min(max(lam, 0), 1) * (w3 - w2),
                "lambda is held between 0 and 1: 1.5 exaggerates, a negative one takes a smile away.",
            ),
            (lambda w1, w2, w3, lam: w1 + abs(lam) * (w3 - w2), "a negative lambda has to take the smile away."),
            (
                lambda w1, w2, w3, lam: (1 - lam) * w1 + lam * (w3 - w2),
                "the target fades as lambda grows: it keeps the weight 1.",
            ),
        ],
        otherwise="this is not w1 + lambda (w3 - w2).",
        name="transfer(w1, w2, w3, lam)",
    )
    passed("lambda 0 changes nothing, and a person's own difference gives that person's own smiling code.")


def smile_of_others(neutral: Tensor, smiling: Tensor, left_out: int) -> Tensor:
    """Return the mean of smiling minus neutral over all people but one, [num_ws, w_dim]."""
    others = [k for k in range(len(neutral)) if k != left_out]
    return (smiling[others] - neutral[others]).mean(dim=0)


@exercise(needed=True)
def check_mean_smile(mean_smile: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    """Exercise 5.3: the mean smile of the others."""
    sizes = ((4, 2), (5, 0), (6, 5), (5, 3))  # people, and the one that is left out
    compare(
        mean_smile,
        smile_of_others,
        inputs=[(*random_tensors((n, *CODE), (n, *CODE), seed=k), out) for k, (n, out) in enumerate(sizes)],
        mistakes=[
            (
                lambda n, s, k: smile_of_others(0 * n, s, k),
                "this is the mean of the smiling codes: subtract each person's neutral code first.",
            ),
            (
                lambda n, s, k: (s - n).mean(0),
                "the person at `left_out` is in the mean as well: leave them out, or they get their own smile back.",
            ),
            (
                lambda n, s, k: smile_of_others(n, s, k) * (len(n) - 1),
                "this is the sum of the smiles: divide by their number.",
            ),
            (
                lambda n, s, k: smile_of_others(n, s, k) * (len(n) - 1) / len(n),
                "divide by the number of the others, which is one fewer than all.",
            ),
            (lambda n, s, k: (s - n)[k], "this is the smile of the one that should be left out."),
            (lambda n, s, k: -smile_of_others(n, s, k), "smiling minus neutral, not the other way round."),
            (
                lambda n, s, k: (s - n)[:k].mean(0),
                "these are the people before `left_out` only: those after it count, too.",
            ),
            (
                lambda n, s, k: (s - n)[k + 1 :].mean(0),
                "these are the people after `left_out` only: those before it count, too.",
            ),
            (
                lambda n, s, k: (s - n)[k:].mean(0),
                "these are the people from `left_out` on: it should be left out, and those before it count, too.",
            ),
            (
                lambda n, s, k: smile_of_others(n, s, k - 1 if k else len(n) - 1),
                "another person is left out: the first one has index 0.",
            ),
            (
                lambda n, s, k: smile_of_others(n, s, len(n) - 1),
                "the last person is left out, whoever is asked for: use `left_out`.",
            ),
            (
                lambda n, s, k: (s - n)[[j for j in range(len(n)) if j != k]],
                "these are the smiles of the others one by one: take their mean over the people, dim=0.",
            ),
            (
                lambda n, s, k: (s - n)[[j for j in range(len(n)) if j != k]].mean(),
                "this is one number: take the mean over the people alone, dim=0.",
            ),
            (
                lambda n, s, k: (s - n)[[j for j in range(len(n)) if j != k]].median(0).values,
                "this is the median: the mean is asked for.",
            ),
        ],
        otherwise="this is not the mean of smiling minus neutral over the others.",
        name="mean_smile(neutral, smiling, left_out)",
        hint="The mean runs over the people, dim=0.",
    )
    passed("what the smiles of the others share; what is peculiar to one of them fades.")


@exercise
def check_guess(guess: float | None) -> None:
    """Exercise 5.4: how much of the way the middle rows bring, a guess, compared once it is measured."""
    guess = expect_number(guess, "guess")
    expect(0 <= guess, f"`guess` is {guess:g}: a distance is never negative.")
    expect(guess <= 500, f"`guess` is {guess:g} %: five times as far from the own smile as before?")
    if 0 < guess < 1.5:
        print(f"Taken as {guess:g} percent: 100 is the distance of the neutral face.")
    print(f"Noted: {guess:g} % of the distance remains. The measurement follows below.")


def with_rows(w1: Tensor, smile: Tensor, lam: float, rows: Sequence[int]) -> Tensor:
    """Return w1 with lam times the smile added in some rows, [num_ws, w_dim]."""
    mask = torch.zeros(len(w1), 1)
    mask[list(rows)] = 1
    return w1 + lam * mask * smile


@exercise(needed=True)
def check_smile_in_rows(smile_in_rows: Callable[[Tensor, Tensor, float, Sequence[int]], Tensor]) -> None:
    """Exercise 5.5: a smile added in some rows only."""
    every = range(CODE[0])

    def only(w1: Tensor, smile: Tensor, lam: float, rows: Sequence[int]) -> Tensor:
        return with_rows(torch.zeros_like(w1), w1 + lam * smile, 1.0, rows)

    compare(
        smile_in_rows,
        with_rows,
        inputs=[
            (*random_tensors(CODE, CODE, seed=k), lam, rows)
            for k, (lam, rows) in enumerate([(0.5, range(2)), (-1.0, [5, 2]), (1.5, range(1, 4)), (2.0, [])])
        ],
        mistakes=[
            (lambda w, d, lam, rows: with_rows(w, d, lam, every), "all rows were changed: only those in `rows`."),
            (
                lambda w, d, lam, rows: with_rows(w, d, lam, [k for k in every if k not in rows]),
                "it is the other rows that were changed.",
            ),
            (lambda w, d, lam, rows: with_rows(w, d, 1.0, rows), "lambda is not used: multiply the smile by it."),
            (lambda w, d, lam, rows: with_rows(w, -d, lam, rows), "the smile was subtracted: add it."),
            (
                lambda w, d, lam, rows: with_rows(w, d - w, 1.0, rows),
                "the rows were replaced by the smile: add it to what is there.",
            ),
            (
                lambda w, d, lam, rows: with_rows(w, d - w / lam, lam, rows),
                "the rows were replaced by the smile: add it to what is there.",
            ),
            (only, "the rows that get no smile are 0: they keep the code of w1."),
            (
                lambda w, d, lam, rows: w[list(rows)] + lam * d[list(rows)],
                "only the changed rows came back: return the whole code.",
            ),
            (
                lambda w, d, lam, rows: with_rows(w, d, lam, range(min(rows, default=0), max(rows, default=-1) + 1)),
                "rows between the first and the last of `rows` were changed, too: [5, 2] means these two alone.",
            ),
            (
                lambda w, d, lam, rows: with_rows(w.T, d.T, lam, [k for k in rows if k < CODE[1]]).T,
                "columns were changed, not rows: the rows are the first dimension.",
            ),
            (lambda w, d, lam, rows: w, "nothing was changed."),
        ],
        otherwise="this is not w1 with lambda times the smile added in `rows`.",
        name="smile_in_rows(w1, smile, lam, rows)",
        hint="A whole code comes back, [num_ws, w_dim].",
    )
    passed("the chosen rows get the smile; all others stay the target's own, number by number.")


def crossed(content: Tensor, style: Tensor, split: int) -> Tensor:
    """Return the first `split` rows of content and the others of style, [num_ws, w_dim]."""
    return torch.cat([content[:split], style[split:]])


@exercise(needed=True)
def check_crossover(crossover: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    """Exercise 5.6: the first rows of one code, the last rows of another."""
    rows = CODE[0]
    compare(
        crossover,
        crossed,
        inputs=[(*random_tensors(CODE, CODE, seed=k), split) for k, split in enumerate((2, 5, 0, rows))],
        mistakes=[
            (
                lambda c, s, k: crossed(s, c, k),
                "content and style are swapped: the first rows are the content's.",
            ),
            (
                lambda c, s, k: crossed(c, s, min(k + 1, rows)),
                "one row too many comes from the content: [:split] are `split` rows.",
            ),
            (lambda c, s, k: crossed(c, s, max(k - 1, 0)), "one row too few comes from the content."),
            (
                lambda c, s, k: crossed(c, s, rows // 2),
                "half of the rows come from each, whatever `split` is: use it.",
            ),
            (
                lambda c, s, k: crossed(c, s, rows - k),
                "`split` was counted from the end: it is the number of the content's rows.",
            ),
            (
                lambda c, s, k: torch.cat([s[k:], c[:k]]),
                "the rows of the style stand in front: the content's come first.",
            ),
            (
                lambda c, s, k: torch.cat([c[:k], s[: rows - k]]),
                "the style gives its first rows: it should give its last ones, from `split` on.",
            ),
            (
                lambda c, s, k: torch.cat([c[:k], s]),
                "the style gives all of its rows: the code got longer.",
            ),
            (
                lambda c, s, k: torch.cat([c[:, :k], s[:, k:]], dim=1),
                "columns were cut, not rows: the rows are the first dimension.",
            ),
            (
                lambda c, s, k: (k * c + (rows - k) * s) / rows,
                "this is a morph: a crossover swaps whole rows and blends nothing.",
            ),
            (lambda c, s, k: c, "this is the content alone."),
            (lambda c, s, k: s, "this is the style alone."),
        ],
        otherwise="this is not the first `split` rows of the content and the others of the style.",
        name="crossover(content, style, split)",
        hint="The result has as many rows as each of them: `split` of the content, the rest of the style.",
    )
    passed("split 0 is the style, the number of rows the content; between them whole rows, unchanged.")


@exercise
def check_same_photo(cause: str | None) -> None:
    """Exercise 5.7: why the difference of two codes of one photo changes another face."""
    expect_choice(
        cause,
        right="B",
        wrong={
            "A": "both searches had the same steps and stopped at much the same image; with different losses they have "
            "no reason to end at one code.",
            "C": "lambda was 1, and at 0.5 it changes the face as well, only less.",
            "D": "noise inputs have no part in it: both images are drawn with the same ones.",
        },
    )
    passed("a difference holds all that differs between two codes, also what the source's image does not show.")


# "I would print it without asking", but not "I would never ..." or "only ... "
DO = r"(do|make|print|publish|send|use|edit|change|deliver|help|accept|say yes)\b"
SAYING = r"(a|any|asking|consent|permission|telling|label\w*)"
UNASKED = (
    "without asking and without a label: would readers believe the next photo? Say what has to be asked or said first."
)
SURELY = r"(?:(?!\b(never|not|only|unless|nor|if)\b)[^.;])*"


@exercise
def check_request(answer: str | None) -> None:
    """Exercise 5.8: a request to edit a portrait; looks for a reason and for a condition."""
    reason = ("dece(iv|pt)", "believ", "misle", "trust", "truth", "untrue", "lies?\\b", "lying", "fake", "manipul")
    reason += ("honest", "dishonest", "fool", "trick", "distort", "evidence", "authentic", "reality", "propagand")
    condition = ("consent", "ask(ed|ing)?\\b", "agree", "label", "say so", "permi", "caption", "marked", "declar")
    condition += ("disclos", "approv", "allow", "transparen", "told", "note\\b")
    expect_text(
        answer,
        points={
            "say what readers would believe that they see, and whether it is true.": reason,
            "say who has to be asked, or what has to stand beside the image.": condition,
        },
        model="I would refuse: readers take a portrait in the news for a photo, and an edited expression would deceive "
        "them. Only with the consent of the person, and labelled as edited beside the image, could it be shown.",
        confusions={
            rf"\b(i|we)( would| will| can| could|'d|'ll)?( \w+ly| just)* {DO}{SURELY}\bwithout {SAYING}\b": UNASKED,
            r"\bno need to (ask|label|say|tell)|\b(nobody|no one) (has|needs) to (know|be asked|be told)": UNASKED,
        },
    )
