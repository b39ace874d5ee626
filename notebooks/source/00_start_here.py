# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 0. Start here: a photo, found inside a network
#
# ![Four portraits of one woman: the photo; almost the same, drawn by a network; with her mouth closed; with a broader smile](images/first_edit.jpg)
#
# *Made in section 0.6. Only the first of these images is a photo; a network drew the others.*
#
# | | |
# |---|---|
# | **Goals** | say what a GAN is and why one embeds a photo in it; generate faces; embed a photo; read a loss curve; morph; edit |
# | **Before** | a little Python; nothing about GANs |
# | **Time** | about 15 minutes; the cells themselves take about one on a laptop without a GPU |
# | **You will see** | the images above come about, step by step |
#
# A [**GAN**](GLOSSARY.md#gan), a generative adversarial network, is a pair of neural networks that are trained against each other: the
# [**generator**](GLOSSARY.md#generator) draws images from random numbers, and the [**discriminator**](GLOSSARY.md#discriminator) learns to tell them
# from photos, so the generator has to get better. After training the generator alone is kept. It draws faces of people
# who do not exist, as many as you like.
#
# But which random numbers draw *this* person? To find them is to [**embed**](GLOSSARY.md#embedding) the photo, and it
# is worth the effort: the numbers can be changed where pixels cannot. A smile, other colours, a walk to another face
# are small sums on them. **Image2StyleGAN** (Abdal, Qin, Wonka 2019) is the method, and this course builds it: the
# network (lesson 1), the numbers (2), the measure of likeness (3), the search (4), the edits (5). In lesson 5
# you do it with a photo of your own.
#
# Run the cells from top to bottom: <kbd>Shift</kbd>+<kbd>Enter</kbd> runs one and goes to the next. Words with a link
# lead to the [glossary](GLOSSARY.md); if something does not work, see [this
# page](README.md#if-something-does-not-work).

# %% [markdown]
# ## 0.1 What this machine has
#
# The first cell of every lesson picks the device (a GPU if there is one, otherwise the CPU), loads two networks and
# reports what it chose. One is the generator. The other, the **perceptual network**, compares images more as people do
# than pixel by pixel (lesson 3).

# %% tags=["nbval-ignore-output"]
import torch
from IPython.display import display

import i2s
from i2s import course
from i2s.course.checks import compare_guess

lab = course.setup(steps=300)

# %% [markdown]
# The generator is small: we trained it for this course, so that it works without a GPU and without the internet.
# [`data/README.md`](../data/README.md) describes what it was trained on and what it must not be used for.
#
# ## 0.2 Faces from random numbers
#
# The list of random numbers from which a generator draws one image is a [**latent code**](GLOSSARY.md#latent-code),
# $z$. Here are eight of them, each a row of 512 numbers.

# %%
generator = lab.generator
z = generator.sample_z(12, seed=7)[[0, 2, 3, 4, 5, 6, 8, 9]]
z.shape

# %% [markdown]
# The generator has two parts. The **mapping network** turns $z$ into another code, $w$. The **synthesis network** draws
# the image, layer by layer, and each of its layers is given $w$. (`truncation_psi` below 1 keeps faces closer to the
# average one; lesson 1 shows how. `torch.no_grad()` saves memory: drawing needs no gradients.)

# %%
w_plus = generator.mapping(z, truncation_psi=0.6)
with torch.no_grad():
    faces = generator.synthesis(w_plus)
course.show(
    faces,
    alt="Eight portraits of women and men, most of them middle-aged, four in suits; these people do not exist",
)

# %% [markdown]
# None of these people exists. (They are eight of twelve: the other four were drawn badly. Lesson 1 shows such faces.)
# Their codes:

# %%
print(w_plus.shape, "faces, layers, numbers in w")
print("all layers get the same w:", bool((w_plus == w_plus[:, :1]).all()))

# %% [markdown]
# So a code has a row for each layer, and here all rows are alike. An embedding may give each layer a row of its own;
# such codes are called **W+**, in Python `w_plus`, and lesson 2 is about the difference.
#
# The mean of very many $w$ is the [**mean latent**](GLOSSARY.md#mean-latent). `expand` repeats it for each layer. What
# will its image be: a blur, or a face?

# %%
with torch.no_grad():
    average = generator.synthesis(generator.w_mean.expand(1, generator.num_ws, -1))
course.show(
    average,
    alt="The face of the mean latent: an older person with short dark hair, in front of a patchy, painted background",
)

# %% [markdown]
# One particular face, before a background like a painting, and no blur: the mean was taken over *codes*, and the
# generator draws a face from nearly every code that lies between those of other faces. A mean over pixels would be a
# blur.
#
# ## 0.3 A real photo
#
# Eileen Collins, astronaut; a NASA portrait in the public domain, which comes with the Python library scikit-image. It
# is cropped so that eyes and mouth lie where they lie in the training photos. That matters: lesson 4 shows how much.

# %%
from skimage import data

portrait = data.astronaut()[15:195, 135:315]
photo = i2s.load_photos(portrait, generator.resolution)
course.show(photo, alt="The photo: a portrait of Eileen Collins, smiling, with short light-brown hair")

# %% [markdown]
# ## 0.4 Find it: embedding
#
# Which code draws this face? Image2StyleGAN searches in five steps.
#
# ![The loop: initial code, generated image, comparison with the photo, update of the code, and back to the image](images/loop.svg)
#
# 1. Start with an initial code: here the mean latent.
# 2. Generate its image.
# 3. Compare it with the photo: pixels, and what the perceptual network sees in them. The result is one number, the
#    [**loss**](GLOSSARY.md#loss): the smaller, the more alike.
# 4. Change the code a little, so that the loss falls. The **gradient** says for each number of the code how fast the
#    loss grows with it; to go against it is [**gradient descent**](GLOSSARY.md#gradient-descent). (The kind used here
#    is called Adam: lesson 4.)
# 5. Repeat from 2.
#
# (In the diagram, G is the generator, $w$ the code, L the loss, and $\partial L / \partial w$ its gradient; *features*
# are what the perceptual network sees. U(-1, 1) stands for random numbers from -1 to 1: lesson 4 tries them as a start.)
#
# The network itself never changes, only the code does. Watch it: on the left the photo, beside it the current image,
# on the right the loss (upwards) at each step (to the right).

# %% tags=["nbval-ignore-output"]
watcher = course.EmbedWatcher(photo)
watcher

# %% tags=["nbval-ignore-output"]
result = i2s.embed(photo, generator, steps=300, perceptual=lab.perceptual, callback=watcher)
print(f"loss {result.loss[0, 0]:.3f} -> {result.loss[-1, 0]:.3f}")

# %% [markdown]
# The same in still images, a few of those that the result keeps:

# %%
pick = [0, 1, 2, 4, 7, 11, 19]
with torch.no_grad():
    path = generator.synthesis(result.snapshots[pick, 0].to(lab.device)).cpu()
labels = [f"step {result.snapshot_steps[k]}" for k in pick] + ["photo"]
alt = "A face turns into that of the photo: first background and colours, then the hair, last the details of the face"
course.show(torch.cat([path, photo.cpu()]), labels=labels, alt=alt)

# %% [markdown]
# The average face turns into this one. The curve shows how soon: its vertical axis is **logarithmic**, so equal heights
# are equal *ratios*, and from 4 to 2 is as far as from 0.8 to 0.4.

# %%
course.plot_history(
    {"Eileen Collins": result}, alt="Loss against step: a steep fall in the first steps, then slower and slower"
)

# %% [markdown]
# > **Predict, then look.** The pixels of photo and image still differ. By how much on average, on a scale where 0 is
# > equal and 255 is black against white? Set `guess` to a number before you run the cell after it.

# %%
guess = None
### BEGIN SOLUTION
guess = 25
### END SOLUTION

# %% tags=["nbval-ignore-output"]
difference = (result.image - result.target).abs().mean() * 127.5
compare_guess(guess, difference, "mean difference of a pixel (of 255)")

# %% [markdown]
# Were you too high, or too low? The mean does not say *where* the pixels differ, nor in what, and the two look much
# alike all the same. Which differences between images matter to people, and which do not, is the question of lesson 3.
#
# ## 0.5 Walk from face to face
#
# Two codes can be blended, $w = \lambda w_1 + (1 - \lambda) w_2$, and every blend is a code too: this is
# [**morphing**](GLOSSARY.md#morphing). Move the slider with the mouse, or with the arrow keys once it is selected: 0
# is the first face ($\lambda = 1$), 1 the second ($\lambda = 0$), and the line under the image tells the two weights.
# Below it is the same walk as a contact sheet, for print and for pages where nothing can be moved.

# %% tags=["nbval-ignore-output"]
explorer = course.MorphExplorer(generator, [result.w_plus[0], w_plus[5]], names=["Eileen Collins", "random face"])
display(explorer)
explorer.snapshot()

# %% [markdown]
# Is that more than one image laid over the other? Compare the middle of the walk with the mean of the *pixels* of the
# two images.

# %%
half = (result.image + faces[5:6].cpu()) / 2
alt = (
    "Left one clear face with curly hair, between the two; right both faces at once, half transparent, with two hairdos"
)
course.show(torch.cat([explorer.render(0.5)[None], half]), ["codes mixed", "pixels mixed"], alt=alt)

# %% [markdown]
# Mixed codes give one person. Mixed pixels give two, each half transparent.
#
# ## 0.6 A first edit
#
# Some directions in the space of codes have a meaning. The course comes with codes of eight people who were photographed
# twice, neutral and smiling (Face Research Lab London Set, DeBruine and Jones 2017, CC BY 4.0). Their mean difference is
# the direction of a smile: added to the code of somebody else, or subtracted from it, it changes that person's smile.
# Here rows 2 to 7 of the code get it; lesson 5 asks which rows it needs.

# %%
people = course.load_people(generator)
smile = (people.smiling - people.neutral).mean(dim=0)
edited = torch.stack([result.w_plus[0]] * 3)
for code, amount in zip(edited, (0, -1.5, 1)):
    code[2:8] += amount * smile[2:8]
with torch.no_grad():
    images = generator.synthesis(edited.to(lab.device)).cpu()
alt = "The photo; its embedding, almost the same; the same woman with her mouth closed; with a broader smile"
course.show(torch.cat([photo.cpu(), images]), ["photo", "embedded", "smile - 1.5", "smile + 1"], alt=alt)

# %% [markdown]
# Nobody took a photo like the last two. Hair and background stay nearly as they were, skin and clothes change a
# little, and no pixel was painted: the code was changed, and the generator drew it. Collins is a real person; that is
# why the line under the first picture of this lesson says which of the four is a photo. Lesson 5 shows where such
# directions come from, which rows carry a smile, where edits break, and whom to ask before one edits a face.
#
# ## 0.7 Keep it
#
# A result is one small file: code, image, loss history and settings. Loaded again, it draws the same image. (The cell
# writes it into a temporary folder; give a path of yours to keep it.)

# %%
import tempfile
from pathlib import Path

file = Path(tempfile.mkdtemp()) / "collins.safetensors"
result.save(file)
again = i2s.EmbedResult.load(file)
print("the same image:", bool(torch.equal(again.render(generator).cpu(), result.image)))

# %% [markdown]
# ## What you have seen
#
# - A generator draws a face from a code; nearby codes draw similar faces.
# - Embedding finds the code of a photo by gradient descent, on a loss that compares pixels, and what the perceptual
#   network sees in them.
# - Codes can be blended and edited; the images between two faces are faces too, not overlaid photos.
#
# **Ask yourself**
#
# <details><summary>What changes during an embedding, the network or the code?</summary>Only the code. The network is
# frozen; its gradients only tell how the image would change with the code.</details>
# <details><summary>Why does the search start at the mean latent?</summary>The average face has eyes, nose and mouth in
# the right place already, so the way to any face is short.</details>
# <details><summary>Why is a morph of codes better than a morph of pixels?</summary>Each blended code is drawn by the
# generator, which knows faces; blended pixels are two faces at once.</details>
#
# **To try:** another `seed` in 0.2, where some faces will be drawn badly, and more of them with `truncation_psi=1.3`; 30
# steps in place of 300 in 0.4, and then the edit of 0.6; a larger `amount`. When does the face break?
#
# **To read:** Goodfellow et al. 2014 on GANs, Abdal et al. 2019 on Image2StyleGAN; the [glossary](GLOSSARY.md#papers)
# has the links.
#
# **Next:** [lesson 1](01_stylegan_anatomy.ipynb) takes the generator apart.
