"""Lesson 3, loss design: distortions, feature inversion, LPIPS as a reference, and the checks of the exercises."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.course.checks import (
    call,
    compare,
    compare_guess,
    exercise,
    expect,
    expect_number,
    expect_tensor,
    expect_text,
    passed,
    random_tensors,
)
from i2s.embedding.result import EmbedResult
from i2s.errors import I2SError, SettingsError
from i2s.generators.base import Generator
from i2s.images import gaussian_blur
from i2s.losses.base import FeatureNet
from i2s.losses.lpips import LPIPS

LPIPS_WEIGHTS = "squeezenet1_1-*.pth"  # torchvision's file in torch's cache
# (MSE in [0, 1], LPIPS) of the lesson's copies: SqueezeNet 1.1 as its authors published it, with the channel weights
# that Zhang et al. fitted to torchvision's training of it, so not the published LPIPS to the last digit
LPIPS_MEASURED = ((0.018906, 0.0787), (0.014276, 0.0756), (0.021896, 0.0285), (0.008850, 0.3240), (0.019154, 0.0159))

# --- helpers: distortions on which distances disagree ---------------------------------------------------------------


def shift(images: Tensor, right: int) -> Tensor:
    """Translate images [N, 3, H, W] by whole pixels (to the left where negative); the border is repeated.

    Raises:
        SettingsError: The shift leaves nothing of the image.
    """
    width = images.shape[3]
    if not abs(right) < width:
        raise SettingsError(f"right is {right} px, but the images are {width} px wide: move them by less.")
    padded = F.pad(images, (max(right, 0), max(-right, 0), 0, 0), mode="replicate")
    return padded[..., :width] if right >= 0 else padded[..., -width:]


def warp(images: Tensor, amount: float = 2.5, seed: int = 0) -> Tensor:
    """Warp images [N, 3, H, W] by a smooth random displacement (elastic deformation) of mean length `amount` px."""
    count, _, height, width = images.shape
    # Displacement field
    field = torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(seed))
    field = F.interpolate(field, (height, width), mode="bicubic", align_corners=True)  # [1, 2, H, W], px: right, down
    field = amount * field / field.square().sum(dim=1).sqrt().mean()
    # Sampling grid in [-1, 1]
    identity = F.affine_grid(torch.eye(2, 3)[None], [1, 3, height, width], align_corners=False)
    grid = identity + field.permute(0, 2, 3, 1) * torch.tensor([2 / width, 2 / height])
    grid = grid.to(images).expand(count, -1, -1, -1)
    return F.grid_sample(images, grid, "bicubic", "border", align_corners=False).clamp(-1, 1)


def blur(images: Tensor, sigma: float = 3.5) -> Tensor:
    """Apply a Gaussian blur of standard deviation `sigma` px to images [N, 3, H, W]."""
    return gaussian_blur(images, sigma, radius=int(3 * sigma))


def brighten(images: Tensor, by: float = 0.3) -> Tensor:
    """Add `by` to images [N, 3, H, W] in [-1, 1], and clip."""
    return (images + by).clamp(-1, 1)


# --- helpers: networks ----------------------------------------------------------------------------------------------


@torch.enable_grad()
def invert_features(
    perceptual: FeatureNet, photo: Tensor, tap: int, steps: int = 100, learning_rate: float = 0.1
) -> Tensor:
    """Find an image whose feature map at one tap is that of the photo (Mahendran and Vedaldi 2015).

    The pixels themselves are optimised by Adam, without a generator or a prior: what the tap ignores stays random.

    Args:
        perceptual: A perceptual network.
        photo: [1, 3, H, W] in [-1, 1].
        tap: Place of the tap in `perceptual.features`, from 0.
        steps: Updates.
        learning_rate: Of Adam, at the start; it falls to a tenth.

    Returns:
        Image [1, 3, H, W] in [-1, 1].
    """
    stops_early = "count" in inspect.signature(perceptual.features).parameters
    settings = {"count": tap + 1} if stops_early else {}
    target = perceptual.features(photo, **settings)[tap].detach()
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(tap))
    image = (0.1 * noise).to(photo).requires_grad_()  # a constant image could be a point of zero gradient
    adam = torch.optim.Adam([image], lr=learning_rate)
    for step in range(steps):
        adam.param_groups[0]["lr"] = learning_rate * 0.1 ** (step / steps)
        loss = (perceptual.features(image, **settings)[tap] - target).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            image.clamp_(-1, 1)
    return image.detach()


def starts_near_the_mean(generator: Generator, count: int, seed: int = 0) -> Tensor:
    """Draw codes [count, w_dim] close to the mean latent, the first being the mean latent itself.

    The others are a tenth of a standard deviation of each number away, so that searches from them differ by chance.
    """
    rng = torch.Generator().manual_seed(seed)
    deviation = generator.mapping(generator.sample_z(1000, seed))[:, 0].std(dim=0)
    offset = 0.1 * deviation.cpu() * torch.randn(count, generator.w_dim, generator=rng)
    offset[0] = 0
    return generator.w_mean + offset.to(generator.w_mean)


def reference_lpips(fetch: bool = False) -> LPIPS | None:
    """Load LPIPS over SqueezeNet (5 MB) if possible, and print the result; a lesson continues without it.

    Args:
        fetch: Download the network if it is not in torch's cache; nothing is downloaded otherwise.

    Returns:
        The term, or None.
    """
    cached = any((Path(torch.hub.get_dir()) / "checkpoints").glob(LPIPS_WEIGHTS))
    if not (cached or fetch):
        print("LPIPS's network is not on this machine: fetch=True fetches it (5 MB).")
        return None
    try:
        lpips = LPIPS("squeeze")
    except I2SError as error:
        print(f"No LPIPS here. {error}")
        return None
    print("LPIPS over SqueezeNet")
    return lpips


def lpips_of_the_copies(photo: Tensor, copies: Mapping[str, Tensor], fetch: bool = False) -> dict[str, float]:
    """Compute LPIPS of each copy to the photo; without its network, look up what was measured for the lesson's copies.

    Args:
        photo: [1, 3, H, W] in [-1, 1].
        copies: {name: image}, of the photo's shape.
        fetch: As in `reference_lpips`.

    Returns:
        {name: distance}; NaN where there is no network and the copy is not one of the lesson's.
    """
    lpips = reference_lpips(fetch)
    if lpips is not None:
        prepared = lpips.prepare(photo)
        return {name: lpips(copy, prepared)["lpips"].item() for name, copy in copies.items()}
    print("The numbers below were measured before, for the copies of this lesson (SqueezeNet, LPIPS v0.1).")
    return {name: measured_lpips(copy, photo) for name, copy in copies.items()}


def measured_lpips(copy: Tensor, photo: Tensor) -> float:
    """Return the stored LPIPS of one of the lesson's copies, recognised by its MSE; NaN for any other image."""
    mse = ((copy - photo) / 2).square().mean().item()
    return next((lpips for known, lpips in LPIPS_MEASURED if abs(mse - known) < 0.002 * known), float("nan"))


# --- checks ---------------------------------------------------------------------------------------------------------

DIMS = (1, 2, 3)


@exercise
def check_shift_against_blur(ratio: float | None, photo: Tensor, copies: Mapping[str, Tensor]) -> None:
    """Exercise 3.1: the MSE of the shifted copy over that of the blurred one, a guess."""
    ratio = expect_number(ratio, "ratio")
    expect(ratio != 0, "`ratio` is 0: then the shifted copy would equal the photo.")
    expect(ratio > 0, f"`ratio` is {ratio:g}, but a mean of squares is never below 0, nor is the ratio of two.")
    expect(ratio < 1000, f"`ratio` is {ratio:g}: no two of these copies are so far apart; 2 means twice.")
    shifted, blurred = ((copies[name] - photo).square().mean() for name in ("shifted", "blurred"))
    compare_guess(ratio, shifted / blurred, "MSE of the shifted copy, as a multiple of that of the blurred one")
    if ratio < 1:
        print("You expected the shifted copy to be the nearer one, as the eye sees it. MSE does not see it so.")


def half_difference(reduce: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function of two images that reduces their difference in [0, 1]."""
    return lambda a, b: reduce((a - b) / 2)


SUM = "this is the sum of the squares: take their mean."
ABSOLUTE = "these are absolute differences: square them."
ROOT = "a root was taken: the mean of the squares stays as it is."
ONLY_ONE = "only one of the two was brought to [0, 1]: both have to be."
BYTES = "the images are in [-1, 1], not in 0..255: do not divide by 255."
BATCH = "each image has the mean of the whole batch: keep them apart, mean(dim=(1, 2, 3))."
CANCEL = "square each difference first, then take the mean: otherwise plus and minus cancel."
VARIANCE = "this is the variance of the difference: a copy that is brighter everywhere would be at 0."
MSE_MISTAKES = [(half_difference(reduce), said) for reduce, said in (
    (lambda d: 4 * d.square().mean(dim=DIMS), "four times too large: the pixels were taken in [-1, 1]; in [0, 1] "
     "differences are half as large."),
    (lambda d: 2 * d.square().mean(dim=DIMS), "twice too large: halve the difference before it is squared, not the "
     "square."),
    (lambda d: d.square().mean(dim=DIMS) / 4, "four times too small: [-1, 1] is twice as wide as [0, 1], so halve the "
     "difference once."),
    (lambda d: (255 * d).square().mean(dim=DIMS), "the pixels were taken in 0..255: in [0, 1] differences are 255 "
     "times smaller."),
    (lambda d: (d / 127.5).square().mean(dim=DIMS), BYTES),
    (lambda d: (d / 255).square().mean(dim=DIMS), BYTES),
    (lambda d: d.square().mean().expand(len(d)), BATCH),
    (lambda d: d.square().sum(dim=DIMS), SUM),
    (lambda d: 4 * d.square().sum(dim=DIMS), SUM),
    (lambda d: d.square().sum(dim=1).mean(dim=(1, 2)), "the three colours were added up: N counts them too, so take "
     "their mean."),
    (lambda d: d.square().mean(dim=(0, 2, 3)), "this is a number for each colour: one for each image is needed."),
    (lambda d: d.square().amax(dim=DIMS), "this is the largest squared difference: take the mean."),
    (lambda d: d.abs().mean(dim=DIMS), ABSOLUTE),
    (lambda d: 2 * d.abs().mean(dim=DIMS), ABSOLUTE),
    (lambda d: d.square().mean(dim=DIMS).sqrt(), ROOT),
    (lambda d: 2 * d.square().mean(dim=DIMS).sqrt(), ROOT),
    (lambda d: d.mean(dim=DIMS).square(), CANCEL),
    (lambda d: d.mean(dim=DIMS), CANCEL),
    (lambda d: d.flatten(1).var(dim=1), VARIANCE),
    (lambda d: d.flatten(1).var(dim=1, correction=0), VARIANCE),
)]  # fmt: skip
MSE_MISTAKES += [
    (lambda a, b: ((a + 1) / 2 - b).square().mean(dim=DIMS), ONLY_ONE),
    (lambda a, b: (a - (b + 1) / 2).square().mean(dim=DIMS), ONLY_ONE),
    (lambda a, b: ((a + b) / 2).square().mean(dim=DIMS), "these are sums of the two: take their difference."),
    (lambda a, b: (a.square() - b.square()).mean(dim=DIMS), "first the difference, then the square."),
    (lambda a, b: (a.square() - b.square()).mean(dim=DIMS) / 4, "first the difference, then the square."),
    (lambda a, b: (a.clamp(0, 1) - b.clamp(0, 1)).square().mean(dim=DIMS), "do not clip: x becomes (x + 1) / 2."),
]


@exercise(needed=True)
def check_mse(mse: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 3.2: mean squared error of each image, in [0, 1]."""
    compare(
        mse,
        half_difference(lambda d: d.square().mean(dim=DIMS)),
        inputs=[random_tensors((3, 3, 8, 6), (3, 3, 8, 6), seed=seed) for seed in range(3)],
        name="mse(images, target)",
        mistakes=MSE_MISTAKES,
        otherwise="this is not the mean of the squared differences in [0, 1].",
        absolute=1e-7,
        hint="One number for each image: the mean runs over dim=(1, 2, 3).",
    )
    passed("0 for equal images, 1 for black against white.")


@exercise
def check_why_blur(answer: str | None) -> None:
    """Exercise 3.3: why MSE blurs uncertain edges."""
    expect_text(
        answer,
        points={
            "say which value has the smallest mean squared difference to several numbers.": MEAN_WORDS,
            "say what is not known about the edge, and what a sharp guess at the wrong place costs.": EDGE_WORDS,
        },
        model=WHY_BLUR,
        question=WHY_BLUR_QUESTION,
        confusions={
            r"neighbou?r\w* pixel": "MSE compares each pixel with the same pixel of the photo, never with a neighbour.",
            r"mean (of [\w ]+ )?is never (the )?(best|smallest|near)": (
                "for squared differences the mean is always the best single value."
            ),
            r"sharp edge (always )?has the (smallest|least|lowest)": (
                "a sharp edge at a wrong place has the largest error of all: compare the two numbers above."
            ),
        },
    )


MEAN_WORDS = ("mean", "averag", "between", "middle", "expect", "half", "blend", "mix", "compromise", "gr[ea]y")
EDGE_WORDS = ("place", "position", "location", "spot", "shift", "several", "wrong", "possib", "plausib", "candidate")
EDGE_WORDS += ("option", "misplace", "guess", "incorrect")
WHY_BLUR_QUESTION = (
    "Why does a search that follows MSE alone draw a blurred edge when it is not sure where the edge is?"
)
WHY_BLUR = (
    "A sharp edge at the wrong position is wrong by the full step between dark and light, and squaring makes large "
    "errors expensive. The value with the smallest mean squared difference to all possible positions is their mean, "
    "and the mean of many shifted edges is a blurred edge."
)


class FourTaps:
    """A fake perceptual network: four feature maps of different sizes and strengths, none of them linear."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Return four maps of images [N, 3, 8, 8]."""
        small = F.avg_pool2d(images, 2)
        return [
            images.sin(),
            2 * F.relu(images),
            torch.cat([small, small.square(), small.exp(), small.tanh()], dim=1),
            3 * F.avg_pool2d(images, 4).exp(),
        ]


Reduce = Callable[[Tensor, int], Tensor]  # difference of two maps, place of the tap -> [N]


def over_taps(reduce: Reduce) -> Callable[..., Tensor]:
    """Return the loss that sums weight times `reduce` over the taps."""

    def loss(net: FeatureNet, a: Tensor, b: Tensor, weights: Sequence[float] = (1.0,) * 4) -> Tensor:
        pairs = zip(weights, net.features(a), net.features(b))
        return sum(weight * reduce(x - y, k) for k, (weight, x, y) in enumerate(pairs))

    return loss


def mean_square(d: Tensor, tap: int = 0) -> Tensor:
    """Mean square of each image's map."""
    return d.square().mean(dim=DIMS)


def only(tap: int) -> Reduce:
    """Count one tap."""
    return lambda d, k: mean_square(d) * (k == tap)


paper_loss = over_taps(mean_square)


def with_default_weights(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a loss whose weights are all 1 unless they are given."""
    return lambda net, a, b, weights=(1.0,) * 4: loss(net, a, b, weights)


ONE_TAP = "only one tap is counted: add all four up before you return."
MEAN_TAPS = "too small: sum the taps, do not take their mean, and do not halve the differences as for the pixels."
NORM = "a root was taken: the formula has the squared norm."
PERCEPTUAL_MISTAKES = [(over_taps(reduce), said) for reduce, said in (
    (lambda d, k: d.square().sum(dim=DIMS), "the division by N_j is missing: take the mean of the squares, not their "
     "sum."),
    *((only(tap), ONE_TAP) for tap in range(4)),
    (lambda d, k: mean_square(d).sqrt(), NORM),
    (lambda d, k: d.square().sum(dim=DIMS).sqrt(), "a root was taken, and N_j is missing: the formula has the squared "
     "norm divided by N_j, a mean of squares."),
    (lambda d, k: d.square().sum(dim=DIMS).sqrt() / d[0].numel(), NORM),
    (lambda d, k: d.abs().mean(dim=DIMS), ABSOLUTE),
    (lambda d, k: d.mean(dim=DIMS).square(), CANCEL),
    (lambda d, k: d.square().sum(dim=1).mean(dim=(1, 2)), "the channels were added up: N_j counts channels and "
     "positions, so take the mean over both."),
    (lambda d, k: d.square().amax(dim=DIMS), "this is the largest squared difference: take the mean."),
    (lambda d, k: d.square().mean(dim=1).sum(dim=(1, 2)), "the positions were added up: N_j counts channels and "
     "positions, so take the mean over both."),
)]  # fmt: skip
PERCEPTUAL_MISTAKES += [(with_default_weights(change), said) for change, said in (
    (lambda net, a, b, w: paper_loss(net, a, b), "the weights are not used: multiply each tap by its own."),
    (lambda net, a, b, w: paper_loss(net, a, b, [x * x for x in w]), "the weight was squared too: multiply after "
     "squaring."),
    (lambda net, a, b, w: paper_loss(net, a, b, w[::-1]), "the weights are in reverse order: the first belongs to "
     "conv1_1."),
    (lambda net, a, b, w: paper_loss(net, a, b, w) / 4, MEAN_TAPS),
    (lambda net, a, b, w: paper_loss(net, a, b, w) / sum(w), MEAN_TAPS),
    (lambda net, a, b, w: sum(w) * paper_loss(net, a, b), "the weights were added up: each belongs to its own tap."),
    (lambda net, a, b, w: paper_loss(net, a, b, [*w[:3], 0]), "the last tap is missing: add all four up."),
    (lambda net, a, b, w: paper_loss(net, a, b, [0, *w[1:]]), "the first tap is missing: add all four up."),
    (lambda net, a, b, w: paper_loss(net, a, b, [0, *w[:3]]), "the first tap is missing: add all four up."),
    (lambda net, a, b, w: paper_loss(net, a, b, w).sqrt(), NORM),
    (lambda net, a, b, w: paper_loss(net, a, b, w) / len(a), "divided by the size of the batch as well: N_j is the "
     "size of one image's map, [C, H, W]."),
    (lambda net, a, b, w: paper_loss(net, a, b, w).mean().expand(len(a)), BATCH),
    (lambda net, a, b, w: sum(x * mean_square(f) for x, f in zip(w, net.features(a - b))), "these are features of the "
     "difference: take the difference of the features."),
    (lambda net, a, b, w: sum(x * mean_square(f) for x, f in zip(w, net.features(a))), "the photo does not take part: "
     "subtract its features."),
    (lambda net, a, b, w: paper_loss(net, a, b, w) + mean_square(a - b) / 4, "the pixels were added: here the four "
     "taps only."),
    (lambda net, a, b, w: paper_loss(net, (a + 1) / 2, (b + 1) / 2, w), "the images were brought to [0, 1]: "
     "net.features takes them as they are, in [-1, 1]."),
)]  # fmt: skip


@exercise(needed=True)
def check_perceptual_loss(perceptual_loss: Callable[..., Tensor]) -> None:
    """Exercise 3.4: four taps, each divided by its number of scalars, weighted and summed, with its gradient."""
    net = FourTaps()
    weights = ((1.0, 0.5, 2.0, 0.25), (0.0, 3.0, 0.5, 1.0))
    pairs = [random_tensors((2, 3, 8, 8), (2, 3, 8, 8), seed=seed) for seed in (1, 2, 3)]
    compare(
        perceptual_loss,
        paper_loss,
        inputs=[(net, *pairs[0], weights[0]), (net, *pairs[1], weights[1]), (net, *pairs[2])],
        name="perceptual_loss(...)",
        mistakes=PERCEPTUAL_MISTAKES,
        otherwise="this is not the sum over the taps of weight times mean squared difference.",
        hint="One number for each image: mean over dim=(1, 2, 3) of each tap, sum over the taps.",
        gradient=1,
    )
    passed("every map counts by its weight, not by its size, and the gradient comes with it.")


class Run:
    """What the check's `embed` returns: stands for an EmbedResult, and says so when it is opened."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getattr__(self, part: str) -> object:
        if part.startswith("__"):
            raise AttributeError(part)
        expect(False, f"keep the whole result of `embed`, not its .{part}: later cells need image and history.")


@exercise(needed=True)
def check_three_losses(three_losses: Callable[..., dict]) -> None:
    """Exercise 3.6: three embeddings that differ in their weights only."""
    runs: list[tuple[float, tuple[float, ...]]] = []
    photo = torch.zeros(1, 3, 16, 16)
    options = {"steps": 7, "progress": False}

    def embed(
        given: object = None,
        *others: object,
        mse_weight: object = 1.0,
        tap_weights: object = (1.0, 1.0, 1.0, 1.0),
        **rest: object,
    ) -> Run:
        same = isinstance(given, Tensor) and given.shape == photo.shape and torch.equal(given, photo)
        expect(same, "every run embeds the `photo` that is handed in.")
        expect(not others and rest == options, "pass **options, and nothing else, on to every run: then they differ "
               "in their loss only.")  # fmt: skip
        pixels = float(expect_number(mse_weight, "mse_weight"))
        taps = expect_tensor(tap_weights, "tap_weights", (4,), hint="One number for each tap.")
        expect(min(pixels, *taps.tolist()) >= 0, "a weight is never below 0.")
        expect(pixels or taps.any(), "a run has all weights at 0: nothing is left to search by.")
        runs.append((pixels, tuple(taps.tolist())))
        return Run(len(runs) - 1)

    found = call(three_losses, embed, photo, options)
    expect(found is not None, "`three_losses` returns nothing: end it with `return` and the dict.")
    expect(isinstance(found, Mapping), f"`three_losses` returns a {type(found).__name__}, but a dict is needed.")
    names = ("pixels", "features", "both")
    given = ", ".join(repr(name) for name in found) or "none"
    for name in names:
        expect(name in found, f'the key "{name}" is missing: the dict has {given}.')
    expect(len(found) == 3, f'only the keys "pixels", "features" and "both" are needed: the dict has {given}.')
    for name, run in found.items():
        other = isinstance(run, EmbedResult)
        expect(not other, "call the `embed` that is handed in, not i2s.embed: the check watches how it is called.")
        one = isinstance(run, Run)
        expect(one, f'"{name}" holds a value of type {type(run).__name__}: store what `embed` returned, as it is.')
    expect(len({run.number for run in found.values()}) == 3, "two keys hold the same run: embed three times.")
    wanted = {"pixels": (1.0, (0.0,) * 4), "features": (0.0, (1.0,) * 4), "both": (1.0, (1.0,) * 4)}
    for name in names:
        (pixels, taps), (all_pixels, all_taps) = runs[found[name].number], wanted[name]
        shown = tuple(f"{tap:g}" for tap in taps)
        expect(
            pixels == all_pixels,
            f'"{name}" was run with mse_weight={pixels:g}: it should be {all_pixels:g}, '
            f"{'with' if all_pixels else 'without'} the pixels.",
        )
        expect(
            taps == all_taps,
            f'"{name}" was run with tap_weights=({", ".join(shown)}): they should be four times {all_taps[0]:g}, '
            f"{'with' if all_taps[0] else 'without'} the features.",
        )
    passed("three runs that differ in their loss only.")


@exercise
def check_left_out(decibels: float | None, change: float) -> None:
    """Exercise 3.5: how PSNR changes when conv4_2 is left out, a guess in dB."""
    decibels = expect_number(decibels, "decibels")
    expect(
        abs(decibels) < 30,
        f"`decibels` is {decibels:g} dB, more than the whole search gains: it is the difference of two PSNR.",
    )
    compare_guess(decibels, change, "change of PSNR without conv4_2 (dB)")
    if decibels * change < 0:
        print("The sign is not the one that you expected; the text below says why.")


@exercise
def check_range_factors(signed: float | None, in_bytes: float | None) -> None:
    """Exercise 3.7: MSE in [-1, 1] and in 0..255, as multiples of that in [0, 1]."""
    signed = expect_number(signed, "signed")
    in_bytes = expect_number(in_bytes, "in_bytes")
    expect((signed, in_bytes) != (65025, 4), "the two are swapped: [-1, 1] is twice as wide as [0, 1].")
    for name, value, times, width in (("signed", signed, 2, "[-1, 1]"), ("in_bytes", in_bytes, 255, "0..255")):
        expect(value != times, f"`{name}` is the factor of the difference, {times}: MSE squares it.")
        inverse = value * times in (1, 1 / times) or abs(value * times**2 - 1) < 0.02
        expect(not inverse, f"`{name}` is the other way round: in {width} differences are larger, and so is MSE.")
        expect(value != 1, f"`{name}` is 1, but {width} is {times} times as wide as [0, 1].")
        expect(value != 256**2, "from 0 to 255 there are 255 steps, not 256.")
        right = abs(value - times**2) < 1e-3 * times**2
        expect(right, f"`{name}` is {value:g}: a difference grows {times} times in {width}; what does its square do?")
    passed("4 and 65,025: a weight of 1 in one range is quite another weight in the next.")


@exercise
def check_sum_weight(equivalent: float | None) -> None:
    """Exercise 3.8: the weight that a sum over 3 x 256 x 256 squares, in place of their mean, amounts to."""
    equivalent = expect_number(equivalent, "equivalent")
    side = 256
    right = 3 * side**2
    mistakes = {
        float(side**2): "an image has three colours: N counts the numbers, not the positions.",
        float(side): "256 is the width: N counts all the numbers of an image.",
        3.0 * side: "that is one row of the image: N counts all of its rows.",
        1.0 / right: "the other way round: a sum is larger than a mean, so its weight is larger too.",
        4.0 * right: "the pixels are in [0, 1] in both formulas: no factor of 4.",
        right * 255.0**2: "the pixels are in [0, 1] in both formulas: no 255.",
        1.0: "a sum is not a mean: what does the formula divide by?",
        0.0: "0 would leave the pixels out: a sum counts them more, not less.",
    }
    for value, why in mistakes.items():
        expect(abs(equivalent - value) > 1e-6 * max(value, 1e-3), why)
    expect(abs(equivalent - right**0.5) > 1, "no root is taken: the formula has squared norms.")
    expect(
        abs(equivalent - right) < 0.01 * right,
        f"{equivalent:g} is not it: how many numbers are in an image of 3 x 256 x 256?",
    )
    passed("196,608: so many times the weight that was meant, and the features do not count beside it.")
