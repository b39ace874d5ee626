"""Lesson 3, loss design: distortions, feature inversion, LPIPS as a reference, and the checks of the exercises."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
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
from i2s.errors import I2SError, SettingsError
from i2s.images import gaussian_blur
from i2s.losses.base import FeatureNet
from i2s.losses.lpips import LPIPS

LPIPS_WEIGHTS = "squeezenet1_1-*.pth"  # torchvision's file in torch's cache

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


def warp(images: Tensor, amount: float = 1.5, seed: int = 0) -> Tensor:
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


def blur(images: Tensor, sigma: float = 2.1) -> Tensor:
    """Apply a Gaussian blur of standard deviation `sigma` px to images [N, 3, H, W]."""
    return gaussian_blur(images, sigma, radius=int(3 * sigma))


def brighten(images: Tensor, by: float = 0.3) -> Tensor:
    """Add `by` to images [N, 3, H, W] in [-1, 1], and clip."""
    return (images + by).clamp(-1, 1)


# --- helpers: networks ----------------------------------------------------------------------------------------------


def invert_features(perceptual: FeatureNet, photo: Tensor, steps: int = 200, learning_rate: float = 0.05) -> Tensor:
    """Find, for each tap, an image whose feature map is that of the photo (Mahendran and Vedaldi 2015).

    The pixels themselves are optimised by Adam, for one tap each, without a generator or a prior: what a tap ignores
    stays random.

    Args:
        perceptual: A perceptual network.
        photo: [1, 3, H, W] in [-1, 1].
        steps: Updates.
        learning_rate: Of Adam.

    Returns:
        Images [taps, 3, H, W] in [-1, 1].
    """
    targets = [tap.detach() for tap in perceptual.features(photo)]
    noise = torch.randn(len(targets), *photo.shape[1:], generator=torch.Generator().manual_seed(0))
    images = (0.1 * noise).to(photo).requires_grad_()  # a constant image could be a point of zero gradient
    adam = torch.optim.Adam([images], lr=learning_rate)
    for _ in range(steps):
        taps = perceptual.features(images)
        loss = sum((taps[k][k] - target[0]).square().mean() for k, target in enumerate(targets))
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            images.clamp_(-1, 1)
    return images.detach()


def reference_lpips(fetch: bool = False) -> LPIPS | None:
    """Load LPIPS over SqueezeNet (5 MB) if possible, and print the result; a lesson continues without it.

    Args:
        fetch: Download the network if it is not in torch's cache; nothing is downloaded otherwise.

    Returns:
        The term, or None.
    """
    cached = any((Path(torch.hub.get_dir()) / "checkpoints").glob(LPIPS_WEIGHTS))
    if not (cached or fetch):
        print("LPIPS's network is not on this machine: reference_lpips(fetch=True) fetches it (5 MB).")
        return None
    try:
        lpips = LPIPS("squeeze")
    except I2SError as error:
        print(f"No LPIPS here. {error}")
        return None
    print("LPIPS over SqueezeNet")
    return lpips


# --- checks ---------------------------------------------------------------------------------------------------------


def check_smallest_mse(prediction: str | None, photo: Tensor, copies: Mapping[str, Tensor]) -> None:
    """Exercise 3.1: which of the copies {name: image} has the smallest MSE."""
    distance = {name: (copy - photo).square().mean().item() for name, copy in copies.items()}
    right = min(distance, key=distance.get)
    why = {
        "moved": "it looks nearly the same, but its edges are elsewhere, and each pixel beside an edge counts in full.",
        "bent": "it looks nearly the same, but its edges are elsewhere, and each pixel beside an edge counts in full.",
        "brighter": "nothing in it has moved, but every single pixel differs.",
        "blurred": "it looks the worst, but does it differ by much at any single pixel?",
    }
    expect_choice(prediction, right=right, wrong={name: why.get(name, "") for name in copies if name != right})
    passed(f"pixel by pixel, the {right} copy is the nearest.")


def check_mse(mse: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 3.2: mean squared error of each image, in [0, 1]."""
    rng = torch.Generator().manual_seed(0)
    a = torch.rand(3, 3, 8, 8, generator=rng) * 2 - 1
    b = torch.rand(3, 3, 8, 8, generator=rng) * 2 - 1
    a[1] = b[1]
    found = expect_tensor(
        mse(a, b),
        "mse(images, target)",
        (3,),
        low=0.0,
        hint="One number for each image: the mean runs over dim=(1, 2, 3).",
    )
    difference = (a - b) / 2
    dims = (1, 2, 3)
    wanted = difference.square().mean(dim=dims)
    mistakes = {
        "four times too large: the pixels were taken in [-1, 1]; in [0, 1] differences are half as large.": 4 * wanted,
        "twice too large: halve the difference before it is squared, not the square.": 2 * wanted,
        "this is the sum of the squares: take their mean.": 192 * wanted,
        "these are absolute differences: square them.": difference.abs().mean(dim=dims),
        "a root was taken: the mean of the squares stays as it is.": wanted.sqrt(),
        "square each difference first, then take the mean: otherwise plus and minus cancel.": (
            difference.mean(dim=dims).square()
        ),
        "only one of the two was brought to [0, 1]: both have to be.": ((a + 1) / 2 - b).square().mean(dim=dims),
    }
    expect_no_mistake(found, mistakes)
    expect(close(found, wanted), "this is not the mean of the squared differences in [0, 1].")
    passed("0 for equal images, 1 for black against white.")


def check_why_blur(answer: str | None) -> None:
    """Exercise 3.3: why MSE blurs uncertain edges; looks for words of the mean and of the several places only."""
    expect_sentences(answer)
    mean = ("mean", "averag", "between", "middle", "expect", "half", "blend", "mix", "compromise", "gr[ea]y")
    places = ("place", "position", "location", "spot", "shift", "where", "edges", "moved", "several", "wrong")
    places += ("possib", "plausib", "candidate", "option", "uncertain", "guess", "incorrect")
    expect(mentions(answer, *mean), "say which value is nearest to several numbers, by squared difference.")
    expect(mentions(answer, *places), "say what is not known about the edge, and what a wrong guess costs.")
    passed("the mean and the places are there; compare with the solution.")


class FourTaps:
    """A fake perceptual network: four feature maps of different sizes and strengths."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Return four maps of images [N, 3, 8, 8]."""
        return [images, 2 * images, F.avg_pool2d(images, 2).repeat(1, 4, 1, 1), 3 * F.avg_pool2d(images, 4)]


def check_perceptual_loss(perceptual_loss: Callable[..., Tensor]) -> None:
    """Exercise 3.4: four taps, each divided by its number of scalars, weighted and summed."""
    rng = torch.Generator().manual_seed(1)
    a = torch.randn(2, 3, 8, 8, generator=rng)
    b = torch.randn(2, 3, 8, 8, generator=rng)
    net = FourTaps()
    weights = (1.0, 0.5, 2.0, 0.25)
    found = expect_tensor(
        perceptual_loss(net, a, b, weights),
        "perceptual_loss(...)",
        (2,),
        low=0.0,
        hint="One number for each image, the taps summed: mean over dim=(1, 2, 3), sum over taps.",
    )
    differences = [x - y for x, y in zip(net.features(a), net.features(b))]
    dims = (1, 2, 3)
    means = [d.square().mean(dim=dims) for d in differences]

    def weighted(values: list[Tensor]) -> Tensor:
        return sum(w * v for w, v in zip(weights, values))

    wanted = weighted(means)
    only_one = "only one tap is counted: add all four up before you return."
    mistakes = {
        "the division by N_j is missing: take the mean of the squares, not their sum.": weighted(
            [d.square().sum(dim=dims) for d in differences]
        ),
        "the weights are not used: multiply each tap by its own.": sum(means),
        "this is the mean over the taps: the formula sums them.": wanted / 4,
        only_one: means[-1] * weights[-1],
        "a root was taken: the formula has the squared norm.": weighted([m.sqrt() for m in means]),
        "these are absolute differences: square them.": weighted([d.abs().mean(dim=dims) for d in differences]),
    }
    expect_no_mistake(found, mistakes)
    expect(not close(found, means[0] * weights[0]), only_one)
    expect(close(found, wanted), "this is not the weighted sum of the four means.")
    passed("every map counts by its weight, not by its size.")


def check_three_losses(three_losses: Callable[..., dict]) -> None:
    """Exercise 3.5: three embeddings that differ in their weights only."""
    calls = []

    def embed(photo: str, mse_weight: float = 1.0, tap_weights: tuple = (1.0, 1.0, 1.0, 1.0), **rest: object) -> int:
        expect(photo == "photo", "every run embeds the `photo` that is handed in.")
        four = isinstance(tap_weights, (list, tuple)) and len(tap_weights) == 4
        expect(four, f"tap_weights is {tap_weights!r}, but four numbers are needed, one for each tap.")
        calls.append((float(mse_weight), tuple(float(w) for w in tap_weights), rest))
        return len(calls) - 1

    options = {"steps": 7}
    try:
        found = three_losses(embed, "photo", options)
    except I2SError as error:  # of i2s.embed itself, which cannot embed the word "photo"
        expect(False, f'call the `embed` that is handed in, not i2s.embed: the check watches it ("{error}").')
    expect(isinstance(found, dict), 'return a dict with the keys "pixels", "features" and "both".')
    missing = {"pixels", "features", "both"} - set(found)
    expect(not missing, f"the dict has no {', '.join(sorted(missing))}.")
    made = all(isinstance(k, int) and 0 <= k < len(calls) for k in found.values())
    expect(made, "a value of the dict is not what `embed` returned: store its results as they are.")
    expect(all(rest == options for _, _, rest in calls), "pass **options on to every run, or they cannot be compared.")
    pixels, taps = ({name: calls[k][part] for name, k in found.items()} for part in (0, 1))
    expect(not any(taps["pixels"]), '"pixels" still has features: its tap_weights are (0, 0, 0, 0).')
    expect(pixels["pixels"] == 1, '"pixels" has no pixels: its mse_weight is 1.')
    expect(pixels["features"] == 0, '"features" still has pixels: its mse_weight is 0.')
    expect(taps["features"] == (1, 1, 1, 1), '"features" uses all four taps with weight 1.')
    expect(pixels["both"] == 1 and taps["both"] == (1, 1, 1, 1), '"both" has weight 1 everywhere.')
    passed("three runs that differ in their loss only.")


def check_range_factor(factor: float | Tensor | None) -> None:
    """Exercise 3.6: MSE in [-1, 1] against [0, 1]."""
    factor = factor.item() if isinstance(factor, Tensor) and factor.numel() == 1 else factor
    expect(isinstance(factor, (int, float)), "set `factor` to a number.")
    expect(factor != 2, "2 is the factor of the difference; it is squared.")
    expect(factor not in (0.5, 0.25), "the other way round: the range gets larger, and so does the error.")
    expect(factor != 1, "the range is twice as wide, so each difference is twice as large.")
    expect(factor == 4, f"{factor} is not it: twice the difference, squared.")
    passed("4: a weight of 1 in one range is a weight of 4 in the other.")


def check_large_loss(cause: str | None) -> None:
    """Exercise 3.7: why a loss is in the thousands, and its images soft."""
    expect_choice(
        cause,
        right="B",
        wrong={
            "A": "the images are in [0, 1] already; divided by 255 once more, the pixels would hardly count at all.",
            "C": "the paper's terms are squared norms: no root is taken.",
        },
    )
    passed("3 x 256 x 256 is about two hundred thousand: so many times the weight that was meant.")
