"""Lesson 1, anatomy of StyleGAN: helpers that look into a generator, and the checks of the exercises."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
from i2s.edits import crossover, split_for
from i2s.generators import layers, stylegan1, stylegan2
from i2s.generators.base import Generator

LUMA = (0.299, 0.587, 0.114)  # Rec. 601: weights of red, green and blue in the luminance

# --- helpers: the inside of a generator -----------------------------------------------------------------------------


@contextmanager
def forward_hooks(modules: Iterable[nn.Module], hook: Callable) -> Iterator[None]:
    """Register `hook(module, inputs, output)` on the modules within the context."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def stages(generator: stylegan2.StyleGAN2, w_plus: Tensor) -> list[Tensor]:
    """Return the image after each block: the sum of the RGB outputs so far, [N, 3, 4, 4] to [N, 3, R, R]."""
    images: list[Tensor] = []

    def add(module: nn.Module, inputs: tuple, rgb: Tensor) -> None:
        images.append(rgb if not images else layers.upsample2x(images[-1], generator.synthesis.fir) + rgb)

    with forward_hooks([block.to_rgb for block in generator.synthesis.blocks if block.to_rgb], add):
        generator.synthesis(w_plus)
    return [image.cpu() for image in images]


@torch.no_grad()
def feature_maps(generator: stylegan1.StyleGAN1 | stylegan2.StyleGAN2, w_plus: Tensor) -> list[Tensor]:
    """Return the output of the last layer of each block, [N, C, 4, 4] to [N, C', R, R]."""
    maps: list[Tensor] = []
    last_layers = [list(block.layers())[-1] for block in generator.synthesis.blocks]
    with forward_hooks(last_layers, lambda module, inputs, output: maps.append(output.cpu())):
        generator.synthesis(w_plus)
    return maps


@torch.no_grad()
def trace_layers(
    generator: stylegan2.StyleGAN2, w_plus: Tensor
) -> list[tuple[stylegan2.SynthesisLayer, Tensor, Tensor]]:
    """Return (layer, input maps [N, in, H, W], style [N, in]) of each convolution in a forward pass."""
    trace: list[tuple[stylegan2.SynthesisLayer, Tensor, Tensor]] = []

    def add(layer: stylegan2.SynthesisLayer, inputs: tuple, output: Tensor) -> None:
        trace.append((layer, inputs[0].cpu(), layer.affine(inputs[1]).cpu()))

    with forward_hooks([layer for block in generator.synthesis.blocks for layer in block.layers()], add):
        generator.synthesis(w_plus)
    return trace


def adain_layer(channels: int, w_dim: int, size: int = 32, seed: int = 0) -> stylegan1.SynthesisLayer:
    """Build a StyleGAN1 layer with random weights: convolution, noise (strength 0), bias, leaky ReLU, AdaIN."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        conv = layers.EqualizedConv2d(channels, channels, 3, bias=False, gain=layers.LRELU_GAIN)
        return stylegan1.SynthesisLayer(conv, channels, size, w_dim).requires_grad_(False)


def enlarge(maps: Tensor, size: int) -> Tensor:
    """Resize maps [C, H, W] to [C, size, size] by repeating pixels."""
    return F.interpolate(maps[None], (size, size), mode="nearest")[0]


# --- helpers: what each row of a W+ code changes --------------------------------------------------------------------
# Karras et al. 2019, section 3.1: coarse layers bring pose, shape and hair, middle ones features, fine ones colour.


def layer_groups(resolution: int) -> dict[str, range]:
    """Return the rows of a W+ code whose layers work at 4 and 8 px (coarse), at 16 px (middle), and above (fine)."""
    coarse, middle = split_for(resolution, upto=8), split_for(resolution, upto=16)
    rows = split_for(resolution, upto=resolution) + 1
    return {"coarse": range(coarse), "middle": range(coarse, middle), "fine": range(middle, rows)}


def aspects(images: Tensor) -> dict[str, Tensor]:
    """Describe images by four aspects.

    Args:
        images: [N, 3, R, R] in [-1, 1].

    Returns:
        Vectors [N, C] for each aspect. shape: luminance on an 8 x 8 grid, without its mean and of length 1, so that
        brightness and contrast do not matter. features: luminance on a 16 x 16 grid minus the 8 x 8 grid. detail: the
        strength of what is finer than 16 x 16, wherever it is. colour: mean of each channel.
    """
    luma = (images * torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    grid8, grid16 = (F.adaptive_avg_pool2d(luma, size) for size in (8, 16))
    centred = (grid8 - grid8.mean(dim=(2, 3), keepdim=True)).flatten(1)
    finest = luma - F.interpolate(grid16, luma.shape[2:], mode="bilinear", align_corners=False)
    return {
        "shape": F.normalize(centred, dim=1),
        "features": (grid16 - F.interpolate(grid8, scale_factor=2.0)).flatten(1),
        "detail": finest.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().flatten(1),
        "colour": images.mean(dim=(2, 3)),
    }


@torch.no_grad()
def layer_effects(
    generator: Generator, count: int = 256, psi: float = 1.0, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Measure how much of the change from one face to another comes with each group of rows.

    Args:
        generator: Any generator with W+ codes.
        count: Pairs of random codes.
        psi: Truncation of the codes.
        seed: Of the codes.

    Returns:
        {group: {aspect: share}}. The group's rows of the first code are replaced by those of the second; the share is
        the mean squared change of the aspect, divided by the change when all rows are replaced. 0: the rows have no
        effect; 1: they decide all.
    """
    groups = layer_groups(generator.resolution) | {"all": range(generator.num_ws)}
    sums: dict[str, dict[str, float]] = {name: {} for name in groups}
    for z in generator.sample_z(2 * count, seed).split(64):
        content, style = generator.mapping(z, psi).chunk(2)
        before = aspects(generator.synthesis(content).clamp(-1, 1))
        for name, rows in groups.items():
            after = aspects(generator.synthesis(crossover(content, style, layers=rows)).clamp(-1, 1))
            for aspect, values in after.items():
                change = (values - before[aspect]).square().sum().item()
                sums[name][aspect] = sums[name].get(aspect, 0.0) + change
    total = sums.pop("all")
    return {
        name: {aspect: round(value / max(total[aspect], 1e-12), 3) for aspect, value in found.items()}
        for name, found in sums.items()
    }


# --- checks ---------------------------------------------------------------------------------------------------------


def check_scaled_z(prediction: str | None) -> None:
    """Exercise 1.1: what happens to the image when z is multiplied by 10."""
    expect_choice(
        prediction,
        right="same",
        wrong={
            "brighter": "for that the factor 10 had to reach w, but the mapping network divides z by its length.",
            "noise": "for that z would need a direction that training never saw, but the factor 10 leaves it as it is.",
        },
    )
    passed("z is divided by its length, so only its direction counts.")


def check_adain(adain: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise 1.2: adaptive instance normalisation."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 8, 8, generator=rng) * torch.tensor([1.0, 5.0, 0.2]).view(1, 3, 1, 1) + 2
    scale = torch.rand(2, 3, generator=rng) + 0.5
    shift = torch.randn(2, 3, generator=rng)
    y = expect_tensor(
        adain(x.clone(), scale, shift),
        "adain(x, scale, shift)",
        (2, 3, 8, 8),
        hint="Mean and spread need keepdim=True, scale and shift two more dimensions.",
    )
    mean = y.mean(dim=(2, 3))
    expect(
        not close(mean, torch.zeros(2, 3), absolute=1e-4),
        "the mean of each map is 0, but the style's shift should be added after the scaling.",
    )
    expect(
        not close(y, x * scale[:, :, None, None] + shift[:, :, None, None]),
        "the maps keep their own mean and spread: normalise them before the style comes in.",
    )
    expect(
        close(mean, shift, 1e-2, 1e-3),
        "each map should have the style's shift as its mean: take the mean off for each map of each image by "
        "itself, dim=(2, 3), before scaling, and add the shift last.",
    )
    spread = y.var(dim=(2, 3), unbiased=False).sqrt()
    expect(
        not close(spread, 1 + scale, 1e-3, 1e-4),
        "1 was added to the scale: here `scale` is y_s itself, not its difference from 1.",
    )
    expect(
        close(spread, scale, 1e-3, 1e-4),
        "each map should have the style's scale as its spread: divide by the root of the variance (the mean of the "
        "squares, over dim=(2, 3)), not by the variance, nor by that of all maps together.",
    )
    flat = adain(torch.ones(1, 2, 4, 4), torch.ones(1, 2), torch.zeros(1, 2))
    expect(bool(torch.isfinite(flat).all()), "a map that is the same everywhere gives NaN: add 1e-8 under the root.")
    passed("each map has the style's mean and spread, whatever came in.")


def check_scaled_style(cause: str | None) -> None:
    """Exercise 1.3: why a style times 3 changes nothing."""
    expect_choice(
        cause,
        right="B",
        wrong={
            "A": "the affine layer is linear, and it clips nothing.",
            "C": "a leaky ReLU passes positive scales on: three times the input gives three times the output.",
        },
    )
    passed("a common factor of the style cancels; only the ratios between its entries count.")


class RowProbe:
    """A fake generator whose image says which rows were used: row k moves the mean colour by a length of k + 1.

    All rows together add 10 more, so that the starting code counts. The change is split between red and blue with
    opposite signs; green is a pattern of mean 0, so that the mean colour differs from the colour of the pixels.
    """

    num_ws = 4

    def synthesis(self, w_plus: Tensor) -> Tensor:
        """Draw images [N, 3, 8, 8] of codes [N, 4, C]."""
        strength = w_plus.mean(dim=2)  # [N, 4]
        step = (strength * torch.arange(1.0, self.num_ws + 1)).sum(dim=1) + 10 * strength.prod(dim=1)  # [N]
        step = step[:, None, None]
        image = torch.zeros(len(w_plus), 3, 8, 8)
        image[:, 0] = -0.6 * step
        image[:, 2] = 0.8 * step
        image[:, 1, :, ::2] = step
        image[:, 1, :, 1::2] = -step
        return image


def check_colour_changes(colour_changes: Callable) -> None:
    """Exercise 1.4: how much each row changes the mean colour."""
    a, b = torch.zeros(1, 4, 2), torch.ones(1, 4, 2)
    found = expect_tensor(
        colour_changes(RowProbe(), a, b),
        "colour_changes(...)",
        (4,),
        low=0.0,
        hint="One number for each row: torch.stack the lengths.",
    )
    wanted = torch.tensor([1.0, 2.0, 3.0, 4.0])
    mistakes = {
        "the rows from k on were replaced: layers=[k] replaces row k alone.": torch.tensor([20.0, 9.0, 7.0, 4.0]),
        "the rows up to k were replaced: start from a each time.": torch.tensor([1.0, 3.0, 6.0, 20.0]),
        "all rows but k were replaced: content is a, style is b.": torch.tensor([9.0, 8.0, 7.0, 6.0]),
        "b was changed by rows of a: start from a, and take row k from b.": torch.tensor([11.0, 12.0, 13.0, 14.0]),
        "the three differences were added up: the length is the root of their summed squares, norm().": 1.4 * wanted,
        "this is how far the pixels move: average each image over dim=(2, 3) first, then compare.": 2**0.5 * wanted,
        "these are squares: the distance is the length of the difference, its norm().": wanted.square(),
    }
    expect_no_mistake(found, mistakes)
    expect(
        close(found, wanted),
        "the distances are not those between the mean colour of a and of a with row k of b: average over dim=(2, 3).",
    )
    passed("one distance for each row.")


def check_truncate(truncate: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise 1.5: truncation."""
    rng = torch.Generator().manual_seed(1)
    w, mean = torch.randn(2, 4, 6, generator=rng), torch.randn(6, generator=rng)
    half = expect_tensor(truncate(w, mean, 0.5), "truncate(w, w_mean, 0.5)", (2, 4, 6))
    expect(
        not close(half, 0.5 * w),
        "the code was pulled towards 0, but W is not centred there: pull it towards w_mean.",
    )
    full, none = truncate(w, mean, 1.0), truncate(w, mean, 0.0)
    everywhere = mean.expand(2, 4, 6)
    expect(
        not (close(full, everywhere) and close(none, w)),
        "psi is the wrong way round: psi 1 leaves w alone, psi 0 gives the mean.",
    )
    expect(close(full, w), "psi 1 should leave w alone.")
    expect(close(none, everywhere), "psi 0 should give the mean latent.")
    expect(close(half, (w + mean) / 2), "psi 0.5 should be half way between w and the mean.")
    passed("psi 1 is w, psi 0 the mean, and between them a straight line.")


def check_truncation_words(answer: str | None) -> None:
    """Exercise 1.6: why truncation looks better, and what it costs; looks for words of both sides only."""
    expect_sentences(answer)
    why = ("mean", "cent(re|er)", "averag", "seen", "saw", "often", "dens", "train", "learn", "practi", "common")
    why += ("typical", "usual", "ordinary", "frequent", "familiar", "likely", "known")
    price = ("vari", "vary", "divers", "differ", "same", "alike", "similar", "identical", "uniform", "unusual", "rare")
    price += ("extreme", "individual", "lost", "lose", "fewer", "resembl")
    expect(mentions(answer, *why), "say where good faces are: what has the training seen near the mean?")
    expect(mentions(answer, *price), "say what is lost: what do all faces become when psi goes to 0?")
    passed("both sides are there; compare with the solution.")
