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
# | **Goals** | say where MSE misleads and why; write both terms of the loss; know what each map sees; choose weights |
# | **Before** | lesson 2 |
# | **Time** | about 60 minutes; the cells take about a minute and a half on a laptop |
# | **You will see** | which of four changed copies MSE takes for the nearest; what a network remembers of a photo; one face, three losses |
#
# ![The loss: image and photo are compared pixel by pixel, and by four feature maps of VGG-16](images/loss.svg)

# %% tags=["nbval-ignore-output"]
import torch
import torch.nn.functional as F
from skimage import data

import i2s
from i2s import course
from i2s.course import lesson03 as checks
from i2s.course.lesson03 import blur, brighten, invert_features, reference_lpips, shift, warp
from i2s.losses import PixelMSE
from i2s.metrics import psnr

lab = course.setup(steps=2000)
generator = lab.generator
photo = i2s.load_photos(data.astronaut()[15:195, 135:315], generator.resolution).to(lab.device)

# %% [markdown]
# ## 3.1 Where MSE misleads
#
# The search of lesson 2 followed one number, the loss. What should it be? The simplest is the **mean squared
# error**, [MSE](GLOSSARY.md#mse): the difference of each pixel from the pixel at the same place, squared, and the
# mean of all.
#
# Here are four changed copies of the photo.

# %%
copies = {"moved": shift(photo, 2), "bent": warp(photo), "brighter": brighten(photo), "blurred": blur(photo)}
alt = "The photo; moved by two pixels, bent a little, brighter: three clear faces; blurred: a face without eyes"
course.show(torch.cat([photo, *copies.values()]).cpu(), labels=["photo", *copies], size=192, alt=alt)

# %% [markdown]
# Look closely: one is moved to the right by two pixels, one is bent a little as if drawn on rubber, one is
# brighter. In the last one the eyes are gone.
#
# ### Exercise 3.1 (predict, difficulty 1 of 3, 2 minutes): which is nearest?
#
# Which of the four has the **smallest** MSE to the photo? Set `prediction` to its name, `"moved"`, `"bent"`,
# `"brighter"` or `"blurred"`, before you run on.
#
# <details><summary>Hint 1</summary>Follow the edge of the hair: how many pixels turn from dark to light when it
# moves?</details>
# <details><summary>Hint 2</summary>Squares punish a few large differences more than many small ones.</details>

# %%
prediction = None
### BEGIN SOLUTION
prediction = "blurred"
### END SOLUTION

# %%
checks.check_smallest_mse(prediction, photo, copies)

# %% [markdown]
# ### Exercise 3.2 (fill, difficulty 1 of 3, 5 minutes): MSE
#
# Given `images` and `target`, both [N, 3, H, W] in [-1, 1], return the MSE of each image by itself, a float
# tensor [N], with the pixels taken in **[0, 1]**: 0 is equal, 1 is black against white.
#
# <details><summary>Hint 1</summary>From [-1, 1] to [0, 1] it is (x + 1) / 2. What remains of that in a
# difference?</details>
# <details><summary>Hint 2</summary><code>.mean(dim=(1, 2, 3))</code> leaves one number for each image.</details>


# %%
def mse(images, target):
    ### BEGIN SOLUTION
    return ((images - target) / 2).square().mean(dim=(1, 2, 3))
    ### END SOLUTION


# %%
checks.check_mse(mse)

# %%
for name, copy in copies.items():
    print(f"{name:8s} MSE {mse(copy, photo).item():.4f}")

# %% [markdown]
# To MSE, the copy without eyes is the best one. This is no accident. Suppose that a search does not yet know
# where exactly a face is: it may be at any of five places. Which single image is nearest to all five?

# %%
five = torch.cat([shift(photo, k) for k in (-4, -2, 0, 2, 4)])
mean_image = five.mean(dim=0, keepdim=True)
labels = ["-4", "-2", "0", "+2", "+4", "mean of the five"]
alt = "The photo at five places, each sharp, and the mean of the five, in which every upright edge is smeared"
course.show(torch.cat([five, mean_image]).cpu(), labels, size=128, alt=alt)

# %%
for name, guess in {"the sharp one in the middle": photo, "the mean of the five": mean_image}.items():
    print(f"{name:27s} MSE to all five: {mse(guess.expand_as(five), five).mean().item():.4f}")

# %% [markdown]
# ### Exercise 3.3 (explain, difficulty 2 of 3, 4 minutes): why blur wins
#
# Write into the string `answer`, in two or three sentences: why does a search that follows MSE alone draw a
# blurred edge when it is not sure where the edge is?
#
# <details><summary>Hint 1</summary>Which single number has the smallest mean squared difference to several
# numbers?</details>
# <details><summary>Hint 2</summary>A sharp edge at the wrong place is wrong by the full step between dark and
# light.</details>

# %%
answer = ""
### BEGIN SOLUTION
answer = (
    "A sharp edge at the wrong place is wrong by the full step between dark and light, and the square makes that dear. "
    "The value with the smallest mean squared difference to all places that are possible is their mean, and the mean "
    "of many shifted edges is a blurred edge."
)
### END SOLUTION

# %%
checks.check_why_blur(answer)

# %% [markdown]
# ## 3.2 What a perceptual network sees
#
# A network that has learned to name what is in photos has learned to look. The paper takes
# [VGG-16](GLOSSARY.md#vgg) and compares the [feature maps](GLOSSARY.md#feature-map) of four of its layers, the
# **taps**. `conv3_2` is the second convolution of the third block, and from block to block the maps have half the
# size. Unless VGG-16 was fetched before, the course uses a small stand-in with the same taps; the first cell of the
# lesson said which one is at work.

# %%
with torch.no_grad():
    maps = lab.perceptual.features(photo)
names = ["conv1_1", "conv1_2", "conv3_2", "conv4_2"]
for name, m in zip(names, maps):
    print(f"{name}: {m.shape[1]:3d} maps of {m.shape[2]} x {m.shape[3]}")

# %% [markdown]
# The six liveliest maps of each tap, each from its smallest value (black) to its largest (white):

# %% tags=["nbval-ignore-output"]
lively = [m[0][m[0].flatten(1).std(dim=1).argsort(descending=True)[:6]] for m in maps]
grey = torch.cat([course.enlarge(m.cpu(), generator.resolution) for m in lively])
labels = [name if k == 0 else "" for name in names for k in range(6)]
course.show_maps(grey, labels, columns=6, size=128, alt="Six feature maps of each tap: edges, then patches")

# %% [markdown]
# In the first two taps the face is easy to see: they hold edges and colours, pixel by pixel. In conv4_2 a map has
# only a few places, and each of them says *that* something is there rather than where its edge runs.
#
# What is lost on the way? `invert_features` keeps the photo's features only, and looks for pixels that give the
# same ones again, for each tap by itself. No generator takes part.

# %% tags=["nbval-ignore-output"]
remembered = invert_features(lab.perceptual, photo, steps=200)
alt = "Pixels found for each tap: as the photo for conv1_1 and conv1_2, outlines in coloured grain for the deep ones"
course.show(torch.cat([remembered, photo]).cpu(), labels=[*names, "photo"], size=192, alt=alt)

# %% [markdown]
# The first taps remember nearly everything. The deep ones remember where the eyes and the hair are, and forget
# colours and fine texture: many images are the same to them, and coloured grain, which they do not see, stays.
#
# The paper adds up the squared differences of all four:
#
# $$L_{percept} = \sum_{j=1}^{4} \frac{\lambda_j}{N_j}\,\lVert F_j(G(w)) - F_j(I) \rVert^2$$
#
# $F_j$ is tap $j$, $G(w)$ the image, $I$ the photo, and $N_j$ the number of scalars in $F_j$, so that large maps
# do not outvote small ones.
#
# ### Exercise 3.4 (fill, difficulty 2 of 3, 8 minutes): the perceptual loss
#
# Given are `net`, whose `net.features(images)` is a list of four maps [N, C, H, W]; `images` and `target`; and
# four `weights`, the lambdas. Return the formula for each image by itself, a float tensor [N].
#
# <details><summary>Hint 1</summary>For each tap: squared difference, mean over C, H and W (that is the division
# by N_j), times the weight. Then the sum over the taps.</details>
# <details><summary>Hint 2</summary><code>zip(weights, net.features(images),
# net.features(target))</code></details>


# %%
def perceptual_loss(net, images, target, weights=(1.0, 1.0, 1.0, 1.0)):
    ### BEGIN SOLUTION
    taps = zip(weights, net.features(images), net.features(target))
    return sum(weight * (a - b).square().mean(dim=(1, 2, 3)) for weight, a, b in taps)
    ### END SOLUTION


# %%
checks.check_perceptual_loss(perceptual_loss)

# %% [markdown]
# Compare the four copies again, by both distances.

# %% tags=["nbval-ignore-output"]
labels = []
for name, copy in copies.items():
    features = perceptual_loss(lab.perceptual, copy, photo).item()
    labels.append(f"{name}\nMSE {mse(copy, photo).item():.4f}\nfeatures {features:.2f}")
course.show(torch.cat(list(copies.values())).cpu(), labels, size=192)

# %% [markdown]
# Which copy is the worst now? And which tap changed the ranking? Take the moved copy and the blurred one, and
# each tap alone:

# %% tags=["nbval-ignore-output"]
single = torch.eye(4).tolist()  # the weights (1, 0, 0, 0), (0, 1, 0, 0), ...
for name, weights in zip([*names, "all four"], [*single, [1.0] * 4]):
    far = [perceptual_loss(lab.perceptual, copies[kind], photo, weights).item() for kind in ("moved", "blurred")]
    nearer = "moved" if far[0] < far[1] else "blurred"
    print(f"{name:8s} moved {far[0]:.2f}, blurred {far[1]:.2f}: nearer is {nearer}")

# %% [markdown]
# The first taps rank as pixels do; they still compare place by place. The deep taps forgive a small shift, and they
# notice that the eyes are gone.
#
# ## 3.3 Each tap alone, with the generator
#
# Above, the pixels were free. Now the search moves a code, and the generator draws: what a tap does not ask for,
# the generator fills in with what it knows of faces. Four searches, the same but for the tap.

# %% tags=["nbval-ignore-output"]
options = {"generator": generator, "perceptual": lab.perceptual, "steps": 150, "progress": False}
alone = [i2s.embed(photo, mse_weight=0.0, tap_weights=weights, **options) for weights in single]

# %% tags=["nbval-ignore-output"]
alt = "The face as each of the four taps alone leads to it, and the photo: the first two smooth, the last two crisp"
course.show(torch.cat([result.image for result in alone] + [photo.cpu()]), [*names, "photo"], size=192, alt=alt)

# %% [markdown]
# Compare them with the row of free pixels above. Which ones have her colours, which ones a clear mouth and eyes?
# No tap does all of it; the paper adds up four.
#
# ## 3.4 Pixels, features, or both?
#
# ### Exercise 3.5 (ablate, difficulty 2 of 3, 10 minutes): leave a term out
#
# Embed `photo` three times by `embed(photo, mse_weight=..., tap_weights=..., **options)`: with pixels alone, with
# features alone, and with both, every weight being 1 where it is not 0. Return the results in a dict with the
# keys `"pixels"`, `"features"` and `"both"`. (`embed` is handed in, so that the check can watch how you call it.)
#
# <details><summary>Hint 1</summary>A weight of 0 leaves a term out; <code>tap_weights</code> are four
# numbers.</details>
# <details><summary>Hint 2</summary><code>embed(photo, mse_weight=0, tap_weights=(1, 1, 1, 1), **options)</code>
# is features alone.</details>


# %%
def three_losses(embed, photo, options):
    ### BEGIN SOLUTION
    return {
        "pixels": embed(photo, mse_weight=1, tap_weights=(0, 0, 0, 0), **options),
        "features": embed(photo, mse_weight=0, tap_weights=(1, 1, 1, 1), **options),
        "both": embed(photo, mse_weight=1, tap_weights=(1, 1, 1, 1), **options),
    }
    ### END SOLUTION


# %%
checks.check_three_losses(three_losses)

# %% tags=["nbval-ignore-output"]
options["steps"] = 250
results = three_losses(i2s.embed, photo, options)


def report(results):
    """What each result has reached, by both distances."""
    for name, result in results.items():
        features = perceptual_loss(lab.perceptual, result.image.to(lab.device), photo).item()
        print(f"{name:12s} PSNR {psnr(result.image, photo.cpu()).item():.1f} dB, features {features:.2f}")


report(results)
alt = "The face by pixels alone, somewhat soft; by features alone and by both, with clearer hair and mouth; the photo"
course.show(torch.cat([r.image for r in results.values()] + [photo.cpu()]), [*results, "photo"], size=192, alt=alt)

# %% [markdown]
# [PSNR](GLOSSARY.md#psnr) is MSE on a logarithmic scale; higher is closer. One would expect the search by pixels
# alone to come closest in pixels, since it looks at nothing else. Does it, after these few steps? Features can be the
# better guide on the way, even to the pixels. And look at eyes and mouth: pixels alone leave the small things soft, as
# section 3.1 promised. The paper found the same, and concludes that MSE alone is not enough.
#
# Features alone and both look much alike; which of them is a little ahead in the numbers is chance, since rounding sends
# two searches slightly different ways (lesson 4 shows it). Why do the pixels add so little?

# %% tags=["nbval-ignore-output"]
terms = {term: values[-1, 0].item() for term, values in results["both"].history.items()}
course.bars(terms, "part of the last loss")

# %% [markdown]
# ## 3.5 Weights, and the range behind them
#
# All $\lambda$ are 1, and still the pixel term is nearly nothing: 1 of what? Pixels in [0, 1] differ by little,
# and their squares by less. Raise the weight of the pixels and see at what size it starts to matter.

# %% tags=["nbval-ignore-output"]
weighted = {"weight 1": results["both"]}
for weight in (30, 1000):
    weighted[f"weight {weight}"] = i2s.embed(photo, mse_weight=weight, **options)
report(weighted)
alt = "The face with the pixels' weight at 1, at 30 and at 1000, and the photo: at 1000 as soft as by pixels alone"
course.show(torch.cat([r.image for r in weighted.values()] + [photo.cpu()]), [*weighted, "photo"], size=192, alt=alt)

# %% [markdown]
# With a weight that is large enough, the pixels outvote the features, and the image becomes that of pixels alone. What
# is large enough depends on the scale of the pixels.
#
# ### Exercise 3.6 (predict, difficulty 1 of 3, 3 minutes): from [0, 1] to [-1, 1]
#
# Some ports of the paper take the pixels in [0, 1], others in [-1, 1]. By which factor is the MSE larger in [-1,
# 1]? Set `factor` to a number.
#
# <details><summary>Hint 1</summary>A difference of 0.1 becomes a difference of 0.2.</details>
# <details><summary>Hint 2</summary>And then it is squared.</details>

# %%
factor = None
### BEGIN SOLUTION
factor = 4
### END SOLUTION

# %%
checks.check_range_factor(factor)

# %%
for pixel_range in [(0, 1), (-1, 1)]:
    term = PixelMSE(pixel_range=pixel_range)
    print(pixel_range, f"{term(copies['blurred'], term.prepare(photo))['mse'].item():.4f}")

# %% [markdown]
# So two ports that both say "$\lambda_{mse} = 1$" may follow different losses. The paper's text settles neither
# the range, nor whether VGG's input is normalised, nor if the maps are taken before or after the ReLU. `i2s` has
# a switch for each and names its defaults.
#
# ### Exercise 3.7 (diagnose, difficulty 2 of 3, 5 minutes): a loss of thousands
#
# A student writes the pixel term as `((images - target) ** 2).sum()`, for images of 256 px in [0, 1], and adds
# the perceptual loss as in the paper. The loss is in the thousands, and the images are as soft as those of pixels
# alone. Why? Set `cause` to one of the letters.
#
# - **A** the pixels should be divided by 255
# - **B** the division by $N$, the number of scalars, is missing, so the pixels outvote the features
# - **C** the square root is missing
#
# <details><summary>Hint 1</summary>How many numbers has an image of 3 x 256 x 256?</details>
# <details><summary>Hint 2</summary>Read the formula again: what stands below each lambda?</details>

# %%
cause = None
### BEGIN SOLUTION
cause = "B"
### END SOLUTION

# %%
checks.check_large_loss(cause)

# %% [markdown]
# ## 3.6 LPIPS, the reference
#
# **LPIPS** (Zhang et al. 2018) asks the same question with two refinements. The features of each place are scaled
# to length 1, so that contrast counts for less; and the channels are weighted so that the distance agrees with
# what people said of thousands of pairs. Its formula, on our own features and with all channels weighted alike:


# %%
def lpips_formula(net, images, target):
    """Features of length 1 at each place; squared difference, mean over the places, sum over the taps: [N]."""
    pairs = zip(net.features(images), net.features(target))
    return sum((F.normalize(a) - F.normalize(b)).square().sum(dim=1).mean(dim=(1, 2)) for a, b in pairs)


# %% [markdown]
# The original needs a network that must be fetched once. If it is not on this machine, the next cell says so, and
# the column stays empty.

# %% tags=["nbval-ignore-output"]
original = reference_lpips()
print(f"{'':14s}  features  formula  LPIPS")
for name, copy in (copies | {"half contrast": photo / 2}).items():
    ours = [f(lab.perceptual, copy, photo).item() for f in (perceptual_loss, lpips_formula)]
    theirs = f"{original(copy, original.prepare(photo))['lpips'].item():7.2f}" if original else "      -"
    print(f"{name:14s} {ours[0]:9.2f} {ours[1]:8.2f} {theirs}")

# %% [markdown]
# Compare the last row with the others, in both columns: the scaling to length 1 forgives a loss of contrast.
# LPIPS is the usual metric for embeddings; `i2s.losses.LPIPS` puts it into the loss too, as later methods do.
#
# ## What you have seen
#
# - [MSE](GLOSSARY.md#mse) prefers the mean of what is possible, which is blur, to something sharp a little off
#   its place.
# - The [perceptual loss](GLOSSARY.md#perceptual-loss) compares [feature maps](GLOSSARY.md#feature-map): early
#   taps see edges and colours at their place, deep ones see what is there, roughly where.
# - A weight means nothing without the range and the number of scalars that go with it.
# - [LPIPS](GLOSSARY.md#lpips) is the same idea, fitted to the judgement of people.
#
# **Ask yourself**
#
# <details><summary>Why is each sum of squares divided by its number of scalars?</summary>So that a map counts by
# its weight and not by its size, and a weight means the same at every resolution.</details>
# <details><summary>Which tap would you miss first, and why?</summary>Without conv4_2 nothing pulls eyes and mouth
# into place from afar; without conv1_1 and conv1_2 colours and fine edges are vague, as the inversions
# show.</details>
# <details><summary>Can two different images have a perceptual distance of nearly 0?</summary>Yes, a network
# forgets things: the inversion of conv4_2 is one such image, for that tap. The pixel term closes this
# hole.</details>
#
# **Next:** [lesson 4](04_optimization.ipynb): the search itself.
