"""Lesson 4, optimization: a face moved in its photo, four faulty runs to diagnose (spoilers below), and the checks."""

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from i2s.course.checks import (
    Itself,
    NoAnswer,
    call,
    close,
    compare,
    exercise,
    expect,
    expect_choice,
    expect_number,
    expect_tensor,
    expect_text,
    passed,
    random_tensors,
)
from i2s.embedding.history import Step
from i2s.embedding.simple import embed_simple
from i2s.errors import ImageError, SettingsError
from i2s.generators.base import Generator
from i2s.images import load_photos, read_image
from i2s.losses import ImageLoss
from i2s.losses.base import FeatureNet

# --- helpers: a search says where it is -----------------------------------------------------------------------------


def progress(every: float = 5.0) -> Callable[[Step], None]:
    """Return a callback of `i2s.embed` that prints a line every few seconds."""
    last = time.monotonic()

    def say(step: Step) -> None:
        nonlocal last
        if time.monotonic() - last > every:
            last = time.monotonic()
            print(f"step {step.step} of {step.steps}", flush=True)

    return say


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


def face_ovals(image: object, box: tuple[int, int, int], changes: Iterable[dict], size: int) -> Tensor:
    """Return masks [N, 1, size, size] of 0 and 1: where the face is after each of the changes of `transform_face`."""
    left, top, side = box
    paper = Image.new("RGB", read_image(image).size)
    oval = [left + 0.2 * side, top + 0.15 * side, left + 0.8 * side, top + 0.95 * side]
    ImageDraw.Draw(paper).ellipse(oval, fill="white")
    moved = load_photos([transform_face(paper, box, **change) for change in changes], size)
    return (moved[:, :1] > 0).float()


def psnr_within(images: Tensor, photos: Tensor, masks: Tensor) -> Tensor:
    """Return the PSNR [N] of the pixels where the masks [N, 1, R, R] are 1; images and photos in [-1, 1]."""
    squares = ((images - photos) / 2).square().mean(dim=1, keepdim=True)
    return -10 * ((squares * masks).sum(dim=(1, 2, 3)) / masks.sum(dim=(1, 2, 3))).log10()


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


def broken_run(name: str, photo: Tensor, generator: Generator, perceptual: FeatureNet, steps: int = 60) -> Run:
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


# --- checks: the five steps -----------------------------------------------------------------------------------------


@exercise(needed=True)
def check_initial_code(initial_code: Callable[[Generator], Tensor], generator: Generator) -> None:
    """Exercise 4.1: step 1, the mean latent in every row, ready for gradients."""
    other = SimpleNamespace(w_mean=torch.randn(5).to(generator.w_mean), num_ws=3, w_dim=5, device=generator.device)
    for network in (generator, other):
        shape = (1, network.num_ws, network.w_dim)
        hint = f"w_mean is one row: repeat it to [1, num_ws, w_dim], which is {list(shape)} for this generator."
        answer = call(initial_code, network, hint=hint)
        code = expect_tensor(answer, "initial_code(generator)", shape, hint=hint, exact=True)
        mean = network.w_mean.expand(shape)
        expect(close(code, mean), "not every row is generator.w_mean: do not start from zeros or random numbers.")
        expect(
            answer.requires_grad, "the code asks for no gradients, so nothing could update it: requires_grad_(True)."
        )
        leaf = "the code is the result of tensors that need gradients (not a leaf), and Adam refuses it: "
        expect(answer.is_leaf, leaf + "call requires_grad_(True) last.")
        shared = code.untyped_storage().data_ptr() == network.w_mean.untyped_storage().data_ptr()
        shared = shared or code.stride(1) == 0
        expect(
            not shared, "the rows share one memory, so an update would change the generator's mean, too: .clone() it."
        )
    passed("a code of its own for each layer, all at the mean latent, and Adam may change it.")


def pixel_term(image: Tensor, photo: Tensor) -> Tensor:
    """Mean squared difference of the pixels on the scale [0, 1]."""
    return ((image - photo) / 2).square().mean()


def map_terms(image: Tensor, features: list[Tensor], net: FeatureNet, power: int = 2) -> list[Tensor]:
    """Mean squared difference of each feature map."""
    return [(ours - theirs).abs().pow(power).mean() for ours, theirs in zip(net.features(image), features)]


def paper_loss(image: Tensor, photo: Tensor, features: list[Tensor], net: FeatureNet) -> Tensor:
    """The loss of Image2StyleGAN, all lambdas 1, of one image and one photo."""
    return pixel_term(image, photo) + sum(map_terms(image, features, net))


# {mistake: wrong loss}, of the pixels' term p, the maps' terms m, and what the learner was given: i, photo, f, net
WRONG_LOSSES = {
    "pixels are compared in [-1, 1], which makes their term four times as large: go to [0, 1] first.": (
        lambda p, m, *given: 4 * p + sum(m)
    ),
    "these are the pixels alone: add the four feature maps.": lambda p, m, *given: p,
    "these are the feature maps alone: add the pixels.": lambda p, m, *given: sum(m),
    "only the last feature map was added: add inside the loop.": lambda p, m, *given: p + m[-1],
    "only the first feature map was added: `return` comes after the loop, not in it.": lambda p, m, *given: p + m[0],
    "the mean over the four maps was taken: the paper adds them (each lambda is 1).": (
        lambda p, m, *given: p + sum(m) / 4
    ),
    "pixels are compared in [0, 255]: go to [0, 1] first.": lambda p, m, *given: p * 255**2 + sum(m),
    "the mean of the five terms was taken: the paper adds them.": lambda p, m, *given: (p + sum(m)) / 5,
    "the squares are summed: take their mean, which is the division by N in the formula.": (
        lambda p, m, i, photo, f, net: p * i.numel() + sum(term * x.numel() for term, x in zip(m, f))
    ),
    "the maps' squares are summed: take their mean as well, which is the division by N_j.": (
        lambda p, m, i, photo, f, net: p + sum(term * x.numel() for term, x in zip(m, f))
    ),
    "the network got the image in [0, 1]: it wants [-1, 1], as it is; only the pixels' term goes to [0, 1].": (
        lambda p, m, i, photo, f, net: p + sum(map_terms((i + 1) / 2, f, net))
    ),
    "only one of the two images went to [0, 1]: both have to.": (
        lambda p, m, i, photo, f, net: ((i + 1) / 2 - photo).square().mean() + sum(m)
    ),
    "a root was taken: the formula has squared norms.": lambda p, m, *given: (p + sum(m)).sqrt(),
    "the root of each term was taken: the formula has squared norms.": (
        lambda p, m, *given: p.sqrt() + sum(term.sqrt() for term in m)
    ),
    "absolute differences were taken: the paper squares them.": (
        lambda p, m, i, photo, f, net: (i - photo).abs().mean() / 2 + sum(map_terms(i, f, net, 1))
    ),
    "the photo's maps were computed again: compare with `features`, which are handed in.": (
        lambda p, m, i, photo, f, net: paper_loss(i, photo, net.features(photo), net)
    ),
}


@exercise(needed=True)
def check_compare(loss: Callable[..., Tensor], photo: Tensor, net: FeatureNet) -> None:
    """Exercise 4.2: step 3, the loss of pixels and four feature maps as one number."""

    def wrong(formula: Callable) -> Callable:
        return lambda *given: formula(pixel_term(*given[:2]), map_terms(given[0], *given[2:]), *given)

    inputs = []
    for seed in range(2):
        noise = random_tensors(photo.shape, seed=seed)[0].to(photo)
        maps = net.features((photo + noise / 4).clamp(-1, 1))  # of neither image, so that they have to be used
        inputs.append(((photo.flip(3) + noise / 8).clamp(-1, 1), photo, [x.detach() for x in maps], net))
    compare(
        loss,
        paper_loss,
        inputs,
        [(wrong(formula), mistake) for mistake, formula in WRONG_LOSSES.items()],
        otherwise="this is not the paper's loss: is each of the five terms a mean of squares, and counted once?",
        name="compare(...)",
        hint="The loss is one number: take each mean over all dimensions.",
        gradient=0,
    )
    passed("one number, and a way back from each of its terms to every pixel.")


def right_update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step of gradient descent: exercise 4.3."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def follow(update: Callable, method: type[torch.optim.Optimizer], lr: float) -> tuple[Tensor, list[str]]:
    """Update a code of two numbers three times on a quadratic loss.

    Returns:
        Its values [4, 2], and what the first update called, in order: "zero_grad", "backward", "step".
    """
    code = torch.tensor([4.0, -2.0], requires_grad=True)
    optimizer = method([code], lr=lr)
    values, events = [code.detach().clone()], []

    def noted(name: str) -> Callable:
        original = getattr(optimizer, name)
        return lambda *given, **keywords: [events[-1].append(name), original(*given, **keywords)][1]

    optimizer.zero_grad, optimizer.step = noted("zero_grad"), noted("step")
    code.register_hook(lambda gradient: events[-1].append("backward"))
    for _ in range(3):
        events.append([])
        loss = (code.clone().square() * torch.tensor([1.0, 3.0])).sum()
        call(update, optimizer, Itself(loss))
        values.append(code.detach().clone())
    return torch.stack(values), events[0]


@exercise(needed=True)
def check_update(update: Callable[[torch.optim.Optimizer, Tensor], None]) -> None:
    """Exercise 4.3: step 4; on a problem so small that the numbers are known."""
    for method, lr in ((torch.optim.SGD, 0.1), (torch.optim.Adam, 0.5)):
        found, events = follow(update, method, lr)
        wanted, _ = follow(right_update, method, lr)
        if close(found, wanted):
            continue
        place = {name: events.index(name) for name in ("zero_grad", "backward", "step") if name in events}
        expect("backward" in place, "nothing computes the gradient of this loss: backward(), before the step.")
        by_hand = "step" not in place and not torch.equal(found[0], found[1])
        expect(not by_hand, "the code moved, but not by the optimiser, which has the method and its rate: call step().")
        expect("step" in place, "the gradient is there, but the code has not moved: the optimiser has to step().")
        early = "step() stands before backward(), when there is no gradient of this loss yet: swap them."
        expect(place["backward"] < place["step"], early)
        piled = "each update goes too far: gradients of earlier losses are still there, and backward() adds to them. "
        expect("zero_grad" in place, piled + "zero_grad() first.")
        between = place["backward"] < place["zero_grad"] < place["step"]
        thrown = "zero_grad() stands between backward() and step(): it throws the new gradient away before it is used."
        expect(not between, thrown)
        uphill = close(found[1] - found[0], found[0] - wanted[1])
        expect(not uphill, "the loss grows: the update goes up the slope.")
        numbers = f"{[round(x, 3) for x in found[3].tolist()]} in place of {[round(x, 3) for x in wanted[3].tolist()]}"
        expect(False, f"three updates lead to {numbers}: call zero_grad, backward and step once each, in this order.")
    passed("one update follows the newest gradient, and that one alone.")


def search(
    photo: Tensor, generator: Generator, net: FeatureNet, steps: int, method: Callable = torch.optim.Adam, **settings
) -> Tensor:
    """Return the losses [steps + 1] of the five steps; with `anew=True` each step has a new optimiser."""
    anew = settings.pop("anew", False)
    code = generator.w_mean.expand(1, generator.num_ws, -1).clone().requires_grad_(True)
    features, optimizer, losses = net.features(photo), method([code], **settings), []
    for _ in range(steps + 1):
        loss = paper_loss(generator.synthesis(code), photo, features, net)
        losses.append(loss.item())
        right_update(method([code], **settings) if anew else optimizer, loss)
    return torch.tensor(losses, dtype=torch.float64)


@exercise(needed=True)
def check_find(find: Callable[..., tuple[Tensor, list[float]]], generator: Generator, net: FeatureNet) -> None:
    """Exercise 4.4: all five steps, compared with `embed_simple` on an image of the generator."""
    with torch.no_grad():
        w_plus = generator.mapping(generator.sample_z(1, seed=99), truncation_psi=0.7)
        photo = generator.synthesis(w_plus).clamp(-1, 1)
    loss = ImageLoss(net)
    wanted = embed_simple(photo, generator, loss, steps=5)[1][:, 0].double()
    answer = call(find, photo, generator, net, 5)
    pair = isinstance(answer, (tuple, list)) and len(answer) == 2
    expect(pair, "find should return two things, the code and the list of losses: `return code, losses`.")
    code = expect_tensor(answer[0], "code", (1, generator.num_ws, generator.w_dim), hint="Return the code.", exact=True)
    expect(not answer[0].requires_grad, "the code still carries gradients: return code.detach().")
    losses = expect_losses(answer[1], steps=5)
    early = f"the first loss is {losses[0]:.4f}, but the mean latent's is {wanted[0]:.4f}: compare before you update."
    expect(close(losses[0], wanted[0]), early)
    expect(losses[1] != losses[0], "the loss does not change at all: is update called, and with this code's optimiser?")
    expect(losses[5] != losses[4], "the last loss is there twice: compare the code once more after its last update.")
    # From here on two correct programs may differ a little: where a gradient is almost 0, rounding decides its sign
    if not close(losses, wanted, 1e-2):
        forgetful = close(losses, search(photo, generator, net, 5, lr=0.01, anew=True), 1e-2)
        expect(not forgetful, "make the optimiser once, before the loop: a new one in each step forgets its averages.")
        k = int((losses / wanted - 1).abs().gt(1e-2).nonzero()[0])
        differs = f"loss {k} is {losses[k]:.4f}, but with Adam and lr=0.01 it is {wanted[k]:.4f}: "
        expect(False, differs + "one comparison and one update in each round, with the optimiser that is given?")
    with torch.no_grad():
        last = sum(loss(generator.synthesis(code), loss.prepare(photo)).values()).item()
    later = "the losses are right, but the code is not the one of the last loss: no update after the last comparison."
    expect(close(losses[-1], last), later)
    for hint, settings in {
        "lr=0.05 changes nothing: hand `lr` on to the optimiser.": {"lr": 0.05},
        "another optimiser changes nothing: `method([code], ...)`, not Adam.": {"method": torch.optim.SGD, "lr": 0.1},
        "betas=(0.0, 0.0) changes nothing: hand **settings on to the optimiser.": {"lr": 0.01, "betas": (0.0, 0.0)},
    }.items():
        losses = expect_losses(call(find, photo, generator, net, 5, **settings)[1], steps=5)
        expect(close(losses, search(photo, generator, net, 5, **settings), 1e-2), hint)
    passed("your loop gives the same numbers as i2s.embedding.simple, the paper's algorithm.")


def expect_losses(losses: object, steps: int) -> Tensor:
    """Check the form of a search's losses, and return them, [steps + 1]."""
    several = hasattr(losses, "__len__") and not isinstance(losses, str) and getattr(losses, "ndim", 1) > 0
    expect(several, f"`losses` is a {type(losses).__name__}, but a list of numbers is needed.")
    chained = any(getattr(item, "requires_grad", False) for item in losses)
    expect(not chained, "the losses are tensors that hold on to the whole network's memory: append loss.item().")
    count = len(losses)
    less = f"there are {steps} losses for {steps} steps: the last code is never compared; once more, without update."
    expect(count != steps, less)
    twice = count == steps + 2 and losses[-1] == losses[-2]
    expect(not twice, "the last loss is in the list twice: append in each round, and not again after the loop.")
    expect(count == steps + 1, f"{steps} steps need {steps + 1} losses, but the list has {count}: one in each round.")
    return expect_tensor(losses, "losses", (count,), dtype=torch.float64)


# --- checks: Adam ---------------------------------------------------------------------------------------------------


@exercise
def check_first_step(prediction: object) -> None:
    """Exercise 4.5: how far Adam moves two numbers of the code in its first update."""
    rate, gradients = 0.01, torch.tensor([2e-2, 1e-4], dtype=torch.float64)
    found = expect_tensor(prediction, "prediction", dtype=torch.float64).abs().flatten()
    expect(len(found) == 2, "`prediction` needs two lengths, one for each gradient.")
    one = torch.ones_like(gradients)
    for mistake, wrong in {
        "that is plain gradient descent, rate times gradient: put t = 1 into Adam's formula.": rate * gradients,
        "those are the gradients: put t = 1 into Adam's formula, and see what is left of them.": gradients,
        "the second is moved less here, but Adam divides each gradient by its own size.": rate * gradients / 2e-2,
        "the gradients have cancelled; the learning rate stands before the fraction.": one,
        "m is divided by 1 - 0.9 at t = 1, which makes up for its start at 0.": rate * one / 10,
        "these are the averages without their corrections: divide by 1 - 0.9 and by 1 - 0.999.": rate * one * 10**0.5,
        "the gradient was divided by its square: the formula takes the root of v.": rate / gradients,
    }.items():
        expect(not close(found, wrong, 0.05, 1e-9), mistake)
    expect(close(found, rate * one, 0.05), "not these: what are the two corrected averages at t = 1, and their ratio?")
    passed("g / |g| is a sign, so every number moves by the learning rate, whatever the size of its gradient.")


METHODS = {  # {name: (optimiser, settings)}: those of the exercise, then likely mistakes
    "Adam": (torch.optim.Adam, {}),
    "no momentum": (torch.optim.Adam, {"betas": (0.0, 0.999)}),
    "plain descent": (torch.optim.SGD, {}),
    "Adam with betas (0.9, 0.0): the momentum is the first average": (torch.optim.Adam, {"betas": (0.9, 0.0)}),
    "Adam with betas (0.0, 0.0): keep the second average, 0.999": (torch.optim.Adam, {"betas": (0.0, 0.0)}),
    "descent with momentum 0.9: leave the momentum out": (torch.optim.SGD, {"momentum": 0.9}),
}


@exercise
def check_ablation(runs: dict[str, list[float]], photo: Tensor, generator: Generator, net: FeatureNet) -> None:
    """Exercise 4.6: Adam, Adam without momentum, and plain gradient descent from the same start."""
    expect(isinstance(runs, dict), f"`runs` is a {type(runs).__name__}, but a dict is needed.")
    names = list(METHODS)[:3]
    if not runs:
        raise NoAnswer(f"store three runs in `runs`: {', '.join(map(repr, names))}.")
    # Rounding makes two right programs differ, more with each step: the method is the nearest one after a few
    known = {
        name: search(photo, generator, net, 6, method, lr=0.01, **given) for name, (method, given) in METHODS.items()
    }
    for name in names:
        expect(name in runs, f"`runs` has no {name!r}: the names are {', '.join(map(repr, names))}.")
        pair = isinstance(runs[name], tuple) and len(runs[name]) == 2
        expect(not pair, f"runs[{name!r}] is what find returns, code and losses: take the losses, find(...)[1].")
        losses = expect_tensor(runs[name], f"runs[{name!r}]", dtype=torch.float64)
        expect(losses.ndim == 1, f"runs[{name!r}] has shape {list(losses.shape)}: take the losses, find(...)[1].")
        expect(len(losses) == 101, f"runs[{name!r}] holds {len(losses)} losses: 100 steps give 101.")
        elsewhere = f"runs[{name!r}] starts elsewhere: the same photo and generator for all."
        expect(close(losses[0], known[name][0]), elsewhere)
        far = {other: float((losses[:7] - v).abs().max() / (v[0] - v).abs().max()) for other, v in known.items()}
        nearest = min(far, key=far.get)
        otherwise = "another run: leave lr=0.01 and all else as it was, and change one thing"
        expect(far[nearest] < 0.05, f"runs[{name!r}] is {otherwise}.")
        expect(nearest == name, f"runs[{name!r}] is {nearest}.")
    passed("three runs, one difference each.")


# --- checks: causes and reasons -------------------------------------------------------------------------------------

CAUSES = {  # {answer: what one would see}; the lesson says what they mean
    "rate": "with a rate that is far too high the very first update throws the loss up: look at step 1.",
    "gradient": "gradients that pile up leave the first update as it is, and then make the loss swing up and stay up: "
    "look at steps 1 to 30.",
    "noise": "with new noise the curve trembles, and one code has several losses: compare one again, and again.",
    "rows": "rows that are free lie apart in the end, and give a lower loss than the healthy run in W.",
    "start": "another start changes the first loss, but the curve is as smooth, and one code still has one loss.",
    "steps": "a sound run that only needs more steps falls like the healthy one, and is still falling at its end.",
}
RUNS = {  # {run: (cause, what it teaches)}
    "A": (
        "rate",
        "each number moved by 1, several times the spread of W: the first update overshot, and left the region "
        "where faces are.",
    ),
    "B": ("gradient", "old gradients were added to the new one, so the code overshot again and again."),
    "C": ("noise", "each forward pass drew new noise, so one code was compared by a different image each time."),
    "D": ("rows", "it searched W+ under the name of W: a row that is expanded stays one row, copies diverge."),
}


@exercise
def check_cause(run: str, cause: str | None) -> None:
    """Exercises 4.7 to 4.10: the cause of a broken run."""
    right, lesson = RUNS[run]
    expect_choice(cause, right, {name: seen for name, seen in CAUSES.items() if name != right})
    passed(lesson)


@exercise
def check_why_moved(answer: str | None) -> None:
    """Exercise 4.11: why a moved face costs more; its training, and what a style cannot do."""
    training = "train", "seen", "saw", "learn", "shown", "example", "data", "ffhq"
    position = (
        "constant",
        "grid",
        "place",
        "position",
        "(un|mis)?align",
        "cent(re|er)",
        "location",
        "coordinate",
        "spot",
    )
    position += "layout", "fixed", "translat", "same (size|pixel)", "every (pixel|position)", "pixel"
    expect_text(
        answer,
        {
            "say where the generator's habits come from: which photos has it seen?": training,
            "say why a style cannot simply shift a face: what is the same at every position, or fixed?": position,
        },
        model="The generator was trained on aligned photos, so it has only seen eyes and mouths at fixed places of "
        "the grid. A style scales a feature map as a whole, the same at every position, so no code can simply shift a "
        "face; the search must paint the moved face out of parts that were learned for other places.",
        question="To us a shifted face is the same face. In two or three sentences: why is it harder for the "
        "generator? Why does moving the face cost? What was the same in all the photos that the generator has seen?",
        confusions={
            r"constant\b[^.]{0,30}\b(changes|differs|depends)": "the learned constant is the same for all photos: what "
            "follows from that for a face that stands elsewhere?",
        },
    )


# --- checks: when to stop -------------------------------------------------------------------------------------------


def stop_where(rule: Callable[..., bool], begin: int | None = None, shift: int = 0, end: int = -1) -> Callable:
    """Return a `stop_at` that gives the first step, from `begin` or the window on, where a rule holds, plus `shift`."""

    def stop_at(losses: list[float], window: int, tolerance: float) -> Tensor:
        steps = range(window if begin is None else begin, len(losses))
        found = (k + shift for k in steps if rule(losses, k, window, tolerance))
        return torch.tensor(next(found, len(losses) + end))

    return stop_at


def little_gained(losses: list[float], k: int, window: int, tolerance: float) -> bool:
    """True if the `window` steps before step k gained less than the share `tolerance`."""
    return losses[k] > (1 - tolerance) * losses[k - window]


WRONG_STOPS = {  # {mistake: wrong function}; in the rules v are the losses, w the window, t the tolerance
    "this is where the window begins: return where it ends, the step that is tested.": (
        lambda v, w, t: stop_where(little_gained, shift=-w)(v, w, t)
    ),
    "the first window counts as well: begin at step `window`.": (
        lambda v, w, t: stop_where(little_gained, begin=w + 1)(v, w, t)
    ),
    "it goes to the last step, whatever the losses are.": lambda v, w, t: torch.tensor(len(v) - 1),
    "it stops where a window still gained much: is the comparison the other way round?": (
        stop_where(lambda *given: not little_gained(*given))
    ),
    "the gain is compared as a difference: as a share it is the same for a curve a thousand times smaller.": (
        stop_where(lambda v, k, w, t: v[k - w] - v[k] < t)
    ),
    "the gain is a share of the new loss here: take that of the loss `window` steps before.": (
        stop_where(lambda v, k, w, t: v[k - w] - v[k] < t * v[k])
    ),
    "the loss is compared with that of the step before: look back `window` steps.": (
        stop_where(lambda v, k, w, t: v[k] > (1 - t) * v[k - 1])
    ),
    "the new loss may be up to (1 - tolerance) times the old one, not `tolerance` times.": (
        stop_where(lambda v, k, w, t: v[k] > t * v[k - w])
    ),
    "`tolerance` is not used: it stops only where the loss has risen.": stop_where(lambda v, k, w, t: v[k] > v[k - w]),
    "it begins at step 0, where losses[k - window] counts from the end: begin at step `window`.": (
        stop_where(little_gained, begin=0)
    ),
    "it is one step late: return the step k that is tested.": stop_where(little_gained, shift=1),
    "it is one step early: return the step k that is tested.": stop_where(little_gained, shift=-1),
    "steps count from 0, so the last one is len(losses) - 1.": stop_where(little_gained, end=0),
}
for fixed in (0.05, 0.1, 0.2):
    WRONG_STOPS[f"another `tolerance` than {fixed} changes nothing: use what is handed in."] = (
        lambda v, w, t, fixed=fixed: stop_where(little_gained)(v, w, fixed)
    )
for fixed in (10, 20, 50):
    WRONG_STOPS[f"another `window` than {fixed} changes nothing: look back as many steps as it says."] = (
        lambda v, w, t, fixed=fixed: stop_where(little_gained)(v, fixed, t)
    )


def falling_losses(seed: int, count: int = 101) -> list[float]:
    """Losses that fall to a floor, with small waves."""
    rng = np.random.default_rng(seed)
    fall = np.exp(-np.arange(count) / rng.uniform(8, 25)) + rng.uniform(0.05, 0.3)
    return (rng.uniform(0.3, 3) * fall * (1 + 0.02 * rng.standard_normal(count))).tolist()


@exercise
def check_stop_at(stop_at: Callable[..., int]) -> None:
    """Exercise 4.12: the first step at which the last `window` steps gained less than `tolerance`, as a share."""
    settings = [(10, 0.05), (15, 0.1), (30, 0.2), (20, 0.3), (7, 0.15), (25, 0.02)]
    inputs = [(falling_losses(seed), *pair) for seed, pair in enumerate(settings)]
    inputs += [([3 * 0.9**k for k in range(60)], 10, 0.05), ([2.0] * 50, 20, 0.1)]
    answers = [call(stop_at, *given) for given in inputs]
    none = "stop_at returned None: return a step in every case, also after the loop."
    expect(all(answer is not None for answer in answers), none)
    for answer in answers:
        expect_number(answer, "stop_at(...)", whole=True)
    mistakes = [(wrong, mistake) for mistake, wrong in WRONG_STOPS.items()]
    otherwise = "this is not the first k with losses[k] > (1 - tolerance) * losses[k - window]: look at > and at range."
    compare(stop_at, stop_where(little_gained), inputs, mistakes, otherwise, relative=0.0, absolute=0.1)
    short = call(stop_at, [1.0, 0.9], 20, 0.1, hint="The list may be shorter than the window.")
    expect(short == 1, "a list of two losses, shorter than the window, ends at its last step, which is 1.")
    passed("it stops where a window of steps no longer gains its share.")
