"""Lesson 4, optimization: a face moved in its photo, four faulty runs to diagnose (spoilers below), and the checks."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
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
from i2s.embedding.simple import embed_simple
from i2s.errors import ImageError, SettingsError
from i2s.generators.base import Generator
from i2s.images import read_image
from i2s.losses import ImageLoss
from i2s.losses.base import FeatureNet

# --- helpers: a face moved in its photo -----------------------------------------------------------------------------


def transform_face(
    image: object,
    box: tuple[int, int, int],
    right: float = 0.0,
    down: float = 0.0,
    degrees: float = 0.0,
    scale: float = 1.0,
) -> Image.Image:
    """Crop a square in which the face is shifted, rotated or scaled; the border is reflected, not black.

    Args:
        image: Anything that `i2s.read_image` reads.
        box: (left, top, side) of the aligned crop, in px of the image.
        right: Shift to the right, as a fraction of the side.
        down: Shift downwards, as a fraction of the side.
        degrees: Rotation, anticlockwise.
        scale: Magnification, above 0; 2 draws the face twice as large.

    Returns:
        A crop of side x side px.

    Raises:
        ImageError: The scale is not above 0, or the image cannot be read.
    """
    if not scale > 0:
        raise ImageError(f"scale is {scale}, but must be above 0: 2 draws the face twice as large.")
    left, top, side = box
    pixels = np.asarray(read_image(image))
    margin = 2 * side
    padded = Image.fromarray(np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect"))
    # Rotate about the centre of the face
    x = left + side / 2 + margin
    y = top + side / 2 + margin
    if degrees:
        padded = padded.rotate(degrees, Image.Resampling.BICUBIC, center=(x, y))
    # Crop: the frame moves against the face
    half = side / 2 / scale
    x -= right * side / scale
    y -= down * side / scale
    return padded.resize((side, side), Image.Resampling.LANCZOS, box=(x - half, y - half, x + half, y + half))


# --- helpers: faulty runs -------------------------------------------------------------------------------------------

FAULTS = {
    "A": "learning rate 1",  # a hundred times the paper's
    "B": "gradients are never cleared",
    "C": "new noise in each forward pass",
    "D": "W+ under the name of W",
}


@dataclass(frozen=True)
class Run:
    """An embedding of one photo."""

    losses: list[float]  # [steps + 1], before each update and after the last
    w_plus: Tensor  # code found, [1, num_ws, w_dim]
    image: Tensor  # its image, [1, 3, R, R]
    compared_again: list[float]  # losses of that code, generated and compared five more times


def broken_run(name: str, photo: Tensor, generator: Generator, perceptual: FeatureNet, steps: int = 100) -> Run:
    """Embed a photo with learning rate 0.05 and one fault; D claims to optimise W.

    Args:
        name: "A", "B", "C" or "D".
        photo: [1, 3, R, R] in [-1, 1].
        generator: Any generator.
        perceptual: Network of the loss.
        steps: Updates.

    Raises:
        SettingsError: There is no run of that name.
    """
    if name not in FAULTS:
        raise SettingsError(f"There is no run {name!r}: they are {', '.join(FAULTS)}.")
    if name == "C":
        generator = FreshNoise(with_noise(generator))
    loss = ImageLoss(perceptual)
    gradient_sum = 0.0
    image = None

    def accumulate(gradient: Tensor) -> Tensor:
        nonlocal gradient_sum
        gradient_sum = gradient_sum + gradient
        return gradient_sum

    def watch(step: int, code: Tensor, images: Tensor, losses: Tensor) -> None:
        nonlocal image
        image = images.detach()
        if name == "B" and step == 0:
            code.register_hook(accumulate)  # what backward() without zero_grad() gives

    # Run D: the initial code has equal rows, which is W, but the optimiser moves each row by itself, which is W+
    rate = 1.0 if name == "A" else 0.05
    code, losses = embed_simple(photo, generator, loss, steps=steps, lr=rate, callback=watch)
    prepared = loss.prepare(photo)
    with torch.no_grad():
        again = [sum(loss(generator.synthesis(code), prepared).values()).item() for _ in range(5)]
    return Run(losses[:, 0].tolist(), code, image, again)


class FreshNoise:
    """A generator that draws new noise in each forward pass."""

    def __init__(self, generator: Generator, seed: int = 0) -> None:
        self.generator = generator
        self.w_mean = generator.w_mean
        self.num_ws = generator.num_ws
        self.rng = torch.Generator().manual_seed(seed)

    def synthesis(self, w_plus: Tensor) -> Tensor:
        """Draw images [N, 3, R, R] of codes [N, num_ws, w_dim], with noise maps of their own."""
        noise = [torch.randn(n.shape, generator=self.rng).to(n) for n in self.generator.noise_maps()]
        return self.generator.synthesis(w_plus, noise)


def with_noise(generator: Generator, strength: float = 0.1) -> Generator:
    """Copy a generator, with `strength` for each noise input that has none.

    The course's generator has strength 0 everywhere; NVIDIA's have learned theirs.
    """
    noisy = copy.deepcopy(generator)
    with torch.no_grad():
        for name, parameter in noisy.named_parameters():
            if name.endswith("noise_strength") and not parameter.any():
                parameter.fill_(strength)
    return noisy.requires_grad_(False)


# --- checks ---------------------------------------------------------------------------------------------------------


def check_initial_code(initial_code: Callable[[Generator], Tensor], generator: Generator) -> None:
    """Exercise 4.1: step 1, the mean latent in every row, ready for gradients."""
    before = generator.w_mean.clone()
    answer = initial_code(generator)
    code = expect_tensor(
        answer,
        "initial_code(generator)",
        (1, generator.num_ws, generator.w_dim),
        low=-1e4,
        high=1e4,
        hint="w_mean has one row: `expand` it to [1, num_ws, w_dim].",
    )
    expect(
        close(code, before.expand_as(code)),
        "not every row is the mean latent: start from generator.w_mean, not from zeros or random numbers.",
    )
    expect(
        answer.requires_grad, "the code does not ask for gradients, so nothing could update it: requires_grad_(True)."
    )
    expect(
        answer.is_leaf,
        "the code is a result of other tensors that need gradients (not a leaf), and Adam refuses it: call "
        "requires_grad_(True) last.",
    )
    memory, memory_of_mean = (tensor.untyped_storage().data_ptr() for tensor in (code, generator.w_mean))
    shared = code.stride(1) == 0 or memory == memory_of_mean
    expect(
        not shared,
        "the rows share one memory with each other and with generator.w_mean, so an update would change the "
        "generator's mean: add .clone() after expand.",
    )
    passed("a code of its own for each layer, all at the mean latent, and Adam may change it.")


def check_compare(compare: Callable[..., Tensor], photo: Tensor, net: FeatureNet) -> None:
    """Exercise 4.2: step 3, the loss of pixels and four feature maps as one number."""
    image = photo.flip(3)
    with torch.no_grad():
        ours, theirs = net.features(image), net.features(photo)
        taps = [(a - b).square().mean() for a, b in zip(ours, theirs)]
        sums = [(a - b).square().sum() for a, b in zip(ours, theirs)]
        light = [(a - b).square().mean() for a, b in zip(net.features((image + 1) / 2), theirs)]
    pixels = ((image - photo) / 2).square().mean()
    image.requires_grad_(True)
    answer = compare(image, photo, theirs, net)
    value = expect_tensor(
        answer, "compare(...)", (), low=0, hint="The loss is one number: the mean over all dimensions."
    )
    total = (pixels + sum(taps)).detach()
    difference = (image - photo).detach() / 2
    mistakes = {
        "pixels are compared in [-1, 1], which makes their term four times as large: go to [0, 1] first.": (
            4 * pixels + sum(taps)
        ),
        "these are the pixels alone: add the four feature maps.": pixels,
        "these are the feature maps alone: add the pixels.": sum(taps),
        "only the last feature map was added: add inside of the loop.": pixels + taps[-1],
        "the mean over the four maps was taken: the paper adds them (each lambda is 1).": pixels + sum(taps) / 4,
        "the squares are summed: take their mean, which is the division by N in the formula.": (
            difference.square().sum() + sum(sums)
        ),
        "the maps' squares are summed: take their mean as well, which is the division by N_j.": pixels + sum(sums),
        "the network got the image in [0, 1]: it wants [-1, 1], as it is; only the pixels' term goes to [0, 1].": (
            pixels + sum(light)
        ),
        "only one of the two images went to [0, 1]: both have to.": (
            ((image.detach() + 1) / 2 - photo).square().mean() + sum(taps)
        ),
        "a root was taken: the formula has squared norms.": total.sqrt(),
        "absolute differences were taken: the paper squares them.": (
            difference.abs().mean() + sum((a - b).abs().mean() for a, b in zip(ours, theirs))
        ),
    }
    expect_no_mistake(value, {message: wrong for message, wrong in mistakes.items() if not close(wrong, total)})
    expect(
        close(value, total),
        f"compare gives {float(value):.4f} for a pair of test images, but the paper's loss is {float(total):.4f}: "
        "is each of the five terms a mean of squares, and does each count once?",
    )
    expect(
        answer.requires_grad,
        "the loss has lost its way back to the image: no torch.no_grad(), .detach() or .item() inside of compare.",
    )
    passed("one number, and a way back from it to every pixel.")


def check_update(update: Callable[[torch.optim.Optimizer, Tensor], None]) -> None:
    """Exercise 4.3: step 4; on a problem so small that the numbers are known."""
    code = torch.tensor([4.0], requires_grad=True)
    optimizer = torch.optim.SGD([code], lr=0.25)  # on c^2 each update takes half of the way: 4, 2, 1
    update(optimizer, (code**2).sum())
    first = float(code.detach())
    expect(first != 4.0, "the code has not moved: after backward() the optimiser has to step().")
    update(optimizer, (code**2).sum())
    second = float(code.detach())
    expect(
        (first, second) != (2.0, -1.0),
        "the second update went too far, because the first one's gradient was still there: zero_grad() before "
        "backward().",
    )
    expect((first, second) != (6.0, 9.0), "the loss grows: the update goes up the slope.")
    expect(
        (first, second) == (2.0, 1.0),
        f"on the loss c^2, from c = 4 with a rate of 0.25, two updates should give 2 and then 1, but gave {first:g} "
        f"and {second:g}: call zero_grad, backward and step once each, in this order.",
    )
    passed("one update follows the newest gradient, and that one alone.")


def check_find(find: Callable[..., tuple[Tensor, list[float]]], generator: Generator, net: FeatureNet) -> None:
    """Exercise 4.4: all five steps, compared with `embed_simple` on an image of the generator."""
    with torch.no_grad():
        photo = generator.synthesis(generator.mapping(generator.sample_z(1, seed=99))).clamp(-1, 1)
    image_loss = ImageLoss(net)
    mean = generator.w_mean.clone()
    wanted = embed_simple(photo, generator, image_loss, steps=5)[1][:, 0].tolist()
    answer = find(photo, generator, net, 5)
    expect(isinstance(answer, tuple) and len(answer) == 2, "find should return two things: `return code, losses`.")
    code, losses = answer
    shape = (1, generator.num_ws, generator.w_dim)
    expect_tensor(code, "code", shape, hint="Return the code that was updated.")
    expect(not code.requires_grad, "the code still carries gradients: return code.detach().")
    expect(isinstance(losses, list), f"`losses` is a {type(losses).__name__}, but a list of numbers is needed.")
    expect(
        all(isinstance(value, float) for value in losses),
        "the losses are tensors, and each keeps the whole network's memory alive: append float(loss.detach()) or "
        "loss.item().",
    )
    expect(
        len(losses) != 5,
        "there are 5 losses for 5 steps: the last code is never compared; go round once more, without update.",
    )
    expect(
        len(losses) == 6,
        f"there are {len(losses)} losses, but 5 steps need 6: of the start, and of the code after each update.",
    )
    expect(torch.equal(mean, generator.w_mean), "the search has changed generator.w_mean: step 1 needs a clone.")
    expect(
        close(losses[0], wanted[0]),
        f"the first loss is {losses[0]:.4f}, but the mean latent's is {wanted[0]:.4f}: compare before the first "
        "update.",
    )
    expect(losses[1] != losses[0], "the loss does not change at all: is update called, and with this code's optimiser?")
    expect(close(losses[1], wanted[1]), "the second loss differs from the paper's: is Adam's learning rate 0.01?")
    # From here on two correct programs may differ a little: where a gradient is almost 0, rounding decides its sign.
    expect(
        close(losses, wanted, 1e-2),
        "the first update is right, the next are not: make the optimiser once, before the loop; a new one forgets its "
        "averages.",
    )
    with torch.no_grad():
        last = sum(image_loss(generator.synthesis(code), image_loss.prepare(photo)).values()).item()
    expect(
        close(losses[-1], last),
        "the losses are right, but the code is not the one of the last loss: no update after the last comparison.",
    )
    expect_settings_used(find, photo, generator, net, losses)
    passed("your loop gives the same numbers as i2s.embedding.simple, the paper's algorithm.")


def expect_settings_used(
    find: Callable[..., tuple[Tensor, list[float]]],
    photo: Tensor,
    generator: Generator,
    net: FeatureNet,
    losses: list[float],
) -> None:
    """Check that other settings of the optimiser give other losses than the default ones."""
    faster = find(photo, generator, net, 1, lr=0.05)[1]
    expect(not close(faster[1], losses[1], 1e-4), "lr=0.05 changes nothing: hand `lr` on to the optimiser.")
    plain = find(photo, generator, net, 1, torch.optim.SGD)[1]
    expect(
        not close(plain[1], losses[1], 1e-4),
        "another optimiser changes nothing: build `method([code], ...)`, not Adam.",
    )
    forgetful = find(photo, generator, net, 3, betas=(0.0, 0.999))[1]
    expect(
        not close(forgetful[3], losses[3], 1e-4),
        "betas=(0.0, 0.999) changes nothing: hand **settings on to the optimiser.",
    )


def check_first_step(prediction: str | None) -> None:
    """Exercise 4.5: how far Adam moves each number of the code in its first update."""
    expect_choice(
        prediction,
        right="rate",
        wrong={
            "gradient": "plain gradient descent moves by learning rate times gradient. Adam divides by the root of "
            "its average of squared gradients: put t = 1 into the formula and see what is left of g.",
            "loss": "Adam never sees the loss, only its gradient; and of that, put t = 1 into the formula to see "
            "what is left.",
        },
    )
    passed("g / |g| is a sign, so every number moves by the learning rate, whatever the size of its gradient.")


def check_ablation(runs: dict[str, list[float]]) -> None:
    """Exercise 4.6: Adam, Adam without momentum, and plain gradient descent from the same start."""
    names = ("Adam", "no momentum", "plain descent")
    expect(isinstance(runs, dict) and runs, "`runs` is still empty: store the losses of three runs in it.")
    missing = [name for name in names if name not in runs]
    expect(
        not missing,
        f"`runs` has no {' and no '.join(map(repr, missing))}: the names are {', '.join(map(repr, names))}.",
    )
    for name in names:
        expect(
            isinstance(runs[name], list),
            f"runs[{name!r}] is a {type(runs[name]).__name__}: take the losses, find(...)[1].",
        )
        expect(len(runs[name]) == 101, f"runs[{name!r}] holds {len(runs[name])} losses: 100 steps give 101.")
    adam, forgetful, plain = (runs[name] for name in names)
    expect(
        close(adam[0], forgetful[0]) and close(adam[0], plain[0]),
        "the runs start differently: use the same photo in each.",
    )
    expect(
        not close(plain[1], adam[1]) and not close(plain[1], forgetful[1]),
        "'plain descent' took the first step of Adam: give find torch.optim.SGD.",
    )
    expect(
        close(adam[1], forgetful[1]),
        "'no momentum' should take the same first step as Adam (an average of one gradient is that gradient): same "
        "learning rate, and only betas=(0.0, 0.999) changed.",
    )
    expect(not close(adam[-1], forgetful[-1], 1e-4), "'no momentum' is Adam as it was: its first beta must be 0.0.")
    passed("three runs, one difference each.")


# {run: (right cause, {wrong cause: why})}; the lesson lists the causes
CAUSES = {
    "A": (
        "rate",
        {
            "gradient": "with gradients that pile up the first update is still a good one; here the very first "
            "update went wrong.",
            "noise": "noise makes a curve tremble around its way; it does not throw the first step far up.",
            "rows": "free rows make a loss lower, and here it is higher than in the healthy run.",
            "steps": "more steps would help a curve that falls slowly from its start; this one first jumped away "
            "from it.",
        },
    ),
    "B": (
        "gradient",
        {
            "rate": "a rate that is too high spoils the very first update; here the first ones equal the healthy "
            "run's.",
            "noise": "noise trembles from step to step around a falling curve; here the loss swings up and stays up.",
            "rows": "free rows make a loss lower; this one grows.",
            "steps": "the curve is on its way up: more steps make it worse.",
        },
    ),
    "C": (
        "noise",
        {
            "rate": "a rate that is too high would also make the curve jump, but the same code, drawn twice, would "
            "give the same loss.",
            "gradient": "gradients that pile up make the loss swing up in the long run; and the same code would "
            "give the same loss.",
            "rows": "the number of rows does not explain why one code has several losses.",
            "steps": "no number of steps helps when the target moves: the same code has a different loss each time.",
        },
    ),
    "D": (
        "rows",
        {
            "rate": "the learning rate is that of the healthy runs, and the curve is smooth.",
            "gradient": "with gradients that pile up the loss would swing up.",
            "noise": "the curve is smooth, and one code has one loss.",
            "steps": "the loss is better than W's, not worse: ask why it is too good.",
        },
    ),
}


def expect_cause(name: str, cause: str | None, lesson: str) -> None:
    """Check the cause that was chosen for a run."""
    right, wrong = CAUSES[name]
    expect_choice(cause, right, wrong)
    passed(lesson)


def check_run_a(cause: str | None) -> None:
    """Exercise 4.7: the cause of broken run A."""
    expect_cause(
        "A", cause, "each number moved by 1 where the spread of W is a fraction of that: the code was thrown out of W."
    )


def check_run_b(cause: str | None) -> None:
    """Exercise 4.8: the cause of broken run B."""
    expect_cause("B", cause, "old gradients were added to the new one, so the code flew past the goal again and again.")


def check_run_c(cause: str | None) -> None:
    """Exercise 4.9: the cause of broken run C."""
    expect_cause("C", cause, "each forward drew new noise, so the code was compared by a different image each time.")


def check_run_d(cause: str | None) -> None:
    """Exercise 4.10: the cause of broken run D."""
    expect_cause(
        "D", cause, "it was a search of W+ under the name of W: one row that is expanded stays one row, copies part."
    )


def check_why_moved(answer: str | None) -> None:
    """Exercise 4.11: why a moved face costs more; looks for words of both place and training only."""
    expect_sentences(answer)
    place = ("constant", "grid", "place", "position", "(un|mis)?align", "where", "cent(re|er)", "shift", "location")
    place += ("coordinate", "spot", "layout", "fixed", "translat", "middle")
    training = ("train", "seen", "saw", "learn", "never", "shown", "example", "data")
    expect(mentions(answer, *training), "say where the generator's habits come from: which photos has it seen?")
    expect(mentions(answer, *place), "say what it expects of a face: what is the same in all of those photos?")
    passed("place and training are both there; compare with the solution.")


def check_stop_at(stop_at: Callable[..., int]) -> None:
    """Exercise 4.12: the first step at which the last `window` steps gained less than `tolerance`, as a share."""

    def ask(losses: list[float], window: int = 10, tolerance: float = 0.05) -> int:
        answer = stop_at(losses, window=window, tolerance=tolerance)
        expect(answer is not None, "stop_at returned None: return a step in every case, also after the loop.")
        whole = isinstance(answer, int) and not isinstance(answer, bool)
        expect(whole, f"stop_at returned a {type(answer).__name__}, not a step (int).")
        return answer

    bent = [8 * 0.9 ** min(k, 40) for k in range(101)]  # falls by a tenth a step up to step 40, then flat
    wanted = next(k for k in range(10, 101) if bent[k] > 0.95 * bent[k - 10])
    answer = ask(bent)
    expect(
        answer != wanted - 10,
        f"step {answer} is where the window begins: return where it ends, the step that is tested.",
    )
    expect(answer >= 10, f"step {answer} comes before the first window is full: begin at step `window`.")
    expect(
        answer != 10,
        "it stops as soon as it may, at a step whose window gained much: is the comparison the other way round?",
    )
    expect(
        ask([value / 1000 for value in bent]) == answer,
        "the same curve, a thousand times smaller, stops elsewhere: the gain counts as a share of the loss, not as "
        "a difference.",
    )
    waves = ask([3 * 0.98**k * (1.03 if k % 2 else 1) for k in range(101)])
    expect(waves != 101, "101 losses end at step 100, since steps count from 0: the last step is len(losses) - 1.")
    expect(
        waves == 100,
        "a curve that falls on to its end, with small waves, should run to its last step: compare with the loss "
        "`window` steps before, not with the step before.",
    )
    expect(
        answer == wanted,
        f"a curve that bends at step 40 should stop at step {wanted}, not at {answer}: look at `>` and at `range`.",
    )
    expect(ask([1.0] * 50, window=20) == 20, "a flat curve should stop as soon as the window is full.")
    expect(ask(bent, tolerance=0.9) == 10, "another `tolerance` changes nothing: use what is handed in, not 0.05.")
    late = next(k for k in range(30, 101) if bent[k] > 0.95 * bent[k - 30])
    expect(ask(bent, window=30) == late, "another `window` changes nothing: look back as many steps as it says.")
    expect(ask([1.0, 0.9], window=20) == 1, "a curve shorter than the window should run to its last step.")
    passed("it stops where a window of steps no longer gains its share.")
