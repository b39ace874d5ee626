"""Lesson 3: loss design."""

import torch

from i2s.course.checks import close, expect, expect_choice, expect_sentences, expect_tensor, mentions, passed
from i2s.errors import I2SError


def check_smallest_mse(prediction, photo, copies) -> None:
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


def check_mse(mse) -> None:
    """Exercise 3.2: mean squared error of each image, in [0, 1]."""
    rng = torch.Generator().manual_seed(0)
    a, b = torch.rand(3, 3, 8, 8, generator=rng) * 2 - 1, torch.rand(3, 3, 8, 8, generator=rng) * 2 - 1
    a[1] = b[1]
    found = expect_tensor(
        mse(a, b),
        "mse(images, target)",
        (3,),
        low=0.0,
        hint="One number for each image: the mean runs over dim=(1, 2, 3).",
    )
    wanted = ((a - b) / 2).square().mean(dim=(1, 2, 3))
    if close(found, 4 * wanted):
        expect(
            False, "four times too large: the pixels were taken in [-1, 1]; in [0, 1] differences are half as large."
        )
    if close(found, 2 * wanted):
        expect(False, "twice too large: halve the difference before it is squared, not the square.")
    if close(found, wanted * 192):
        expect(False, "this is the sum of the squares: take their mean.")
    if close(found, ((a - b) / 2).abs().mean(dim=(1, 2, 3))):
        expect(False, "these are absolute differences: square them.")
    if close(found, wanted.sqrt()):
        expect(False, "a root was taken: the mean of the squares stays as it is.")
    if close(found, ((a - b) / 2).mean(dim=(1, 2, 3)).square()):
        expect(False, "square each difference first, then take the mean: otherwise plus and minus cancel.")
    if close(found, ((a + 1) / 2 - b).square().mean(dim=(1, 2, 3))):
        expect(False, "only one of the two was brought to [0, 1]: both have to be.")
    expect(close(found, wanted), "this is not the mean of the squared differences in [0, 1].")
    passed("0 for equal pictures, 1 for black against white.")


def check_why_blur(answer) -> None:
    """Exercise 3.3: why MSE draws blur where it is not sure; looks for the mean and for the several places only."""
    expect_sentences(answer)
    mean = ("mean", "averag", "between", "middle", "expect", "half", "blend", "mix", "compromise", "gr[ea]y")
    places = ("place", "position", "location", "spot", "shift", "where", "edges", "moved", "several", "wrong")
    places += ("possib", "plausib", "candidate", "option", "uncertain", "guess", "incorrect")
    expect(mentions(answer, *mean), "say which value is nearest to several numbers, by squared difference.")
    expect(mentions(answer, *places), "say what is not known about the edge, and what a wrong guess costs.")
    passed("the mean and the places are there; compare with the solution.")


class _Net:
    """Four maps of different sizes and strengths."""

    def features(self, images):
        pool = torch.nn.functional.avg_pool2d
        return [images, 2 * images, pool(images, 2).repeat(1, 4, 1, 1), 3 * pool(images, 4)]


def check_perceptual_loss(perceptual_loss) -> None:
    """Exercise 3.4: four taps, each divided by its number of scalars, weighted and summed."""
    rng = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 3, 8, 8, generator=rng), torch.randn(2, 3, 8, 8, generator=rng)
    net, weights = _Net(), (1.0, 0.5, 2.0, 0.25)
    found = expect_tensor(
        perceptual_loss(net, a, b, weights),
        "perceptual_loss(...)",
        (2,),
        low=0.0,
        hint="One number for each image, the taps summed: mean over dim=(1, 2, 3), sum over taps.",
    )
    squares = [(x - y).square() for x, y in zip(net.features(a), net.features(b))]
    means = [s.mean(dim=(1, 2, 3)) for s in squares]
    if close(found, sum(w * s.sum(dim=(1, 2, 3)) for w, s in zip(weights, squares))):
        expect(False, "the division by N_j is missing: take the mean of the squares, not their sum.")
    if close(found, sum(means)):
        expect(False, "the weights are not used: multiply each tap by its own.")
    if close(found, sum(w * m for w, m in zip(weights, means)) / 4):
        expect(False, "this is the mean over the taps: the formula sums them.")
    if close(found, means[-1] * weights[-1]) or close(found, means[0] * weights[0]):
        expect(False, "only one tap is counted: add all four up before you return.")
    if close(found, sum(w * m.sqrt() for w, m in zip(weights, means))):
        expect(False, "a root was taken: the formula has the squared norm.")
    absolute = [(x - y).abs().mean(dim=(1, 2, 3)) for x, y in zip(net.features(a), net.features(b))]
    if close(found, sum(w * m for w, m in zip(weights, absolute))):
        expect(False, "these are absolute differences: square them.")
    expect(close(found, sum(w * m for w, m in zip(weights, means))), "this is not the weighted sum of the four means.")
    passed("every map counts by its weight, not by its size.")


def check_three_losses(three_losses) -> None:
    """Exercise 3.5: three embeddings that differ in their weights only."""
    calls = []

    def embed(photo, mse_weight=1.0, tap_weights=(1.0, 1.0, 1.0, 1.0), **rest):
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


def check_range_factor(factor) -> None:
    """Exercise 3.6: MSE in [-1, 1] against [0, 1]."""
    factor = factor.item() if isinstance(factor, torch.Tensor) and factor.numel() == 1 else factor
    expect(isinstance(factor, (int, float)), "set `factor` to a number.")
    expect(factor != 2, "2 is the factor of the difference; it is squared.")
    expect(factor not in (0.5, 0.25), "the other way round: the range gets larger, and so does the error.")
    expect(factor != 1, "the range is twice as wide, so each difference is twice as large.")
    expect(factor == 4, f"{factor} is not it: twice the difference, squared.")
    passed("4: a weight of 1 in one range is a weight of 4 in the other.")


def check_large_loss(cause) -> None:
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
