"""Lesson 2, Z, W and W+: helpers for edits, and the checks of the exercises."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from i2s.course.checks import (
    CheckFailed,
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
from i2s.generators.base import Generator

# --- helpers ----------------------------------------------------------------------------------------------------------


def principal_directions(generator: Generator, count: int = 4000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Find the directions along which random codes of W differ most (PCA; GANSpace, Härkönen et al. 2020).

    Args:
        generator: The generator.
        count: Number of random codes.
        seed: Of the random codes.

    Returns:
        Directions of length 1, [w_dim, w_dim], the largest spread first, and the standard deviations along them
        [w_dim].
    """
    with torch.no_grad():
        w = generator.mapping(generator.sample_z(count, seed))[:, 0].double()
        variances, directions = torch.linalg.eigh(torch.cov(w.T))  # ascending
    return directions.T.flip(0).to(generator.w_mean), variances.clamp_min(0).sqrt().flip(0).to(generator.w_mean)


# --- checks -----------------------------------------------------------------------------------------------------------


@exercise
def check_numbers_in_w_plus(official: int | None, ours: int | None, generator: Generator) -> None:
    """Exercise 2.1: how many numbers a code in W+ has."""
    official = expect_number(official, "official", whole=True)
    ours = expect_number(ours, "ours", whole=True)
    expect(official != 512, "512 is one row: in W+ each of the 18 layers has a row of its own.")
    expect(official != 18, "18 is the number of rows: each of them has 512 numbers.")
    expect(official != 18 + 512, "rows and columns are not added: a table has their product.")
    expect(official != 18 * 18, "18 layers, but a row has 512 numbers.")
    expect(
        official == 18 * 512, f"`official` is {official:g}: how many entries are in a table of 18 rows and 512 columns?"
    )
    wanted = generator.num_ws * generator.w_dim
    expect(ours != official, "`ours` is that of the official network: compute it from generator.num_ws and w_dim.")
    expect(ours != generator.w_dim, "`ours` is one row: our generator has generator.num_ws of them.")
    expect(ours != generator.num_ws + generator.w_dim, "multiply generator.num_ws by generator.w_dim, do not add them.")
    expect(ours == wanted, f"`ours` is {ours:g}: multiply generator.num_ws by generator.w_dim.")
    passed(f"{official:,} numbers at 1024 px, {ours:,} here; a code of W is one such row.")


class Sketch:
    """A search whose course is known: images are linear in the code, and each call is recorded.

    Args:
        seed: Of the numbers.
    """

    def __init__(self, seed: int) -> None:
        self.start, self.matrix, self.target = random_tensors((1, 3, 4), (4, 6), (1, 3, 6), seed=seed)
        self.draws = 0
        self.backwards = 0
        self.updates: list[bool] = []  # for each update: was there a gradient?

    def draw(self, code: Tensor) -> Tensor:
        """Return code @ matrix, [1, 3, 6]."""
        expect(code.shape == self.start.shape, f"draw got {list(code.shape)}: it takes the code.")
        self.draws += 1
        return code @ self.matrix

    def distance(self, image: Tensor) -> Tensor:
        """Return the sum of the squared differences from the target."""
        expect(image.shape != self.start.shape, "distance got the code: it compares images, so draw(code) comes first.")
        loss = (image - self.target).square().sum()
        if loss.requires_grad:
            loss.register_hook(lambda gradient: self.count_backward())
        return loss

    def count_backward(self) -> None:
        """Count a call of backward()."""
        self.backwards += 1

    def watch(self, optimizer: Optimizer, *_: object) -> None:
        """Record an update."""
        gradients = [x.grad for group in optimizer.param_groups for x in group["params"]]
        self.updates.append(any(gradient is not None and bool(gradient.any()) for gradient in gradients))

    def run(self, search: Callable, steps: int, learning_rate: float) -> object:
        """Call a learner's search and record its updates."""
        hook = register_optimizer_step_pre_hook(self.watch)
        try:
            return call(search, self.draw, self.start, self.distance, steps, learning_rate)
        finally:
            hook.remove()

    def reference(self, steps: int, learning_rate: float, clear: bool = True, fresh: bool = False) -> dict[str, Tensor]:
        """Run the right loop, or one that clears no gradients, or makes a new optimiser in each step.

        Returns:
            The code [1, 3, 4]; before each update its loss, the length of its gradient and the mean of its image,
            [steps] each; and the losses after each update.
        """
        code = self.start.clone().requires_grad_()
        adam = torch.optim.Adam([code], lr=learning_rate)
        found: dict[str, list[Tensor]] = {"losses": [], "gradients": [], "images": []}
        for _ in range(steps):
            image = code @ self.matrix
            loss = (image - self.target).square().sum()
            if clear:
                adam.zero_grad()
            loss.backward()
            adam = torch.optim.Adam([code], lr=learning_rate) if fresh else adam
            found["losses"].append(loss.detach())
            found["gradients"].append(code.grad.norm())
            found["images"].append(image.detach().mean())
            adam.step()
        last = (code @ self.matrix - self.target).square().sum().detach()
        series = {name: torch.stack(values) for name, values in found.items()}
        return series | {"code": code.detach(), "after": torch.cat([series["losses"][1:], last[None]])}


@exercise(needed=True)
def check_search(search: Callable) -> None:
    """Exercise 2.2: the search loop."""
    for steps, learning_rate, seed in ((12, 0.05, 0), (7, 0.2, 1)):
        sketch = Sketch(seed)
        result = sketch.run(search, steps, learning_rate)
        pair = isinstance(result, (tuple, list)) and len(result) == 2
        expect(pair, "search returns two things, `code.detach(), losses`: leave the last line as it is.")
        code = expect_tensor(result[0], "the code that search returns", (1, 3, 4))
        check_updates(sketch, code, steps, learning_rate)
        check_losses(result[1], sketch.reference(steps, learning_rate), steps)
        once = sketch.draws == steps
        expect(once, f"the image was drawn {sketch.draws} times in {steps} steps: once in each is enough.")
    passed("draw, compare, clear the gradients, compute new ones, update: that is Image2StyleGAN.")


def check_updates(sketch: Sketch, code: Tensor, steps: int, learning_rate: float) -> None:
    """Raise CheckFailed unless the code is where `steps` updates of Adam lead, with the reason."""
    written = sketch.draws or sketch.updates
    expect(bool(written), "nothing was drawn and nothing updated: write the body of the loop.")
    expect(sketch.backwards > 0, "there are no gradients: call backward() on the loss in each step.")
    count = len(sketch.updates)
    expect(count > 0, "adam.step() is never called: it makes the update.")
    expect(
        any(sketch.updates),
        "the gradients are gone when adam.step() comes: zero_grad() belongs before backward(), not behind it.",
    )
    expect(sketch.updates[0], "the first adam.step() finds no gradient yet: backward() comes before it.")
    expect(count == steps, f"adam.step() was called {count} times in {steps} steps: once in each.")
    if close(code, sketch.reference(steps, learning_rate)["code"], 1e-4, 1e-5):
        return
    mistakes = {
        "the gradients of all steps add up: call adam.zero_grad() before backward().": {"clear": False},
        "the optimiser forgets its averages: make it once, before the loop.": {"fresh": True},
    }
    for message, flaw in mistakes.items():
        expect(not close(code, sketch.reference(steps, learning_rate, **flaw)["code"], 1e-4, 1e-5), message)
    start = close(code, sketch.start)
    expect(not start, "what comes back is the start: return the code that Adam moved.")
    raise CheckFailed(
        f"the code does not end where Adam leads in {steps} steps of learning rate {learning_rate:g}: clear, "
        "backward, step, once each in every step, with the optimiser that is given."
    )


def check_losses(losses: object, wanted: dict[str, Tensor], steps: int) -> None:
    """Raise CheckFailed unless these are the losses before each update, with the reason."""
    expect(isinstance(losses, (list, tuple)), "`losses` is the list that was there: append to it, do not replace it.")
    expect(len(losses) > 0, "`losses` is empty: append a number in each step.")
    number = "is 1 loss" if len(losses) == 1 else f"are {len(losses)} losses"
    expect(len(losses) == steps, f"there {number} for {steps} steps: append one in each step.")
    kept = any(isinstance(x, Tensor) and x.requires_grad for x in losses)
    expect(not kept, "the losses are tensors that keep their whole computation: append loss.item(), a number.")
    found = expect_tensor(list(losses), "losses", (steps,))
    right = wanted["losses"]
    if close(found, right, 1e-4):
        return
    mistakes = {
        "these are the losses after each update: append that of the image that was drawn in the step.": wanted["after"],
        "this is the sum of all losses so far: append that of the step alone.": right.cumsum(0),
        "this is the mean of all losses so far: append that of the step alone.": right.cumsum(0)
        / torch.arange(1, steps + 1),
        "the losses are divided by the number of steps: append them as they are.": right / steps,
        "this is the length of the gradient: append the loss.": wanted["gradients"],
        "this is the mean of the image: append what distance gave.": wanted["images"],
        "these are the numbers of the steps: append the loss.": torch.arange(steps).float(),
        "these are the numbers of the steps, from 1: append the loss.": torch.arange(1, steps + 1).float(),
        "each entry is the first loss: append that of the step.": right[:1].expand(steps),
        "the losses are the other way round: append at the end.": right.flip(0),
    }
    for message, wrong in mistakes.items():
        expect(not close(found, wrong, 1e-4), message)
    raise CheckFailed("the entries of `losses` are not what distance(draw(code)) gave in each step.")


class Painter:
    """A small random generator without a mapping network worth the name: images are a function of the whole table.

    Args:
        num_ws: Layers.
        seed: Of the weights.
    """

    w_dim = 5

    def __init__(self, num_ws: int, seed: int) -> None:
        self.num_ws = num_ws
        self.weights, self.w_mean = random_tensors((num_ws * self.w_dim, 12), (self.w_dim,), seed=seed)

    def mapping(self, z: Tensor, truncation_psi: float = 1.0) -> Tensor:
        """Return a code of W+ with equal rows."""
        expect(z.ndim == 2, "mapping takes a z, [N, z_dim]; w is what it gives, so the next is synthesis.")
        return (z * z.abs()).unsqueeze(1).repeat(1, self.num_ws, 1)

    def synthesis(self, w_plus: Tensor, noise: str = "const") -> Tensor:
        """Return images [N, 3, 2, 2]."""
        row = w_plus.ndim == 2 or (w_plus.ndim == 3 and w_plus.shape[1] == 1)
        expect(not row, "synthesis got one row: it takes [N, num_ws, w_dim], a row for each layer, so expand w first.")
        fits = w_plus.ndim == 3 and w_plus.shape[1:] == (self.num_ws, self.w_dim)
        wanted = f"[N, {self.num_ws}, {self.w_dim}] with this generator (generator.num_ws, generator.w_dim)"
        expect(fits, f"synthesis got shape {list(w_plus.shape)}, but it takes {wanted}.")
        return torch.tanh(w_plus.flatten(1) @ self.weights / 3).view(-1, 3, 2, 2)

    def __call__(self, z: Tensor, truncation_psi: float = 1.0) -> Tensor:
        """Return images of z."""
        expect(z.ndim == 2, "generator(...) takes a z and sends it through the mapping network: use synthesis.")
        return self.synthesis(self.mapping(z))


@exercise(needed=True)
def check_draw_w(draw_w: Callable[[Generator, Tensor], Tensor]) -> None:
    """Exercise 2.3: the image of a code in W."""

    def rows(w: Tensor, generator: Painter) -> Tensor:
        return w.expand(-1, generator.num_ws, -1)

    def only(generator: Painter, w: Tensor, filled: slice) -> Tensor:
        table = generator.w_mean.repeat(len(w), generator.num_ws, 1)
        table[:, filled] = w
        return generator.synthesis(table)

    compare(
        draw_w,
        lambda generator, w: generator.synthesis(rows(w, generator)),
        [(Painter(4, 0), *random_tensors((1, 1, 5), seed=0)), (Painter(7, 1), *random_tensors((3, 1, 5), seed=1))],
        mistakes=[
            (lambda g, w: rows(w, g), "this is the code with a row for each layer: send it through synthesis."),
            (lambda g, w: g.synthesis(rows(w[:1], g)), "only the first code of the batch was drawn: [N, 1, w_dim]."),
            (lambda g, w: g.synthesis(rows(w[:1], g).expand(len(w), -1, -1)), "every image is that of the first code."),
            (lambda g, w: g.synthesis(rows(w.mean(0, keepdim=True), g).expand(len(w), -1, -1)),
             "the codes of the batch were averaged: each image belongs to its own code."),
            (lambda g, w: only(g, w, slice(0, 1)), "only the first layer reads w, the others the mean latent."),
            (lambda g, w: g.synthesis(rows(w, g) - g.w_mean), "the mean latent was subtracted: w is the code itself."),
            (lambda g, w: g.synthesis(rows(w, g) + g.w_mean), "the mean latent was added: w is the code itself."),
            (lambda g, w: g.synthesis(g.mapping(w[:, 0])), "w went through the mapping network: it has been there."),
            (lambda g, w: g.synthesis(rows(w, g) / g.num_ws), "w was divided among the layers: each reads all of it."),
            (lambda g, w: (g.synthesis(rows(w, g)) + 1) / 2, "the images are in [0, 1]: leave them in [-1, 1]."),
        ],
        otherwise="this is not the image of a code whose rows are all w.",
        name="draw_w(generator, w)",
        gradient=1,
    )  # fmt: skip
    passed("one row, which every layer reads; gradients of all layers meet in it.")


@exercise
def check_false_w(cause: str | None) -> None:
    """Exercise 2.4: why a W of repeated rows is W+."""
    expect_choice(
        cause,
        right="C",
        wrong={
            "A": "it is the very centre of W; where a search starts does not say which space it moves in.",
            "B": "it has a default, 0.001: that changes how fast the numbers move, not which of them.",
            "D": "a repeat makes copies. If the rows shared memory, could they differ after 20 steps?",
        },
    )
    passed("a repeat makes copies; a code in W has one row, which all layers share.")


@exercise(needed=True)
def check_same_rows(same_rows: Callable[[Tensor], Tensor]) -> None:
    """Exercise 2.5: every row of a code becomes the mean of its rows."""
    compare(
        same_rows,
        lambda w: w.mean(dim=1, keepdim=True).expand_as(w),
        [random_tensors((3, 5, 5), seed=0), random_tensors((1, 5, 4), seed=1), random_tensors((5, 2, 5), seed=2)],
        mistakes=[
            (lambda w: w, "nothing has changed: the rows are still those of the code."),
            (lambda w: w[:, :1].expand_as(w), "every row is the first one: take the mean of all rows."),
            (lambda w: w[:, -1:].expand_as(w), "every row is the last one: take the mean of all rows."),
            (lambda w: w.mean(0, keepdim=True).expand_as(w), "this is the mean over the codes, dim 0: rows are dim 1."),
            (lambda w: w.mean(2, keepdim=True).expand_as(w),
             "this is the mean within each row, dim 2: rows are dim 1."),
            (lambda w: w.mean((0, 1), keepdim=True).expand_as(w),
             "all codes have become one: each keeps the mean of its own rows."),
            (lambda w: w.mean((1, 2), keepdim=True).expand_as(w), "the columns were averaged too: rows alone, dim 1."),
            (lambda w: w.sum(1, keepdim=True).expand_as(w), "this is the sum of the rows: take their mean."),
            (lambda w: w.median(1, keepdim=True).values.expand_as(w), "this is their median: take the mean."),
            (lambda w: w - w.mean(1, keepdim=True), "this is what the rows do not share: return what they do."),
            (lambda w: w.sort(1).values, "the rows were sorted, not averaged."),
        ],
        otherwise="the rows are not the mean of the rows of each code.",
        name="same_rows(w_plus)",
        hint="The code keeps its shape: the mean row, repeated for each layer.",
    )  # fmt: skip
    passed("what is left is what all layers agree on: the nearest code of W.")


def shuffle(groups: dict[str, Tensor], seed: int) -> tuple[Tensor, list[str]]:
    """Mix the images of several groups for a blind test.

    Args:
        groups: {name: images [N, 3, R, R]}.
        seed: Of the order.

    Returns:
        All images, and the name of the group of each.
    """
    names = [name for name, images in groups.items() for _ in images]
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    return torch.cat(list(groups.values()))[order.to(next(iter(groups.values())).device)], [names[k] for k in order]


@exercise
def check_blind_test(broken: Iterable[int] | None, names: Sequence[str]) -> None:
    """Exercise 2.6: the numbers of the images that are broken; prints how many there are of each group."""
    if broken is None or broken is ...:
        raise NoAnswer("set `broken` to a list of the numbers under the images.")
    if isinstance(broken, str):
        raise CheckFailed(f"`broken` is a text: write a list of numbers, such as [{len(names) // 2}, 0].")
    if isinstance(broken, (int, float)) and not isinstance(broken, bool):
        raise CheckFailed("`broken` is one number: write a list, in square brackets.")
    numbers = sorted({expect_number(number, f"broken[{k}]", whole=True) for k, number in enumerate(broken)})
    wrong = [number for number in numbers if not 0 <= number < len(names)]
    expect(not wrong, f"there is no image {wrong[:1]}: they are numbered from 0 to {len(names) - 1}.")
    expect(len(numbers) < len(names), "all are broken? Compare them with each other: mark those that are worse.")
    chosen = [names[number] for number in numbers]
    for name in sorted({*names}, key=lambda name: (len(name), name)):
        print(f"{name:7s} {chosen.count(name)} of {names.count(name)} broken")
    print("There is no right answer: this is a measurement, and you are the instrument.")


MODEL = (
    "W+ comes closest to the portrait, which is all that counts where nothing is edited. On a walk every stop is an "
    "edit: in W all layers agree on one face, so the stops stay faces, and visitors forgive that the ends are not "
    "quite theirs."
)


@exercise
def check_choice_of_space(exact: str | None, walk: str | None, answer: str) -> None:
    """Exercise 2.7: W or W+, for which purpose."""

    def choose(choice: object, right: str, why: str) -> None:
        if isinstance(choice, str):
            choice = choice.lower().replace("_", " ").replace("w plus", "w+").replace("wplus", "w+").split(",")[0]
        expect_choice(choice, right, {"Z": "its images come least close to a photo: see 2.2.", **why})

    choose(exact, "W+", {"W": "look again at 2.2: which space came closest to the photo?"})
    choose(walk, "W", {"W+": "look again at 2.4: in which space did the edits hold?"})
    expect_text(
        answer,
        points={
            "say what counts for the exact portrait, and which space is better at it.": (
                "clos", "exact", "near", "loss", "error", "detail", "psnr", "faithful", "fidelity", "match", "distort",
                "precis", "accura", "resembl", "reproduc", "reconstruct", "similar", "like",
            ),
            "say what has to hold at each stop of the walk, and in which space it does.": (
                "faces?", "smooth", "manifold", "edit", "between", "agree", "natural", "realis", "plausib", "person",
                "people", "break", "torn", "stay", "valid",
            ),
        },
        model=MODEL,
        question="A museum wants to show a portrait exactly as it is, drawn by the generator, and to let visitors walk "
        "smoothly from their own face to the portrait's.",
    )  # fmt: skip
