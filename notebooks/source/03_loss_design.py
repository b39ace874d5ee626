# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: i2s
#     language: python
#     name: i2s
# ---

# %% [markdown]
# # 3. Loss design: what does "looks the same" mean?
#
# | | |
# |---|---|
# | **Goals** | say where MSE goes wrong; write both terms of the paper's loss; know what each feature map sees; choose weights; read LPIPS |
# | **Before** | lesson 2 |
# | **Time** | about 60 minutes; the cells take about a minute on a laptop |
#
# ![The loss: generated image and photo are compared pixel by pixel, and by four feature maps of VGG-16](images/loss.svg)

# %% tags=["nbval-ignore-output"]
import torch
import torch.nn.functional as F
from skimage import data

import i2s
from i2s import checks, course
from i2s.metrics import psnr

lab = course.setup()
generator = lab.generator
photo = i2s.load_photos(data.astronaut()[15:195, 135:315], generator.resolution).to(lab.device)

# %% [markdown]
# ## 3.1 Where MSE lies
#
# The **mean squared error** (MSE) compares pixel by pixel: fast, simple, and blind to everything that is not at the same place. Here
# are two changed copies of the photo: one is moved by two pixels, one is blurred.

# %%
from torchvision.transforms.functional import gaussian_blur

moved = F.pad(photo, (2, 0, 0, 0), mode="replicate")[..., : generator.resolution]
blurred = gaussian_blur(photo, 9, 1.8)
course.show(torch.cat([photo, moved, blurred]).cpu(), labels=["photo", "moved by 2 px", "blurred"], size=192)

# %% [markdown]
# ### Exercise 3.1 (predict, difficulty 1 of 3, 2 minutes): which is nearer?
#
# Which copy has the **smaller** MSE to the photo? Set `prediction` to `"moved"` or `"blurred"` before you run on.
#
# <details><summary>Hint 1</summary>Look along the edge of the collar: how many pixels change from black to white when it moves?</details>
# <details><summary>Hint 2</summary>Blur changes many pixels a little. Squares punish a few large differences.</details>

# %%
prediction = None
### BEGIN SOLUTION
prediction = "blurred"
### END SOLUTION

# %%
checks.check_smaller_mse(prediction, photo, moved, blurred)

# %% [markdown]
# ### Exercise 3.2 (fill, difficulty 1 of 3, 5 minutes): MSE
#
# Given `images` and `target` [N, 3, H, W] in [-1, 1], return the mean squared difference of each image by itself, [N], with the pixels
# taken in **[0, 1]**, as the ports of the paper do.
#
# <details><summary>Hint 1</summary>From [-1, 1] to [0, 1]: (x + 1) / 2. What remains of it in a difference?</details>
# <details><summary>Hint 2</summary><code>.mean(dim=(1, 2, 3))</code> leaves one number for each image.</details>


# %%
def mse(images, target):
    ### BEGIN SOLUTION
    return ((images - target) / 2).square().mean(dim=(1, 2, 3))
    ### END SOLUTION


# %%
checks.check_mse(mse)

# %%
for name, copy in {"moved": moved, "blurred": blurred}.items():
    print(f"MSE of the {name} copy: {mse(copy, photo).item():.4f}")

# %% [markdown]
# A picture that is sharp and two pixels off counts as worse than one that has lost its eyes. A search that follows MSE alone
# will prefer blur whenever it is not sure where an edge is.
#
# ## 3.2 What a perceptual network sees
#
# A network that has learned to name things has learned to look. The paper takes **VGG-16** and compares its *feature maps* after four layers.
# Without network, this course uses a small stand-in with the same four taps; `lab.perceptual` says which one is at work.

# %%
with torch.no_grad():
    maps = lab.perceptual.features(photo)
names = ["conv1_1", "conv1_2", "conv3_2", "conv4_2"]
for name, m in zip(names, maps):
    print(f"{name}: {m.shape[1]:3d} maps of {m.shape[2]} x {m.shape[3]}")

# %%
strongest = [m[0][m[0].flatten(1).std(dim=1).argsort(descending=True)[:6]] for m in maps]
sheet = torch.cat([course.enlarged(m.cpu(), generator.resolution) for m in strongest])
course.show_maps(sheet, labels=[name for name in names for _ in range(6)], columns=6, size=128)

# %% [markdown]
# The first two taps hold edges and colours, pixel by pixel. The later ones are coarse: they tell *that* there is an eye rather than where
# its edge runs, and that is why they forgive a shift.
#
# $$L_{percept} = \sum_{j=1}^{4} \frac{\lambda_j}{N_j}\,\lVert F_j(G(w)) - F_j(I) \rVert^2$$
#
# $N_j$ is the number of scalars in map $j$, so that large maps do not outvote small ones.
#
# ### Exercise 3.3 (fill, difficulty 2 of 3, 8 minutes): the perceptual loss
#
# Given `net` (with `net.features(images)`, a list of four maps [N, C, H, W]), `images` and `target`, and four `weights`, return
# the sum of the formula for each image by itself, [N].
#
# <details><summary>Hint 1</summary>Squared difference, mean over C, H and W (that is the division by N_j), times the weight; then the sum over the taps.</details>
# <details><summary>Hint 2</summary><code>zip(weights, net.features(images), net.features(target))</code></details>


# %%
def perceptual_loss(net, images, target, weights=(1.0, 1.0, 1.0, 1.0)):
    ### BEGIN SOLUTION
    taps = zip(weights, net.features(images), net.features(target))
    return sum(weight * (a - b).square().mean(dim=(1, 2, 3)) for weight, a, b in taps)
    ### END SOLUTION


# %%
checks.check_perceptual_loss(perceptual_loss)

# %%
single = torch.eye(4).tolist()
with torch.no_grad():
    for name, weights in zip(names + ["all four"], single + [[1.0] * 4]):
        far = [perceptual_loss(lab.perceptual, copy, photo, weights).item() for copy in (moved, blurred)]
        print(f"{name:8s} moved {far[0]:.3f}, blurred {far[1]:.3f}: nearer is", "moved" if far[0] < far[1] else "blurred")

# %% [markdown]
# ## 3.3 Each tap alone
#
# What does an embedding look like that follows one tap only? Five runs, each from the mean latent, the same number of steps.

# %% tags=["nbval-ignore-output"]
options = {"generator": generator, "perceptual": lab.perceptual, "steps": 120, "progress": False}
alone = [i2s.embed(photo, mse_weight=1.0, tap_weights=(0, 0, 0, 0), **options)]
alone += [i2s.embed(photo, mse_weight=0.0, tap_weights=weights, **options) for weights in single]
sheet = torch.cat([result.image for result in alone] + [photo.cpu()])
course.show(sheet, labels=["MSE alone", *names, "photo"], size=160)

# %% [markdown]
# Compare the first with the others: MSE alone gets colours and large shapes right, and leaves the small ones soft. The deep taps find eyes
# and mouth early, and care less for the exact colour.
#
# ### Exercise 3.4 (ablate, difficulty 2 of 3, 10 minutes): MSE, features, or both?
#
# Embed `photo` three times with `**options`: pixels alone, features alone (all four weights 1), and both. Return a dict of three results with
# the keys `"mse"`, `"perceptual"` and `"both"`.
#
# <details><summary>Hint 1</summary>A weight of 0 leaves a term out.</details>
# <details><summary>Hint 2</summary><code>mse_weight=0.0</code> with <code>tap_weights=(1, 1, 1, 1)</code> is features alone.</details>


# %%
def three_losses(embed, photo, options):
    ### BEGIN SOLUTION
    return {
        "mse": embed(photo, mse_weight=1.0, tap_weights=(0, 0, 0, 0), **options),
        "perceptual": embed(photo, mse_weight=0.0, tap_weights=(1, 1, 1, 1), **options),
        "both": embed(photo, mse_weight=1.0, tap_weights=(1, 1, 1, 1), **options),
    }
    ### END SOLUTION


# %%
checks.check_three_losses(three_losses)

# %% tags=["nbval-ignore-output"]
results = three_losses(i2s.embed, photo, options)
sheet = torch.cat([r.image for r in results.values()] + [photo.cpu()])
course.show(sheet, labels=[*results, "photo"], size=192)

# %% tags=["nbval-ignore-output"]
with torch.no_grad():
    for name, r in results.items():
        far = perceptual_loss(lab.perceptual, r.image.to(lab.device), photo).item()
        print(f"{name:10s} PSNR {psnr(r.image, photo.cpu()).item():.1f} dB, perceptual distance {far:.3f}")

# %% [markdown]
# ## 3.4 Weights, and a range that multiplies them
#
# The paper sets all $\lambda$ to 1. But 1 of what? The same formula gives other numbers when the pixels are taken in another range.
#
# ### Exercise 3.5 (predict, difficulty 1 of 3, 3 minutes): from [0, 1] to [-1, 1]
#
# By which factor does the MSE grow when both pictures are taken in [-1, 1] instead of [0, 1]? Set `factor`.
#
# <details><summary>Hint 1</summary>A difference of 0.1 becomes a difference of 0.2.</details>
# <details><summary>Hint 2</summary>And it is squared.</details>

# %%
factor = None
### BEGIN SOLUTION
factor = 4
### END SOLUTION

# %%
checks.check_range_factor(factor)

# %%
from i2s.losses import PixelMSE

for pixel_range in [(0, 1), (-1, 1)]:
    term = PixelMSE(pixel_range=pixel_range)
    print(pixel_range, f"{term(blurred, term.prepare(photo))['mse'].item():.4f}")

# %% [markdown]
# So two ports with "$\lambda_{mse} = 1$" can follow different losses. The public text does not settle the range, nor whether VGG's input is
# normalised, nor if the maps are taken before or after the ReLU: `i2s` has a switch for each, and says its defaults.
#
# ### Exercise 3.6 (diagnose, difficulty 2 of 3, 5 minutes): a loss of 100000
#
# A student's loss is about a hundred thousand times larger than in the paper's reports; the image is right, but a learning-rate schedule that
# depends on the loss value stops at once. The code is `((images - target) ** 2).sum()`. Set `cause` to `"A"`, `"B"` or `"C"`.
#
# - **A** the images should be divided by 255
# - **B** the division by N, the number of scalars, is missing
# - **C** the square root is missing
#
# <details><summary>Hint 1</summary>How many numbers has an image of 3 x 256 x 256?</details>
# <details><summary>Hint 2</summary>Read the formula for L again, letter by letter.</details>

# %%
cause = None
### BEGIN SOLUTION
cause = "B"
### END SOLUTION

# %%
checks.check_large_loss(cause)

# %% [markdown]
# ## 3.5 LPIPS, the reference
#
# **LPIPS** (Zhang et al. 2018) asks the same question with two refinements: each pixel's features are scaled to length 1, so that contrast does not matter, and
# the channels are weighted as people judged thousands of pairs. The package `lpips` fetches networks and weights; without network we
# look at the formula on our own features, with all weights equal.

# %%
def lpips_like(net, images, target):
    """Squared difference of the features, each pixel's scaled to length 1; the mean over places, the sum over taps."""
    total = 0
    for a, b in zip(net.features(images), net.features(target)):
        total = total + (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(dim=1).mean(dim=(1, 2))
    return total


with torch.no_grad():
    for name, copy in {"moved": moved, "blurred": blurred, "half the contrast": photo / 2}.items():
        far = [f(lab.perceptual, copy, photo).item() for f in (perceptual_loss, lpips_like)]
        print(f"{name:18s} perceptual loss {far[0]:.3f}, LPIPS-like {far[1]:.3f}, MSE {mse(copy, photo).item():.4f}")

# %% [markdown]
# ## What you have seen
#
# - [MSE](GLOSSARY.md#mse) punishes a small shift more than a loss of detail. The [perceptual loss](GLOSSARY.md#perceptual-loss) compares
#   [feature maps](GLOSSARY.md#feature-map) of [VGG](GLOSSARY.md#vgg), early ones for edges, late ones for things.
# - Weights mean nothing without the range and the normalisation they go with.
# - [LPIPS](GLOSSARY.md#lpips) is the same idea, fitted to what people say.
#
# **Ask yourself**
#
# <details><summary>Why is the sum of squares divided by the number of scalars?</summary>So that each map counts the same whatever its size, and
# the same weight means the same at every resolution.</details>
# <details><summary>Which tap would you drop first, and what would you lose?</summary>Without conv4_2 there is less to pull eyes and mouth into place from
# afar; without conv1_1, fine edges and colours are vaguer.</details>
# <details><summary>Can two pictures with perceptual distance 0 differ?</summary>In principle yes: a network forgets things. The pixel term closes that hole.</details>
#
# **Next:** [lesson 4](04_optimization.ipynb): the search itself.
