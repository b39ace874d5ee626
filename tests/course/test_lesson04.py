"""Lesson 4: a face moved in its photo, the faulty runs, and the checks, which take right answers and name mistakes."""

import functools
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets
from PIL import Image, ImageDraw

from i2s import embed
from i2s.course import lesson04
from i2s.course.checks import CheckFailed
from i2s.course.lesson04 import (
    CAUSES,
    FAULTS,
    METHODS,
    RUNS,
    broken_run,
    face_ovals,
    progress,
    psnr_within,
    transform_face,
    with_noise,
)
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


def test_face_ovals_move_with_the_face(image):
    original, shifted = face_ovals(image, BOX, [{}, {"right": 0.25}], 60)[:, 0].bool()
    assert original[30, 30] and not original[2, 2]
    assert torch.equal(shifted[:, 20:], original[:, 5:45])


def test_psnr_within_sees_the_mask_alone():
    photos = torch.zeros(2, 3, 8, 8)
    masks = torch.zeros(2, 1, 8, 8)
    masks[..., :4] = 1
    images = photos.clone()
    images[..., 4:] = 1
    images[1, :, :, :4] = 0.2  # an error of 0.1 on the scale [0, 1]
    found = psnr_within(images, photos, masks)
    assert found[0].isinf()
    assert found[1].item() == pytest.approx(20)


def test_progress_speaks_every_few_seconds(capsys, monkeypatch):
    seconds = iter([0.0, 2.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    say = progress(every=5.0)
    for k in range(3):
        say(SimpleNamespace(step=k, steps=9))
    assert capsys.readouterr().out == "step 1 of 9\n"


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


def passes(check, *arguments, capsys):
    check(*arguments)
    assert capsys.readouterr().out.startswith("Right")


# --- 4.1 the initial code -------------------------------------------------------------------------------------------


def initial_code(generator):
    return generator.w_mean.expand(1, generator.num_ws, generator.w_dim).clone().requires_grad_(True)


def shape(generator):
    return 1, generator.num_ws, generator.w_dim


def filled(generator):
    code = torch.empty(shape(generator))
    code[:] = generator.w_mean
    return code.requires_grad_()


RIGHT_CODES = [
    initial_code,
    filled,
    lambda g: g.w_mean.repeat(1, g.num_ws, 1).requires_grad_(),
    lambda g: torch.stack([g.w_mean] * g.num_ws)[None].requires_grad_(),
    lambda g: torch.nn.Parameter(g.w_mean.repeat(g.num_ws, 1)[None]),
    lambda g: (torch.zeros(shape(g)) + g.w_mean).detach().requires_grad_(True),
    lambda g: torch.tensor(g.w_mean.expand(shape(g)).tolist(), requires_grad=True),
]


def asks_the_mean(generator):
    generator.w_mean.requires_grad_(True)
    return generator.w_mean.expand(shape(generator)).clone()


def moves_the_mean(generator):
    generator.w_mean.add_(1)
    return (generator.w_mean - 1).expand(shape(generator)).clone().requires_grad_()


WRONG_CODES = [
    (lambda g: None, "no value yet"),
    (lambda g: g.w_mean.clone().requires_grad_(True), "one row"),
    (lambda g: g.w_mean.repeat(g.num_ws, 1).requires_grad_(True), "shape"),
    (lambda g: torch.zeros(shape(g), requires_grad=True), "not start from zeros"),
    (lambda g: (torch.rand(shape(g)) * 2 - 1).requires_grad_(), "random numbers"),
    (lambda g: g.w_mean.expand(shape(g)).clone(), "asks for no gradients"),
    (lambda g: g.w_mean.clone().requires_grad_(True).expand(shape(g)), "leaf"),
    (lambda g: g.w_mean.expand(shape(g)).detach().requires_grad_(True), "clone"),
    (lambda g: g.w_mean.repeat(1, 6, 1).requires_grad_(), "num_ws"),
    (lambda g: g.w_mean.double().repeat(1, g.num_ws, 1).requires_grad_(), "float64"),
    (lambda g: g.w_mean.repeat(1, g.num_ws, 1).numpy(), "ndarray"),
    (asks_the_mean, "w_mean.*gradients now"),
    (moves_the_mean, "w_mean.*in place"),
    (lambda g: g.mean.clone(), "AttributeError"),
]


@pytest.mark.parametrize("answer", RIGHT_CODES)
def test_check_initial_code_takes(answer, capsys):
    before = GENERATOR.w_mean.clone()
    passes(lesson04.check_initial_code, answer, GENERATOR, capsys=capsys)
    assert torch.equal(before, GENERATOR.w_mean)


@pytest.mark.parametrize("answer, words", WRONG_CODES)
def test_check_initial_code_names_the_mistake(answer, words):
    before = GENERATOR.w_mean.clone()
    refused(lesson04.check_initial_code, answer, GENERATOR, words=words)
    assert torch.equal(before, GENERATOR.w_mean) and not GENERATOR.w_mean.requires_grad


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


def only_the_first(image, photo, features, net):
    for ours, theirs in zip(net.features(image), features):
        return ((image - photo) / 2).square().mean() + (ours - theirs).square().mean()


def features_without_gradient(image, photo, features, net):
    with torch.no_grad():
        found = net.features(image)
    return ((image - photo) / 2).square().mean() + sum((a - b).square().mean() for a, b in zip(found, features))


def pixels_without_gradient(image, photo, features, net):
    return ((image.detach() - photo) / 2).square().mean() + compare(image, photo, features, net, pixels=False)


def one_tap_without_gradient(image, photo, features, net):
    found = net.features(image)
    found[2] = found[2].detach()
    return ((image - photo) / 2).square().mean() + sum((a - b).square().mean() for a, b in zip(found, features))


def in_place(image, photo, features, net):
    photo.add_(1).div_(2)
    return compare((image + 1) / 2, photo, features, net, scale=1.0, maps=False) + compare(
        image, photo, features, net, pixels=False
    )


def with_functional(image, photo, features, net):
    mse = torch.nn.functional.mse_loss
    terms = [mse(ours, theirs) for ours, theirs in zip(net.features(image), features)]
    return mse((image + 1) / 2, (photo + 1) / 2) + torch.stack(terms).sum()


def by_index(image, photo, features, net):
    maps = net.features(image)
    total = ((image - photo) ** 2).sum() / (4 * image.numel())
    for k in range(len(maps)):
        total += ((maps[k] - features[k]) ** 2).sum() / maps[k].numel()
    return total


RIGHT_LOSSES = [
    compare,
    with_functional,
    by_index,
    lambda i, p, f, n: (
        torch.norm((i - p) / 2) ** 2 / i.numel()
        + sum(torch.norm(a - b) ** 2 / a.numel() for a, b in zip(n.features(i), f))
    ),
    lambda i, p, f, n: compare(i.double(), p.double(), [x.double() for x in f], n),
    lambda i, p, f, n: torch.stack([compare(i, p, f, n, maps=False), compare(i, p, f, n, pixels=False)]).sum(),
]

WRONG_LOSSES = [
    (lambda *given: None, "no value yet"),
    (functools.partial(compare, scale=1.0), "four times"),
    (functools.partial(compare, maps=False), "pixels alone"),
    (functools.partial(compare, pixels=False), "feature maps alone"),
    (functools.partial(compare, mean=torch.sum), "take their mean"),
    (functools.partial(compare, power=1), "squares them"),
    (functools.partial(compare, weight=0.25), "mean over the four"),
    (lambda *given: compare(*given) / 5, "mean of the five"),
    (functools.partial(compare, scale=127.5, weight=1.0), "255"),
    (lambda i, p, f, n: compare(i, p, f, n, maps=False) + compare(i, p, f, n, pixels=False, mean=torch.sum), "N_j"),
    (lambda i, p, f, n: compare(i, p, f, n, maps=False) + compare((i + 1) / 2, p, f, n, pixels=False), "the network"),
    (lambda i, p, f, n: compare(i, p, f, n, pixels=False) + ((i + 1) / 2 - p).square().mean(), "only one of the two"),
    (lambda *given: compare(*given).sqrt(), "root"),
    (lambda i, p, f, n: compare(i, p, n.features(p), n), "handed in"),
    (functools.partial(compare, weight=0.5), "counted once"),
    (only_the_last, "inside the loop"),
    (only_the_first, "after the loop"),
    (lambda *given: compare(*given).detach(), "no gradient"),
    (lambda *given: compare(*given).item(), "no gradient"),
    (features_without_gradient, "part of its gradient"),
    (pixels_without_gradient, "part of its gradient"),
    (one_tap_without_gradient, "part of its gradient"),
    (in_place, "`photo`.*in place"),
    (lambda image, photo, *_: (image - photo).square().mean(dim=(2, 3)), "one number"),
    (lambda image, photo, features, net: net(photo, image, features), "stopped with"),
]


@pytest.mark.parametrize("answer", RIGHT_LOSSES)
def test_check_compare_takes(answer, capsys):
    passes(lesson04.check_compare, answer, PHOTO, NET, capsys=capsys)


@pytest.mark.parametrize("answer, words", WRONG_LOSSES)
def test_check_compare_names_the_mistake(answer, words):
    before = PHOTO.clone()
    refused(lesson04.check_compare, answer, PHOTO, NET, words=words)
    assert torch.equal(before, PHOTO)


# --- 4.3 the update -------------------------------------------------------------------------------------------------


def program(*lines):
    """An update that makes these calls: z zero_grad, b backward, s step."""

    def update(optimiser, loss):
        for line in lines:
            {"z": optimiser.zero_grad, "b": functools.partial(loss.backward, retain_graph=True), "s": optimiser.step}[
                line
            ]()

    return update


def update(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def upwards(optimiser, loss):
    update(optimiser, -loss)


def own_descent(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    with torch.no_grad():
        for p in optimiser.param_groups[0]["params"]:
            p -= 0.1 * p.grad


def clears_by_hand(optimiser, loss):
    for p in optimiser.param_groups[0]["params"]:
        p.grad = None
    loss.backward()
    optimiser.step()


def backward_of_torch(optimiser, loss):
    optimiser.zero_grad(set_to_none=False)
    torch.autograd.backward(loss)
    optimiser.step()


def returns_the_loss(optimiser, loss):
    update(optimiser, loss)
    return loss.item()


RIGHT_UPDATES = [update, program("b", "s", "z"), clears_by_hand, backward_of_torch, returns_the_loss, program(*"zzbs")]
WRONG_UPDATES = [
    (lambda optimiser, loss: None, "backward"),
    (program("z", "s"), "nothing computes the gradient"),
    (program("z", "b"), "has to step"),
    (program("b", "z", "s"), "between"),
    (program("z", "s", "b"), "swap them"),
    (program("s", "z", "b"), "swap them"),
    (program("b", "s"), "earlier losses"),
    (program("z", "b", "s", "s"), "once each"),
    (program("z", "b", "b", "s"), "once each"),
    (own_descent, "not by the optimiser"),
    (upwards, "up the slope"),
    (lambda optimiser, loss: optimiser.backward(), "AttributeError"),
]


@pytest.mark.parametrize("answer", RIGHT_UPDATES)
def test_check_update_takes(answer, capsys):
    passes(lesson04.check_update, answer, capsys=capsys)


@pytest.mark.parametrize("answer, words", WRONG_UPDATES)
def test_check_update_names_the_mistake(answer, words):
    refused(lesson04.check_update, answer, words=words)


# --- 4.4 the loop ---------------------------------------------------------------------------------------------------


def find(photo, generator, net, steps, method=torch.optim.Adam, lr=0.01, mistake="", **settings):
    code, features, losses = initial_code(generator), net.features(photo), []
    if mistake == "zeros":
        code = torch.zeros_like(code).requires_grad_(True)
    if mistake == "no settings":
        settings = {}
    if mistake == "Adam always":
        method = torch.optim.Adam
        settings.pop("momentum", None)
    rate = {"rate kept": 0.01, "rate doubled": lr * 2}.get(mistake, lr)
    optimiser = method([code], lr=rate, **settings)
    image = generator.synthesis(code)
    for step in range(steps if mistake in ("one too few", "last repeated") else steps + 1):
        if mistake == "new optimiser":
            optimiser = method([code], lr=rate, **settings)
        if mistake != "image before":
            image = generator.synthesis(code)
        loss = compare(image, photo, features, net)
        if mistake != "after the update":
            losses.append(loss if mistake == "tensors" else loss.item())
        if (step < steps or mistake == "one update too many") and mistake != "no update":
            update(optimiser, loss)
            if mistake == "two updates" and step > 0:
                update(optimiser, compare(generator.synthesis(code), photo, features, net))
        if mistake == "after the update":
            losses.append(compare(generator.synthesis(code), photo, features, net).item())
    if mistake in ("last twice", "last repeated"):
        losses.append(losses[-1])
    if mistake == "mean moved":
        generator.w_mean.add_(0.1)
    return code if mistake == "gradients" else code.detach(), losses


def returns_a_list(*given, **settings):
    return list(find(*given, **settings))


def losses_detached(*given, **settings):
    code, losses = find(*given, **settings)
    return code, [torch.tensor(loss) for loss in losses]


def losses_of_numpy(*given, **settings):
    code, losses = find(*given, **settings)
    return code, np.array(losses)


def last_outside(photo, generator, net, steps, method=torch.optim.Adam, lr=0.01, **settings):
    code, features = initial_code(generator), net.features(photo)
    optimiser, losses = method([code], lr=lr, **settings), []
    for _ in range(steps):
        losses.append(compare(generator.synthesis(code), photo, features, net))
        update(optimiser, losses[-1])
    with torch.no_grad():
        losses.append(compare(generator.synthesis(code), photo, features, net))
    return code.detach().clone(), [float(loss) for loss in losses]


def with_while(photo, generator, net, steps, method=torch.optim.Adam, lr=0.01, **settings):
    code, features = initial_code(generator), net.features(photo)
    optimiser, losses = method(params=[code], lr=lr, **settings), ()
    while True:
        loss = compare(generator.synthesis(code), photo, features, net)
        losses += (loss.item(),)
        if len(losses) == steps + 1:
            return code.data, losses
        update(optimiser, loss)


@pytest.mark.parametrize("answer", [find, returns_a_list, losses_detached, losses_of_numpy, last_outside, with_while])
def test_check_find_takes(answer, capsys):
    passes(lesson04.check_find, answer, GENERATOR, NET, capsys=capsys)


@pytest.mark.parametrize(
    "mistake, words",
    [
        ("one too few", "never compared"),
        ("last repeated", "compare the code once more"),
        ("last twice", "twice"),
        ("tensors", "append loss.item"),
        ("gradients", "detach"),
        ("zeros", "mean latent"),
        ("after the update", "before you update"),
        ("no update", "does not change"),
        ("rate doubled", "lr=0.01"),
        ("new optimiser", "once, before the loop"),
        ("two updates", "one update in each round"),
        ("image before", "inside the loop"),
        ("one update too many", "no update after"),
        ("mean moved", "w_mean"),
        ("rate kept", "lr=0.05"),
        ("Adam always", "another optimiser"),
        ("no settings", "betas"),
    ],
)
def test_check_find_names_the_mistake(mistake, words):
    before = GENERATOR.w_mean.clone()
    refused(lesson04.check_find, functools.partial(find, mistake=mistake), GENERATOR, NET, words=words)
    assert torch.equal(before, GENERATOR.w_mean)


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda *_, **__: None, "two things"),
        (lambda *_, **__: initial_code(GENERATOR).detach(), "two things"),
        (lambda *_, **__: (initial_code(GENERATOR).detach(), 3.0), "a list"),
        (lambda *_, **__: (initial_code(GENERATOR).detach(), [1.0]), "6 losses"),
        (lambda *_, **__: (initial_code(GENERATOR).detach()[0], [1.0] * 6), "shape"),
    ],
)
def test_check_find_refuses_other_returns(answer, words):
    refused(lesson04.check_find, answer, GENERATOR, NET, words=words)


# --- 4.5 the first step ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [(0.01, 0.01), [0.01, 0.01], (-0.01, -0.01), torch.tensor([0.01, 0.01]), np.array([0.01, 0.00999]), [1e-2] * 2],
)
def test_check_first_step_takes(answer, capsys):
    passes(lesson04.check_first_step, answer, capsys=capsys)


@pytest.mark.parametrize(
    "answer, words",
    [
        ((2e-4, 1e-6), "plain gradient descent"),
        ((0.02, 0.0001), "those are the gradients"),
        ((0.01, 0.00005), "its own size"),
        ((1, 1), "learning rate"),
        ((0.001, 0.001), "1 - 0.9"),
        ((0.0316, 0.0316), "without their corrections"),
        ((0.5, 100.0), "root of v"),
        ((0.3, 0.4), "ratio"),
        (0.01, "two lengths"),
        ("rate", "needed"),
        ((0.01, float("nan")), "NaN"),
    ],
)
def test_check_first_step_names_the_mistake(answer, words):
    refused(lesson04.check_first_step, answer, words=words)


def test_blank_answers_stop_nothing(capsys):
    lesson04.check_first_step(None)
    lesson04.check_ablation({}, PHOTO, GENERATOR, NET)
    lesson04.check_cause("A", None)
    lesson04.check_why_moved("")
    assert capsys.readouterr().out.count("no answer yet") == 4


# --- 4.6 the ablation -----------------------------------------------------------------------------------------------

NAMES = ("Adam", "no momentum", "plain descent")


@pytest.fixture(scope="module")
def runs():
    """The losses of each method, also of the likely mistakes, and of a faster Adam."""
    photo = GENERATOR.synthesis(GENERATOR.mapping(GENERATOR.sample_z(1, seed=3))).clamp(-1, 1)
    made = {
        name: find(photo, GENERATOR, NET, 100, method, **settings)[1] for name, (method, settings) in METHODS.items()
    }
    return photo, made | {"faster": find(photo, GENERATOR, NET, 100, lr=0.02)[1]}


@pytest.mark.parametrize(
    "convert", [list, tuple, np.array, torch.tensor, lambda losses: [np.float64(x) for x in losses]]
)
def test_check_ablation_takes(runs, convert, capsys):
    photo, made = runs
    answer = {name: convert(made[name]) for name in reversed(NAMES)} | {"mine": [1.0]}
    passes(lesson04.check_ablation, answer, photo, GENERATOR, NET, capsys=capsys)


@pytest.mark.parametrize(
    "name, other, words",
    [
        ("Adam", "no momentum", "no momentum"),
        ("no momentum", "Adam", "is Adam"),
        ("no momentum", "Adam with betas (0.9, 0.0): the momentum is the first average", "first average"),
        ("no momentum", "Adam with betas (0.0, 0.0): keep the second average, 0.999", "second average"),
        ("no momentum", "plain descent", "plain descent"),
        ("plain descent", "descent with momentum 0.9: leave the momentum out", "momentum out"),
        ("plain descent", "Adam", "is Adam"),
        ("Adam", "faster", "lr=0.01"),
    ],
)
def test_check_ablation_names_the_mistake(runs, name, other, words):
    photo, made = runs
    answer = {key: made[key] for key in NAMES} | {name: made[other]}
    refused(lesson04.check_ablation, answer, photo, GENERATOR, NET, words=words)


def test_check_ablation_refuses_other_forms(runs):
    photo, made = runs
    good = {name: made[name] for name in NAMES}
    given = photo, GENERATOR, NET
    refused(lesson04.check_ablation, list(good.values()), *given, words="dict")
    refused(lesson04.check_ablation, {"Adam": made["Adam"]}, *given, words="has no 'no momentum'")
    refused(lesson04.check_ablation, good | {"Adam": (PHOTO, made["Adam"])}, *given, words="take the losses")
    refused(lesson04.check_ablation, good | {"Adam": PHOTO}, *given, words="take the losses")
    refused(lesson04.check_ablation, good | {"Adam": made["Adam"][:50]}, *given, words="100 steps give 101")
    refused(lesson04.check_ablation, good | {"Adam": [9.0, *made["Adam"][1:]]}, *given, words="same photo")
    swapped = good | {"Adam": made["no momentum"], "no momentum": made["Adam"]}
    refused(lesson04.check_ablation, swapped, *given, words="'Adam'. is no momentum")


# --- 4.7 to 4.10: the broken runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("run", RUNS)
def test_check_cause_passes_one_cause_and_says_what_the_others_look_like(run, capsys):
    right, _ = RUNS[run]
    for answer in (right, right.upper(), f" {right}. ", (right,), f"{right}: I think"):
        passes(lesson04.check_cause, run, answer, capsys=capsys)
    for cause in CAUSES:
        if cause != right:
            refused(lesson04.check_cause, run, cause, words=CAUSES[cause].split(":")[0][:20])
    for nothing in (3, "the weather", "no idea", ["rate", "rows"]):
        refused(lesson04.check_cause, run, nothing, words="not one of")


# --- 4.11 the explanation -------------------------------------------------------------------------------------------

GOOD_REASONS = [
    "The generator was trained on faces that stand at one place, and a style cannot move what it learned elsewhere.",
    "The network was only shown aligned portraits, so it knows eyes at fixed coordinates, and no style moves them.",
    "Every example in its dataset had the eyes at the same spot, and nothing in a code can translate the features.",
    "It starts from a learned constant grid, and styles only scale whole maps. All training faces were centred.",
    "It has only seen centered faces. A style acts alike at every position, so nothing can push the eyes to the side.",
]
BAD_REASONS = [
    ("It is harder since the picture is another one and so the loss is just a bit higher than before.", "habits"),
    ("It was trained on a great many people, and so it is good at drawing their faces in general.", "style cannot"),
    ("A style acts the same at every position, and so no code can ever shift what is painted on the grid.", "habits"),
    ("To us a shifted face is the same face. Why is it harder for the generator?", "repeats the question"),
    (
        "The constant changes with every photo that was in the training set, so the place is never the same.",
        "same for all",
    ),
    ("moved faces cost", "few more words"),
    ("Der Generator hat nur ausgerichtete Gesichter gesehen und kann nichts verschieben.", "English"),
    (42, "quotation marks"),
]


@pytest.mark.parametrize("answer", GOOD_REASONS)
def test_check_why_moved_says_that_both_points_are_mentioned(answer, capsys):
    lesson04.check_why_moved(answer)
    said = capsys.readouterr().out
    assert said.startswith("Both points are mentioned") and "Right" not in said


@pytest.mark.parametrize("answer, words", BAD_REASONS)
def test_check_why_moved_asks_for_what_is_missing(answer, words):
    refused(lesson04.check_why_moved, answer, words=words)


# --- 4.12 when to stop ----------------------------------------------------------------------------------------------


def stop_at(losses, window=50, tolerance=0.1, shift=0, against=None, rule=None, last=-1, begin=None):
    rule = rule or (lambda new, old, tolerance: new > (1 - tolerance) * old)
    for k in range(window if begin is None else begin, len(losses)):
        if rule(losses[k], losses[k - (against or window)], tolerance):
            return k - shift
    return None if last is None else len(losses) + last


def as_a_share(losses, window=50, tolerance=0.1):
    for k in range(window, len(losses)):
        if (losses[k - window] - losses[k]) / losses[k - window] < tolerance:
            return k
    return len(losses) - 1


def with_next(losses, window, tolerance):
    pairs = enumerate(zip(losses, losses[window:]), start=window)
    return next((k for k, (old, new) in pairs if new > old - tolerance * old), len(losses) - 1)


def of_numpy(losses, window, tolerance):
    v = np.array(losses)
    found = np.flatnonzero(v[window:] > (1 - tolerance) * v[:-window]) if len(v) > window else []
    return found[0] + window if len(found) else len(v) - 1


def with_while_loop(losses, window, tolerance):
    k = window
    while k < len(losses) and losses[k] <= (1 - tolerance) * losses[k - window]:
        k += 1
    return min(k, len(losses) - 1)


@pytest.mark.parametrize(
    "answer",
    [stop_at, as_a_share, with_next, of_numpy, with_while_loop, lambda *given: torch.tensor(stop_at(*given))],
)
def test_check_stop_at_takes(answer, capsys):
    passes(lesson04.check_stop_at, answer, capsys=capsys)


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda *given: None, "None"),
        (functools.partial(stop_at, last=None), "after the loop"),
        (lambda losses, window, tolerance: stop_at(losses, window, tolerance, shift=window), "window begins"),
        (functools.partial(stop_at, against=1), "step before"),
        (functools.partial(stop_at, rule=lambda new, old, t: old - new < t), "difference"),
        (functools.partial(stop_at, rule=lambda new, old, t: old - new < t * new), "share of the new loss"),
        (functools.partial(stop_at, rule=lambda new, old, t: new < (1 - t) * old), "other way round"),
        (functools.partial(stop_at, rule=lambda new, old, t: new > t * old), "not `tolerance` times"),
        (functools.partial(stop_at, rule=lambda new, old, t: new > old), "not used"),
        (functools.partial(stop_at, shift=1), "one step early"),
        (functools.partial(stop_at, shift=-1), "one step late"),
        (functools.partial(stop_at, begin=0), "begins at step 0"),
        (functools.partial(stop_at, last=0), "count from 0"),
        (lambda losses, window, tolerance: stop_at(losses, window, tolerance, begin=window + 1), "first window"),
        (lambda losses, *given: len(losses) - 1, "whatever the losses"),
        (lambda losses, window, tolerance: stop_at(losses, window, 0.05), "`tolerance`.*changes nothing"),
        (lambda losses, window, tolerance: stop_at(losses, 20, tolerance), "`window`.*changes nothing"),
        (lambda *given: stop_at(*given) + 0.5, "whole number"),
        (lambda losses, window, tolerance: losses[len(losses)], "IndexError"),
    ],
)
def test_check_stop_at_names_the_mistake(answer, words):
    refused(lesson04.check_stop_at, answer, words=words)
