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
# | **Goals** | say how Z, W and W+ differ; write the search in each; say what W+ gains and what it costs |
# | **Before** | lesson 1 |
# | **Time** | about 70 minutes; the cells take about one and a half minutes on a laptop |
# | **You will see** | a cat drawn by a network that knows only faces; one edit that works on a code and breaks on another |
#
# ![Three columns, a woman, a cat and a cup of coffee. Above the photos, in the middle what W draws of them, below what W plus draws](images/cat_in_w_plus.jpg)
#
# ![Three latent spaces: Z is a ball, W a thin sheet in the space of all vectors, W plus has a row for each layer](images/spaces.svg)

# %% tags=["nbval-ignore-output"]
import torch
from skimage import data
from tqdm.auto import trange

import i2s
from i2s import course
from i2s.course import lesson02 as checks
from i2s.course.checks import compare_guess
from i2s.losses import ImageLoss
from i2s.metrics import psnr

lab = course.setup(steps=1100)
generator = lab.generator

# %% [markdown]
# ## 2.1 Three spaces
#
# - [**Z**](GLOSSARY.md#z) holds what the generator was trained with: a vector $z$ of independent
#   [**Gaussian**](GLOSSARY.md#normal-distribution) numbers.
# - [**W**](GLOSSARY.md#w) holds what the mapping network makes of it: a vector $w$, which every layer reads.
# - [**W+**](GLOSSARY.md#w-plus) gives each layer a vector of its own. W is the part of W+ whose rows are all
#   equal; no $z$ leads to the rest. Image2StyleGAN (Abdal, Qin, Wonka 2019) searches there.
#
# ### Exercise 2.1 (predict, difficulty 1 of 3, 3 minutes): how many numbers?
#
# In the official 1024 px network $w$ has 512 numbers, and 18 layers read it. How many numbers does an
# optimisation in W+ adjust? Say a size first (a thousand? ten thousand?), then set `official`, a whole number,
# and `ours`, the same for our generator, from `generator.num_ws` (its layers) and `generator.w_dim` (the length
# of its $w$).
#
# <details><summary>Hint 1</summary>A code in W+ is a table: a row for each layer, a column for each number of
# w.</details>
# <details><summary>Hint 2</summary>A table of 3 rows and 4 columns has 12 entries.</details>

# %%
official, ours = None, None
### BEGIN SOLUTION
official = 18 * 512
ours = generator.num_ws * generator.w_dim
### END SOLUTION

# %%
checks.check_numbers_in_w_plus(official, ours, generator)

# %% [markdown]
# Nearer ten thousand than one thousand. Is that much? Compare ours with what it has to describe, the pixels of an
# image.

# %%
pixels = 3 * generator.resolution**2
for space, rows in {"W": 1, "W+": generator.num_ws}.items():
    count = rows * generator.w_dim
    print(f"{space:2s} {count:5,} numbers for {pixels:,} pixel values, one for {pixels / count:.0f}")

# %% [markdown]
# Z has even fewer degrees of freedom than its dimension suggests. The mapping network begins by dividing $z$ by
# its root mean square. After that every $z$ has the same length, and only its direction counts: $2 z$ gives the
# same $w$.

# %%
z = generator.sample_z(1, seed=34)
with torch.no_grad():
    once, twice = generator.mapping(z), generator.mapping(2 * z)
print("mapping(2 z) equals mapping(z):", torch.allclose(twice, once, atol=1e-5))

# %% [markdown]
# ## 2.2 One photo in each
#
# Eileen Collins again. `distance` says how far an image is from her photo: the paper's loss, from pixels and
# features. Take it as a black box; [lesson 3](03_loss_design.ipynb) opens it.

# %%
size = generator.resolution
photo = i2s.load_photos(data.astronaut()[15:195, 135:315], size).to(lab.device)
paper_loss = ImageLoss(lab.perceptual)
prepared = paper_loss.prepare(photo)


def distance(image):
    """One number: the sum of the loss's five terms."""
    return torch.cat(list(paper_loss(image, prepared).values())).sum()


# %% [markdown]
# ### Exercise 2.2 (fill, difficulty 2 of 3, 12 minutes): search
#
# Write the loop of lesson 0's diagram. `search` gets `draw`, a function from a code to its image; the code to
# `start` from; `distance`; the number of `steps`; and Adam's `learning_rate`. The code, the optimiser `adam`
# (lesson 4 says what it does) and the list `losses` are there. In each step: draw the image of `code`; take its
# distance; clear the gradients of the step before; compute the new ones; let `adam` update the code; append the
# distance to `losses` as a plain number. (`@torch.enable_grad()` is there so that gradients are kept wherever `search`
# is called.)
#
# <details><summary>Hint 1</summary>A gradient is added to the one that is stored already, until somebody clears
# it. When does it have to be gone, and when must it be there?</details>
# <details><summary>Hint 2</summary>Two of the six things are done by what <code>search</code> was given. The
# other calls are <code>adam.step()</code>, <code>adam.zero_grad()</code>, <code>.append()</code>,
# <code>.backward()</code> and <code>.item()</code>, here in alphabetical order.</details>


# %%
@torch.enable_grad()
def search(draw, start, distance, steps, learning_rate=0.05):
    code = start.clone().requires_grad_()
    adam = torch.optim.Adam([code], lr=learning_rate)
    losses = []
    for _ in trange(steps, delay=1, leave=False):
        ### BEGIN SOLUTION
        loss = distance(draw(code))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        ### END SOLUTION
    return code.detach(), losses


# %%
checks.check_search(search)

# %% [markdown]
# The same loop searches all three spaces; only `draw` and `start` differ. W+ is the simplest, since a code is
# what the synthesis network reads. It starts from the [mean latent](GLOSSARY.md#mean-latent) in every row.

# %% tags=["nbval-ignore-output"]
start_w_plus = generator.w_mean.repeat(1, generator.num_ws, 1)  # [1, num_ws, w_dim]
found_w_plus, losses_w_plus = search(generator.synthesis, start_w_plus, distance, 100)
print(f"W+: loss {losses_w_plus[0]:.2f} -> {losses_w_plus[-1]:.2f}")

# %% [markdown]
# `i2s.embed` contains the same loop: from the same start it follows the same path.

# %% tags=["nbval-ignore-output"]
known = {"generator": generator, "perceptual": lab.perceptual, "learning_rate": 0.05}
short = i2s.embed(photo, space="w+", steps=10, progress=False, **known)
print(f"after 9 steps: yours {losses_w_plus[9]:.4f}, i2s.embed {short.loss[9, 0]:.4f}")

# %% [markdown]
# ### Exercise 2.3 (fill, difficulty 2 of 3, 5 minutes): search in W
#
# In W there is one row, and all layers read it. Given `generator` and `w` [N, 1, w_dim], return the images
# [N, 3, R, R]. `search` will adjust `w` itself, so that its gradient must flow through what you write.
#
# <details><summary>Hint 1</summary><code>generator.synthesis</code> reads [N, num_ws, w_dim]: a row for each
# layer.</details>
# <details><summary>Hint 2</summary>Look up <code>expand</code> or <code>repeat</code> of a tensor: both take a
# number for each dimension.</details>


# %%
def draw_w(generator, w):
    ### BEGIN SOLUTION
    return generator.synthesis(w.expand(-1, generator.num_ws, -1))
    ### END SOLUTION


# %%
checks.check_draw_w(draw_w)

# %% [markdown]
# > **Predict.** [PSNR](GLOSSARY.md#psnr) measures how close an image is to the photo, in **decibels** (dB):
# > the mean squared error of the pixels on a logarithmic scale, higher is closer. Run the cell: it prints how
# > close W+ came in 100 steps, and how close a uniform grey is. Where will W end, and where Z? Set both guesses in
# > the cell, and run it again.

# %% tags=["nbval-ignore-output"]
with torch.no_grad():
    image_w_plus = generator.synthesis(found_w_plus)
print(f"W+: {psnr(image_w_plus, photo).item():.1f} dB")
print(f"a uniform grey: {psnr(0 * photo, photo).item():.1f} dB")
guess_w, guess_z = None, None  # dB

# %% [markdown]
# Now both searches, of as many steps, with the same learning rate. W starts from the mean latent, too. The mean of
# all $z$ is 0, which has no direction, so that the search in Z sets out from a random face.

# %% tags=["nbval-ignore-output"]
start_w = generator.w_mean.view(1, 1, -1)  # [1, 1, w_dim]
found_w, losses_w = search(lambda w: draw_w(generator, w), start_w, distance, 100)
found_z, losses_z = search(lambda z: generator(z), z, distance, 100)

# %% tags=["nbval-ignore-output"]
with torch.no_grad():
    image_w, image_z = draw_w(generator, found_w), generator(found_z)
compare_guess(guess_w, psnr(image_w, photo), "W (dB)")
compare_guess(guess_z, psnr(image_z, photo), "Z (dB)")
alt = "Eileen Collins as Z, W and W+ can draw her, the likeness growing from left to right, and the photo"
images = torch.cat([image_z, image_w, image_w_plus, photo]).cpu()
course.show(images, labels=["Z", "W", "W+", "photo"], columns=4, size=200, alt=alt)

# %% [markdown]
# Which of the three is she, and which are people like her? Were your guesses too high or too low: is a face that
# only resembles hers further from the photo than you thought, or nearer? The curves show how the searches went.

# %% tags=["nbval-ignore-output"]
curves = {"Z": losses_z, "W": losses_w, "W+": losses_w_plus}
course.plot(curves, "step (Adam, learning rate 0.05)", "loss", log=True)

# %% [markdown]
# The curve of Z begins elsewhere, since it starts at another face; the other two start together. All three have
# learning rate 0.05, five times the paper's, to save you time, and all three would go on falling.
#
# ### Exercise 2.4 (diagnose, difficulty 2 of 3, 6 minutes): "my W is as good as W+"
#
# A port of the paper searches "W" as below, and reports that W comes as close to photos as W+ does. The cell runs it
# for 20 steps, and prints a little of what it found.


# %% tags=["nbval-ignore-output"]
@torch.enable_grad()
def port(steps):
    w = generator.w_mean.repeat(1, generator.num_ws, 1).requires_grad_()
    adam = torch.optim.Adam([w])
    for _ in range(steps):
        adam.zero_grad()
        distance(generator.synthesis(w)).backward()
        adam.step()
    return w.detach()  # [1, num_ws, w_dim]


w = port(20)
print("row 0 begins", [f"{x:.3f}" for x in w[0, 0, :4]])
print("row 5 begins", [f"{x:.3f}" for x in w[0, 5, :4]])

# %% [markdown]
# What is wrong? Set `cause` to one of the letters.
#
# - **A** the search starts from the mean latent, which is no code of W
# - **B** without a learning rate, Adam leaves W after a few steps
# - **C** Adam adjusts every row by itself: they start equal, and part at the first step
# - **D** the rows share their memory, so that each update is made `num_ws` times
#
# <details><summary>Hint 1</summary>How many numbers does Adam adjust here? How many has a code in W?</details>
# <details><summary>Hint 2</summary>Compare the two rows that the cell above prints.</details>

# %%
cause = None
### BEGIN SOLUTION
cause = "C"
### END SOLUTION

# %%
checks.check_false_w(cause)

# %% [markdown]
# To tell W from W+, compare the rows of the result. In your search of W they cannot differ.
#
# ## 2.3 W+ takes in anything
#
# Here are a cat and a cup of coffee, given to a generator that has seen nothing but faces.
#
# > **Predict.** At the top of the lesson you have seen what W and W+ draw of them. How close is that in numbers? Set
# > guesses for the PSNR of the cat in W and in W+; for her face you know both numbers.

# %%
guess_cat_w, guess_cat_w_plus = None, None  # dB

# %% tags=["nbval-ignore-output"]
cat, cup = data.chelsea()[15:285, 90:360], data.coffee()[20:400, 70:450]
things = i2s.load_photos([cat, cup], size)
things_w = i2s.embed(things, space="w", steps=100, **known)
things_w_plus = i2s.embed(things, space="w+", steps=100, **known)
compare_guess(guess_cat_w, psnr(things_w.image, things)[0], "cat in W (dB)")
compare_guess(guess_cat_w_plus, psnr(things_w_plus.image, things)[0], "cat in W+ (dB)")

# %% tags=["nbval-ignore-output"]
names = ["face", "cat", "cup"]
rows = [photo, things, image_w, things_w.image, image_w_plus, things_w_plus.image]
labels = [f"{n}{space}" for space in ("", ", W", ", W+") for n in names]
alt = (
    "Three rows of a woman, a cat and a cup: the photos; in W the woman, and two dim faces in the "
    "colours of cat and cup; in W+ the woman, the cat with one clear eye, and the cup"
)
course.show(torch.cat([row.cpu() for row in rows]), labels, columns=3, size=192, alt=alt)

# %% [markdown]
# W has one vector for all layers, and what it draws keeps something of a face. W+ draws the cat and the cup: with
# a vector for each layer, the layers together can draw almost anything. This was the surprise of the paper. (Were
# your guesses further apart? PSNR counts colours in their places, not what they show. Lesson 3 has more on that.)
#
# ### Exercise 2.5 (ablate, difficulty 2 of 3, 6 minutes): take the freedom away
#
# How much of the image sits in the *differences* between the rows? Given `w_plus` [N, num_ws, w_dim], return a
# code of the same shape in which every row is the mean of all rows of that code: the nearest code of W.
#
# <details><summary>Hint 1</summary>Which of the three dimensions counts the layers? A mean may keep its
# dimension: <code>keepdim=True</code>.</details>
# <details><summary>Hint 2</summary>You repeated one row for all layers in exercise 2.3.</details>


# %%
def same_rows(w_plus):
    ### BEGIN SOLUTION
    return w_plus.mean(dim=1, keepdim=True).expand_as(w_plus)
    ### END SOLUTION


# %%
checks.check_same_rows(same_rows)

# %% tags=["nbval-ignore-output"]
wide = torch.cat([found_w_plus, things_w_plus.w_plus.to(lab.device)])  # [3, num_ws, w_dim]
with torch.no_grad():
    images = generator.synthesis(same_rows(wide)).cpu()
labels = [f"{n}, averaged" for n in names]
alt = "Three smiling people, much alike: the averaged codes; those of cat and cup have torn hair"
course.show(images, labels, columns=3, size=224, alt=alt)

# %% [markdown]
# Is there a cat left, or a cup? What disappeared was carried by the differences between layers.
# That is how a network of faces draws a cup: its layers work against each other.
#
# ## 2.4 The price: distortion against editability
#
# An embedding is a means: we want to *edit* the photo. Two kinds of edit, each applied to a code:
#
# - Add a *direction* to all rows. Härkönen et al. (2020) take those along which random codes of W differ most, found
#   by [**PCA**](GLOSSARY.md#pca), principal component analysis. `spread` is the
#   [**standard deviation**](GLOSSARY.md#standard-deviation) along each.
# - Take the first four rows, the coarse ones, from another face: [style mixing](GLOSSARY.md#style-mixing), as in
#   lesson 1.
#
# Here are four edits of a random face: three standard deviations along directions 1 and 2 (counted from 0), and the
# coarse rows of two other faces, A and B.

# %% tags=["nbval-ignore-output"]
directions, spread = checks.principal_directions(generator)
z_of = {seed: generator.sample_z(1, seed) for seed in (12, 34, 45, 57)}
with torch.no_grad():
    faces = {seed: generator.mapping(some, truncation_psi=0.7) for seed, some in z_of.items()}


def variants(code):
    """The code, and four edits of it: [1, num_ws, w_dim] -> [5, num_ws, w_dim]."""
    along = [code + 3 * spread[k] * directions[k] for k in (1, 2)]
    mixed = [i2s.crossover(faces[seed], code, split=4) for seed in (45, 57)]
    return torch.cat([code, *along, *mixed])


# %% tags=["nbval-ignore-output"]
with torch.no_grad():
    images = generator.synthesis(variants(faces[34])).cpu()
labels = ["no edit", "direction 1", "direction 2", "coarse: A", "coarse: B"]
alt = "A smiling woman and four edits of her: an older man, a woman with smooth hair, two men"
course.show(images, labels, columns=5, size=152, alt=alt)

# %% [markdown]
# PCA knows no words: nobody said what a direction means, and each brings several changes along. Now the same edits
# on four codes of one photo: yours of W, and three of W+, after 30 steps, after 100 (you have that one), and after
# 400.

# %% tags=["nbval-ignore-output"]
early, _ = search(generator.synthesis, start_w_plus, distance, 30)
late, _ = search(generator.synthesis, found_w_plus, distance, 300)
code_w = found_w.repeat(1, generator.num_ws, 1)
found = {"W": code_w, "W+, 30": early, "W+, 100": found_w_plus, "W+, 400": late}
with torch.no_grad():
    edited = {name: generator.synthesis(variants(code)) for name, code in found.items()}

# %% [markdown]
# ### Exercise 2.6 (diagnose, difficulty 1 of 3, 6 minutes): a blind test
#
# The diagram at the top claims that codes of W take edits better than those of W+. Do they, and does it matter how
# long a search in W+ has run? Rank the four codes, the best first, and write it down. Then judge without knowing: the
# next cell shows the four edits of all four codes, 16 images in random order.
# List in `broken` the numbers of those that are no proper face any more: torn or doubled features, smears, patches
# that do not fit. (If your images differ from those of the solutions, so do the numbers.)
#
# <details><summary>Hint 1</summary>Look at eyes and mouth first, then at the outline of the head.</details>
# <details><summary>Hint 2</summary>An odd expression, or another person, is not broken. Decide quickly, by your
# first impression; no number of broken images is the right one.</details>

# %% tags=["nbval-ignore-output"]
mixed, whose = checks.shuffle({name: some[1:] for name, some in edited.items()}, seed=0)
alt = "Sixteen edited images in random order: whole faces, and some with smeared eyes or hair"
course.show(mixed.cpu(), list(range(16)), columns=4, size=144, alt=alt)

# %%
broken = None
### BEGIN SOLUTION
broken = [0, 1, 4, 5, 6, 9, 10]
### END SOLUTION

# %% tags=["nbval-ignore-output"]
checks.check_blind_test(broken, whose)

# %% [markdown]
# Was your ranking right? Here are the same images in order, beside the unedited ones.

# %% tags=["nbval-ignore-output"]
labels = [label for name in edited for label in (name, "", "", "", "")]
alt = (
    "Four rows of a woman and four edits. In W all are whole faces; in W+ they look flat after 30 "
    "steps, have patches at eyes and hair after 100, and torn eyes and mouths after 400"
)
course.show(torch.cat(list(edited.values())).cpu(), labels, columns=5, size=128, alt=alt)

# %% [markdown]
# What differs between the four codes? Measure two distances: that of the image to the photo, in decibels, and that
# of the code to W, for which you have everything: how far it is from the nearest code of W. The unit is the standard
# deviation of random codes.


# %% tags=["nbval-ignore-output"]
def from_w(w_plus):
    """How far each code is from W, in standard deviations of random codes: [N]."""
    away = (w_plus - same_rows(w_plus)).square().mean(dim=(1, 2)).sqrt()
    return away / spread.square().mean().sqrt()


for name, code in found.items():
    decibels = psnr(edited[name][:1], photo).item()
    print(f"{name:7s} {decibels:4.1f} dB, {from_w(code).item():.2f} from W")

# %% [markdown]
# Compare the last column with your marks. A search in W+ leaves W early: after 30 steps its image is no closer to the
# photo than that of W, and its code is well away. The longer it goes on, the closer its image comes and the further its
# code goes from W. This is the **distortion-editability trade-off** (Tov et al. 2021): *distortion* is the distance to
# the photo, [*editability*](GLOSSARY.md#editability) how well the code takes edits.
#
# Why? The search fits the *differences between the rows* to this one image. On another face they are wrong, and show
# as patches and tears. So the distance from W is a warning and not a judgement: it says how much has been fitted,
# not whether a given edit breaks. Zhu et al. (2020) measure how unusual each row is, as a **Mahalanobis distance**
# in [**P space**](GLOSSARY.md#p-space), and keep it small during the search; lesson 5 uses that.
#
# ## 2.5 Between two codes
#
# A walk from one code to another is an edit, too: `i2s.morph` takes $\lambda$ times the first and $1 - \lambda$
# times the second. Codes that the mapping network makes lie on a thin sheet in the space of all vectors, the
# [**manifold**](GLOSSARY.md#manifold) of faces. W is less curved than Z (Karras et al. 2019): a straight line between
# two of its codes stays close to the sheet, and leads through faces. What lies between a code of W+ and one of W, or
# between a cat and a cup?

# %% tags=["nbval-ignore-output"]
lam = torch.linspace(1, 0, 5)
cat_code, cup_code = things_w_plus.w_plus.to(lab.device).split(1)
walks = {
    "random faces": (faces[34], faces[12]),
    "her, in W": (code_w, faces[12]),
    "her, in W+": (late, faces[12]),
    "cat to cup": (cat_code, cup_code),
}

# %% tags=["nbval-ignore-output"]
with torch.no_grad():
    rows = [generator.synthesis(i2s.morph(a, b, lam)) for a, b in walks.values()]
labels = [name if k == 0 else "" for name in walks for k in range(5)]
alt = (
    "Four walks of five stops. From a random face to another, and from the woman in W to that one, "
    "all stops are faces; from the woman in W+ too, with a blurred fringe at the second stop; half-way "
    "from the cat to the cup is a dim face"
)
course.show(torch.cat(rows).cpu(), labels, columns=5, size=128, alt=alt)

# %% [markdown]
# Go through the walks. In the first two, both ends are codes of W, and so is every stop between them: people who do
# not exist, but faces. The third begins closer to the photo, and holds better than the edits did: each stop takes only
# the share $\lambda$ of what was fitted to her, on the way to a code of W. In the fourth both ends are far from W. The
# generator knows nothing between a cat and a cup: they fade into each other, and a face shines through, since faces
# are what the layers know.
#
# ### Exercise 2.7 (explain, difficulty 1 of 3, 5 minutes): which space would you choose?
#
# A museum wants (a) to show a portrait exactly as it is, drawn by the generator, and (b) to let visitors walk
# smoothly from their own face to the portrait's. Set `exact` and `walk` to the space that you would choose for (a)
# and for (b), and write your reasons into `answer`, in two or three sentences (the check reads English, and looks
# for words, not for sense).
#
# <details><summary>Hint 1</summary>What does nobody do with the portrait in (a)?</details>
# <details><summary>Hint 2</summary>Each stop of the walk is an edit.</details>

# %%
exact, walk, answer = None, None, ""
### BEGIN SOLUTION
exact = "W+"
walk = "W"
answer = (
    "W+ comes closest to the portrait, which is all that counts where nothing is edited. On a walk every stop is an "
    "edit: in W all layers agree on one face, so the stops stay faces, and visitors forgive that the ends are not "
    "quite theirs."
)
### END SOLUTION

# %%
checks.check_choice_of_space(exact, walk, answer)

# %% [markdown]
# ## What you have seen
#
# - One loop searches [Z](GLOSSARY.md#z), [W](GLOSSARY.md#w) and [W+](GLOSSARY.md#w-plus); they differ in what is
#   adjusted. Z and W come near a face, W+ to almost any image.
# - W is the part of W+ whose rows agree. What makes a cat of a face lies in the differences between rows.
# - **Distortion against editability**: the longer a search in W+, the closer its image, and the worse it takes edits.
#
# **Ask yourself**
#
# <details><summary>Why not search in Z?</summary>Only the direction of z counts, and everything goes through the
# mapping network: only what that puts out can be reached, and few photos are among it.</details>
# <details><summary>How many rows of a code in W are free?</summary>One; all layers read the same.</details>
# <details><summary>Is a code with a smaller loss always the better one?</summary>No. It may draw the photo
# exactly, and fall apart at the first edit.</details>
# <details><summary>A search in W adjusts one vector freely. Does every result lie where the mapping network
# leads?</summary>No: nothing in the loss asks for it. But all layers read the same vector, and that alone keeps
# most of a face.</details>
#
# **Try for yourself**
#
# - Start the search in Z from ten random faces, and keep the best. How close does it come to W?
# - Edit the cat. Which directions still do something that you can name?
# - Search with two vectors, one for the first half of the layers and one for the second. Where does this space lie
#   between W and W+, in decibels and after the edits?
# - Read Tov et al., *Designing an Encoder for StyleGAN Image Manipulation*
#   ([arXiv 2102.02766](https://arxiv.org/abs/2102.02766)).
#
# **Next:** [lesson 3](03_loss_design.ipynb): what "close to the photo" should mean.
