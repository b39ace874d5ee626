"""A learner's function is called on copies, networks stay as they were, and errors show the learner's lines only."""

import numpy as np
import pytest
import torch
from helpers import small_generator
from torch import nn

from i2s.course.calls import CheckFailed, Itself, NoAnswer, call


@pytest.fixture
def generator():
    return small_generator()


def state(network):
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: (tensor.detach().clone(), tensor.requires_grad) for name, tensor in tensors.items()}


def same(network, before):
    now = state(network)
    return now.keys() == before.keys() and all(
        torch.equal(now[name][0], value) and now[name][1] == wants for name, (value, wants) in before.items()
    )


# --- what is handed in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda photo: photo.add_(1), "`photo`: its values have changed in place"),
        (lambda photo: photo.mul_(0), "its values"),
        (lambda photo: photo.requires_grad_(), "asks for gradients now"),
        (lambda photo: photo.resize_(1), "its shape"),
        (lambda photo: photo.unsqueeze_(0), "its shape"),
        (lambda photo: photo.__setitem__(0, 9), "its values"),
    ],
)
def test_a_changed_tensor_is_named_and_kept(change, said):
    photo = torch.ones(2, 3)

    def answer(photo):
        change(photo)
        return 1

    with pytest.raises(CheckFailed, match=f"(?s)`answer` changes what it was handed.*{said}"):
        call(answer, photo)
    assert torch.equal(photo, torch.ones(2, 3)) and not photo.requires_grad


@pytest.mark.parametrize(
    "value, change, said",
    [
        ({"a": torch.ones(2)}, lambda x: x["a"].add_(1), r"`x\['a'\]`: its values"),
        ({"a": torch.ones(2)}, lambda x: x.update(b=1), "its keys are 'a', 'b' now"),
        ({"a": torch.ones(2)}, lambda x: x.clear(), "its keys"),
        ([torch.ones(2), torch.ones(3)], lambda x: x[1].zero_(), r"`x\[1\]`: its values"),
        ([torch.ones(2), torch.ones(3)], lambda x: x.pop(), "1 entries in place of 2"),
        (({"a": [torch.ones(2)]},), lambda x: x[0]["a"][0].zero_(), r"`x\[0\]\['a'\]\[0\]`: its values"),
        (np.ones(2), lambda x: x.__setitem__(0, 9), "its values"),
    ],
)
def test_a_changed_collection_is_named_and_kept(value, change, said):
    before = repr(value)
    with pytest.raises(CheckFailed, match=said):
        call(lambda x: change(x), value)
    assert repr(value) == before


def test_a_function_that_changes_nothing_gets_through():
    a = torch.ones(2, requires_grad=True)
    result = call(lambda a, scale=1: a * scale, a, scale=3)
    result.sum().backward()
    assert a.grad.tolist() == [3, 3]


def test_an_argument_in_itself_may_be_changed():
    z = torch.ones(2, requires_grad=True)

    def answer(z):
        adam = torch.optim.Adam([z], lr=0.5)
        z.sum().backward()
        adam.step()

    call(answer, Itself(z))
    torch.testing.assert_close(z.detach(), torch.full((2,), 0.5))


# --- networks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda g: g.w_mean.requires_grad_(True), "`generator.mapping.w_mean`: it asks for gradients now"),
        (lambda g: g.w_mean.add_(1), "`generator.mapping.w_mean`: its values have changed in place"),
        (
            lambda g: g.w_mean.add_(torch.ones(1, requires_grad=True)),
            "`generator.mapping.w_mean`: it has become the result",
        ),
        (lambda g: setattr(g.mapping, "w_mean", g.w_mean + 1), "`generator.mapping`: a buffer was added or replaced"),
        (lambda g: g.train(), "`generator`: it was switched to training mode"),
        (lambda g: g.requires_grad_(True), "asks for gradients"),
        (lambda g: next(g.mapping.parameters()).data.zero_(), "its values"),
        (lambda g: g.register_forward_hook(lambda *_: None), "a forward hook was added"),
        (lambda g: g.synthesis.add_module("more", nn.Linear(1, 1)), "a module was added"),
    ],
)
def test_a_spoiled_network_is_named_and_mended(generator, change, said):
    """Exercise 4.1, first try: `generator.w_mean.requires_grad_(True)`; the solution must pass afterwards."""
    before, z = state(generator), generator.sample_z(1, seed=0)
    image = generator.synthesis(generator.mapping(z))

    def answer(generator):
        change(generator)

    with pytest.raises(CheckFailed, match=f"`answer` changes what it was handed, .*{said}"):
        call(answer, generator)
    assert same(generator, before) and not generator.training
    assert torch.equal(generator.synthesis(generator.mapping(z)), image)
    call(lambda g: g.w_mean.expand(1, g.num_ws, -1).clone().requires_grad_(True), generator)


def test_a_network_is_mended_also_after_an_error(generator):
    before = state(generator)

    def answer(generator):
        generator.w_mean.requires_grad_(True)
        return 1 / 0

    with pytest.raises(CheckFailed, match="ZeroDivisionError"):
        call(answer, generator)
    assert same(generator, before)


photo = torch.ones(2)


def test_a_tensor_of_the_notebook_is_watched_too():
    def answer(image):
        return photo.mul_(2)

    with pytest.raises(CheckFailed, match="`photo`: its values"):
        call(answer, torch.zeros(2))
    assert photo.tolist() == [1, 1]


# --- errors -----------------------------------------------------------------------------------------------------------


def helper(x):
    return x.means()


def test_an_error_shows_the_lines_of_the_learner_only():
    def answer(x):
        return helper(x) + 1

    with pytest.raises(CheckFailed) as failed:
        call(answer, torch.zeros(2))
    first, *frames = failed.value._render_traceback_()
    assert first == "Not yet: `answer` stopped with AttributeError: 'Tensor' object has no attribute 'means'"
    assert [frame.split(":  ")[1] for frame in frames] == ["return helper(x) + 1", "return x.means()"]
    assert all(frame.strip().startswith("test_calls.py, line ") for frame in frames)
    assert failed.value.__cause__ is None and failed.value.__suppress_context__


def test_an_error_inside_a_library_shows_the_line_that_called_it(generator):
    def answer(generator):
        return generator.synthesis(torch.zeros(1, 2, 3))

    with pytest.raises(CheckFailed) as failed:
        call(answer, generator)
    _, *frames = failed.value._render_traceback_()
    assert [frame.split(":  ")[1] for frame in frames] == ["return generator.synthesis(torch.zeros(1, 2, 3))"]


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda x: (x.sum().backward(), x.sum().backward()), "nothing in the loss leads back"),
        (lambda x: torch.optim.Adam([x.requires_grad_() * 2]), "an optimiser takes tensors that you made"),
        (lambda x: x + torch.zeros(5), "keepdim=True"),
        (lambda x, y: x, "missing 1 required positional argument"),
    ],
)
def test_pytorchs_own_words_are_explained(answer, said):
    with pytest.raises(CheckFailed, match=said):
        call(answer, torch.ones(2))


def test_what_is_no_function_is_named():
    with pytest.raises(CheckFailed, match="without brackets: this is a Tensor"):
        call(torch.ones(2))
    for blank in (None, ...):
        with pytest.raises(NoAnswer):
            call(blank)
    assert call(max, 1, 2) == 2 and call(torch.add, torch.ones(1), 1).item() == 2


def test_an_interrupt_goes_through():
    def answer():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(answer)


def test_gradients_are_on_in_the_call():
    with torch.no_grad():
        assert call(torch.is_grad_enabled) and not torch.is_grad_enabled()
