"""Lesson 1: anatomy of StyleGAN."""

import torch

from i2s.course.checks import close, expect, expect_choice, expect_sentences, expect_tensor, mentions, passed


def check_scaled_z(prediction) -> None:
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


def _example(seed: int = 0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 8, 8, generator=rng) * torch.tensor([1.0, 5.0, 0.2]).view(1, 3, 1, 1) + 2
    return x, torch.rand(2, 3, generator=rng) + 0.5, torch.randn(2, 3, generator=rng)


def check_adain(adain) -> None:
    """Exercise 1.2: adaptive instance normalisation."""
    x, scale, shift = _example()
    y = expect_tensor(adain(x.clone(), scale, shift), "adain(x, scale, shift)", (2, 3, 8, 8),
                      hint="Mean and spread need keepdim=True, scale and shift two more dimensions.")  # fmt: skip
    mean = y.mean(dim=(2, 3))
    if close(mean, torch.zeros(2, 3), absolute=1e-4):
        expect(False, "the mean of each map is 0, but the style's shift should be added after the scaling.")
    if close(y, x * scale[:, :, None, None] + shift[:, :, None, None]):
        expect(False, "the maps keep their own mean and spread: normalise them before the style comes in.")
    expect(
        close(mean, shift, 1e-2, 1e-3),
        "each map should have the style's shift as its mean: take the mean off for each map of each image by "
        "itself, dim=(2, 3), before scaling, and add the shift last.",
    )
    spread = y.var(dim=(2, 3), unbiased=False).sqrt()
    if close(spread, 1 + scale, 1e-3, 1e-4):
        expect(False, "1 was added to the scale: here `scale` is y_s itself, not its difference from 1.")
    expect(
        close(spread, scale, 1e-3, 1e-4),
        "each map should have the style's scale as its spread: divide by the root of the variance (the mean of the "
        "squares, over dim=(2, 3)), not by the variance, nor by that of all maps together.",
    )
    flat = adain(torch.ones(1, 2, 4, 4), torch.ones(1, 2), torch.zeros(1, 2))
    expect(bool(torch.isfinite(flat).all()), "a map that is the same everywhere gives NaN: add 1e-8 under the root.")
    passed("each map has the style's mean and spread, whatever came in.")


def check_scaled_style(cause) -> None:
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


class _Rows:
    """A generator whose image says which rows were used: row k moves the mean colour by a length of k + 1.

    All rows together add 10 more, so that it counts from which code one starts. The step has a part in red and one in
    blue, of other signs; green is a pattern of mean 0, so that the mean colour is not the colour of the pixels.
    """

    num_ws = 4

    def synthesis(self, w_plus):
        strength = w_plus.mean(dim=2)  # [N, 4]
        step = (strength * torch.arange(1.0, self.num_ws + 1)).sum(dim=1) + 10 * strength.prod(dim=1)  # [N]
        image = torch.zeros(len(w_plus), 3, 8, 8)
        image[:, 0], image[:, 2] = -0.6 * step[:, None, None], 0.8 * step[:, None, None]
        image[:, 1, :, ::2], image[:, 1, :, 1::2] = step[:, None, None], -step[:, None, None]
        return image


def check_colour_changes(colour_changes) -> None:
    """Exercise 1.4: how much each row changes the mean colour."""
    a, b = torch.zeros(1, 4, 2), torch.ones(1, 4, 2)
    found = expect_tensor(colour_changes(_Rows(), a, b), "colour_changes(...)", (4,), low=0.0,
                          hint="One number for each row: torch.stack the lengths.")  # fmt: skip
    if close(found, torch.tensor([20.0, 9.0, 7.0, 4.0])):
        expect(False, "the rows from k on were replaced: layers=[k] replaces row k alone.")
    if close(found, torch.tensor([1.0, 3.0, 6.0, 20.0])):
        expect(False, "the rows up to k were replaced: start from a each time.")
    if close(found, torch.tensor([9.0, 8.0, 7.0, 6.0])):
        expect(False, "all rows but k were replaced: content is a, style is b.")
    if close(found, torch.tensor([11.0, 12.0, 13.0, 14.0])):
        expect(False, "b was changed by rows of a: start from a, and take row k from b.")
    if close(found, 1.4 * torch.tensor([1.0, 2.0, 3.0, 4.0])):
        expect(False, "the three differences were added up: the length is the root of their summed squares, norm().")
    if close(found, 2**0.5 * torch.tensor([1.0, 2.0, 3.0, 4.0])):
        expect(False, "this is how far the pixels move: average each image over dim=(2, 3) first, then compare.")
    if close(found, torch.tensor([1.0, 4.0, 9.0, 16.0])):
        expect(False, "these are squares: the distance is the length of the difference, its norm().")
    expect(
        close(found, torch.tensor([1.0, 2.0, 3.0, 4.0])),
        "the distances are not those between the mean colour of a and of a with row k of b: average over dim=(2, 3).",
    )
    passed("one distance for each row.")


def check_truncate(truncate) -> None:
    """Exercise 1.5: truncation."""
    rng = torch.Generator().manual_seed(1)
    w, mean = torch.randn(2, 4, 6, generator=rng), torch.randn(6, generator=rng)
    half = expect_tensor(truncate(w, mean, 0.5), "truncate(w, w_mean, 0.5)", (2, 4, 6))
    if close(half, 0.5 * w):
        expect(False, "the code was pulled towards 0, but W is not centred there: pull it towards w_mean.")
    if close(truncate(w, mean, 1.0), mean.expand(2, 4, 6)) and close(truncate(w, mean, 0.0), w):
        expect(False, "psi is the wrong way round: psi 1 leaves w alone, psi 0 gives the mean.")
    expect(close(truncate(w, mean, 1.0), w), "psi 1 should leave w alone.")
    expect(close(truncate(w, mean, 0.0), mean.expand(2, 4, 6)), "psi 0 should give the mean latent.")
    expect(close(half, (w + mean) / 2), "psi 0.5 should be half way between w and the mean.")
    passed("psi 1 is w, psi 0 the mean, and between them a straight line.")


def check_truncation_words(answer) -> None:
    """Exercise 1.6: why truncation looks better, and what it costs. Looks for both sides only."""
    expect_sentences(answer)
    why = ("mean", "cent(re|er)", "averag", "seen", "saw", "often", "dens", "train", "learn", "practi", "common")
    why += ("typical", "usual", "ordinary", "frequent", "familiar", "likely", "known")
    price = ("vari", "vary", "divers", "differ", "same", "alike", "similar", "identical", "uniform", "unusual", "rare")
    price += ("extreme", "individual", "lost", "lose", "fewer", "resembl")
    expect(mentions(answer, *why), "say where good faces are: what has the training seen near the mean?")
    expect(mentions(answer, *price), "say what is lost: what do all faces become when psi goes to 0?")
    passed("both sides are there; compare with the solution.")
