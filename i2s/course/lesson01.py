"""Lesson 1, anatomy of StyleGAN: helpers that look into a generator, and the checks of the exercises."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.course.checks import (
    as_tensor,
    call,
    compare,
    exercise,
    expect,
    expect_choice,
    expect_number,
    expect_text,
    passed,
    random_tensors,
)
from i2s.course.figures import COLOURS, NotebookImage, in_course_style, new_axes, rasterize
from i2s.edits import crossover
from i2s.generators import layers, stylegan1, stylegan2
from i2s.generators.base import Generator
from i2s.latents import to_p
from i2s.losses.base import FeatureNet

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


@torch.no_grad()
def around_style(
    generator: stylegan1.StyleGAN1, w_plus: Tensor, layer: stylegan1.SynthesisLayer
) -> tuple[Tensor, Tensor]:
    """Return the maps [N, C, H, W] of a layer before and after AdaIN, in a forward pass without noise."""
    passed_on: list[Tensor] = []
    with forward_hooks([layer], lambda module, inputs, output: passed_on.extend((inputs[0], output))):
        generator.synthesis(w_plus, noise="none")
    inputs, output = passed_on
    before = layers.leaky_relu(layer.conv(inputs) + layer.bias.view(-1, 1, 1), gain=1.0)
    return before.cpu(), output.cpu()


def enlarge(maps: Tensor, size: int) -> Tensor:
    """Resize maps [C, H, W] to [C, size, size] by repeating pixels."""
    return F.interpolate(maps[None], (size, size), mode="nearest")[0]


# --- helpers: Z and W -----------------------------------------------------------------------------------------------


class ToyFaces:
    """Made-up faces of two numbers, the lengths of hair and beard, uniform over those that exist: never both long.

    Figure 6 of Karras et al. 2019 in numbers. W has the shape of the faces; Z is a normal distribution, so that the way
    from Z to W must bend.
    """

    def __init__(self) -> None:
        self.grid = torch.linspace(0, 1, 2001, dtype=torch.float64)
        longest = self.longest_beard(self.grid)
        self.share = longest.cumsum(0) / longest.sum()  # of the faces whose hair is no longer

    def longest_beard(self, hair: Tensor) -> Tensor:
        """Return the longest beard, 1 for short hair and 0.25 for long, with a soft step at 0.5."""
        return 1 - 0.75 * torch.sigmoid((hair - 0.5) / 0.05)

    def to_w(self, z: Tensor) -> Tensor:
        """Map z [N, 2] to (hair, beard) [N, 2], each from 0 to 1, by the quantiles of both (Rosenblatt's transform)."""
        shares = torch.special.ndtr(z.double())
        hair = self.grid[torch.searchsorted(self.share, shares[:, 0].contiguous()).clamp_max(len(self.grid) - 1)]
        return torch.stack([hair, shares[:, 1] * self.longest_beard(hair)], dim=1)

    def to_z(self, w: Tensor) -> Tensor:
        """Invert `to_w`."""
        hair, beard = w.double().unbind(dim=1)
        share = self.share[(hair * (len(self.grid) - 1)).round().long()]
        shares = torch.stack([share, beard / self.longest_beard(hair)], dim=1)
        return torch.special.ndtri(shares.clamp(1e-4, 1 - 1e-4))


@in_course_style
def plot_toy_walks(w1: tuple[float, float] = (0.12, 0.2), w2: tuple[float, float] = (0.9, 0.2)) -> NotebookImage:
    """Plot ToyFaces in W and in Z, with the straight walk from w1 to w2 in each of them, drawn in both."""
    faces, share = ToyFaces(), torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
    z = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    ends = torch.tensor([w1, w2], dtype=torch.float64)
    in_w = torch.lerp(*ends, share)
    in_z = torch.lerp(*faces.to_z(ends), share)
    figure, axes = new_axes((8.6, 3.9))
    axes.remove()
    panels = figure.subplots(1, 2)
    clouds = (faces.to_w(z), z), (in_w, faces.to_z(in_w)), (faces.to_w(in_z), in_z)
    for panel, dots, w_walk, z_walk in zip(panels, *clouds):
        panel.plot(*dots.T, ".", color="#9A9A9A", markersize=3)
        panel.plot(*w_walk.T, "-", color=COLOURS[0], linewidth=2.2, label="straight in W")
        panel.plot(*z_walk.T, "--", color=COLOURS[1], linewidth=2.2, label="straight in Z")
    panels[0].set(xlabel="length of the hair", ylabel="length of the beard", title="W: the shape of the faces")
    panels[1].set(xlabel="$z_1$", ylabel="$z_2$", title="Z: a normal distribution")
    panels[0].legend(frameon=False)
    alt = (
        "Left, W: dots fill a region without its upper right corner. The walk that is straight in W is level; the one "
        "that is straight in Z rises to twice its height and comes down again. Right, Z: a round cloud of dots, in "
        "which the walk of W is bent like an S."
    )
    return NotebookImage(rasterize(figure), "PNG", alt)


def slerp(z1: Tensor, z2: Tensor, t: Tensor | float) -> Tensor:
    """Interpolate on the sphere: the arc from z1 to z2 [N, C] at t, a number or [N, 1] (Shoemake 1985).

    The result has length sqrt(C), as a normalised z has.
    """
    z1, z2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    angle = (z1 * z2).sum(dim=1, keepdim=True).clamp(-1, 1).acos()
    z = (((1 - t) * angle).sin() * z1 + (t * angle).sin() * z2) / angle.sin()
    return z * math.sqrt(z.shape[1])


class UntrainedMapping(nn.Module):
    """A generator's mapping network with random weights.

    Its codes are scaled, turned and shifted to the mean and covariance of W, so that the synthesis network draws faces.
    """

    @torch.no_grad()
    def __init__(self, generator: Generator, seed: int = 0, count: int = 8000) -> None:
        super().__init__()
        self.trained = generator.mapping
        self.mapping = copy.deepcopy(generator.mapping)
        rng = torch.Generator().manual_seed(seed)
        for layer in self.mapping.layers:
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=rng) / layer.lr_mul)
            layer.bias.zero_()
        z = generator.sample_z(count, seed)
        random, wanted = self.mapping.to_w(z), self.trained.to_w(z)
        self.register_buffer("matrix", root(random.T.cov(), -0.5) @ root(wanted.T.cov(), 0.5))
        self.register_buffer("random_mean", random.mean(0))
        self.register_buffer("mean", wanted.mean(0))

    def forward(self, z: Tensor) -> Tensor:
        """Map z [N, z_dim] to w [N, num_ws, w_dim]."""
        w = (self.mapping.to_w(z) - self.random_mean) @ self.matrix + self.mean
        return w[:, None].repeat(1, self.trained.num_ws, 1)


def root(covariance: Tensor, power: float) -> Tensor:
    """Raise a covariance matrix to a power, in float64."""
    values, vectors = torch.linalg.eigh(covariance.double().cpu())
    scaled = vectors * values.clamp_min(1e-9 * values[-1]) ** power
    return (scaled @ vectors.T).to(covariance)


@torch.no_grad()
def linear_share(mapping: nn.Module, z: Tensor, undo_relu: bool = True) -> float:
    """Return how much of a mapping network a linear map explains: R^2 of the best linear prediction of w from z.

    Args:
        mapping: From z [N, z_dim] to w [N, num_ws, w_dim].
        z: Codes; three quarters are fitted to, the others predicted. They are normalised, as the network does.
        undo_relu: Undo the leaky ReLU at the end of the network first.

    Returns:
        1 for a linear network, 0 if z says nothing about w linearly.
    """
    w = mapping(z)[:, 0]
    w = to_p(w) if undo_relu else w
    z = torch.cat([F.normalize(z, dim=1) * math.sqrt(z.shape[1]), torch.ones(len(z), 1).to(z)], dim=1)
    known = 3 * len(z) // 4
    fit = torch.linalg.lstsq(z[:known].double(), w[:known].double()).solution
    wanted = w[known:].double()
    missed = wanted - z[known:].double() @ fit
    return 1 - float(missed.square().sum() / (wanted - wanted.mean(0)).square().sum())


@torch.no_grad()
def path_lengths(
    generator: Generator,
    perceptual: FeatureNet,
    space: str,
    mapping: nn.Module | None = None,
    count: int = 64,
    epsilon: float = 1e-2,
    seed: int = 0,
) -> Tensor:
    """Measure the perceptual path length of random walks (Karras et al. 2019, section 4.1).

    Args:
        generator: The generator.
        perceptual: The distance is that of its features, the mean square summed over its taps.
        space: "z", along arcs, or "w", along straight lines.
        mapping: In place of the generator's own.
        count: Walks, from one random z to another.
        epsilon: Length of the step, of a walk of length 1, at a random place of each walk.
        seed: Of walks and places.

    Returns:
        Distance / epsilon^2 of each walk, [count].
    """
    mapping = mapping or generator.mapping
    ends = generator.sample_z(2 * count, seed).chunk(2)
    places = torch.rand(count, 1, generator=torch.Generator().manual_seed(seed)).to(generator.device)
    lengths = []
    for rows in torch.arange(count).split(16):
        z1, z2, t = ends[0][rows], ends[1][rows], places[rows]
        if space == "z":
            codes = [mapping(slerp(z1, z2, at)) for at in (t, t + epsilon)]
        else:
            codes = [torch.lerp(mapping(z1), mapping(z2), at[:, :, None]) for at in (t, t + epsilon)]
        images = [generator.synthesis(code) for code in codes]
        taps = zip(*(perceptual.features(image) for image in images))
        lengths.append(sum((a - b).square().mean(dim=(1, 2, 3)) for a, b in taps) / epsilon**2)
    return torch.cat(lengths).cpu()


# --- helpers: what each row of a W+ code changes --------------------------------------------------------------------
# Karras et al. 2019, section 3.1: coarse layers bring pose, shape and hair, middle ones features, fine ones colour.


def layer_groups(resolution: int) -> dict[str, range]:
    """Return the rows of a W+ code whose styles scale maps of 4 and 8 px (coarse), 16 and 32 px (middle), and larger.

    Rows 2k and 2k + 1 belong to maps of 4 * 2**k px, in StyleGAN1 and in StyleGAN2: there a style scales the input of
    its layer, and the input of the first layer of a size is the output of the size before.
    """
    rows = 2 * int(math.log2(resolution)) - 2
    return {"coarse": range(4), "middle": range(4, min(8, rows)), "fine": range(8, rows)}


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


@exercise
def check_scaled_z(prediction: float | None) -> None:
    """Exercise 1.1: how far the images of z and 10 z are apart."""
    number = expect_number(prediction, "prediction")
    expect(number >= 0, "a mean difference is not negative: 0 means that the images are equal.")
    expect(
        number < 2,
        f"with {number:g} of 255 the images would differ. Go through the diagram from the top: which box does 10 z "
        "meet first, and what is left of the factor 10 behind it?",
    )
    passed("z is normalised before the first layer, so only its direction counts.")


@exercise(needed=True)
def check_mix_styles(mix_styles: Callable[[Tensor, Tensor, list[int]], Tensor]) -> None:
    """Exercise 1.2: style mixing."""

    def reference(a: Tensor, b: Tensor, rows: Iterable[int]) -> Tensor:
        mixed = a.clone()
        mixed[:, list(rows)] = b[:, list(rows)]
        return mixed

    mistakes = [
        (lambda a, b, rows: a, "b left no trace: put its rows into a copy of a, and return that copy."),
        (lambda a, b, rows: reference(b, a, rows), "a and b are the wrong way round: start from a, take rows of b."),
        (lambda a, b, rows: reference(a, b, range(max(rows) + 1)), "the rows before those of `rows` came along."),
        (lambda a, b, rows: reference(a, b, range(min(rows), 6)), "rows after or between those of `rows` came along."),
        (lambda a, b, rows: reference(a, b, rows[:1]), "only the first of the rows came along: take all of them."),
        (lambda a, b, rows: reference(a, b, rows[-1:]), "only the last of the rows came along: start from a once."),
        (lambda a, b, rows: b[:, list(rows)], "these are the rows of b alone: put them into a copy of a."),
        (
            lambda a, b, rows: reference(a.mT, b.mT, rows).mT,
            "numbers within each row were replaced: a row is along dim 1, [:, rows].",
        ),
        (lambda a, b, rows: reference(0 * a, b, rows), "all other rows are 0: put the rows of b into a copy of a."),
        (lambda a, b, rows: reference(a, b[:1].expand_as(b), rows), "every code got the rows of the first one of b."),
        (lambda a, b, rows: reference(a, (a + b) / 2, rows), "the rows are means of both: style mixing replaces them."),
        (lambda a, b, rows: reference(a, a + b, rows), "b was added to a: style mixing replaces the rows."),
    ]
    shapes = [((1, 6, 6), [0, 2]), ((1, 6, 6), [5, 1]), ((2, 6, 6), [1, 2, 4]), ((3, 6, 6), range(2, 4))]
    compare(
        mix_styles,
        reference,
        [(*random_tensors(shape, shape, seed=seed), rows) for seed, (shape, rows) in enumerate(shapes)],
        mistakes,
        "the result is not a with the rows of b in their places.",
        name="mix_styles(a, b, rows)",
        hint="Codes are [N, num_ws, w_dim], and so is the mixture: rows are along dim 1, [:, rows].",
    )
    passed("the rows of b in their places, all others those of a.")


@exercise(needed=True)
def check_colour_changes(colour_changes: Callable) -> None:
    """Exercise 1.3: how much each row changes the mean colour."""

    def changes(length: Callable, rows: Callable = lambda k: [k], start: int = 0, against: int = 0) -> Callable:
        """Return a function: length(mean colours of each mixture, mean colours of a or b), or of the images."""

        def measure(generator: Generator, a: Tensor, b: Tensor) -> Tensor:
            content, style = (a, b) if start == 0 else (b, a)
            before = generator.synthesis((a, b)[against])
            codes = [crossover(content, style, layers=rows(k)) for k in range(generator.num_ws)]
            return torch.stack([length(generator.synthesis(code), before) for code in codes])

        return measure

    def of_colours(length: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, y: length(x.mean(dim=(2, 3)) - y.mean(dim=(2, 3)))

    norm = of_colours(torch.norm)
    pixels = "this is how far the pixels move: average each image over dim=(2, 3) first, then compare."
    grey = "the three colours were averaged too, to grey: keep one mean for each of red, green and blue."
    euclid = "the length is the root of the summed squares, norm()."
    mistakes = [
        (changes(norm, lambda k: range(k, 4)), "the rows from k on were replaced: layers=[k] replaces row k alone."),
        (changes(norm, lambda k: range(k + 1)), "the rows up to k were replaced: start from a each time."),
        (changes(norm, lambda k: {0, 1, 2, 3} - {k}), "all rows but k were replaced: a is the content, b the style."),
        (changes(norm, start=1), "b was changed by rows of a: start from a, and take row k from b."),
        (changes(norm, start=1, against=1), "a and b are the wrong way round: start from a, and take row k from b."),
        (changes(norm, against=1), "the colours were compared with those of b: compare with a, from which you start."),
        (changes(lambda x, y: x.mean(dim=(2, 3)).norm()), "this is the colour itself: take the difference from a's."),
        (
            lambda generator, a, b: (b - a)[0].norm(dim=1),
            "this is how far the codes are apart: compare the mean colours of their images.",
        ),
        (changes(lambda x, y: (x - y).norm()), pixels),
        (changes(lambda x, y: (x - y).norm(dim=1).mean()), pixels),
        (changes(lambda x, y: (x - y).abs().mean()), pixels),
        (changes(lambda x, y: (x - y).square().mean()), pixels),
        (changes(of_colours(lambda d: d.mean().abs())), grey),
        (changes(of_colours(torch.mean)), grey),
        (changes(of_colours(lambda d: d.abs().sum())), f"the three differences were added up: {euclid}"),
        (changes(of_colours(lambda d: d.abs().mean())), f"this is the mean of three differences: {euclid}"),
        (changes(of_colours(lambda d: d.abs().max())), f"this is the largest of three differences: {euclid}"),
        (changes(of_colours(torch.sum)), f"the three differences have signs, and cancel in a sum: {euclid}"),
        (changes(of_colours(lambda d: d.square().sum())), f"these are squares: {euclid}"),
        (changes(of_colours(lambda d: d.square().mean().sqrt())), f"under the root is a mean of squares: {euclid}"),
    ]
    torch.manual_seed(0)
    config = stylegan2.StyleGAN2Config(8, 4, 6, mapping_layers=1, channels=(8, 6))
    probe = stylegan2.StyleGAN2(config).eval().requires_grad_(False)
    compare(
        colour_changes,
        changes(norm),
        [(probe, *random_tensors((1, 4, 6), (1, 4, 6), seed=seed)) for seed in range(3)],
        mistakes,
        "these are not the distances between the mean colour of a and that of a with row k of b.",
        name="colour_changes(generator, a, b)",
        hint="One number for each of generator.num_ws rows (the check's small generator has 4): torch.stack them.",
    )
    passed("one distance for each row.")


@exercise(needed=True)
def check_truncate(truncate: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise 1.4: truncation."""

    def reference(w: Tensor, m: Tensor, psi: float) -> Tensor:
        return m + psi * (w - m)

    def first_row(w: Tensor, m: Tensor, psi: float) -> Tensor:
        return torch.cat([reference(w[:, :1], m, psi), w[:, 1:]], dim=1)

    own_mean = "the codes were pulled towards a mean of their own: the mean latent is `w_mean`."
    mistakes = [
        (lambda w, m, psi: w, "the codes are unchanged."),
        (lambda w, m, psi: psi * w, "the code was pulled towards 0, but W is not centred there: pull it to w_mean."),
        (lambda w, m, psi: psi * (w - m), "w_mean is not added again: psi 0 should give the mean, not 0."),
        (
            lambda w, m, psi: w + psi * (m - w),
            "psi is the wrong way round: psi 1 leaves w alone, psi 0 gives the mean.",
        ),
        (lambda w, m, psi: m - psi * (w - m), "the sign is wrong: this goes from the mean away from w."),
        (lambda w, m, psi: m + psi * w, "w_mean should be taken off w before psi: psi 1 should leave w alone."),
        (lambda w, m, psi: w + psi * (w - m), "this starts from w: start from w_mean, so that psi 0 gives the mean."),
        (lambda w, m, psi: m + (w - m) / max(psi, 1e-9), "multiply by psi: dividing makes small psi go far out."),
        (lambda w, m, psi: reference(w, m, psi**2), "psi counts twice here: psi 0.5 should be half way."),
        (lambda w, m, psi: reference(w, w.mean(), psi), own_mean),
        (lambda w, m, psi: reference(w, w.mean(dim=0), psi), own_mean),
        (lambda w, m, psi: reference(w, w.mean(dim=(0, 1)), psi), own_mean),
        (lambda w, m, psi: reference(w, m.mean(), psi), "the numbers of w_mean were averaged: it is a whole code."),
        (lambda w, m, psi: reference(w, m, min(psi, 1)), "psi was limited to 1: above it, codes go on past w."),
        (first_row, "only the first row was truncated: all rows should be."),
    ]
    w, w_mean = random_tensors((2, 4, 6), (6,))
    compare(
        truncate,
        reference,
        [(w, w_mean, psi) for psi in (0.5, 0.8, 1.5, 1.0, 0.0)],
        mistakes,
        "this is not w_mean + psi (w - w_mean), for psi 0.5, 0.8, 1.5, 1 and 0.",
        name="truncate(w, w_mean, psi)",
        hint="w is [N, num_ws, w_dim], w_mean [w_dim]: they broadcast as they are.",
    )
    passed("psi 1 is w, psi 0 the mean, and between them a straight line.")


@exercise
def check_truncation_words(answer: str | None) -> None:
    """Exercise 1.5: why truncation looks better, and what it costs."""
    where = ("mean", "cent(re|er)", "averag", "seen", "saw", "often", "dens", "train", "learn", "practi", "common")
    where += ("typical", "ordinary", "frequent", "familiar", "likely", "known", "probab", "rare", "seldom", "usual")
    price = ("vari", "vary", "divers", "differ", "same", "alike", "similar", "identical", "uniform", "unusual")
    price += ("extreme", "individual", "lost", "lose", "fewer", "resembl", "monoton")
    of_psi_1 = r"^(?!.*(psi (of |= ?)?1\b|without|unlike|than)).*"
    is_further = r"\b(is|are|lies?|moves?|goes|gets?|pushed|pulled) (further|farther) (away )?(from|off)"
    more_variety = r"(?<!no )(?<!not )\b(more|greater|higher|increased?|larger) (variety|diversity|variation)"
    expect_text(
        answer,
        {
            "say why faces are better there: which features did training see often, which rarely?": where,
            "say what is lost: what do all faces become when psi goes to 0?": price,
        },
        "Towards the mean features become usual ones, which training has seen often, so they are drawn well; rare ones "
        "are drawn badly. The price is variety: all faces move towards the average one, and unusual faces are lost.",
        question="why does an image generated with psi 0.5 often look better than one with psi 1, what is the price",
        confusions={
            of_psi_1 + is_further: "with psi 0.5 codes are nearer to the mean, not further away.",
            of_psi_1 + more_variety: "with psi 0.5 there is less variety, not more.",
            r"\b(more|less|longer|saves?|costs?) (computing |computation )?(time|memory)\b": "psi changes the code "
            "only: time and memory stay the same.",
        },
    )


@exercise(needed=True)
def check_adain(adain: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise 1.6: adaptive instance normalisation."""

    def centred(x: Tensor, dim: tuple[int, ...] = (2, 3)) -> Tensor:
        return x - x.mean(dim=dim, keepdim=True)

    def std(x: Tensor, dim: tuple[int, ...] = (2, 3)) -> Tensor:
        return (x.var(dim=dim, correction=0, keepdim=True) + 1e-8).sqrt()

    def norm(x: Tensor, dim: tuple[int, ...] = (2, 3)) -> Tensor:
        return centred(x, dim) / std(x, dim)

    def style(x: Tensor, s: Tensor, b: Tensor) -> Tensor:
        return wide(s) * x + wide(b)

    def wide(y: Tensor) -> Tensor:
        return y[:, :, None, None]

    def reference(x: Tensor, s: Tensor, b: Tensor) -> Tensor:
        return style(norm(x), s, b)

    def over(*dim: int) -> Callable:
        return lambda x, s, b: style(norm(x, dim), s, b)

    each = "mean and variance are those of each map of each image by itself, over dim=(2, 3)"
    unbiased = "torch's var and std divide by one less than the number of pixels: take the mean of the squares."
    mistakes = [
        (style, "the maps keep their own mean and standard deviation: normalise them before the style comes in."),
        (lambda x, s, b: norm(x), "the style is missing: multiply by the scale, then add the shift."),
        (lambda x, s, b: wide(s) * norm(x), "the shift is missing: add it at the end."),
        (lambda x, s, b: norm(x) + wide(b), "the scale is missing: multiply by it before you add the shift."),
        (lambda x, s, b: reference(x, b, s), "scale and shift are the wrong way round."),
        (lambda x, s, b: reference(x, s, s * b), "the shift is scaled too: multiply first, then add the shift."),
        (
            lambda x, s, b: reference(x, 1 + s, b),
            "1 was added to the scale: here `scale` is y_s, not its excess over 1.",
        ),
        (
            lambda x, s, b: reference(x, s.abs(), b),
            "a negative scale swaps high and low values: take no absolute value.",
        ),
        (lambda x, s, b: style(-norm(x), s, b), "the sign is wrong: x - mean, not mean - x."),
        (over(2), f"the columns were normalised each by itself: {each}."),
        (over(3), f"the lines were normalised each by itself: {each}."),
        (over(1), f"each pixel was normalised over its maps: {each}."),
        (over(0, 2, 3), f"this is batch normalisation, over all images: {each}."),
        (over(1, 2, 3), f"this is layer normalisation, over all maps of an image: {each}."),
        (over(0, 1, 2, 3), f"one mean was taken of everything: {each}."),
        (lambda x, s, b: style(centred(x) / x.std(dim=(2, 3), keepdim=True), s, b), unbiased),
        (lambda x, s, b: style(centred(x) / std(x) ** 2, s, b), "divide by the root of the variance."),
        (lambda x, s, b: style(centred(x), s, b), "the maps keep their own standard deviation: divide by it."),
        (
            lambda x, s, b: style(centred(x) / (centred(x).square().sum(dim=(2, 3), keepdim=True) + 1e-8).sqrt(), s, b),
            "under the root is a sum: the variance is the mean of the squares.",
        ),
        (
            lambda x, s, b: style(F.instance_norm(x, eps=1e-5), s, b),
            "1e-5 was added under the root, but the network was trained with 1e-8.",
        ),
        (lambda x, s, b: style(x / std(x), s, b), "the mean of each map is still there: take it off first."),
        (lambda x, s, b: style(x - (x - centred(x)) / std(x), s, b), "only the mean was divided: (x - mean) / std."),
        (
            lambda x, s, b: style(centred(x) / (x.square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt(), s, b),
            "the variance is the mean of the squares after the mean was taken off.",
        ),
        (lambda x, s, b: reference(x.mT, s, b), "height and width have changed places."),
        (lambda x, s, b: reference(x.relu(), s, b), "negative numbers were cut off: AdaIN has no ReLU of its own."),
        (lambda x, s, b: reference(F.leaky_relu(x, 0.2), s, b), "negative numbers were reduced: AdaIN has no ReLU."),
        (lambda x, s, b: reference(x[:1].expand_as(x), s, b), "every image became the first one."),
        (lambda x, s, b: reference(x, s[:1], b[:1]), "every image got the style of the first one."),
    ]
    strength = torch.tensor([1.0, 5.0, 0.2]).view(1, 3, 1, 1)
    draws = [random_tensors((n, 3, 8, 8), (n, 3), (n, 3), seed=n) for n in (1, 2, 3)]
    compare(
        adain,
        reference,
        [(x * strength + 2, scale, shift) for x, scale, shift in draws],
        mistakes,
        f"the result is not AdaIN(x, y): {each}; then times scale, plus shift.",
        name="adain(x, scale, shift)",
        hint="Mean and standard deviation need keepdim=True, scale and shift two more dimensions, [:, :, None, None].",
    )
    flat = call(adain, torch.ones(1, 2, 4, 4), torch.ones(1, 2), torch.zeros(1, 2))
    expect(
        bool(as_tensor(flat, "adain(x, scale, shift)").isfinite().all()),
        "a flat map gives NaN: add 1e-8 under the root.",
    )
    passed("each map has the style's mean and standard deviation, whatever came in.")


@exercise(needed=True)
def check_modulated_conv(modulated_conv: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise 1.7: modulated and demodulated convolution."""

    def convolve(weights: Callable[[Tensor, Tensor], Tensor]) -> Callable:
        """Return a function (x, weight, style): each image is convolved with weights(weight, its style)."""

        def convolved(x: Tensor, weight: Tensor, style: Tensor) -> Tensor:
            return torch.cat([F.conv2d(image[None], weights(weight, s), padding=1) for image, s in zip(x, style)])

        return convolved

    def modulate(w: Tensor, s: Tensor) -> Tensor:
        return w * s[None, :, None, None]

    def demodulate(w: Tensor, dim: tuple[int, ...] = (1, 2, 3)) -> Tensor:
        return w / (w.square().sum(dim=dim, keepdim=True) + 1e-8).sqrt()

    def over(*dim: int) -> Callable:
        return convolve(lambda w, s: demodulate(modulate(w, s), dim))

    def divided(length: Callable[[Tensor], Tensor]) -> Callable:
        """Divide the modulated weights [out, in * 9] of each output map by a length of them."""
        return convolve(lambda w, s: modulate(w, s) / length(modulate(w, s).flatten(1))[:, None, None, None])

    def measured(x: Tensor, weight: Tensor, style: Tensor) -> Tensor:
        y = convolve(modulate)(x, weight, style)
        return y / y.std(dim=(2, 3), correction=0, keepdim=True)

    reference = convolve(lambda w, s: demodulate(modulate(w, s)))
    length = "take the length of the weights of each *output* map, over dim=(1, 2, 3)."
    own = "each image needs weights of its own."
    mistakes = [
        (convolve(modulate), "demodulation is missing: divide the modulated weights by their length."),
        (convolve(lambda w, s: demodulate(w)), "the style does nothing: multiply the weights by it, then divide."),
        (convolve(lambda w, s: w), "neither style nor demodulation is there: this is a plain convolution."),
        (
            convolve(lambda w, s: modulate(demodulate(w), s)),
            "the length was measured before the style: modulate first.",
        ),
        (convolve(lambda w, s: demodulate(w * s[:, None, None, None])), "the style belongs to the input maps, dim 1."),
        (
            convolve(lambda w, s: demodulate(modulate(w, 1 + s))),
            "1 was added to the style: here it is the factor itself.",
        ),
        (convolve(lambda w, s: demodulate(modulate(w, s.abs()))), "take no absolute value of the style."),
        (convolve(lambda w, s: demodulate(w + s[None, :, None, None])), "the style was added: multiply by it."),
        (convolve(lambda w, s: demodulate(modulate(w, s * s))), "the style counts twice."),
        (over(0, 2, 3), f"the length is that of the weights of each input map: {length}"),
        (over(0, 1, 2, 3), f"one length was taken of all weights: {length}"),
        (over(2, 3), f"each window of 3 x 3 has a length of its own: {length}"),
        (over(1), f"the sum leaves out the places of the window: {length}"),
        (
            divided(lambda w: w.square().sum(dim=1)),
            "the weights were divided by a sum of squares: its root is missing.",
        ),
        (divided(lambda w: 1 / w.norm(dim=1)), "the weights were multiplied by their length: divide by it."),
        (divided(lambda w: w.abs().sum(dim=1)), "the length is the root of the summed squares, not a sum of sizes."),
        (
            divided(lambda w: w.square().mean(dim=1).sqrt()),
            "under the root is a mean of squares: it should be their sum.",
        ),
        (
            divided(lambda w: w.std(dim=1)),
            "the weights were divided by their standard deviation: no mean is taken off.",
        ),
        (
            convolve(lambda w, s: demodulate(modulate(w, s)).flip(2, 3)),
            "the window is turned: conv2d takes it as it is.",
        ),
        (lambda x, w, s: reference(x, w, s[:1].expand_as(s)), f"every image got the style of the first one: {own}"),
        (lambda x, w, s: reference(x, w, s[-1:].expand_as(s)), f"every image got the style of the last one: {own}"),
        (lambda x, w, s: reference(x, w, s.mean(dim=0).expand_as(s)), f"every image got the mean style: {own}"),
        (lambda x, w, s: reference(x[:1].expand_as(x), w, s), "every image became the first one."),
        (measured, "the output was divided by a standard deviation that was measured: look at the weights only."),
        (
            lambda x, w, s: F.leaky_relu(reference(x, w, s), 0.2),
            "leave the leaky ReLU out: the convolution is asked for.",
        ),
    ]
    as_many_out = [random_tensors((n, 4, 6, 6), (4, 4, 3, 3), (n, 4), seed=n) for n in (1, 2, 3)]
    more_out = [random_tensors((2, 3, 6, 6), (5, 3, 3, 3), (2, 3))]
    for inputs in (as_many_out, more_out):
        compare(
            modulated_conv,
            reference,
            inputs,
            mistakes,
            f"the result is not the convolution with w'': modulate, then {length}",
            name="modulated_conv(x, weight, style)",
            hint="weight is [out, in, 3, 3], one style [in]: s[None, :, None, None] fits. padding=1 keeps the size.",
        )
    off = call(modulated_conv, torch.ones(1, 2, 4, 4), torch.ones(2, 2, 3, 3), torch.zeros(1, 2))
    finite = bool(as_tensor(off, "modulated_conv(x, weight, style)").isfinite().all())
    expect(finite, "a style of zeros gives NaN: add 1e-8 under the root.")
    passed("the style chooses among the input maps; the weights of each output map have length 1 again.")


@exercise
def check_scaled_style(cause: str | None) -> None:
    """Exercise 1.8: why a style times 3 changes nothing."""
    expect_choice(
        cause,
        right="B",
        wrong={
            "A": "the affine layer is linear, and it clips nothing.",
            "C": "a leaky ReLU passes positive scales on: three times the input gives three times the output.",
        },
    )
    passed("a common factor of the style cancels; only the ratios between its entries count.")
