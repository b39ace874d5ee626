"""Masks and degradations: both sides are looked at alike, and what is hidden has no influence."""

import pytest
import torch
from helpers import targets
from PIL import Image
from short_run import run

from i2s.embedding import TASKS, EmbedSettings, degradation_for, full_size, load_mask
from i2s.embedding.degradations import Blur, Compose, Downsample, Grey, Inpaint, half_mask
from i2s.errors import SettingsError
from i2s.images import to_pil
from i2s.losses import Masked, PixelMSE


def spoiled(photos, mask, seed=0):
    """The photos with other pixels where the mask is 0."""
    noise = torch.rand(photos.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.where(mask > 0, photos, noise)


def test_hidden_pixels_have_no_influence(generator):
    photos, mask = targets(generator), half_mask(16)
    a, b = (run(generator, spoiled(photos, mask, seed), degradation=Inpaint(mask)) for seed in (0, 1))
    assert torch.equal(a.w_plus, b.w_plus) and "Inpaint" in a.task
    assert not torch.equal(run(generator, spoiled(photos, mask, 0)).w_plus, a.w_plus)


def test_a_mask_of_pixels_alone(generator):
    photos, mask = targets(generator), half_mask(16)
    loss = PixelMSE()
    a, b = (run(generator, spoiled(photos, mask, seed), mask=mask, loss=loss) for seed in (0, 1))
    assert torch.equal(a.w_plus, b.w_plus)
    masked = run(generator, photos, loss=Masked(loss, mask))
    torch.testing.assert_close(a.w_plus, masked.w_plus)


def test_colours_have_no_influence_on_colorization(generator):
    photos = targets(generator)
    grey = photos.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    colour, without = (run(generator, x, degradation=Grey(), learning_rate=0.001) for x in (photos, grey))
    torch.testing.assert_close(colour.w_plus, without.w_plus, rtol=1e-3, atol=1e-3)
    assert torch.equal(colour.target, photos)  # the photo as it was given


def test_masks_of_each_photo_stay_with_it_when_photos_leave(generator):
    photos, masks = targets(generator, 3), torch.cat([half_mask(16, side) for side in ("left", "right", "top")])
    for hide in ({"mask": masks}, {"degradation": Inpaint(masks)}):
        changes = {"patience": 3, "min_improvement": 0.2, "steps": 20, "learning_rate": 0.05, "p_norm_weight": 0.0}
        together = run(generator, photos, **hide, **changes)
        assert len(set(together.photo_steps)) > 1
        for k in range(3):
            own = {"mask": masks[k : k + 1]} if "mask" in hide else {"degradation": Inpaint(masks[k : k + 1])}
            alone = run(generator, photos[k : k + 1], **own, **changes)
            assert alone.photo_steps == [together.photo_steps[k]]
            torch.testing.assert_close(alone.w_plus[0], together.w_plus[k], rtol=1e-3, atol=1e-4)


NESTED = Compose((Downsample(16), Compose((Grey(),))))


@pytest.mark.parametrize(
    "hiding", [Grey(), Inpaint(half_mask(16)), Compose((Downsample(16), Grey())), NESTED], ids=repr
)
def test_what_is_hidden_is_held_near_the_generators_own_codes(generator, hiding):
    photos = targets(generator, 1)

    def weight(**changes):
        result = run(generator, photos, steps=1, **{"degradation": hiding} | changes)
        assert ("p_norm" in result.history) == (result.settings.p_norm_weight > 0)
        return result.settings.p_norm_weight

    assert weight() == weight(preset="fast") == 0.03
    assert weight(p_norm_weight=0.0) == weight(space="w") == 0  # the user's word; no free rows
    assert weight(p_norm_weight=0.5) == 0.5
    assert weight(settings=EmbedSettings(steps=1)) == 0  # settings are taken as they are
    assert weight(loss=PixelMSE()) == 0  # so is a loss
    assert weight(degradation=None) == weight(degradation=Blur(1.0)) == weight(degradation=Downsample(16)) == 0


def test_the_photo_is_degraded_once(generator):
    calls = []

    def degradation(images):
        calls.append(images.requires_grad)
        return images * 0.5

    run(generator, targets(generator), steps=5, degradation=degradation)
    assert len(calls) == 1 + 6 and calls[0] is False


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (torch.ones(1, 1, 8, 8), "mask"),
        (torch.ones(3, 1, 16, 16), "mask"),
        (torch.zeros(1, 1, 16, 16), "0 everywhere"),
        (torch.full((1, 1, 16, 16), 2.0), "0..1"),
    ],
)
def test_wrong_masks_are_one_sentence(generator, mask, says):
    with pytest.raises(SettingsError, match=says):
        run(generator, targets(generator), mask=mask)


def test_a_term_that_knows_no_mask_says_so(generator):
    class Own:
        prepare = lambda self, target: target  # noqa: E731

        def __call__(self, images, target):
            return {"own": (images - target).abs().mean(dim=(1, 2, 3))}

    assert list(run(generator, targets(generator), loss=Own()).history) == ["own"]
    with pytest.raises(SettingsError, match="takes no mask"):
        run(generator, targets(generator), loss=Own(), mask=half_mask(16))


def test_a_mask_is_read_from_a_picture(tmp_path):
    picture = Image.new("L", (64, 64))
    picture.paste(255, (0, 0, 32, 64))
    picture.save(tmp_path / "mask.png")
    mask = load_mask(tmp_path / "mask.png", 16)
    assert mask.shape == (1, 1, 16, 16) and (mask[..., :7] > 0.98).all() and (mask[..., 9:] < 0.02).all()


def test_tasks_by_name():
    mask = half_mask(64)
    assert isinstance(degradation_for("inpainting", 64, mask), Inpaint)
    assert degradation_for("colorization", 64) == Grey()
    assert degradation_for("super-resolution", 64) == Downsample(16)
    assert degradation_for("super-resolution:32", 1024) == Downsample(32)
    assert degradation_for("denoising:2.5", 64) == Blur(2.5) and degradation_for("denoising", 128) == Blur(2.0)
    for task in TASKS:
        assert degradation_for(task, 64, mask)(torch.zeros(1, 3, 64, 64)).shape[1] == 3


@pytest.mark.parametrize(
    "task",
    ["painting", "inpainting", "super-resolution:8", "super-resolution:32.5", "super-resolution:x", "denoising:0"]
    + ["colorization:2", "super-resolution:128", "super-resolution:nan"],
)
def test_wrong_tasks_are_one_sentence(task):
    with pytest.raises(SettingsError):
        degradation_for(task, 64)


def test_inpainting_takes_no_value():
    with pytest.raises(SettingsError, match="takes no value"):
        degradation_for("inpainting:5", 64, half_mask(64))


def test_at_full_size_the_mask_is_as_sharp_as_the_photo(tmp_path):
    """What is hidden, such as a stain, does not show through at its edge; what is known is not touched."""
    hidden = Image.new("L", (256, 256), 255)
    hidden.paste(0, (70, 70, 150, 150))
    hidden.save(tmp_path / "mask.png")
    photo = torch.full((1, 3, 256, 256), -1.0)
    photo[..., 70:150, 70:150] = 1.0  # the stain
    whole = full_size(torch.zeros(3, 16, 16), to_pil(photo), "inpainting", tmp_path / "mask.png")
    assert whole[..., 70:150, 70:150].abs().max() < 0.01
    whole[..., 70:150, 70:150] = photo[..., 70:150, 70:150]
    assert torch.equal(whole, photo)
