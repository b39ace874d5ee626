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
# ![A woman's face as found by pixels alone, soft and with a blurred crown of hair; by features alone and by both, with clear eyes and strands of hair; and her photo](images/lesson03.jpg)
#
# *One photo, one generator, the same number of steps; only the loss differs.*
#
# | | |
# |---|---|
# | **Goals** | say where MSE misleads and why; write the perceptual loss; know what each feature map contributes; choose weights; test a claim by leaving a part out |
# | **Before** | lesson 2 |
# | **Time** | about 70 minutes; the cells take about two minutes on a laptop |
# | **You will see** | four changed copies and two opinions on them; what a network remembers of a photo; one face, three losses |
#
# ![The loss: image and photo are compared pixel by pixel, and by four feature maps of VGG-16](images/loss.svg)

# %% tags=["nbval-ignore-output"]
import torch
import torch.nn.functional as F
from skimage import data

import i2s
from i2s import course
from i2s.course import lesson03 as checks
from i2s.course.lesson03 import (
    blur,
    brighten,
    invert_features,
    lpips_of_the_copies,
    shift,
    starts_near_the_mean,
    warp,
)
from i2s.losses import ImageLoss, PixelMSE
from i2s.metrics import psnr, ssim

lab = course.setup(steps=1540)
generator = lab.generator
photo = i2s.load_photos(data.astronaut()[15:195, 135:315], generator.resolution).to(lab.device)

# %% [markdown]
# ## 3.1 Four changed copies
#
# The search of lesson 2 followed one number, the loss. What should it be? The simplest is the **mean squared error**,
# [MSE](GLOSSARY.md#mse): the difference of each pixel from the pixel at the same position, squared, and the mean of
# all.
#
# Here are four changed copies of the photo.

# %%
copies = {
    "shifted": shift(photo, 3),
    "warped": warp(photo, 2.5),
    "brighter": brighten(photo, 0.3),
    "blurred": blur(photo, 3.5),
}
alt = (
    "The photo of a smiling woman; shifted, warped a little, brighter: three clear "
    "faces; blurred: a face without clear eyes"
)
course.show(torch.cat([photo, *copies.values()]).cpu(), ["photo", *copies], columns=3, alt=alt)

# %% [markdown]
# One is shifted to the right by three pixels of 128, one is warped a little as if drawn on rubber, one is brighter,
# one is blurred. Which would you accept as a portrait of her? Keep your answer in mind.
#
# ### Exercise 3.1 (predict, difficulty 1 of 3, 3 minutes): shifted or blurred?
#
# Divide the MSE of the *shifted* copy by that of the *blurred* one: what comes out? 1 means that both are equally far
# from the photo, 0.5 that the shifted copy has half the error. Set `ratio` to a number before you run on.
#
# <details><summary>Hint 1</summary>Follow the edge of the hair in both copies: at how many pixels does each of them
# differ from the photo?</details>
# <details><summary>Hint 2</summary>And by how much? Squaring makes one large difference count more than several small
# ones.</details>

# %%
ratio = None
### BEGIN SOLUTION
ratio = 2
### END SOLUTION

# %%
checks.check_shift_against_blur(ratio, photo, copies)

# %% [markdown]
# Now write the measure, to have it for all four.
#
# ### Exercise 3.2 (fill, difficulty 1 of 3, 5 minutes): MSE
#
# Given `images` and `target`, both [N, 3, H, W] in [-1, 1], return the MSE of each image by itself, [N], with the
# pixels taken in **[0, 1]**: 0 for equal images, 1 for black against white.
#
# <details><summary>Hint 1</summary>Which formula brings x from [-1, 1] to [0, 1]? Apply it to both images: what
# happens to their difference?</details>
# <details><summary>Hint 2</summary>A mean can run over several dimensions at once; the first, the images, is not one
# of them.</details>


# %%
def mse(images, target):
    ### BEGIN SOLUTION
    return ((images - target) / 2).square().mean(dim=(1, 2, 3))
    ### END SOLUTION


# %%
checks.check_mse(mse)

# %%
for name, copy in copies.items():
    print(f"{name:9s} MSE {mse(copy, photo).item():.4f}")

# %% [markdown]
# To MSE, the blurred copy is the nearest of the four: the one that few people would accept. The shifted one has more
# than twice its error. If your ratio was below 1, you judged as people do. MSE compares pixel with pixel, and beside
# an edge that has moved, every pixel is wrong.
#
# This is no accident. Suppose that a search does not know yet where exactly the face is: it may be at any of five
# positions. Which single image is nearest to all five?

# %%
five = torch.cat([shift(photo, k) for k in (-6, -3, 0, 3, 6)])
mean_image = five.mean(dim=0, keepdim=True)
labels = ["-6", "-3", "0", "+3", "+6", "mean of the five"]
alt = "The photo at five positions, each sharp, and the mean of the five, in which every upright edge is smeared"
course.show(torch.cat([five, mean_image]).cpu(), labels, columns=3, alt=alt)

# %%
guesses = {"the sharp one in the middle": photo, "the mean of the five": mean_image}
for name, image in guesses.items():
    error = mse(image.expand_as(five), five).mean().item()
    print(f"{name:27s} MSE to all five: {error:.4f}")

# %% [markdown]
# The smeared mean is nearer to the five sharp faces than even the one in the middle is.
#
# ### Exercise 3.3 (explain, difficulty 2 of 3, 4 minutes): why blur wins
#
# Write into the string `answer`, in two or three sentences: why does a search that follows MSE alone draw a blurred
# edge when it is not sure where the edge is? (The check reads English, and looks for two points.)
#
# <details><summary>Hint 1</summary>A pixel is 0 in some of the five and 1 in the others. Which number would you write
# there, if each error is squared?</details>
# <details><summary>Hint 2</summary>What is the price of a sharp edge if it turns out to be somewhere else?</details>

# %%
answer = ""
### BEGIN SOLUTION
answer = (
    "A sharp edge at the wrong position is wrong by the full step between dark and "
    "light, and squaring makes large errors expensive. The value with the smallest "
    "mean squared difference to all possible positions is their mean, and the mean of "
    "many shifted edges is a blurred edge."
)
### END SOLUTION

# %%
checks.check_why_blur(answer)

# %% [markdown]
# ## 3.2 What a perceptual network sees
#
# A network that has learned to name what is in photos has learned to look at them. The paper takes
# [VGG-16](GLOSSARY.md#vgg), trained on [**ImageNet**](GLOSSARY.md#imagenet) (1.3 million photos of a thousand kinds
# of things), freezes it, and compares the [feature maps](GLOSSARY.md#feature-map) of four of its layers, the
# **taps**. `conv3_2` is the second convolution of the third block; from block to block the maps have half the size,
# and each of their positions sees a larger patch of the photo, its [**receptive
# field**](GLOSSARY.md#receptive-field).
#
# Unless VGG-16 was fetched before, the course uses a small network with taps of the same names, which was trained to
# give the distances of two larger ones, VGG-19 and SqueezeNet (it was [**distilled**](GLOSSARY.md#distillation) from
# them). The first cell printed which network is at work.

# %%
with torch.no_grad():
    maps = lab.perceptual.features(photo)
names = ["conv1_1", "conv1_2", "conv3_2", "conv4_2"]
for name, m in zip(names, maps):
    print(f"{name}: {m.shape[1]:3d} maps of {m.shape[2]} x {m.shape[3]}")

# %% [markdown]
# The six maps of each tap that vary most (by their [standard deviation](GLOSSARY.md#standard-deviation)), each from
# its smallest value (black) to its largest (white):


# %% tags=["nbval-ignore-output"]
def most_varied(m, count=6):
    return m[0][m[0].flatten(1).std(dim=1).argsort(descending=True)[:count]].cpu()


grey = torch.cat([course.enlarge(most_varied(m), generator.resolution) for m in maps])
labels = [name if k == 0 else "" for name in names for k in range(6)]
alt = (
    "Six feature maps of each tap: the face in fine lines for conv1_1 and conv1_2, "
    "coarse patches for conv3_2 and conv4_2"
)
course.show_maps(grey, labels, columns=6, size=128, alt=alt)

# %% [markdown]
# In the first two taps the face is easy to see: they hold edges and colours, pixel by pixel. In conv4_2 a map has 16
# x 16 positions, and each of them says *that* something is there rather than where its edge runs.
#
# What is lost on the way? `invert_features` takes the photo's maps of one tap, and searches for pixels that give the
# same maps. No generator takes part.

# %% tags=["nbval-ignore-output"]
remembered = []
for k, name in enumerate(names):
    remembered.append(invert_features(lab.perceptual, photo, tap=k, steps=100))
    print(f"{name}: PSNR {psnr(remembered[-1], photo).item():.1f} dB")

# %% tags=["nbval-ignore-output"]
alt = (
    "Pixels found for each tap: like the photo for conv1_1 and conv1_2; the "
    "outlines of the face in coloured grain for the deep ones"
)
course.show(torch.cat([*remembered, photo]).cpu(), [*names, "photo"], columns=3, alt=alt)

# %% [markdown]
# The first taps remember nearly everything. The deep ones remember where the eyes and the hair are, and forget
# colours and where exactly an edge runs: many images are the same to them, and coloured grain, which they do not see,
# stays.
#
# The paper adds up the squared differences of all four:
#
# $$L_{percept} = \sum_{j=1}^{4} \frac{\lambda_j}{N_j}\,\lVert F_j(G(w)) - F_j(I) \rVert^2$$
#
# $F_j$ is tap $j$, $G(w)$ the image, $I$ the photo, and $N_j$ the number of scalars in $F_j$ of one image, so that
# large maps do not outvote small ones. This is the [perceptual loss](GLOSSARY.md#perceptual-loss).
#
# ### Exercise 3.4 (fill, difficulty 2 of 3, 10 minutes): the perceptual loss
#
# Given are `net`, whose `net.features(images)` is a list of four maps [N, C, H, W] of different sizes; `images` and
# `target`, [N, 3, H, W]; and four `weights`, the lambdas. Return the formula for each image by itself, [N]. A search
# has to follow it, so its gradient must reach `images`.
#
# <details><summary>Hint 1</summary>Begin with one tap: what is the squared norm divided by the number of scalars, in
# one word?</details>
# <details><summary>Hint 2</summary><code>zip</code> walks through the weights, the maps of the images and those of
# the target together. Anything that turns a tensor into a plain number loses the gradient.</details>


# %%
def perceptual_loss(net, images, target, weights=(1.0, 1.0, 1.0, 1.0)):
    ### BEGIN SOLUTION
    loss = 0
    for weight, a, b in zip(weights, net.features(images), net.features(target)):
        loss = loss + weight * (a - b).square().mean(dim=(1, 2, 3))
    return loss
    ### END SOLUTION


# %%
checks.check_perceptual_loss(perceptual_loss)

# %% [markdown]
# With `mse` and `perceptual_loss` you have written the loss of the paper. The library's differs in speed only:

# %% tags=["nbval-ignore-output"]
library = ImageLoss(lab.perceptual)
library_terms = library(copies["warped"], library.prepare(photo))
yours = mse(copies["warped"], photo) + perceptual_loss(lab.perceptual, copies["warped"], photo)
total = torch.stack(list(library_terms.values())).sum()
print(f"yours {yours.item():.6f}, the library's {total.item():.6f}")

# %% [markdown]
# Compare the four copies again, by both distances.

# %% tags=["nbval-ignore-output"]
labels = []
for name, copy in copies.items():
    features = perceptual_loss(lab.perceptual, copy, photo).item()
    labels.append(f"{name}\nMSE {mse(copy, photo).item():.4f}\nfeatures {features:.2f}")
alt = "The four changed copies with both distances: by features the blurred one is the farthest"
course.show(torch.cat(list(copies.values())).cpu(), labels, alt=alt)

# %% [markdown]
# Now the blurred copy is the farthest, and the brighter one the nearest. Which tap has changed the ranking? Take the
# shifted copy and the blurred one, and each tap alone:

# %% tags=["nbval-ignore-output"]
single = torch.eye(4).tolist()  # the weights (1, 0, 0, 0), (0, 1, 0, 0), ...
for name, weights in zip([*names, "all four"], [*single, [1.0] * 4]):
    shifted, blurred = (
        perceptual_loss(lab.perceptual, copies[kind], photo, weights).item() for kind in ("shifted", "blurred")
    )
    nearer = "shifted" if shifted < blurred else "blurred"
    print(f"{name:8s} shifted {shifted:.2f}, blurred {blurred:.2f}: nearer is {nearer}")

# %% [markdown]
# The first taps rank the two as pixels do: they, too, compare position by position. The deep taps forgive a small
# shift, and notice that the details are gone.
#
# ## 3.3 Each tap alone, with the generator
#
# Above, the pixels were free. Now the search moves a code, and the generator draws: what a tap does not ask for, the
# generator fills in with what it knows of faces. Here are four searches, the same but for the tap. (All searches with
# the generator in this lesson run for 70 steps at a learning rate of 0.03, three times the paper's, to save time.)
#
# Three measures will go with every image. PSNR is the pixel loss on another scale ([PSNR](GLOSSARY.md#psnr): higher
# is closer), *features* is the perceptual loss. A search that follows one of them is not a fair judge of itself, so
# here is a third that no search of this lesson follows: [SSIM](GLOSSARY.md#ssim) compares mean, contrast and pattern
# of small windows, 1 for equal images.


# %%
def report(name, image):
    """Print how near an image is to the photo, by three measures."""
    features = perceptual_loss(lab.perceptual, image.to(lab.device), photo).item()
    pixels, windows = (measure(image, photo).item() for measure in (psnr, ssim))
    print(f"{name:18s} PSNR {pixels:.1f} dB, SSIM {windows:.3f}, features {features:.2f}")


options = {"generator": generator, "perceptual": lab.perceptual}
options |= {"steps": 70, "learning_rate": 0.03}

# %% tags=["nbval-ignore-output"]
alone = {}
for name, weights in zip(names, single):
    alone[name] = i2s.embed(photo, mse_weight=0, tap_weights=weights, **options).image
    report(f"{name} alone", alone[name])

# %% tags=["nbval-ignore-output"]
alt = (
    "The face as each of the four taps alone leads to it, and the photo: smooth "
    "hair for the first two, strands of hair and wrong colours for the last two"
)
course.show(torch.cat([*alone.values(), photo.cpu()]), [*alone, "photo"], columns=3, alt=alt)

# %% [markdown]
# Compare with the free pixels above. The first two taps alone come near in every pixel, and leave the hair smooth.
# The deep taps alone draw strands of hair, and lose colours and PSNR: 32 x 32 or 16 x 16 positions do not say where
# exactly an edge is. Early and deep taps see different things; the paper adds up all four.
#
# ## 3.4 Which tap would you miss?
#
# A picture of each part alone does not say what the part does in the whole. The usual test is an
# [**ablation**](GLOSSARY.md#ablation): leave one part out, keep everything else, and compare with the complete loss,
# the **baseline**.
#
# ### Exercise 3.5 (predict, difficulty 2 of 3, 4 minutes): without conv4_2
#
# conv4_2 is the deepest tap, often said to know about eyes and mouth. In the searches that follow, one tap at a time
# is left out of the full loss, and then two. By how many dB does PSNR change when conv4_2 is left out? Set `decibels`:
# -2 means 2 dB lower than with the full loss, +2 means 2 dB higher.
#
# <details><summary>Hint 1</summary>Who puts eyes and mouth where they are when the search begins?</details>
# <details><summary>Hint 2</summary>Which tap's opinion on the blurred copy was nearest to that of the pixels, and
# which one's was farthest?</details>

# %%
decibels = None
### BEGIN SOLUTION
decibels = -1
### END SOLUTION

# %% tags=["nbval-ignore-output"]
left_out = {}
kept = {"full loss": (1, 1, 1, 1)}
kept |= {"no conv1_1": (0, 1, 1, 1), "no conv1_2": (1, 0, 1, 1)}
kept |= {"no conv3_2": (1, 1, 0, 1), "no conv4_2": (1, 1, 1, 0)}
kept |= {"neither early": (0, 0, 1, 1), "neither deep": (1, 1, 0, 0)}
for name, weights in kept.items():
    left_out[name] = i2s.embed(photo, tap_weights=weights, **options).image
    report(name, left_out[name])
without, whole = (psnr(left_out[name], photo) for name in ("no conv4_2", "full loss"))
checks.check_left_out(decibels, (without - whole).item())

# %% tags=["nbval-ignore-output"]
alt = (
    "The faces by the full loss and with one tap left out look much alike; without both early "
    "taps the background is bluish, without both deep ones the hair is soft; last the photo"
)
course.show(torch.cat([*left_out.values(), photo.cpu()]), [*left_out, "photo"], alt=alt)

# %% [markdown]
# Without conv4_2 PSNR does not fall. It rises a little, by hardly more than chance (section 3.5 tells how much that
# is). Eyes and mouth are in place in every picture: the mean latent has put them there before the search begins. Is
# conv4_2 useless then? Without conv3_2 little changes either: the two see similar things, and one stands in for the
# other. Leaving out both shows what they are for: PSNR is nearly the highest, but the strands of the hair are gone, and
# *features* is as bad as without the early pair. Without both early taps PSNR falls the most (without conv1_1 alone by
# about half as much), and colours and contrast are off. What a part is for shows in a measure that can see it.
#
# ## 3.5 Pixels, features, or both?
#
# ### Exercise 3.6 (ablate, difficulty 2 of 3, 10 minutes): leave a whole term out
#
# Embed `photo` three times by `embed(photo, mse_weight=..., tap_weights=..., **options)`: with pixels alone, with
# features alone, and with both, every weight being 1 where it is not 0. Return the results in a dict with the keys
# `"pixels"`, `"features"` and `"both"`. (`embed` is handed in, so that the check can watch how you call it.)
#
# <details><summary>Hint 1</summary>Which weight has to be 0 so that a term does not count?</details>
# <details><summary>Hint 2</summary><code>tap_weights</code> takes four numbers, also where all are 0.</details>


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

# %% [markdown]
# One run proves little: how much of a difference is chance? So each search starts from three points, the mean latent
# and two random codes close to it; three photos in a batch are three searches. What do you expect of PSNR? The search
# by pixels alone should come closest in pixels, since it follows nothing else.

# %% tags=["nbval-ignore-output"]
start = starts_near_the_mean(generator, 3)
results = three_losses(i2s.embed, photo.repeat(3, 1, 1, 1), options | {"start": start})

# %% tags=["nbval-ignore-output"]
for name, result in results.items():
    for number, image in enumerate(result.image):
        report(f"{name}, start {number}", image[None])

# %% tags=["nbval-ignore-output"]
alt = (
    "The face by pixels alone, soft, with smooth hair; by features alone and by "
    "both, with clear eyes and strands of hair; the photo"
)
faces = torch.cat([r.image[:1] for r in results.values()] + [photo.cpu()])
course.show(faces, [*results, "photo"], alt=alt)

# %% [markdown]
# Is the search by pixels alone ahead in PSNR, its own measure? Compare the ranges over the three starts: it leads
# *features* by very little, and *both* not at all. It is behind in SSIM, which no search follows, and far behind in
# *features*, and one sees why: it has smoothed the hair and left eyes and mouth soft, as section 3.1 predicted.
# Features are a better guide on the way. The paper found the same, and concludes that MSE alone is not enough.
#
# *Features* and *both* overlap or touch in all three measures: *both* is a little ahead on average, by no more than the
# starts differ among themselves.
#
# ## 3.6 A guide, or a leash?
#
# The perceptual loss is often explained as [**regularisation**](GLOSSARY.md#regularisation): something that keeps the
# search in the right region of the latent space. That can be tested. How far did the codes go from the mean latent,
# and how much do their rows disagree with each other (in a code of W they are all alike)?


# %% tags=["nbval-ignore-output"]
def measure_code(w_plus):
    """Distances from the mean latent and between the rows, root mean square."""
    away = (w_plus - generator.w_mean).square().mean(dim=(1, 2)).sqrt()
    between = w_plus.std(dim=1, correction=0).square().mean(dim=1).sqrt()
    return away, between


codes = {name: result.w_plus.to(lab.device) for name, result in results.items()}
codes["random faces"] = generator.mapping(generator.sample_z(100, seed=0))
for name, code in codes.items():
    away, between = measure_code(code)
    numbers = [f"{x.min().item():.3f} to {x.max().item():.3f}" for x in (away, between)]
    print(f"{name:12s} from the mean {numbers[0]}, between the rows {numbers[1]}")

# %% [markdown]
# It is no leash. The code of pixels alone lies *nearer* to the mean latent than that of both, and its rows agree
# more; all are nearer than random faces are. But does one of them break sooner when it is edited? Here are two edits of
# each: a step half-way to another face, and the fine rows of that face.

# %%
other = generator.mapping(generator.sample_z(4, seed=3))[3:]
other = generator.w_mean + 0.7 * (other - generator.w_mean)  # truncated
edited = {}
for name in ("pixels", "both"):
    code = codes[name][:1]
    edited[name] = code
    edited[f"{name}, half-way"] = code.lerp(other, 0.5)
    edited[f"{name}, fine rows"] = torch.cat([code[:, :8], other[:, 8:]], dim=1)

# %% tags=["nbval-ignore-output"]
alt = (
    "For pixels and for both: the face found, the face half-way to another person, "
    "and the face with the fine rows of that person; all six are clean faces, those "
    "of pixels softer"
)
with torch.no_grad():
    faces = generator.synthesis(torch.cat(list(edited.values()))).cpu()
course.show(faces, list(edited), columns=3, alt=alt)

# %% [markdown]
# Both take the edits alike; what was soft stays soft. So with this generator, after so few steps, the perceptual loss
# is a guide rather than a leash: it says more precisely what to draw, and does not hold the code back. What keeps a
# code near the faces is where the search starts, when it stops, or a penalty on the distance (lesson 5 tries one).
#
# ## 3.7 Weights, and the range behind them
#
# Back to *pixels* and *both*: which of the five terms does a search follow when all weights are 1?

# %% tags=["nbval-ignore-output"]
terms = {term: values[-1, 0].item() for term, values in results["both"].history.items()}
course.bars(terms, "part of the last loss")

# %% [markdown]
# All $\lambda$ are 1, and still the pixel term is nearly nothing. One times what? Pixels in [0, 1] differ by little,
# and the squares of these differences are smaller still. That is why *features* and *both* look alike. Now with larger
# weights of the pixels:

# %% tags=["nbval-ignore-output"]
weighted = {"weight 1": results["both"].image[:1]}
for weight in (30, 1000):
    weighted[f"weight {weight}"] = i2s.embed(photo, mse_weight=weight, **options).image
for name, image in weighted.items():
    report(name, image)

# %% tags=["nbval-ignore-output"]
faces = torch.cat([*weighted.values(), photo.cpu()])
alt = "The face with the pixels' weight at 1, at 30 and at 1000, and the photo: at 1000 as soft as by pixels alone"
course.show(faces, [*weighted, "photo"], alt=alt)

# %% [markdown]
# At 30, both terms count: PSNR gains a little and *features* loses a little, each just beyond the range of *both* in
# section 3.5. At 1000 the pixels outvote the features, and the soft image of pixels alone is back. Which weight is
# large enough depends on the scale of the pixels.
#
# ### Exercise 3.7 (predict, difficulty 2 of 3, 4 minutes): three ranges
#
# Some ports of the paper take the pixels in [0, 1], others in [-1, 1], others in 0..255. The same two images have one
# MSE in [0, 1]. How many times as large is it in [-1, 1], and how many times in 0..255? Set `signed` and `in_bytes`.
#
# <details><summary>Hint 1</summary>Take one pixel that differs by 0.1 in [0, 1]: by how much does it differ in the
# other ranges?</details>
# <details><summary>Hint 2</summary>MSE is a mean of squares.</details>

# %%
signed, in_bytes = None, None
### BEGIN SOLUTION
signed = 4
in_bytes = 255**2
### END SOLUTION

# %%
checks.check_range_factors(signed, in_bytes)

# %%
for pixel_range in [(0, 1), (-1, 1), (0, 255)]:
    term = PixelMSE(pixel_range=pixel_range)
    value = term(copies["blurred"], term.prepare(photo))["mse"].item()
    print(f"{pixel_range!s:8s} {value:10.4f}")

# %% [markdown]
# So ports that all say "$\lambda_{mse} = 1$" may follow quite different losses. The paper's text settles neither the
# range, nor whether VGG's input is normalised, nor whether the maps are taken before or after the ReLU. `i2s` has a
# switch for each and names its defaults.
#
# ### Exercise 3.8 (diagnose, difficulty 2 of 3, 5 minutes): a loss of thousands
#
# A student writes the pixel term as `((images - target) ** 2).sum()`, for images of 256 px in [0, 1], and adds the
# perceptual loss as in the paper. The loss is in the thousands, and the images are as soft as those of pixels alone.
# The formula of the paper would give the same search at another $\lambda_{mse}$: which? Set `equivalent` to it.
#
# <details><summary>Hint 1</summary>Read the formula again: what stands below each lambda?</details>
# <details><summary>Hint 2</summary>How many numbers does an image of 256 x 256 pixels hold?</details>

# %%
equivalent = None
### BEGIN SOLUTION
equivalent = 3 * 256 * 256
### END SOLUTION

# %%
checks.check_sum_weight(equivalent)

# %% [markdown]
# ## 3.8 LPIPS, the usual reference
#
# [**LPIPS**](GLOSSARY.md#lpips) (Zhang et al. 2018) asks the same question with two refinements. The features of each
# position are scaled to length 1, so that contrast counts for less; and each channel has a weight, fitted so that the
# distance agrees with what people said of thousands of pairs. Its formula, on our own features and with all channels
# weighted alike:


# %%
def lpips_formula(net, images, target):
    """Unit length at each position; squared difference, mean, sum over the taps: [N]."""
    total = 0
    for a, b in zip(net.features(images), net.features(target)):
        total += (F.normalize(a) - F.normalize(b)).square().sum(dim=1).mean(dim=(1, 2))
    return total


# %% [markdown]
# The original needs a network that must be fetched once (5 MB, `lpips_of_the_copies(photo, more, fetch=True)`). If it
# is not on this machine, the last column holds numbers measured before, for these very copies; the line above the
# table says so. One more copy joins them, the photo at half its contrast. Where will it rank?

# %% tags=["nbval-ignore-output"]
more = copies | {"half contrast": photo / 2}
original = lpips_of_the_copies(photo, more)
print(f"{'':14s}    MSE  features  formula  LPIPS")
for name, copy in more.items():
    pixels = mse(copy, photo).item()
    ours = [f(lab.perceptual, copy, photo).item() for f in (perceptual_loss, lpips_formula)]
    print(f"{name:14s} {pixels:.4f} {ours[0]:9.2f} {ours[1]:8.2f} {original[name]:6.3f}")

# %% [markdown]
# Three favourites: MSE takes the blurred copy for the nearest, *features* the brighter one, and the last two columns
# the photo at half its contrast, which to MSE is as far away as the shifted one. Scaling to length 1 forgives a loss of
# contrast. All but MSE put the blurred copy last, LPIPS by far.
#
# LPIPS is the usual metric for embeddings, and `i2s.losses.LPIPS` puts it into the loss too, as later methods do. But
# a judge that shares features with the loss is a partial one: LPIPS rests on VGG, AlexNet or SqueezeNet, the paper's
# loss on VGG, and our small network was distilled from VGG-19 and SqueezeNet. A search that follows such features
# scores well by them. Report a measure beside it that the search did not see, as SSIM here, and look at the images.
#
# ## What you have seen
#
# - [MSE](GLOSSARY.md#mse) prefers the mean of what is possible, which is blur, to something sharp a little off its
#   position.
# - The [perceptual loss](GLOSSARY.md#perceptual-loss) compares [feature maps](GLOSSARY.md#feature-map): early taps
#   see edges and colours at their position, deep ones see what is there, roughly where.
# - An ablation tells what a part is for, if the measure can see it: without the early taps colours go wrong, without
#   the deep ones the strands of hair go, and PSNR notices the first only.
# - A weight means nothing without the range and the number of scalars that go with it.
# - [LPIPS](GLOSSARY.md#lpips) is the same idea, fitted to the judgement of people.
#
# **Ask yourself**
#
# <details><summary>Why is each sum of squares divided by its number of scalars?</summary>So that a map counts by its
# weight and not by its size, and a weight means the same at every resolution.</details>
# <details><summary>Leaving out conv4_2 costs no PSNR. Why is that no proof that deep taps are useless?</summary>Its
# neighbour conv3_2 does the same work, and PSNR does not see what they bring: without both, fine texture such as hair
# is gone.</details>
# <details><summary>Can two different images have a perceptual distance of nearly 0?</summary>Yes, a network forgets
# things. Section 3.2 searched for such images, one tap at a time, and what it found for the deep taps does not look
# like the photo. The early taps and the pixel term close this hole.</details>
#
# **Go on by yourself**
#
# - Two pairs of taps were left out above. Try the other four, such as `tap_weights=(0, 1, 0, 1)`. Which pair would you
#   miss most?
# - Do the ablation with a photo of your own, `i2s.load_photos("file.jpg", generator.resolution)`. Does PSNR change in
#   the same direction?
# - Replace MSE by the mean absolute difference (`i2s.losses.PixelL1`). Which single value is nearest to several
#   numbers then, and what does that do to an edge?
#
# **Next:** [lesson 4](04_optimization.ipynb): the search itself.
