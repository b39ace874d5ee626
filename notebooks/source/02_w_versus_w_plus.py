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
# | **Goals** | say how Z, W and W+ differ; embed a photo into each; measure how ordinary a code is; say what W+ costs |
# | **Before** | lesson 1 |
# | **Time** | about 60 minutes; the cells take about a minute and a half on a laptop |
# | **You will see** | one face found in three spaces; a cat and a cup drawn by a network that knows only faces |
#
# ![Three latent spaces: Z is a ball, W a bent region in a larger space, W plus a row for each layer](images/spaces.svg)

# %% tags=["nbval-ignore-output"]
import torch
from skimage import data

import i2s
from i2s import course
from i2s.course import lesson02 as checks
from i2s.latents import latent_statistics
from i2s.losses import ImageLoss
from i2s.metrics import psnr

lab = course.setup(steps=1600)
generator = lab.generator

# %% [markdown]
# ## 2.1 Three spaces
#
# - [**Z**](GLOSSARY.md#z) holds the random numbers that the generator was trained with: one vector $z$.
# - [**W**](GLOSSARY.md#w) holds what the mapping network makes of them: one vector $w$, and every layer reads it.
# - [**W+**](GLOSSARY.md#w-plus) has a vector of its own *for each layer*. No $z$ leads to such a code.
#   Image2StyleGAN (Abdal, Qin, Wonka 2019) searches there.
#
# ### Exercise 2.1 (predict, difficulty 1 of 3, 3 minutes): how many numbers?
#
# In the official 1024 px network $w$ has 512 numbers, and 18 layers read it. How many numbers does a search in W+
# move? Guess the size first (a thousand? ten thousand?), then set `official`, a whole number, and `ours`, the
# same for our generator, made of `generator.num_ws` (its layers) and `generator.w_dim` (the length of its $w$).
#
# <details><summary>Hint 1</summary>A code in W+ is a table: a row for each layer, a column for each number of
# w.</details>
# <details><summary>Hint 2</summary>18 rows of 512 numbers.</details>

# %%
official, ours = None, None
### BEGIN SOLUTION
official = 18 * 512
ours = generator.num_ws * generator.w_dim
### END SOLUTION

# %%
checks.check_numbers_in_w_plus(official, ours, generator)

# %% [markdown]
# And Z has even less than its length says. The mapping network begins by scaling $z$ to a fixed length, so a $z$
# twice as long is the same code: only its direction counts.

# %%
z = generator.sample_z(1, seed=6)
with torch.no_grad():
    once, twice = generator.mapping(z), generator.mapping(2 * z)
print("mapping(2 z) equals mapping(z):", torch.allclose(twice, once, atol=1e-5))

# %% [markdown]
# ## 2.2 One photo in each
#
# Eileen Collins again. `distance` says how far an image is from her photo: the paper's loss, pixels and features.
# Take it as a black box; lesson 3 opens it.

# %%
photo = i2s.load_photos(data.astronaut()[15:195, 135:315], generator.resolution).to(lab.device)
paper_loss = ImageLoss(lab.perceptual)
prepared = paper_loss.prepare(photo)


def distance(image):
    """One number: the sum of the loss's five terms."""
    return sum(paper_loss(image, prepared).values()).sum()


# %% [markdown]
# ### Exercise 2.2 (fill, difficulty 2 of 3, 10 minutes): search in Z
#
# Write the search through both networks. Given are `generator`; `z` [1, z_dim] with `requires_grad`;
# `distance(image)`; and `steps`. The optimiser `adam` and the empty list `losses` are there already (lesson 4 says
# what Adam does). Repeat `steps` times: draw the image of `z`; take its distance; set the gradients to zero; go
# backward; let `adam` make one step; append the distance to `losses` as a plain number. `losses` is then a list of
# `steps` floats.
#
# <details><summary>Hint 1</summary><code>generator.synthesis(generator.mapping(z))</code> is the image.</details>
# <details><summary>Hint 2</summary>In this order: <code>adam.zero_grad()</code>, <code>loss.backward()</code>,
# <code>adam.step()</code>, <code>losses.append(loss.item())</code>.</details>


# %%
def embed_in_z(generator, z, distance, steps):
    adam = torch.optim.Adam([z], lr=0.05)
    losses = []
    ### BEGIN SOLUTION
    for _ in range(steps):
        loss = distance(generator.synthesis(generator.mapping(z)))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    ### END SOLUTION
    return losses


# %%
checks.check_embed_in_z(embed_in_z)

# %% tags=["nbval-ignore-output"]
found_z = z.clone().requires_grad_()
losses_z = embed_in_z(generator, found_z, distance, 200)
print(f"Z: loss {losses_z[0]:.2f} -> {losses_z[-1]:.2f}")

# %% [markdown]
# `i2s.embed` contains the same loop. From the same start, it takes the same way:

# %% tags=["nbval-ignore-output"]
options = {"generator": generator, "perceptual": lab.perceptual, "progress": False}
short = i2s.embed(photo, space="z", start=z, learning_rate=0.05, steps=10, **options)
print(f"after 9 steps: yours {losses_z[9]:.4f}, i2s.embed {short.loss[9, 0]:.4f}")

# %% [markdown]
# Now W and W+, both from the mean latent, with as many steps.

# %% tags=["nbval-ignore-output"]
options["steps"] = 200
in_w = i2s.embed(photo, space="w", **options)
in_w_plus = i2s.embed(photo, space="w+", **options)

# %% tags=["nbval-ignore-output"]
with torch.no_grad():
    image_z = generator(found_z).cpu()
images = torch.cat([image_z, in_w.image, in_w_plus.image, photo.cpu()])
alt = "Eileen Collins as Z, W and W+ can draw her, the likeness growing from left to right, and the photo"
course.show(images, labels=["Z", "W", "W+", "photo"], size=192, alt=alt)

# %% [markdown]
# Which of the three is she, and which are people like her? Before you run the next cell: in which order will the
# three loss curves end, and will they cross on the way?

# %% tags=["nbval-ignore-output"]
curves = {"Z": losses_z, "W": in_w.loss[:, 0], "W+": in_w_plus.loss[:, 0]}
course.plot(curves, "step", "loss", log=True)

# %% [markdown]
# The curve of Z starts elsewhere, at a random face; those of W and W+ start at the mean. The same in decibels:
# [PSNR](GLOSSARY.md#psnr) is the mean squared error of the pixels on a logarithmic scale, and higher is closer.

# %% tags=["nbval-ignore-output"]
for name, image in zip(["Z", "W", "W+"], images):
    print(f"{name:2s} {psnr(image[None], photo.cpu()).item():.1f} dB")

# %% [markdown]
# ### Exercise 2.3 (diagnose, difficulty 2 of 3, 6 minutes): "my W is as good as W+"
#
# A port of the paper searches "W" like this, and reports that W comes as close to photos as W+ does:
#
# ```python
# w = generator.w_mean.repeat(1, generator.num_ws, 1).requires_grad_()      # [1, num_ws, w_dim]
# adam = torch.optim.Adam([w])
# ```
#
# What is wrong? Set `cause` to one of the letters.
#
# - **A** the mean latent is no code of W
# - **B** the learning rate is missing
# - **C** Adam moves each row by itself: the rows start equal, and part at the first step
#
# <details><summary>Hint 1</summary>How many numbers does Adam move here? How many has a code in W?</details>
# <details><summary>Hint 2</summary>Is the gradient of row 0 the same as that of row 5?</details>

# %%
cause = None
### BEGIN SOLUTION
cause = "C"
### END SOLUTION

# %%
checks.check_false_w(cause)

# %% [markdown]
# `i2s` searches W with one row, and all layers read it. A test that tells W from W+ compares the rows of what was
# found:

# %%
for name, result in {"W": in_w, "W+": in_w_plus}.items():
    first, others = result.w_plus[0, :1], result.w_plus[0, 1:]
    print(f"{name:2s} all rows are alike:", torch.equal(others, first.expand_as(others)))

# %% [markdown]
# ## 2.3 W+ takes in anything
#
# Here are a cat and a cup of coffee, given to a generator that has seen nothing but faces.
#
# > **Predict, then look.** What will W answer to a cat? And W+? Say it aloud before you run the next two cells.

# %% tags=["nbval-ignore-output"]
cat, cup = data.chelsea()[15:285, 90:360], data.coffee()[20:400, 70:450]
things = i2s.load_photos([cat, cup], generator.resolution)
things_w = i2s.embed(things, space="w", **options)
things_w_plus = i2s.embed(things, space="w+", **options)

# %% tags=["nbval-ignore-output"]
names = ["face", "cat", "cup"]
rows = [photo.cpu(), things, in_w.image, things_w.image, in_w_plus.image, things_w_plus.image]
labels = names + [f"{n} in W" for n in names] + [f"{n} in W+" for n in names]
alt = "Three rows of a face, a cat and a cup: the photos, what W draws of them, and what W+ draws"
course.show(torch.cat(rows), labels, columns=3, size=192, alt=alt)

# %% [markdown]
# W has one vector for all layers, and what it draws keeps something of a face. W+ draws the cat and the cup: with
# a vector for each layer, the layers can be talked into anything. This is the paper's surprise. But what is such
# a code *worth*, if we want to edit a face with it?
#
# ### Exercise 2.4 (ablate, difficulty 2 of 3, 6 minutes): take the freedom away
#
# How much of the image sits in the *differences* between the rows? Given `w_plus` [N, num_ws, w_dim], return a
# code of the same shape, in which every row is the mean of all rows of that code: the nearest code with equal
# rows.
#
# <details><summary>Hint 1</summary><code>.mean(dim=1, keepdim=True)</code> has shape [N, 1, w_dim].</details>
# <details><summary>Hint 2</summary><code>.expand_as(w_plus)</code> repeats it for each row.</details>


# %%
def same_rows(w_plus):
    ### BEGIN SOLUTION
    return w_plus.mean(dim=1, keepdim=True).expand_as(w_plus)
    ### END SOLUTION


# %%
checks.check_same_rows(same_rows)

# %% tags=["nbval-ignore-output"]
wide = torch.cat([in_w_plus.w_plus, things_w_plus.w_plus]).to(lab.device)  # [3, num_ws, w_dim]
with torch.no_grad():
    before, after = generator.synthesis(wide).cpu(), generator.synthesis(same_rows(wide)).cpu()
labels = [f"{n} in W+" for n in names] + [f"{n}, rows averaged" for n in names]
alt = "Above the face, the cat and the cup in W+; below, with averaged rows, three faces much like the average one"
course.show(torch.cat([before, after]), labels, columns=3, size=192, alt=alt)

# %% [markdown]
# Is there a cat left in the lower row, or a cup? What is gone was told to single layers, each something else.
# That is how a network of faces draws a cup: its layers are played off against each other.
#
# ## 2.4 How ordinary is a code?
#
# Measure it. First, all codes in one place, with 500 random faces for comparison:

# %% tags=["nbval-ignore-output"]
narrow = torch.cat([in_w.w_plus, things_w.w_plus]).to(lab.device)
with torch.no_grad():
    codes = {"random faces": generator.mapping(generator.sample_z(500, seed=2))}
    codes["face, Z"] = generator.mapping(found_z)
for k, name in enumerate(names):
    codes[f"{name}, W"], codes[f"{name}, W+"] = narrow[k : k + 1], wide[k : k + 1]

# %% [markdown]
# The first idea is the plain distance to the [mean latent](GLOSSARY.md#mean-latent): the root of the mean square
# of all differences. Of the random faces the plot shows the median.


# %% tags=["nbval-ignore-output"]
def from_mean(w_plus):
    """How far each code is from the mean latent: [N]."""
    return (w_plus - generator.w_mean).square().mean(dim=(1, 2)).sqrt()


far = {name: from_mean(code).median().item() for name, code in codes.items()}
print(f"the furthest is {max(far.values()) / far['random faces']:.1f} times as far as a random face")
course.bars(far, "distance to the mean", size=(8, 3))

# %% [markdown]
# By this measure, how much stranger is a cup than a face? Not by much, if at all. But is a step of the same length
# equally unusual in every direction? Zhu et al. (2020) undo the last bend of the mapping network, which leads to [P
# space](GLOSSARY.md#p-space), and turn the axes to the principal directions ([PCA](GLOSSARY.md#pca)). Look at how far
# random codes spread along each of them, from the widest to the narrowest.

# %% tags=["nbval-ignore-output"]
statistics = latent_statistics(generator)
variance = statistics.std.square().cpu()
for count in (10, 50):
    print(f"the first {count} of {len(variance)} directions hold {variance[:count].sum() / variance.sum():.0%}")
course.plot({"random codes": statistics.std.cpu()}, "principal direction", "spread", log=True)

# %% [markdown]
# Mind the logarithmic scale. Few directions hold nearly all of the variance, that is of the squared spread, and along
# the last ones faces hardly differ. A step that is small for the first is enormous for the last, and plain distance
# does not see it.
#
# So Zhu et al. divide by the spread along each direction. `statistics.whiten(w)` does all three things, and what comes
# out is *whitened*: for random codes each number has about mean 0 and spread 1.
#
# ### Exercise 2.5 (fill, difficulty 2 of 3, 8 minutes): strangeness
#
# Given `w_plus` [N, num_ws, w_dim] and `statistics`, return for each code the root of the mean square of its
# whitened numbers: a float tensor [N] of values from 0 up. About 1 is ordinary.
#
# <details><summary>Hint 1</summary><code>statistics.whiten(w_plus)</code> has the shape of
# <code>w_plus</code>.</details>
# <details><summary>Hint 2</summary>Square, mean over dims 1 and 2, root.</details>


# %%
def strangeness(w_plus, statistics):
    ### BEGIN SOLUTION
    return statistics.whiten(w_plus).square().mean(dim=(1, 2)).sqrt()
    ### END SOLUTION


# %%
checks.check_strangeness(strangeness)

# %% tags=["nbval-ignore-output"]
strange = {name: strangeness(code, statistics).median().item() for name, code in codes.items()}
course.bars(strange, "strangeness", size=(8, 3))

# %% [markdown]
# Compare with the random faces. The code found in Z is ordinary, because it comes out of the mapping network as
# they do. A search in W or W+ may take any vector, whether some $z$ leads to it or not. It goes wherever the loss
# falls, above all along directions that faces do not use: in the diagram above, it leaves the bent region. What W
# keeps, even so, is the agreement of the rows.
#
# So a term that pulls back is worth a try: `p_norm_weight` adds the square of this strangeness to the loss, with
# the weight that Zhu et al. give, 0.001. What does it cost?

# %% tags=["nbval-ignore-output"]
pulled = i2s.embed(photo, space="w+", p_norm_weight=0.001, **options)
for name, result in {"without": in_w_plus, "with": pulled}.items():
    value = strangeness(result.w_plus.to(lab.device), statistics).item()
    print(f"{name:8s} strangeness {value:4.1f}, PSNR {psnr(result.image, photo.cpu()).item():.1f} dB")
alt = "The face found without the term, with it, and the photo: the first two are hard to tell apart"
course.show(torch.cat([in_w_plus.image, pulled.image, photo.cpu()]), ["without", "with", "photo"], size=192, alt=alt)

# %% [markdown]
# Read both numbers together: how much strangeness is gone, and for how many decibels? Then look whether you see those
# decibels.
#
# ## 2.5 Between two codes
#
# Why care for ordinary codes? The loss has looked at one code only, and every edit leaves it. The simplest edit
# is a straight line from one code to another, `i2s.morph`: $\lambda$ times the first and $1 - \lambda$ times the
# second. Codes of faces lie on a bent sheet, the [manifold](GLOSSARY.md#manifold), and between two of them lie faces.
# What lies between a cat and a cup?

# %% tags=["nbval-ignore-output"]
lam = torch.linspace(1, 0, 6)
face, cat_code, cup_code = wide.cpu()
with torch.no_grad():
    one, other = generator.mapping(generator.sample_z(2, seed=40), truncation_psi=0.7).cpu()
walks = {"random faces": (one, other), "photo to face": (face, other), "cat to cup": (cat_code, cup_code)}
with torch.no_grad():
    rows = [generator.synthesis(i2s.morph(a, b, lam).to(lab.device)) for a, b in walks.values()]
labels = [name if k == 0 else f"lambda {lam[k]:.1f}" for name in walks for k in range(6)]
alt = "Three walks of six stops: between two random faces, from the photo to a face, and from the cat to the cup"
course.show(torch.cat(rows).cpu(), labels, columns=6, size=144, alt=alt)

# %% [markdown]
# Go through the rows. In the first, both ends are codes of W, and the stops are faces of nobody. The second
# starts at a code of W+, but at one of a face: do its stops hold? In the third there is no kind of thing between
# a cat and a cup that the generator could draw: the two fade into each other, and in the middle parts of faces
# shine through, since faces are what the layers know.
#
# ### Exercise 2.6 (explain, difficulty 1 of 3, 4 minutes): which space would you choose?
#
# A museum wants (a) to show a portrait exactly as it is, drawn by the generator, and (b) to let visitors walk
# smoothly from their own face to the portrait's. Write into the string `answer` which of W and W+ you would
# choose for (a) and for (b), and why, in two or three sentences.
#
# <details><summary>Hint 1</summary>Which space came closest to the photo?</details>
# <details><summary>Hint 2</summary>In which space do all layers have to agree on one face?</details>

# %%
answer = ""
### BEGIN SOLUTION
answer = (
    "For (a) W+, because only there does the image come close enough to the portrait to be taken for it. "
    "For (b) W: all layers read the same vector, so what it draws stays a face, and so does every stop of the walk. "
    "Visitors will forgive that it is not quite theirs. W+ with the term of section 2.4 is a way between."
)
### END SOLUTION

# %%
checks.check_choice_of_space(answer)

# %% [markdown]
# ## What you have seen
#
# - [Z](GLOSSARY.md#z) and [W](GLOSSARY.md#w) hold few images, [W+](GLOSSARY.md#w-plus) almost any.
# - The more a space can hold, the less its codes mean: W+ draws a cat by telling each layer something else.
# - Plain distance to the mean hides how strange a code is; whitened [P space](GLOSSARY.md#p-space) shows it.
# - Lines between codes on the [manifold](GLOSSARY.md#manifold) lead through faces; other lines do not.
#
# **Ask yourself**
#
# <details><summary>Why not search in Z?</summary>Only the direction of z counts, and everything goes through the
# mapping network: what it does not offer cannot be reached, and most photos are not among it.</details>
# <details><summary>How many rows of a code in W are free?</summary>One; all layers read the same.</details>
# <details><summary>Is a code with a smaller loss always the better one?</summary>No. It may draw the photo
# exactly, and fall apart at the first edit.</details>
#
# **Next:** [lesson 3](03_loss_design.ipynb): what "close to the photo" should mean.
