"""The measures of a generator, against formulas and samples of which the answer is known."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import small_generator
from scipy.linalg import sqrtm
from tiny_run import FakeFeatureNet, random_faces

from i2s.images import dequantize, quantize
from training import metrics
from training.dataset import load_faces
from training.features import VGG19, SqueezeNet, feature_distance


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(mean, covariance, count=500, seed=0):
    """A sample whose mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(count, len(mean)))
    x = x - x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(covariance).T + mean


# --- Frechet distance -------------------------------------------------------------------------------------------


def test_frechet_distance_of_gaussians_is_the_formula():
    mean_a, mean_b = np.array([0.0, 1, 2]), np.array([1.0, 1, 0])
    a, b = np.diag([4.0, 1, 9]), np.diag([1.0, 1, 16])  # they commute: sum of (sqrt a - sqrt b)^2
    found = metrics.frechet_distance(gaussian(mean_a, a), gaussian(mean_b, b, seed=1))
    assert found == pytest.approx(5 + (2 - 1) ** 2 + 0 + (3 - 4) ** 2, rel=1e-6)


def test_frechet_distance_of_turned_gaussians_needs_the_matrix_root():
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    a, b = np.diag([4.0, 1.0]), turn @ np.diag([9.0, 0.25]) @ turn.T
    expected = np.trace(a + b - 2 * sqrtm(a @ b).real)
    found = metrics.frechet_distance(gaussian([0, 0], a), gaussian([0, 0], b, seed=1))
    assert found == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_a_sample_to_itself_is_zero_even_with_fewer_samples_than_features():
    x = np.random.default_rng(0).normal(size=(20, 50)) * 10
    assert abs(metrics.frechet_distance(x, x)) < 1e-4


def test_halves_distance_falls_with_the_size_of_the_sample():
    x = torch.randn(4000, 16, generator=rng())
    large, small = metrics.halves_distance(x), metrics.halves_distance(x[:200])
    assert 0 < large < 0.1 < small
    assert metrics.halves_distance(x) == large  # repeatable


# --- precision and recall ---------------------------------------------------------------------------------------


def cloud(centre, count=200, seed=0):
    return torch.randn(count, 4, generator=rng(seed)) + torch.tensor(centre)


def test_precision_recall_of_one_of_two_modes_is_high_and_half():
    left, right = [-50.0, 0, 0, 0], [50.0, 0, 0, 0]
    real = torch.cat([cloud(left), cloud(right, seed=1)])
    precision, recall = metrics.precision_recall(real, cloud(left, seed=2))
    assert precision > 0.8 and 0.3 < recall <= 0.5


def test_precision_recall_of_an_invented_mode_is_half_and_high():
    left, right = [-50.0, 0, 0, 0], [50.0, 0, 0, 0]
    fake = torch.cat([cloud(left, seed=2), cloud(right, seed=1)])
    precision, recall = metrics.precision_recall(cloud(left), fake)
    assert 0.3 < precision <= 0.5 and recall > 0.8


def test_precision_recall_of_equal_and_of_distant_samples():
    x = cloud([0.0, 0, 0, 0])
    assert metrics.precision_recall(x, x) == (1.0, 1.0)
    assert metrics.precision_recall(x, x + 1000) == (0.0, 0.0)


def test_precision_recall_takes_the_radius_from_the_kth_neighbour():
    """On a line at 0, 1, 3, 7: with k = 1 the balls have radii 1, 1, 2, 4."""
    real = torch.tensor([[0.0], [1], [3], [7]])
    inside = torch.tensor([[-0.9], [4.9], [10.9], [2.9]])
    outside = torch.tensor([[-1.1], [11.1]])
    assert metrics.precision_recall(real, inside, k=1)[0] == 1
    assert metrics.precision_recall(real, torch.cat([outside, inside[:2]]), k=1)[0] == 0.5


# --- images -----------------------------------------------------------------------------------------------------


def test_sample_images_are_what_a_file_would_hold():
    generator = small_generator()
    found = metrics.sample_images(generator, 70, psi=0.5, seed=2)  # more than one batch
    assert found.shape == (70, 3, 16, 16) and found.dtype == torch.uint8
    image = generator(generator.sample_z(70, 2), 0.5)
    expected = ((image.clamp(-1, 1) + 1) * 127.5).round()
    assert (found.float() - expected).abs().max() <= 1 and (found.float() == expected).float().mean() > 0.999
    assert torch.equal(quantize(torch.tensor([-3.0, -1, 0.999, 7])), torch.tensor([0, 0, 255, 255]).byte())


def test_blurred_keeps_flat_images_and_spreads_a_point():
    flat = torch.full((1, 3, 16, 16), 99, dtype=torch.uint8)
    assert torch.equal(metrics.blurred(flat, 1.0), flat)
    point = torch.zeros(1, 3, 17, 17, dtype=torch.uint8)
    point[:, :, 8, 8] = 255
    wide, narrow = metrics.blurred(point, 1.0)[0, 0], metrics.blurred(point, 0.5)[0, 0]
    assert wide[8, 8] == round(255 / (2 * math.pi)) and narrow[8, 8] > 2 * wide[8, 8]  # the Gaussian's peak
    assert wide[8, 9] == round(255 / (2 * math.pi) * math.exp(-0.5))


def test_evaluate_scores_own_samples_better():
    generator, net = small_generator(), FakeFeatureNet()
    scores = metrics.evaluate(generator, metrics.embed_faces(random_faces(60), net), net, 64)
    assert scores["frechet"] > 0 and scores.keys() == {"frechet", "precision", "recall"}
    own = metrics.sample_images(generator, 60, seed=5)  # as good as it gets: its own samples as the faces
    better = metrics.evaluate(generator, metrics.embed_faces(own, net), net, 64)
    assert better["frechet"] < scores["frechet"] / 5 and better["precision"] > 0.8 and better["recall"] > 0.8


# --- paths ------------------------------------------------------------------------------------------------------


class Linear:
    """A generator whose image is linear in w, and whose W is Z: the length of a path is known."""

    z_dim = w_dim = 4
    num_ws = 1
    w_mean = torch.zeros(4)

    def sample_z(self, count, seed):
        return torch.randn(count, 4, generator=rng(seed))

    def mapping(self, z, psi=1.0):
        return z[:, None]

    def synthesis(self, w_plus):
        return w_plus.view(-1, 4, 1, 1)


def test_path_length_of_a_linear_generator_is_the_squared_length_of_the_path(monkeypatch):
    monkeypatch.setattr(metrics, "_flat", lambda taps: taps[0].flatten(1))  # no normalisation
    z = torch.randn(2, 4000, 4, generator=rng(0))
    lengths = (z[1] - z[0]).square().sum(dim=1)
    low, high = lengths.quantile(0.01), lengths.quantile(0.99)
    expected = lengths[(lengths >= low) & (lengths <= high)].mean().item()
    assert metrics.path_length(Linear(), lambda image: [image], 4000, "w") == pytest.approx(expected, rel=0.01)
    # on the unit sphere all points move at the speed of the angle between the ends
    angles = (F.normalize(z[0], dim=1) * F.normalize(z[1], dim=1)).sum(1).acos().square()
    low, high = angles.quantile(0.01), angles.quantile(0.99)
    expected = angles[(angles >= low) & (angles <= high)].mean().item()
    assert metrics.path_length(Linear(), lambda image: [image], 4000, "z") == pytest.approx(expected, rel=0.01)


def test_path_length_hardly_depends_on_the_step():
    generator, net = small_generator(), FakeFeatureNet()
    fine, coarse = (metrics.path_length(generator, net, 64, epsilon=e) for e in (1e-3, 4e-3))
    # a network of few ReLUs has kinks; a distance that were not squared would differ by a factor of 4
    assert fine == pytest.approx(coarse, rel=0.5) and fine > 0


def test_slerp_goes_along_the_circle():
    a, b = torch.tensor([[2.0, 0]]), torch.tensor([[0.0, 5]])
    half = metrics.slerp(a, b, torch.tensor([[0.5]]))
    assert torch.allclose(half, torch.full((1, 2), math.sqrt(0.5)))
    assert torch.allclose(metrics.slerp(a, b, torch.zeros(1, 1)), torch.tensor([[1.0, 0]]))
    assert torch.allclose(metrics.slerp(a, b, torch.ones(1, 1)), torch.tensor([[0.0, 1]]), atol=1e-6)


# --- neighbours -------------------------------------------------------------------------------------------------


def test_nearest_faces_finds_the_original_of_a_copy_also_mirrored():
    faces, net = random_faces(100), FakeFeatureNet()
    images = torch.stack([faces[70], faces[3].flip(2), faces[99].roll(1, dims=2)])
    distances, rows = metrics.nearest_faces(images, faces, net)
    assert rows[:, 0].tolist() == [70, 3, 99]
    assert distances[:2, 0].max() < 1e-3 < distances[2, 0] and (distances.diff(dim=1) >= 0).all()


def test_nearest_faces_gives_feature_distances():
    faces, net = random_faces(4), FakeFeatureNet()
    distances, rows = metrics.nearest_faces(faces[:1], faces[1:], net, k=3)
    for distance, row in zip(distances[0], rows[0]):
        two = [feature_distance(net(dequantize(faces[:1])), net(dequantize(f))) for f in mirror(faces[1:][row])]
        assert distance.item() == pytest.approx(min(two).item(), rel=1e-3)


def mirror(face):
    return face[None], face[None].flip(3)


# --- with the real feature extractors ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faces(shared):
    return load_faces(shared / "faces-128" / "faces-128.zip", 64)[:160]


def test_feature_nets_tell_faces_from_blurred_faces(shared, faces):
    for net in (
        SqueezeNet(shared / "perceptual" / "squeezenet1.1-features-fp16.safetensors"),
        VGG19(shared / "perceptual" / "vgg19-conv1_1-to-conv3_4-fp16.safetensors"),
    ):
        real, other = (metrics.embed_faces(some, net) for some in faces.chunk(2))
        half = metrics.frechet_distance(real.numpy(), other.numpy())
        soft = [metrics.embed_faces(metrics.blurred(faces[80:], sigma), net) for sigma in (0.5, 1.0)]
        a_little, much = (metrics.frechet_distance(real.numpy(), s.numpy()) for s in soft)
        assert half < a_little < much, net.__class__.__name__
