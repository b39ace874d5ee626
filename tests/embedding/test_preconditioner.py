"""The Gauss-Newton preconditioner of L-BFGS."""

import torch
from helpers import FakeFeatureNet, small_generator, targets

from i2s.embedding import embed
from i2s.embedding.degradations import half_mask
from i2s.embedding.preconditioner import gauss_newton_blocks, gauss_newton_preconditioner
from i2s.generators import load_generator
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.losses import ImageLoss, Masked, PixelMSE, WeightedSum


def test_blocks_are_of_the_rows_that_layers_read():
    """C is the mean square of the styles' gradients, brought to w: along a style's row of A the distance changes so."""
    generator, loss = small_generator().double(), WeightedSum(PixelMSE())
    C = gauss_newton_blocks(generator, loss, count=4, seed=0)
    assert C.shape == (generator.num_ws, 12, 12)
    assert torch.equal(C, gauss_newton_blocks(generator, loss, count=4, seed=0))
    torch.testing.assert_close(C, C.mT)
    # the first row feeds the 4 px layer alone: remove its influence, and nothing is left
    first = generator.synthesis.blocks[0].conv1
    first.affine.weight.zero_()
    again = gauss_newton_blocks(generator, loss, count=4, seed=0)
    assert again[0].abs().max() == 0 and again[1].abs().max() > 0


def test_blocks_know_which_layers_read_which_row():
    """Row 1 is read by the first toRGB and by the next block's first layer."""
    generator, loss = small_generator(), WeightedSum(PixelMSE())
    for module in (generator.synthesis.blocks[0].to_rgb, generator.synthesis.blocks[1].conv0):
        assert gauss_newton_blocks(generator, loss, 4, 0)[1].abs().max() > 0
        module.affine.weight.zero_()
    assert gauss_newton_blocks(generator, loss, 4, 0)[1].abs().max() == 0


def test_preconditioner_leaves_masks_out_and_takes_other_generators():
    generator = small_generator()
    mask = torch.ones(7, 1, 16, 16)  # of seven photos, of which it must know nothing
    plain, masked = (
        gauss_newton_preconditioner(generator, WeightedSum(term)) for term in (PixelMSE(), Masked(PixelMSE(), mask))
    )
    assert torch.equal(plain, masked)
    other = StyleGAN1(StyleGAN1Config(16, 12, 12, channels=(8, 8, 8))).eval().requires_grad_(False)
    inverse = gauss_newton_preconditioner(other, ImageLoss(FakeFeatureNet()))
    assert inverse.shape == (other.num_ws, 12, 12)
    assert (torch.linalg.eigvalsh(inverse) > 0).all()


def test_preconditioner_of_one_term_with_two_masks():
    """Without their masks both report one name."""
    left, right = (Masked(PixelMSE(), half_mask(16, side), f"{side} ") for side in ("left", "right"))
    generator = small_generator()
    both, twice = (
        gauss_newton_preconditioner(generator, loss) for loss in (WeightedSum(left, right), WeightedSum(PixelMSE(2.0)))
    )
    torch.testing.assert_close(both, twice)
    result = embed(targets(generator), generator, preset="fast", steps=2, loss=WeightedSum(left, right), progress=False)
    assert set(result.history) == {"left mse", "right mse"}


def test_blocks_in_half_precision():
    """float16 has three more bits than bfloat16: it is the better one, where its small numbers do not vanish."""
    generator = load_generator("faces-64")
    loss = WeightedSum(PixelMSE((64 / 1024) ** 4))  # the gradients of its root are as small as at 1024 px
    exact, errors = gauss_newton_blocks(generator, loss, 4, 0), {}
    for dtype in (torch.float16, torch.bfloat16):
        generator.synthesis.dtype = dtype
        difference = gauss_newton_blocks(generator, loss, 4, 0) - exact
        errors[dtype] = difference.flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)  # of each row
    assert (errors[torch.float16] < errors[torch.bfloat16]).all()
