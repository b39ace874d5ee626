"""What every generator promises, whatever its architecture."""

import math

import pytest
import torch
from helpers import CONFIGS, NETWORKS, codes, small_generator
from hypothesis import given
from hypothesis import strategies as st

from i2s.errors import DeviceError, LatentError, SettingsError, WeightFileError
from i2s.generators import load_generator, resolve
from i2s.generators.base import truncate
from i2s.generators.file import save_generator


@pytest.fixture(params=CONFIGS)
def generator(request):
    return small_generator(request.param)


def test_shapes(generator):
    z = generator.sample_z(3, seed=0)
    w_plus = generator.mapping(z)
    image = generator.synthesis(w_plus)
    assert z.shape == (3, 6) and w_plus.shape == (3, generator.num_ws, 8) and generator.w_mean.shape == (8,)
    assert image.shape == (3, 3, generator.resolution, generator.resolution)
    assert image.dtype == torch.float32 and torch.isfinite(image).all() and image.std() > 0.01
    assert torch.equal(w_plus[:, 0], w_plus[:, -1])  # one w for all styles
    assert torch.equal(generator(z), image)


def test_fresh_networks_draw_something():
    for config in CONFIGS.values():
        generator = NETWORKS[type(config)](config)
        with torch.no_grad():
            images = generator(generator.sample_z(2, seed=0))
        assert torch.isfinite(images).all() and images.std() > 1e-3
        assert (images[0] - images[1]).abs().max() > 1e-3


def test_latent_codes_are_the_same_each_time(generator):
    assert torch.equal(generator.sample_z(2, seed=5), generator.sample_z(2, seed=5))
    assert not torch.equal(generator.sample_z(2, seed=5), generator.sample_z(2, seed=6))


def test_each_row_of_the_code_matters(generator):
    w_plus = codes(generator, 1)
    image = generator.synthesis(w_plus)
    for row in range(generator.num_ws):
        changed = w_plus.clone()
        changed[:, row] += 1
        assert (generator.synthesis(changed) - image).abs().max() > 1e-5, row


def test_gradient_against_finite_differences(generator):
    """d image / d code along a random direction, in float64."""
    generator = generator.double()
    w_plus = codes(generator, dtype=torch.float64)
    direction = codes(generator, seed=2, dtype=torch.float64)
    weight = torch.randn(2, 3, generator.resolution, generator.resolution, dtype=torch.float64)

    def scalar(code):
        return (generator.synthesis(code) * weight).sum()

    code = w_plus.clone().requires_grad_()
    scalar(code).backward()
    step = 1e-7  # small, or a leaky ReLU changes sides on the way
    with torch.no_grad():
        numeric = (scalar(w_plus + step * direction) - scalar(w_plus - step * direction)) / (2 * step)
    analytic = (code.grad * direction).sum()
    assert abs(numeric - analytic) < 1e-5 * max(1, abs(analytic))


def test_a_picture_does_not_depend_on_its_neighbours(generator):
    w_plus = codes(generator, 3)
    together = generator.synthesis(w_plus)
    alone = torch.cat([generator.synthesis(w[None]) for w in w_plus])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_noise_is_stored_and_not_redrawn(generator):
    w_plus = codes(generator)
    maps = generator.noise_maps()
    image = generator.synthesis(w_plus)
    assert torch.equal(image, generator.synthesis(w_plus, "const"))
    assert torch.equal(image, generator.synthesis(w_plus, maps))
    stored = [tensor for name, tensor in generator.state_dict().items() if name.endswith("noise")]
    assert len(stored) == len(maps) and all(torch.equal(a, b) for a, b in zip(maps, stored, strict=True))
    zeros = generator.synthesis(w_plus, [torch.zeros_like(one) for one in maps])
    torch.testing.assert_close(generator.synthesis(w_plus, "none"), zeros)
    batched = [torch.stack([one, -one])[:, None] for one in maps]  # a map for each picture
    torch.testing.assert_close(generator.synthesis(w_plus, batched)[:1], image[:1], rtol=1e-4, atol=1e-5)
    for k in range(len(maps)):  # each of them shows
        changed = [one.flip(0) if j == k else one for j, one in enumerate(maps)]
        assert (generator.synthesis(w_plus, changed) - image).abs().max() > 1e-4


def test_number_of_noise_maps():
    counts = {name: len(small_generator(name).noise_maps()) for name in CONFIGS}
    assert counts == {"stylegan1": 6, "skip": 5, "resnet": 5, "orig": 3, "stylegan3-t": 0, "stylegan3-r": 0}


def test_bad_noise(generator):
    w_plus, maps = codes(generator), generator.noise_maps()
    with pytest.raises(SettingsError, match="'const'"):
        generator.synthesis(w_plus, "random")
    with pytest.raises(LatentError, match="noise maps were given"):
        generator.synthesis(w_plus, [*maps, torch.zeros(4, 4)])
    if maps:
        with pytest.raises(LatentError, match=r"shape \[5, 5\]"):
            generator.synthesis(w_plus, [torch.zeros(5, 5), *maps[1:]])


def test_bad_latents(generator):
    rows = generator.num_ws
    for code in (torch.zeros(8), torch.zeros(1, 8), torch.zeros(1, rows - 1, 8), torch.zeros(1, rows, 9)):
        with pytest.raises(LatentError, match=rf"\[N, {rows}, 8\]"):
            generator.synthesis(code)
    for z in (torch.zeros(6), torch.zeros(1, 7), torch.zeros(1, 1, 6)):
        with pytest.raises(LatentError, match="sample_z"):
            generator.mapping(z)
    for wrong in (torch.zeros(1, rows, 8, dtype=torch.int64), [[0.0] * 8] * rows, None):
        with pytest.raises(LatentError, match="floating-point"):
            generator.synthesis(wrong)
    with pytest.raises(LatentError, match="floating-point"):
        generator.mapping(torch.zeros(1, 6, dtype=torch.int32))


def test_bad_truncation(generator):
    z = generator.sample_z(1, seed=0)
    with pytest.raises(SettingsError, match="truncation_psi"):
        generator.mapping(z, math.nan)
    with pytest.raises(SettingsError, match="truncation_cutoff"):
        generator.mapping(z, 0.5, -1)


psis = st.floats(-2, 2, allow_nan=False).filter(lambda psi: psi != 1)
cutoffs = st.none() | st.integers(0, 9)


@given(psi=psis, cutoff=cutoffs, seed=st.integers(0, 99))
def test_truncation(psi, cutoff, seed):
    """Rows up to the cutoff lie at mean + psi (w - mean), the others stay; 1 changes nothing, 0 gives the mean."""
    rng = torch.Generator().manual_seed(seed)
    w_plus = torch.randn(2, 6, 4, generator=rng, dtype=torch.float64)
    mean = torch.randn(4, generator=rng, dtype=torch.float64)
    before = w_plus.clone()
    result = truncate(w_plus, mean, psi, cutoff)
    rows = 6 if cutoff is None else min(cutoff, 6)
    torch.testing.assert_close(result[:, :rows], mean + psi * (w_plus[:, :rows] - mean), rtol=0, atol=1e-12)
    assert torch.equal(result[:, rows:], w_plus[:, rows:]) and torch.equal(w_plus, before)
    assert torch.equal(truncate(w_plus, mean, 1, cutoff), w_plus)
    torch.testing.assert_close(truncate(w_plus, mean, 0, None), mean.expand(2, 6, 4), rtol=0, atol=1e-12)


@given(first=st.floats(0.1, 2), second=st.floats(0.1, 2))
def test_truncating_twice(first, second):
    rng = torch.Generator().manual_seed(0)
    w_plus, mean = (torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in ((1, 3, 4), (4,)))
    twice = truncate(truncate(w_plus, mean, first, None), mean, second, None)
    torch.testing.assert_close(twice, truncate(w_plus, mean, first * second, None), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float16, 0.03), (torch.bfloat16, 0.2)])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_half_precision(generator, dtype, tolerance, device):
    """Convolutions in half precision, the picture in float32; `synthesis.dtype` makes it the default."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    generator = generator.to(device)
    w_plus = codes(generator).to(device)
    exact = generator.synthesis(w_plus)
    try:
        half = generator.synthesis(w_plus, dtype=dtype)
    except RuntimeError as error:
        assert "not implemented" in str(error)
        pytest.skip(f"this version of torch has no {dtype} on the {device}")
    assert half.dtype == torch.float32
    assert 0 < (half - exact).abs().max() / exact.abs().max() < tolerance
    generator.synthesis.dtype = dtype
    assert torch.equal(generator.synthesis(w_plus), half)


def test_half_precision_does_not_overflow():
    """StyleGAN2's weights and styles can be large, since demodulation takes their size out again."""
    generator = small_generator("skip")
    for block in generator.synthesis.blocks:
        for layer in block.layers():
            layer.weight.mul_(3e4)
    w_plus = codes(generator)
    exact = generator.synthesis(w_plus)
    half = generator.synthesis(w_plus, dtype=torch.float16)
    assert torch.isfinite(half).all() and (half - exact).abs().max() / exact.abs().max() < 0.03


def test_double_precision_takes_single_codes(generator):
    """A float64 generator is for checks: codes of either precision go in, float64 comes out."""
    generator = generator.double()
    w_plus = generator.mapping(generator.sample_z(1, seed=0).float())
    assert w_plus.dtype == torch.float64
    assert generator.synthesis(w_plus.float()).dtype == torch.float64


def test_load_generator(tmp_path):
    source = small_generator("skip")
    path = save_generator(source, tmp_path / "my face.safetensors", half=False)
    generator = load_generator(path)
    assert generator.name == "my face" and not generator.training
    assert not any(tensor.requires_grad for tensor in generator.parameters())
    w_plus = codes(generator)
    assert torch.equal(generator.synthesis(w_plus), source.synthesis(w_plus))
    assert load_generator(str(path), dtype=torch.float64).w_mean.dtype == torch.float64
    half = load_generator(path, dtype=torch.bfloat16)
    assert half.w_mean.dtype == torch.float32 and half.synthesis.dtype == torch.bfloat16
    assert 0 < (half.synthesis(w_plus) - source.synthesis(w_plus)).abs().max() < 0.5


def test_content_decides_not_the_name(tmp_path):
    path = save_generator(small_generator("orig"), tmp_path / "g.safetensors").rename(tmp_path / "network.pkl")
    assert load_generator(path).kind == "stylegan2"


def test_load_generator_refuses(tmp_path):
    path = save_generator(small_generator("orig"), tmp_path / "g.safetensors")
    with pytest.raises(SettingsError, match="dtype"):
        load_generator(path, dtype=torch.int8)
    with pytest.raises(DeviceError, match="choose another device"):
        load_generator(path, device="cuda:77")
    with pytest.raises(WeightFileError, match="does not exist"):
        load_generator(tmp_path / "none.safetensors")
    with pytest.raises(WeightFileError, match="does not exist"):
        load_generator("none.pkl")
    with pytest.raises(WeightFileError, match="give the whole path"):
        load_generator("~nobody-is-called-so/g.pkl")
    with pytest.raises(SettingsError, match="No generator is called"):
        load_generator("x" * 300)  # longer than any file's name
    for thing in (None, 5, b"faces-64"):
        with pytest.raises(SettingsError, match="is no generator: give a name"):
            load_generator(thing)


def test_names_and_paths(tmp_path, monkeypatch):
    """A bare word is a name of the catalog, unless a file is called so; anything else is a path."""
    from i2s.weights import catalog

    asked = []
    monkeypatch.setattr(catalog, "find", lambda name: asked.append(name) or tmp_path / "found")
    monkeypatch.chdir(tmp_path)
    assert resolve("ffhq-1024") == tmp_path / "found" and asked == ["ffhq-1024"]
    (tmp_path / "word").write_bytes(b"x")
    paths = ("word", "./ffhq-1024", tmp_path / "ffhq-1024", "ffhq.pkl")
    assert [resolve(path).name for path in paths] == ["word", "ffhq-1024", "ffhq-1024", "ffhq.pkl"]
    assert asked == ["ffhq-1024"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_sample_z_draws_the_same_codes_with_another_default_dtype(dtype):
    generator = small_generator()
    expected = generator.sample_z(3, seed=1)
    torch.set_default_dtype(dtype)
    try:
        found = generator.sample_z(3, seed=1)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, expected) and found.dtype == torch.float32
