"""Synthesis by a CUDA graph: used where it returns the same and is faster, and silently left where it is not."""

import gc
import threading
import weakref
from contextlib import contextmanager
from itertools import accumulate, count
from types import SimpleNamespace

import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from i2s.embedding import cuda_graphs, embed
from i2s.embedding.cuda_graphs import TRIALS, WARMUP, GraphedSynthesis, capture, graphed_synthesis, running
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.generators.stylegan3 import StyleGAN3, StyleGAN3Config

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")


@pytest.fixture
def clock(monkeypatch):
    """In place of the real one, so that nothing depends on other programs; `Slow` and `FakeCapture` turn it."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cuda_graphs, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


class Slow:
    """A generator whose synthesis takes a second."""

    def __init__(self, generator, clock):
        self.generator, self.clock, self.device, self.w_mean = generator, clock, generator.device, generator.w_mean
        self.calls = 0

    def modules(self):
        return self.generator.modules()

    def synthesis(self, *arguments):
        self.calls += 1
        self.clock.now += 1
        return self.generator.synthesis(*arguments)


class FakeCapture:
    """Stands in for `capture`; `spoil` is what the graph does to the image."""

    def __init__(self, generator, clock, spoil=lambda image: image, seconds=0.5):
        self.generator, self.clock, self.spoil, self.seconds = generator, clock, spoil, seconds
        self.captured = []
        self.replays = 0

    def __call__(self, draw, samples):
        self.captured.append(tuple(samples[0].shape))
        assert [s.requires_grad for s in samples] == [True] * len(samples) and all(s.is_leaf for s in samples)

        def graph(w_plus, *noise):
            self.replays += 1
            self.clock.now += self.seconds
            return self.spoil(self.generator.synthesis(w_plus, list(noise) or "const"))

        return graph


def codes(generator, count=1, seed=0):
    return torch.randn(count, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(seed))


def draw_often(draw, generator, count=1, times=WARMUP + 5, noise=()):
    for seed in range(times):
        w_plus = codes(generator, count, seed).requires_grad_()
        image = draw(w_plus, list(noise))
        (gradient,) = torch.autograd.grad(image.square().sum(), w_plus)
    return image, gradient


def expected(generator, count=1, times=WARMUP + 5):
    return draw_often(lambda w_plus, noise: generator.synthesis(w_plus, noise or "const"), generator, count, times)


def test_a_faster_graph_takes_over_and_returns_the_same(generator, clock):
    slow, fake = Slow(generator, clock), FakeCapture(generator, clock)
    draw = GraphedSynthesis(slow, fake)
    assert draw.way == "cpu, float32"
    found = draw_often(draw, generator)
    assert draw.way == "cpu, float32, a CUDA graph"
    assert fake.captured == [(1, generator.num_ws, generator.w_dim)]
    assert fake.replays == TRIALS + 6  # tried, then from the call on at which it was captured
    assert slow.calls == WARMUP - 1 + TRIALS
    torch.testing.assert_close(found, expected(generator), rtol=0, atol=0)


@pytest.mark.parametrize(
    "fault, said",
    [
        ({"seconds": 1.5}, "not faster"),
        ({"spoil": lambda image: image * 1.05}, "not exact"),
        ({"spoil": lambda image: image + (image * 0.1 - (image * 0.1).detach())}, "not exact"),
        ({"spoil": lambda image: image * float("nan")}, "not exact"),
    ],
    ids=["slower", "another image", "another gradient", "not finite"],
)
def test_a_graph_that_is_slower_or_wrong_is_not_used(generator, clock, fault, said):
    slow, fake = Slow(generator, clock), FakeCapture(generator, clock, **fault)
    draw = GraphedSynthesis(slow, fake)
    found = draw_often(draw, generator)
    assert draw.way == f"cpu, float32, no CUDA graph, which is {said}"
    assert len(fake.captured) == 1 and fake.replays == TRIALS
    torch.testing.assert_close(found, expected(generator), rtol=0, atol=0)


@pytest.mark.parametrize("error", [RuntimeError("operation not permitted"), torch.OutOfMemoryError("no memory")])
def test_what_cannot_be_captured_runs_as_ever(generator, error, recwarn, capsys):
    tries = []

    def fails(draw, samples):
        tries.append(samples)
        raise error

    found = draw_often(GraphedSynthesis(generator, fails), generator)
    assert len(tries) == 1  # not again at each call
    torch.testing.assert_close(found, expected(generator), rtol=0, atol=0)
    assert not recwarn.list and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kept", ["image", "gradient"])
def test_a_graph_that_does_not_read_its_codes_is_not_used(generator, clock, kept):
    """It returns what it was captured with, and the gradient of that is right, or there is none."""

    def keep(draw, samples):
        image, nothing = draw(*samples).detach(), torch.zeros(1, requires_grad=True)

        def graph(w_plus):
            clock.now += 0.5
            fresh = generator.synthesis(w_plus)
            return image + (fresh - fresh.detach()) if kept == "image" else fresh.detach() + nothing

        return graph

    found = draw_often(GraphedSynthesis(Slow(generator, clock), keep), generator)
    torch.testing.assert_close(found, expected(generator), rtol=0, atol=0)


def test_what_a_graph_reads_is_kept(clock):
    """A layer asked for another precision drops its weights; a CUDA graph goes on to read them where they were."""
    generator = small_generator()
    draw = GraphedSynthesis(Slow(generator, clock), FakeCapture(generator, clock))
    draw_often(draw, generator)
    read = [weakref.ref(layer._frozen.weight) for block in generator.synthesis.blocks for layer in block.layers()]
    generator.synthesis(codes(generator), dtype=torch.bfloat16)
    gc.collect()
    assert draw.graph is not None and all(weight() is not None for weight in read)
    draw_often(draw, generator, 2, times=1)  # of another size
    generator.synthesis(codes(generator))
    gc.collect()
    assert all(weight() is None for weight in read)


def test_the_device_of_the_codes_is_captured_not_the_current_one(monkeypatch):
    current = []

    @contextmanager
    def device(wanted):
        current.append(wanted)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", lambda *_, **__: list(current))
    assert capture(None, [torch.zeros(1, device="meta")]) == [torch.device("meta")]


def test_another_number_of_photos_is_captured_anew(generator, clock):
    slow, fake = Slow(generator, clock), FakeCapture(generator, clock)
    draw = GraphedSynthesis(slow, fake)
    draw_often(draw, generator, 2)
    draw_often(draw, generator, 1, times=WARMUP - 1)
    assert [shape[0] for shape in fake.captured] == [2]  # photos may go on leaving
    draw_often(draw, generator, 1, times=1)
    assert [shape[0] for shape in fake.captured] == [2, 1]


def test_the_maps_are_captured_with_the_code(generator, clock):
    noise = [torch.randn(1, 1, *n.shape).requires_grad_() for n in generator.noise_maps()]
    fake = FakeCapture(generator, clock)
    found = draw_often(GraphedSynthesis(Slow(generator, clock), fake), generator, noise=noise)
    assert fake.replays == TRIALS + 6
    assert not torch.equal(found[0], expected(generator)[0])


def test_images_are_not_overwritten_by_the_next(generator, clock):
    memory = torch.empty(1, 3, generator.resolution, generator.resolution)

    class Same(torch.autograd.Function):
        @staticmethod
        def forward(ctx, image):
            return memory.copy_(image).detach()

        @staticmethod
        def backward(ctx, grad):
            return grad

    fake = FakeCapture(generator, clock, Same.apply)
    draw = GraphedSynthesis(Slow(generator, clock), fake)
    first, _ = draw_often(draw, generator)
    before = first.detach().clone()
    draw(codes(generator, seed=99).requires_grad_(), [])
    assert fake.replays > TRIALS and torch.equal(first, before)


def test_beside_another_embedding_nothing_is_captured(generator, clock):
    """Its kernels would end the capture, or be captured with it."""
    slow, fake = Slow(generator, clock), FakeCapture(generator, clock)
    with running(), running():
        found = draw_often(GraphedSynthesis(slow, fake), generator)
    assert not fake.captured
    torch.testing.assert_close(found, expected(generator), rtol=0, atol=0)
    with running():
        draw_often(GraphedSynthesis(slow, fake), generator)
    assert len(fake.captured) == 1


def test_an_embedding_begins_after_a_capture(generator, clock):
    begun = []

    def other():
        with running():
            begun.append(True)

    def capture_slowly(*arguments):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive() and not begun
        threads.append(thread)
        return FakeCapture(generator, clock)(*arguments)

    threads = []
    with running():
        draw_often(GraphedSynthesis(Slow(generator, clock), capture_slowly), generator)
    threads[0].join(10)
    assert begun


def test_without_gradients_nothing_is_captured(generator, clock):
    fake = FakeCapture(generator, clock)
    draw = GraphedSynthesis(generator, fake)
    with torch.no_grad():
        for _ in range(WARMUP + 1):
            draw(codes(generator), [])
    assert not fake.captured


def test_an_embedding_is_the_same_by_graphs(generator, clock, monkeypatch):
    options = {"steps": WARMUP + 10, "perceptual": FakeFeatureNet(), "progress": False}
    plain = embed(targets(generator, 2), generator, **options)
    fakes = []

    def always(generator):
        fakes.append(FakeCapture(generator, clock))
        return GraphedSynthesis(Slow(generator, clock), fakes[-1])

    monkeypatch.setattr("i2s.embedding.stages.graphed_synthesis", always)
    graphed = embed(targets(generator, 2), generator, **options)
    assert sum(fake.replays for fake in fakes) > TRIALS
    assert torch.equal(plain.w_plus, graphed.w_plus) and torch.equal(plain.loss, graphed.loss)


def test_only_on_cuda_and_not_against_the_users_will(generator, monkeypatch):
    class Elsewhere:
        device = torch.device("cuda")

    assert graphed_synthesis(generator).capture is None
    assert graphed_synthesis(Elsewhere()).capture is capture
    for word in ("0", "off", "False"):
        monkeypatch.setenv("I2S_CUDA_GRAPHS", word)
        assert graphed_synthesis(Elsewhere()).capture is None


class Watch(TorchDispatchMode):
    """Names of the operations that a graph cannot hold: those that read numbers, or leave the device."""

    READ = ("_local_scalar_dense", "is_nonzero", "nonzero", "item", "lift_fresh", "equal", "masked_select")

    def __init__(self, device=None):
        super().__init__()
        self.device, self.count, self.found = device, 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.count += 1
        devices = {leaf.device.type for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)}
        if func.__name__.split(".")[0] in self.READ or (self.device and devices != {self.device}):
            self.found.append(f"{func} {devices}")
        return result


def networks():
    return {
        "stylegan1": StyleGAN1(StyleGAN1Config(32, 16, 16, 2, 16, channels=(8, 8, 8, 8))),
        "stylegan2": small_generator(),
        "stylegan3": StyleGAN3(StyleGAN3Config(32, 16, 16, channel_base=256, channel_max=16)),
    }


@pytest.mark.filterwarnings("ignore:Accessing the data pointer")
@pytest.mark.parametrize("dtype", [None, torch.float16])
@pytest.mark.parametrize("kind", list(networks()))
def test_synthesis_reads_no_number_and_stays_on_the_device(kind, dtype):
    """Both break a capture. Tensors without memory stand for those of a CUDA device."""
    network = networks()[kind].eval()
    with FakeTensorMode():
        for module in network.modules():
            for store in (module._parameters, module._buffers):
                for name, tensor in store.items():
                    if tensor is not None:
                        there = torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")
                        store[name] = nn.Parameter(there, False) if store is module._parameters else there
        w_plus = torch.empty(2, network.num_ws, network.w_dim, device="cuda", requires_grad=True)
        with Watch("cuda") as watch:
            image = network.synthesis(w_plus, dtype=dtype)
    assert image.device.type == "cuda" and watch.count > 50
    assert not watch.found


@pytest.mark.parametrize("kind", list(networks()))
def test_the_gradient_reads_no_number(kind):
    network = networks()[kind].eval().requires_grad_(False)
    w_plus = codes(network).requires_grad_()
    image = network.synthesis(w_plus)
    with Watch() as watch:
        torch.autograd.grad(image.sum(), w_plus)
    assert watch.count > 50 and not watch.found


def test_reading_a_number_is_seen():
    with Watch() as watch:
        assert torch.ones([]) == 1
    assert watch.found


@needs_cuda
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_cuda_graphs_draw_the_same(dtype):
    generator = small_generator().cuda()
    generator.synthesis.dtype = dtype
    sample = codes(generator, 2).cuda().requires_grad_()
    graph = capture(GraphedSynthesis(generator, None).synthesis, [sample])
    for seed in range(3):
        w_plus = codes(generator, 2, seed).cuda().requires_grad_()
        known, found = (cuda_graphs.timed(draw, [w_plus])[0] for draw in (lambda w: generator.synthesis(w), graph))
        assert all(map(cuda_graphs.close, known, found))


@needs_cuda
def test_an_embedding_on_cuda_is_the_same_by_graphs(monkeypatch):
    generator = small_generator().cuda()
    options = {"steps": 3 * WARMUP, "perceptual": FakeFeatureNet().cuda(), "progress": False}
    ticks = accumulate(1 / k for k in count(1))  # what is timed later seems faster: the graph
    monkeypatch.setattr(cuda_graphs, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    graphed = embed(targets(generator, 2), generator, **options)
    monkeypatch.setenv("I2S_CUDA_GRAPHS", "0")
    plain = embed(targets(generator, 2), generator, **options)
    torch.testing.assert_close(graphed.loss, plain.loss, rtol=0.02, atol=1e-4)


@needs_cuda
def test_cuda_graphs_warn_of_nothing(recwarn):
    generator = small_generator().cuda()
    sample = codes(generator, 2).cuda().requires_grad_()
    graph = capture(GraphedSynthesis(generator, None).synthesis, [sample])
    graph(codes(generator, 2, 1).cuda().requires_grad_()).sum().backward()
    assert [str(warning.message) for warning in recwarn.list] == []
