"""Lesson 4: a face moved in its photo, the faulty runs, and the checks, which pass solutions and name mistakes."""

import functools

import numpy as np
import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets
from PIL import Image, ImageDraw

from i2s import embed
from i2s.course import lesson04
from i2s.course.checks import CheckFailed
from i2s.course.lesson04 import FAULTS, broken_run, transform_face, with_noise
from i2s.errors import ImageError, SettingsError

# --- a face moved in its photo ----------------------------------------------------------------------------------------

BOX = (40, 30, 60)  # centre at 70, 60


@pytest.fixture
def image():
    """White, with a red dot at the centre of the box and a blue one 15 px right of it."""
    made = Image.new("RGB", (140, 120), "white")
    pen = ImageDraw.Draw(made)
    pen.ellipse((66, 56, 74, 64), fill="red")
    pen.ellipse((81, 56, 89, 64), fill="blue")
    return made


def centre(image, colour):
    """Centre of the dot of a colour, (x, y), in px."""
    pixels = np.asarray(image).astype(int)
    mask = (np.abs(pixels - colour).sum(axis=2) < 150).nonzero()
    return mask[1].mean() + 0.5, mask[0].mean() + 0.5


RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_transform_face_by_nothing_is_the_crop(image):
    crop = image.crop((40, 30, 100, 90))
    assert np.array_equal(np.asarray(transform_face(image, BOX)), np.asarray(crop))


@pytest.mark.parametrize(
    "change, red, blue",
    [
        ({}, (30, 30), (45, 30)),
        ({"right": 0.25}, (45, 30), None),
        ({"down": -0.25}, (30, 15), (45, 15)),
        ({"degrees": 90}, (30, 30), (30, 15)),
        ({"degrees": 180}, (30, 30), (15, 30)),
        ({"scale": 0.5}, (30, 30), (37.5, 30)),
        ({"scale": 1.5}, (30, 30), (52.5, 30)),
        ({"scale": 0.5, "right": 0.25}, (45, 30), (52.5, 30)),
    ],
)
def test_transform_face_moves_the_face(image, change, red, blue):
    crop = transform_face(image, BOX, **change)
    assert crop.size == (60, 60)
    assert centre(crop, RED) == pytest.approx(red, abs=1.1)
    if blue:
        assert centre(crop, BLUE) == pytest.approx(blue, abs=1.1)


@pytest.mark.parametrize("change", [{"scale": 0.4}, {"degrees": 45}, {"right": 0.5, "down": 0.5}])
def test_transform_face_has_no_black_border(image, change):
    assert np.asarray(transform_face(image, BOX, **change)).max(axis=2).min() > 100


@pytest.mark.parametrize("scale", [0, -1, float("nan")])
def test_transform_face_refuses_a_scale_of_zero_or_less(image, scale):
    with pytest.raises(ImageError, match="above 0"):
        transform_face(image, BOX, scale=scale)


# --- faulty runs ------------------------------------------------------------------------------------------------------

STEPS = 40


@pytest.fixture(scope="module")
def world():
    """Generator, perceptual network, photo, the four faulty runs, and a correct one."""
    generator, net = small_generator(), FakeFeatureNet()
    photo = targets(generator, 1)
    runs = {name: broken_run(name, photo, generator, net, STEPS) for name in FAULTS}
    correct = embed(photo, generator, steps=STEPS, learning_rate=0.05, perceptual=net, progress=False)
    return generator, net, photo, runs, correct


def test_broken_run_starts_at_the_mean_latent(world):
    *_, runs, correct = world
    for name in "ABD":
        assert runs[name].losses[0] == pytest.approx(correct.loss[0, 0].item(), rel=1e-5)
    assert all(len(run.losses) == STEPS + 1 for run in runs.values())


def test_broken_run_a_rises_at_its_first_step(world):
    *_, runs, _ = world
    assert runs["A"].losses[1] > 1.5 * runs["A"].losses[0]


def test_broken_run_b_begins_well_and_diverges(world):
    *_, runs, correct = world
    assert runs["B"].losses[1] == pytest.approx(correct.loss[1, 0].item(), rel=1e-4)
    assert runs["B"].losses[2] != pytest.approx(correct.loss[2, 0].item(), rel=1e-4)
    assert max(runs["B"].losses[5:]) > 2 * float(correct.loss[-1])


def test_broken_run_c_alone_has_several_losses_for_one_code(world):
    *_, runs, _ = world
    for name, run in runs.items():
        assert len(set(run.compared_again)) == (5 if name == "C" else 1), name


def test_broken_run_d_is_a_correct_run_in_w_plus(world):
    *_, runs, correct = world
    assert runs["D"].losses == pytest.approx(correct.loss[:, 0].tolist(), rel=1e-3)
    assert runs["D"].w_plus.std(dim=1).mean() > 0.01


def test_broken_run_returns_the_image_of_its_code(world):
    generator, _, _, runs, _ = world
    assert torch.allclose(generator.synthesis(runs["B"].w_plus), runs["B"].image, atol=1e-5)


def test_with_noise_changes_a_copy():
    quiet = small_generator()
    for name, parameter in quiet.named_parameters():
        if name.endswith("noise_strength"):
            parameter.zero_()
    noisy, code = with_noise(quiet), quiet.w_mean.expand(1, quiet.num_ws, -1)
    assert torch.equal(quiet.synthesis(code, "const"), quiet.synthesis(code, "none"))
    assert not torch.equal(noisy.synthesis(code, "const"), noisy.synthesis(code, "none"))
    own = small_generator()  # a strength that a generator has learned stays
    assert torch.equal(with_noise(own, strength=0.7).synthesis(code), own.synthesis(code))


def test_broken_run_refuses_an_unknown_name():
    with pytest.raises(SettingsError, match="A, B, C, D"):
        broken_run("E", torch.zeros(1, 3, 16, 16), small_generator(), FakeFeatureNet())


# --- checks -----------------------------------------------------------------------------------------------------------

GENERATOR = small_generator()
NET = FakeFeatureNet()
PHOTO = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(7)) * 2 - 1


def refused(check, *arguments, words: str):
    with pytest.raises(CheckFailed, match=words):
        check(*arguments)


def blank(*_, **__):
    return None


# --- 4.1 the initial code -------------------------------------------------------------------------------------------


def initial_code(generator):
    return generator.w_mean.expand(1, generator.num_ws, generator.w_dim).clone().requires_grad_(True)


def shape(generator):
    return 1, generator.num_ws, generator.w_dim


def test_check_initial_code_passes_the_solution(capsys):
    before = GENERATOR.w_mean.clone()
    lesson04.check_initial_code(initial_code, GENERATOR)
    assert capsys.readouterr().out.startswith("Right")
    assert torch.equal(before, GENERATOR.w_mean)


@pytest.mark.parametrize(
    "answer, words",
    [
        (blank, "no value yet"),
        (lambda g: g.w_mean.clone().requires_grad_(True), "one row"),
        (lambda g: torch.zeros(shape(g), requires_grad=True), "not from zeros"),
        (lambda g: g.w_mean.expand(shape(g)).clone(), "does not ask for gradients"),
        (lambda g: g.w_mean.clone().requires_grad_(True).expand(shape(g)), "leaf"),
        (lambda g: g.w_mean.expand(shape(g)).detach().requires_grad_(True), "clone"),
    ],
)
def test_check_initial_code_names_the_mistake(answer, words):
    before = GENERATOR.w_mean.clone()
    refused(lesson04.check_initial_code, answer, GENERATOR, words=words)
    assert torch.equal(before, GENERATOR.w_mean)


# --- 4.2 the comparison ---------------------------------------------------------------------------------------------


def compare(image, photo, features, net, scale=0.5, pixels=True, maps=True, power=2, mean=torch.mean, weight=1.0):
    loss = mean((scale * (image - photo)).abs() ** power) if pixels else 0.0
    for ours, theirs in zip(net.features(image), features) if maps else ():
        loss = loss + weight * mean((ours - theirs).abs() ** power)
    return loss


def only_the_last(image, photo, features, net):
    for ours, theirs in zip(net.features(image), features):
        loss = ((image - photo) / 2).square().mean() + (ours - theirs).square().mean()
    return loss


def test_check_compare_passes_the_solution():
    lesson04.check_compare(compare, PHOTO, NET)


@pytest.mark.parametrize(
    "answer, words",
    [
        (blank, "no value yet"),
        (functools.partial(compare, scale=1.0), "four times"),
        (functools.partial(compare, maps=False), "pixels alone"),
        (functools.partial(compare, pixels=False), "feature maps alone"),
        (functools.partial(compare, mean=torch.sum), "take their mean"),
        (functools.partial(compare, power=1), "squares them"),
        (functools.partial(compare, weight=0.25), "mean over the four"),
        (lambda i, p, f, n: compare(i, p, f, n, maps=False) + compare(i, p, f, n, pixels=False, mean=torch.sum), "N_j"),
        (
            lambda i, p, f, n: compare(i, p, f, n, maps=False) + compare((i + 1) / 2, p, f, n, pixels=False),
            "the network",
        ),
        (
            lambda i, p, f, n: compare(i, p, f, n, pixels=False) + ((i + 1) / 2 - p).square().mean(),
            "only one of the two",
        ),
        (lambda *given: compare(*given).sqrt(), "root"),
        (functools.partial(compare, weight=0.5), "does each count once"),
        (only_the_last, "inside of the loop"),
        (lambda *given: compare(*given).detach(), "way back"),
        (lambda image, photo, *_: (image - photo).square().mean(dim=(2, 3)), "one number"),
        (lambda *given: compare(*given).item(), "is a float"),
    ],
)
def test_check_compare_names_the_mistake(answer, words):
    refused(lesson04.check_compare, answer, PHOTO, NET, words=words)


# --- 4.3 the update -------------------------------------------------------------------------------------------------


def update(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def no_clearing(optimiser, loss):
    loss.backward()
    optimiser.step()


def no_step(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()


def upwards(optimiser, loss):
    update(optimiser, -loss)


def cleared_too_late(optimiser, loss):
    loss.backward()
    optimiser.zero_grad()
    optimiser.step()


def twice(optimiser, loss):
    update(optimiser, loss)
    optimiser.step()


def test_check_update_passes_the_solution():
    lesson04.check_update(update)


@pytest.mark.parametrize(
    "answer, words",
    [
        (blank, "has not moved"),
        (no_step, "has not moved"),
        (cleared_too_late, "has not moved"),
        (no_clearing, "zero_grad"),
        (upwards, "up the slope"),
        (twice, "once each"),
    ],
)
def test_check_update_names_the_mistake(answer, words):
    refused(lesson04.check_update, answer, words=words)


# --- 4.4 the loop ---------------------------------------------------------------------------------------------------


def find(photo, generator, net, steps, optimiser=torch.optim.Adam, lr=0.01, mistake="", **settings):
    code, features, losses = initial_code(generator), net.features(photo), []
    if mistake == "zeros":
        code = torch.zeros_like(code).requires_grad_(True)
    if mistake == "no settings":
        settings = {}
    if mistake == "Adam always":
        optimiser = torch.optim.Adam
    rate = {"rate kept": 0.01, "rate doubled": lr * 2}.get(mistake, lr)
    adam = optimiser([code], lr=rate, **settings)
    for step in range(steps if mistake == "one too few" else steps + 1):
        if mistake == "new optimiser":
            adam = optimiser([code], lr=rate, **settings)
        loss = compare(generator.synthesis(code), photo, features, net)
        losses.append(loss if mistake == "tensors" else loss.item())
        if (step < steps or mistake == "one update too many") and mistake != "no update":
            update(adam, loss)
    return code if mistake == "gradients" else code.detach(), losses


def test_check_find_passes_the_solution():
    lesson04.check_find(find, GENERATOR, NET)


@pytest.mark.parametrize(
    "mistake, words",
    [
        ("one too few", "never compared"),
        ("tensors", "are tensors"),
        ("gradients", "detach"),
        ("zeros", "mean latent"),
        ("no update", "does not change"),
        ("rate doubled", "learning rate"),
        ("new optimiser", "once, before the loop"),
        ("one update too many", "no update after"),
        ("rate kept", "lr=0.05"),
        ("Adam always", "another optimiser"),
        ("no settings", "betas"),
    ],
)
def test_check_find_names_the_mistake(mistake, words):
    refused(lesson04.check_find, functools.partial(find, mistake=mistake), GENERATOR, NET, words=words)


def test_check_find_refuses_other_returns():
    refused(lesson04.check_find, blank, GENERATOR, NET, words="two things")
    refused(
        lesson04.check_find, lambda *_, **__: (initial_code(GENERATOR).detach(), 3.0), GENERATOR, NET, words="a list"
    )


# --- 4.5, 4.7 to 4.10: check_first_step, and the broken runs --------------------------------------------------------

CAUSES = ("rate", "gradient", "noise", "rows", "steps")
RIGHT = {"a": "rate", "b": "gradient", "c": "noise", "d": "rows"}  # check_run_a to check_run_d


@pytest.mark.parametrize("run, right", RIGHT.items())
def test_check_run_passes_one_cause_and_refutes_the_others(run, right, capsys):
    check = getattr(lesson04, f"check_run_{run}")
    check(right)
    assert capsys.readouterr().out.startswith("Right")
    reasons = set()
    for cause in CAUSES:
        if cause != right:
            with pytest.raises(CheckFailed) as failed:
                check(cause)
            reasons.add(str(failed.value))
            assert len(str(failed.value)) > 40
    assert len(reasons) == 4
    for nothing in (None, "", 3, "the weather"):
        with pytest.raises(CheckFailed, match="choose one of|not one of"):
            check(nothing)


def test_check_first_step():
    lesson04.check_first_step("rate")
    refused(lesson04.check_first_step, "gradient", words="divides")
    refused(lesson04.check_first_step, "loss", words="never sees the loss")
    refused(lesson04.check_first_step, None, words="no answer yet")
    refused(lesson04.check_first_step, "no idea", words="not one of")


# --- 4.6 the ablation -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs():
    photo = GENERATOR.synthesis(GENERATOR.mapping(GENERATOR.sample_z(1, seed=3))).clamp(-1, 1)

    def search(*method, **settings):
        return find(photo, GENERATOR, NET, 100, *method, **settings)[1]

    return {
        "Adam": search(),
        "no momentum": search(betas=(0.0, 0.999)),
        "plain descent": search(torch.optim.SGD),
        "faster": search(lr=0.02, betas=(0.0, 0.999)),
    }


def test_check_ablation_passes_the_solution(runs):
    lesson04.check_ablation({name: runs[name] for name in ("Adam", "no momentum", "plain descent")})


@pytest.mark.parametrize(
    "change, words",
    [
        ({"no momentum": "Adam"}, "first beta"),
        ({"plain descent": "no momentum"}, "SGD"),
        ({"no momentum": "faster"}, "same first step"),
    ],
)
def test_check_ablation_names_the_mistake(runs, change, words):
    answer = {name: runs[change.get(name, name)] for name in ("Adam", "no momentum", "plain descent")}
    refused(lesson04.check_ablation, answer, words=words)


def test_check_ablation_refuses_missing_runs(runs):
    good = {name: runs[name] for name in ("Adam", "no momentum", "plain descent")}
    refused(lesson04.check_ablation, {}, words="still empty")
    refused(lesson04.check_ablation, {"Adam": runs["Adam"]}, words="has no 'no momentum'")
    refused(lesson04.check_ablation, good | {"Adam": (None, runs["Adam"])}, words="take the losses")
    refused(lesson04.check_ablation, good | {"Adam": runs["Adam"][:50]}, words="100 steps give 101")
    refused(lesson04.check_ablation, good | {"Adam": [9.0, *runs["Adam"][1:]]}, words="start differently")


# --- 4.11 the explanation -------------------------------------------------------------------------------------------


def test_check_why_moved():
    lesson04.check_why_moved(
        "The generator was trained on faces that stand at one place, and a style cannot move what it learned elsewhere."
    )
    for right in (
        "The network was only shown aligned portraits, so it knows eyes at fixed coordinates, and no style moves them.",
        "Every example in its dataset had the eyes at the same spot, and nothing in a code can translate the features.",
    ):
        lesson04.check_why_moved(right)
    refused(lesson04.check_why_moved, "", words="two or three sentences")
    refused(lesson04.check_why_moved, None, words="two or three sentences")
    vague = "It is harder since the picture is another one and so the loss is just a bit higher than before."
    refused(lesson04.check_why_moved, vague, words="habits")
    half = "It was trained on a great many photos of people and so it is good at drawing people's faces in general."
    refused(lesson04.check_why_moved, half, words="same in all")


# --- 4.12 when to stop ----------------------------------------------------------------------------------------------


def stop_at(losses, window=50, tolerance=0.1, shift=0, against=None, absolute=False, last=True):
    for k in range(window, len(losses)):
        before = losses[k - (against or window)]
        if losses[k] > (before - tolerance if absolute else (1 - tolerance) * before):
            return k - shift
    return len(losses) - 1 if last else None


def as_a_share(losses, window=50, tolerance=0.1):
    for k in range(window, len(losses)):
        if (losses[k - window] - losses[k]) / losses[k - window] < tolerance:
            return k
    return len(losses) - 1


def other_way_round(losses, window=50, tolerance=0.1):
    below = (k for k in range(window, len(losses)) if losses[k] < (1 - tolerance) * losses[k - window])
    return next(below, len(losses) - 1)


def from_the_first(losses, window=50, tolerance=0.1):
    above = (k for k in range(len(losses)) if losses[k] > (1 - tolerance) * losses[k - window])
    return next(above, len(losses) - 1)


def one_too_far(losses, window=50, tolerance=0.1):
    k = as_a_share(losses, window, tolerance)
    return len(losses) if k == len(losses) - 1 else k


@pytest.mark.parametrize("answer", [stop_at, as_a_share])
def test_check_stop_at_passes_the_solution(answer):
    lesson04.check_stop_at(answer)


@pytest.mark.parametrize(
    "answer, words",
    [
        (blank, "None"),
        (lambda *a, **k: float(stop_at(*a, **k)), "a float"),
        (functools.partial(stop_at, shift=10), "window begins"),
        (functools.partial(stop_at, against=1), "step before"),
        (functools.partial(stop_at, absolute=True), "share"),
        (functools.partial(stop_at, shift=1), "look at"),
        (functools.partial(stop_at, last=False), "after the loop"),
        (other_way_round, "other way round"),
        (from_the_first, "before the first window"),
        (one_too_far, "count from 0"),
        (lambda losses, window, tolerance: stop_at(losses, window, 0.05), "`tolerance` changes nothing"),
        (lambda losses, window, tolerance: stop_at(losses, window, tolerance, against=10), "`window` changes nothing"),
    ],
)
def test_check_stop_at_names_the_mistake(answer, words):
    refused(lesson04.check_stop_at, answer, words=words)
