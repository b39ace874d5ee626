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
# # 2. Z, W and W+: where can a photo live?
#
# | | |
# |---|---|
# | **Goals** | say how Z, W and W+ differ; embed a photo into each; measure how far a code is from ordinary faces; see what W+ costs |
# | **Before** | lesson 1 |
# | **Time** | about 50 minutes; the cells take about a minute on a laptop |
#
# ![Three latent spaces: Z is a ball, W a bent sheet inside a larger space, W plus a stack of one code for each layer](images/spaces.svg)

# %% tags=["nbval-ignore-output"]
import torch
from skimage import data

import i2s
from i2s import checks, course
from i2s.metrics import psnr

lab = course.setup()
generator = lab.generator

# %% [markdown]
# ## 2.1 Three spaces
#
# - **Z**: what random numbers fill. One vector $z$.
# - **W**: what the mapping network makes of it. One vector $w$, handed to every layer.
# - **W+**: a vector of its own *for each layer*. No $z$ leads there: it is a space that Image2StyleGAN opened (Abdal, Qin, Wonka 2019).
#
# ### Exercise 2.1 (predict, difficulty 1 of 3, 3 minutes): how many numbers?
#
# In the official network $w$ has 512 numbers and there are 18 layers. How many numbers has a code in W+? Set `official` to it, and `ours` to
# that of our generator, computed from `generator.num_ws` and `generator.w_dim`.
#
# <details><summary>Hint 1</summary>A row for each layer, a column for each number of w.</details>
# <details><summary>Hint 2</summary>18 times 512.</details>

# %%
official, ours = None, None
### BEGIN SOLUTION
official = 18 * 512
ours = generator.num_ws * generator.w_dim
### END SOLUTION

# %%
checks.check_numbers_in_w_plus(official, ours, generator)

# %% [markdown]
# ## 2.2 One photo in each
#
# Eileen Collins again. For W and W+ we have `i2s.embed`. For Z you write the loop; it is the paper's, with one more network in the way.
#
# ### Exercise 2.2 (fill, difficulty 2 of 3, 10 minutes): embed into Z
#
# Given `z` [1, z_dim] (a tensor that wants gradients), `loss_of(image)` (a number) and `steps`, do `steps` times: image of `z` by
# `generator.mapping` and `generator.synthesis`, loss, gradients set to zero, `backward`, one step of `adam`. Return the list of losses.
#
# <details><summary>Hint 1</summary><code>generator.synthesis(generator.mapping(z))</code> is the image.</details>
# <details><summary>Hint 2</summary>The order: <code>adam.zero_grad()</code>, <code>loss.backward()</code>, <code>adam.step()</code>, then
# <code>losses.append(loss.item())</code>.</details>


# %%
def embed_in_z(generator, z, loss_of, steps):
    adam = torch.optim.Adam([z], lr=0.05)
    losses = []
    ### BEGIN SOLUTION
    for _ in range(steps):
        loss = loss_of(generator.synthesis(generator.mapping(z)))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    ### END SOLUTION
    return losses


# %%
checks.check_embed_in_z(embed_in_z)

# %% tags=["nbval-ignore-output"]
from i2s.losses import ImageLoss

photo = i2s.load_photos(data.astronaut()[15:195, 135:315], generator.resolution).to(lab.device)
image_loss = ImageLoss(lab.perceptual)
prepared = image_loss.prepare(photo)
z = generator.sample_z(1, seed=6).requires_grad_()
losses_z = embed_in_z(generator, z, lambda image: sum(image_loss(image, prepared).values()).sum(), 150)
print(f"Z: loss {losses_z[0]:.2f} -> {losses_z[-1]:.2f}")

# %% tags=["nbval-ignore-output"]
options = {"generator": generator, "perceptual": lab.perceptual, "steps": 150, "progress": False}
in_w = i2s.embed(photo, space="w", **options)
in_w_plus = i2s.embed(photo, space="w+", **options)
with torch.no_grad():
    in_z = generator(z).cpu()
images = torch.cat([in_z, in_w.image, in_w_plus.image, photo.cpu()])
course.show(images, labels=["Z", "W", "W+", "photo"], size=192)

# %% tags=["nbval-ignore-output"]
curves = {"Z": losses_z, "W": in_w.loss[:150, 0], "W+": in_w_plus.loss[:150, 0]}
course.plot(curves, "step", "loss", log=True)

# %% [markdown]
# Z and W find *a* face like this one. Only W+ finds this one. In decibels of PSNR (mean squared error on a logarithmic scale; higher
# is closer):

# %% tags=["nbval-ignore-output"]
for name, image in zip(["Z", "W", "W+"], images):
    print(f"{name:2s} {psnr(image[None], photo.cpu()).item():.1f} dB")

# %% [markdown]
# ### Exercise 2.3 (diagnose, difficulty 2 of 3, 6 minutes): "my W is as good as W+"
#
# A port of the paper starts "W" like this, and reports that W is just as good as W+:
#
# ```python
# w = generator.w_mean.repeat(1, generator.num_ws, 1).requires_grad_()      # [1, num_ws, w_dim]
# adam = torch.optim.Adam([w])
# ```
#
# What is wrong? Set `cause` to `"A"`, `"B"` or `"C"`.
#
# - **A** the mean latent is no code of W
# - **B** the learning rate is missing
# - **C** each row is a number of its own for Adam: they start equal, and part at the first step
#
# <details><summary>Hint 1</summary>How many numbers does Adam move here? How many has a code in W?</details>
# <details><summary>Hint 2</summary>What is the gradient of row 0, and of row 5? Are they equal?</details>

# %%
cause = None
### BEGIN SOLUTION
cause = "C"
### END SOLUTION

# %%
checks.check_false_w(cause)

# %% [markdown]
# How `i2s` keeps W honest: one row is the parameter, and all layers read it. After an embedding in W, the rows are equal; after one in
# W+ they are not:

# %%
spread_of_rows = lambda code: code.std(dim=1).mean().item()  # noqa: E731
print("rows differ in W :", spread_of_rows(in_w.w_plus) > 0)
print("rows differ in W+:", spread_of_rows(in_w_plus.w_plus) > 0)

# %% [markdown]
# ## 2.3 The price: W+ embeds anything
#
# Here are a face, a cat and a cup of coffee, given to a generator that has seen nothing but faces.

# %% tags=["nbval-ignore-output"]
cat = data.chelsea()[15:285, 90:360]
cup = data.coffee()[20:400, 70:450]
three = torch.cat([photo.cpu()] + [i2s.load_photos(p, generator.resolution) for p in (cat, cup)])
everything = i2s.embed(three, space="w+", **{**options, "steps": 250})
only_w = i2s.embed(three, space="w", **{**options, "steps": 150})
sheet = torch.cat([three, only_w.image, everything.image])
names = ["face", "cat", "cup"]
course.show(sheet, labels=names + [f"{n} in W" for n in names] + [f"{n} in W+" for n in names], columns=3, size=160)

# %% [markdown]
# W answers with a face whatever we ask. W+ draws the cat: with so many free numbers, the layers can be talked into anything.
# That is the paper's surprise, and its price: a code that can hold a cat is no longer a code *of faces*. Measure how far
# from ordinary faces the codes lie.
#
# ### Exercise 2.4 (fill, difficulty 2 of 3, 8 minutes): how ordinary is a code?
#
# Most of W's directions hardly vary, so plain distance misleads. `i2s.latents` undoes the last bend of the mapping network and divides each principal direction by its
# spread: `statistics.whiten(w)` has about mean 0 and spread 1 in each number for random codes (the P space of Zhu et al. 2020). Given `w_plus`
# [N, num_ws, w_dim], return the root of the mean square of the whitened numbers, one number for each code, [N]: about 1 means ordinary.
#
# <details><summary>Hint 1</summary><code>statistics.whiten(w_plus)</code> keeps the shape.</details>
# <details><summary>Hint 2</summary>Square, mean over dims 1 and 2, root.</details>

# %%
from i2s.latents import latent_statistics

statistics = latent_statistics(generator)


def strangeness(w_plus, statistics):
    ### BEGIN SOLUTION
    return statistics.whiten(w_plus).square().mean(dim=(1, 2)).sqrt()
    ### END SOLUTION


# %%
checks.check_strangeness(strangeness)

# %% tags=["nbval-ignore-output"]
ordinary = strangeness(generator.mapping(generator.sample_z(500, seed=2)), statistics).median().item()
bars = {"random faces": ordinary}
bars["face, Z"] = strangeness(generator.mapping(z.detach()), statistics).item()
for name, in_wide, in_narrow in zip(names, everything.w_plus, only_w.w_plus):
    bars[f"{name}, W"] = strangeness(in_narrow[None].to(lab.device), statistics).item()
    bars[f"{name}, W+"] = strangeness(in_wide[None].to(lab.device), statistics).item()
course.bars(bars, "strangeness", size=(8, 3))

# %% [markdown]
# A code found in Z is ordinary, because it comes out of the mapping network like all others. In W and in W+ nothing holds it there: the descent
# goes wherever the loss falls, and where the picture is no face, it goes furthest. In W all layers still have to agree on one row, so what is drawn stays face-like;
# in W+ each goes its own way. Later papers add a term to the loss that pulls codes back (II2S, Zhu et al. 2020).
#
# ## 2.4 Between two codes
#
# Codes of faces lie on a **manifold**: walk from one to the other, and every stop is a face. Codes of a cat and a cup do not.
# Each row below is a straight line in W+.

# %% tags=["nbval-ignore-output"]
lam = torch.linspace(1, 0, 6)
face, cat_code, cup_code = everything.w_plus
other = generator.mapping(generator.sample_z(1, seed=40), truncation_psi=0.7)[0].cpu()
walks = {"face to face": (face, other), "cat to cup": (cat_code, cup_code), "face to cat": (face, cat_code)}
with torch.no_grad():
    frames = torch.cat([generator.synthesis(i2s.morph(a, b, lam).to(lab.device)).cpu() for a, b in walks.values()])
course.show(frames, labels=[f"{name} {1 - x:.1f}" for name in walks for x in lam.tolist()], columns=6)

# %% [markdown]
# > **Look.** Between two faces there are faces. Between a cat and a cup something face-like shines through: the way leads past the region where
# > the generator knows what to draw, and what it knows is faces.
#
# ### Exercise 2.5 (explain, difficulty 1 of 3, 4 minutes): which space would you choose?
#
# A museum wants to (a) restore a damaged portrait exactly, and (b) let visitors walk smoothly from their own face to the portrait's. Write which of W and W+ you
# would choose for (a) and for (b), and why, in two or three sentences.
#
# <details><summary>Hint 1</summary>Which space came closest to the photo?</details>
# <details><summary>Hint 2</summary>Which space answered with a face whatever it was asked?</details>

# %%
answer = ""
### BEGIN SOLUTION
answer = (
    "For (a) W+, because only there is the image close enough to the portrait to count as a restoration. "
    "For (b) W: all layers agree there, so whatever it draws is a face, and every stop of the walk is one; "
    "the visitors will forgive that it is not exactly theirs."
)
### END SOLUTION

# %%
checks.check_choice_of_space(answer)

# %% [markdown]
# ## What you have seen
#
# - [Z](GLOSSARY.md#z) and [W](GLOSSARY.md#w) hold ordinary faces; [W+](GLOSSARY.md#w-plus) holds almost any picture.
# - The more a space can hold, the less its codes mean: cat and cup lie far from ordinary codes in [P space](GLOSSARY.md#p-space).
# - Lines between codes on the [manifold](GLOSSARY.md#manifold) stay among faces; others leave it.
#
# **Ask yourself**
#
# <details><summary>Why not search in Z?</summary>z is seen through its direction only and through the mapping network: few images can be
# reached, and none that the mapping does not offer.</details>
# <details><summary>How many rows of a code in W are free?</summary>One; all layers read the same.</details>
# <details><summary>Is a smaller loss always a better code?</summary>No: it may draw the photo and be useless for editing.</details>
#
# **Next:** [lesson 3](03_loss_design.ipynb): what "close to the photo" should mean.
