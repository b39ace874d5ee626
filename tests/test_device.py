"""Devices: which is chosen, and that Apple's GPU is asked for nothing that it lacks.

There is no such GPU here. Tensors that say they are elsewhere stand in for it: they refuse float64, the operations that
it may lack, and to be mixed with tensors of the CPU.
"""

import pytest
import torch
from helpers import small_generator, targets
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from i2s import device as devices
from i2s import embed
from i2s.embedding import NoiseSettings, TuningSettings
from i2s.errors import DeviceError
from i2s.losses.slim import load_slim

ELSEWHERE = torch.device("meta")  # has no numbers of its own; autograd knows it in every build of torch
LACKING = ("linalg_eigh", "linalg_inv", "linalg_solve", "linalg_qr", "linalg_svd", "triangular_solve", "bicubic2d_aa")


class Far(Tensor):
    """A tensor that is elsewhere; `inner` holds its numbers."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Far":
        place = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "device": ELSEWHERE}
        return Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, **place)

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"Far({self.inner!r})"

    def tolist(self) -> list:
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return dispatched(function, args, kwargs or {})


class FarDevice(TorchDispatchMode):
    """Within, `device=ELSEWHERE` makes such tensors."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return dispatched(function, args, kwargs or {})


def dispatched(function, args: tuple, kwargs: dict):
    """Run an operation on the CPU, if it is one that Apple's GPU has; its results are where it would leave them."""
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    far = any(isinstance(x, Far) for x in tensors)
    asked = kwargs.get("device")
    if far and asked is None:
        assert all(isinstance(x, Far) or not x.ndim for x in tensors), f"{function} mixes devices"
        assert not any(name in str(function) for name in LACKING), f"{function} is not there"
    plain_args, plain = tree_map(lambda x: x.inner if isinstance(x, Far) else x, (args, kwargs))
    if asked is None:
        found = function(*plain_args, **plain)
    else:
        far = torch.device(asked) == ELSEWHERE
        found = function(*plain_args, **plain | {"device": torch.device("cpu")})
    same = {id(x.inner): x for x in tensors if isinstance(x, Far)}  # of operations in place

    def placed(x: Tensor) -> Tensor:
        assert x.dtype not in (torch.float64, torch.complex128), f"{function}: there is no {x.dtype}"
        return same[id(x)] if id(x) in same else Far(x)

    return tree_map_only(Tensor, placed, found) if far else found


def sent(network: nn.Module) -> nn.Module:
    """Send a network there."""
    for module in network.modules():
        for name, weight in module._parameters.items():
            module._parameters[name] = None if weight is None else nn.Parameter(Far(weight.data), requires_grad=False)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else Far(buffer)
    return network


def test_the_far_device_refuses():
    """What it checks, it sees."""
    with FarDevice():
        x = torch.ones(2, 2).to(ELSEWHERE)
        assert isinstance(x, Far) and type(x.cpu()) is Tensor
        for wrong in (x.double, lambda: x + torch.ones(2, 2), lambda: torch.linalg.eigh(x)):
            with pytest.raises(AssertionError):
                wrong()


@pytest.mark.parametrize(
    "settings",
    [
        {"space": "w+"},
        {"space": "w+", "optimizer": "lbfgs"},
        {"space": "w", "optimizer": "lbfgs"},
        {"space": "z", "optimizer": "lbfgs"},
        {"preset": "stylegan2", "lpips_weight": 0.0, "tap_weights": (1.0, 1.0, 1.0, 1.0)},
        {"space": "w+", "noise": NoiseSettings(steps=2), "tuning": TuningSettings(steps=2)},
        {"space": "w+", "init": "nearest", "candidates": 3, "p_norm_weight": 0.01},
    ],
    ids=["adam", "lbfgs", "lbfgs-w", "lbfgs-z", "joint-noise", "noise-and-tuning", "nearest"],
)
def test_an_embedding_asks_apples_gpu_for_what_it_has(settings, monkeypatch):
    """And finds the same as on the CPU."""
    monkeypatch.setattr(devices, "LIMITED", {ELSEWHERE.type})
    photos = targets(small_generator(), 2)
    near = embed(photos, small_generator(), perceptual=load_slim(), steps=4, progress=False, **settings)
    with FarDevice():
        networks = sent(small_generator()), sent(load_slim())
        far = embed(photos, networks[0], perceptual=networks[1], steps=4, progress=False, **settings)
    assert type(far.image) is Tensor
    torch.testing.assert_close(far.loss, near.loss, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [None, "auto"])
@pytest.mark.parametrize(
    "cuda, mps, right, chosen", [(1, 1, 1, "cuda"), (0, 1, 1, "mps"), (0, 1, 0, "cpu"), (0, 0, 1, "cpu")]
)
def test_a_device_is_chosen(name, cuda, mps, right, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: bool(mps))
    monkeypatch.setattr(devices, "convolves", lambda device: bool(right))
    assert devices.choose_device(name).type == chosen


def test_a_device_that_convolves_wrongly_or_not_at_all_is_seen(monkeypatch):
    assert devices.convolves("cpu")
    assert not devices.convolves("meta")  # it has no numbers
    right, wrong = devices.F.conv2d, iter([2.0, 1.0])
    monkeypatch.setattr(devices.F, "conv2d", lambda *args, **more: right(*args, **more) * next(wrong))
    assert not devices.convolves("cpu")


def test_a_device_that_is_not_there_is_one_sentence():
    with pytest.raises(DeviceError, match="'cuda:99' cannot be used here: choose cpu"):
        devices.choose_device("cuda:99")
