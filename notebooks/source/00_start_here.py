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
# # 0. Start here: a photo, found inside a network
#
# **In ten minutes you will** see faces that nobody has ever photographed, find a real photo among them, and walk from
# one face to another.
#
# | | |
# |---|---|
# | **Goals** | know what this machine runs the course on; generate faces; embed a photo; read a loss curve; morph |
# | **Before** | a little Python; nothing about GANs |
# | **Time** | about 10 minutes; the cells themselves take about one on a laptop without a GPU |
# | **You will see** | a photo found by the loop below: section 0.4 goes through its five steps, lesson 4 builds it |
#
# ![The loop: initial code, generated image, comparison with the photo, update of the code, and back to the image](images/loop.svg)
#
# Words with a link lead to the [glossary](GLOSSARY.md).
# Run the cells from top to bottom: <kbd>Shift</kbd>+<kbd>Enter</kbd> runs one and goes to the next.

# %% [markdown]
# ## 0.1 What this machine has
#
# The first cell of every lesson chooses the device, loads two networks, and says why. The
# [**generator**](GLOSSARY.md#generator) draws images; the **perceptual network** compares them, more as people do
# than pixel by pixel.

# %% tags=["nbval-ignore-output"]
import torch
from IPython.display import display

import i2s
from i2s import course

lab = course.setup(steps=300)

# %% [markdown]
# The generator is small: we trained it for this course, so that it works without a GPU and without a network. What it
# was trained on, and what it must not be used for, stands in [`data/README.md`](../data/README.md).
#
# ## 0.2 Faces from random numbers
#
# A generator turns a list of random numbers, the [**latent code**](GLOSSARY.md#latent-code) $z$, into an image. Here
# are 16 codes.

# %%
generator = lab.generator
z = generator.sample_z(16, seed=4)
z.shape

# %% [markdown]
# Two steps lead from $z$ to an image. The **mapping** network turns $z$ into a code $w$, one row for each layer of the
# **synthesis** network, which draws the image. `truncation_psi` below 1 keeps the faces closer to the average one.
# (`torch.no_grad()` saves memory: drawing needs no gradients.)

# %%
w_plus = generator.mapping(z, truncation_psi=0.7)
with torch.no_grad():
    faces = generator.synthesis(w_plus)
course.show(faces, alt="Sixteen faces of people who do not exist")

# %% [markdown]
# None of these people exists. The codes have this shape: 16 faces, the number of layers, the length of $w$.

# %%
w_plus.shape

# %% [markdown]
# And this is the face in the middle of them all, the image of the [**mean latent**](GLOSSARY.md#mean-latent), the mean
# of very many $w$. `expand` repeats it for each layer.

# %%
with torch.no_grad():
    average = generator.synthesis(generator.w_mean.expand(1, generator.num_ws, -1))
course.show(average, alt="The average face, that of the mean latent")

# %% [markdown]
# ## 0.3 A real photo
#
# Eileen Collins, astronaut; a NASA portrait in the public domain, which scikit-image ships. The crop puts eyes and
# mouth where the generator's training faces have them. That matters: lesson 4 shows how much.

# %%
from skimage import data

portrait = data.astronaut()[15:195, 135:315]
photo = i2s.load_photos(portrait, generator.resolution)
course.show(photo, size=256, alt="The photo: a portrait of Eileen Collins, smiling")

# %% [markdown]
# ## 0.4 Find it: embedding
#
# Is there a code that draws *this* face? To find it is to [embed](GLOSSARY.md#embedding) the photo.
# **Image2StyleGAN** searches in five steps:
#
# 1. start with an initial code (the mean latent),
# 2. generate an image of it,
# 3. compare it with the photo: pixels, and what the perceptual network sees; the result is one number, the **loss**,
# 4. change the code a little, in the direction in which the loss falls (*gradient descent*),
# 5. repeat.
#
# The network itself never changes: only the code does. Watch it.

# %% tags=["nbval-ignore-output"]
watcher = course.EmbedWatcher(photo)
watcher

# %% tags=["nbval-ignore-output"]
result = i2s.embed(photo, generator, steps=300, perceptual=lab.perceptual, callback=watcher, progress=False)
print(f"loss {result.loss[0, 0]:.3f} -> {result.loss[-1, 0]:.3f}")

# %% [markdown]
# The same as still images, a few of those that the result keeps: the image after more and more steps, and the photo
# last.

# %%
pick = [0, 1, 2, 4, 7, 11, 19]
with torch.no_grad():
    path = generator.synthesis(result.snapshots[pick, 0].to(lab.device)).cpu()
labels = [f"step {result.snapshot_steps[k]}" for k in pick] + ["photo"]
alt = "The average face turns into that of the photo: hair and colours in the first steps, eyes and mouth in the last"
course.show(torch.cat([path, photo]), labels=labels, alt=alt)

# %% [markdown]
# The average face turns into this one. Most of the way is done in the first steps; the curve shows it. Its upright axis
# is logarithmic: equal heights are equal *ratios*, so from 4 to 2 is as far as from 0.6 to 0.3.

# %%
course.plot_history({"Eileen Collins": result})

# %% [markdown]
# > **Predict, then look.** The pixels of photo and image still differ. By how much, on a scale where 0 is equal and 255
# > is black against white? Write down a guess before you run the next cell.

# %% tags=["nbval-ignore-output"]
difference = (result.image - result.target).abs().mean() * 127.5
print(f"mean difference of a pixel: {difference:.1f} of 255")

# %% [markdown]
# ## 0.5 Walk from face to face
#
# Two codes can be blended, $w = \lambda w_1 + (1 - \lambda) w_2$, and every blend is a code too: this is
# [morphing](GLOSSARY.md#morphing). Move the slider: with the mouse, or with the arrow keys once it is selected. Its
# number says how far you have gone: 0 is the first code, where $\lambda$ is 1, and 1 is the second. Below it is the
# same as a contact sheet, for print and for pages where nothing can be moved.

# %% tags=["nbval-ignore-output"]
explorer = course.MorphExplorer(generator, [result.w_plus[0], w_plus[2]], names=["Eileen Collins", "random face"])
display(explorer)
explorer.snapshot()

# %% [markdown]
# The faces between are faces too, not two images laid over each other. Compare: this is what mixing the *pixels* gives.
# Look at outlines, eyes and mouth, where the two faces do not coincide.

# %%
half = (result.image + faces[2:3].cpu()) / 2
alt = "Left one sharp face between the two; right both laid over each other, with two outlines of the hair"
course.show(torch.cat([explorer.render(0.5)[None], half]), ["codes mixed", "pixels mixed"], size=192, alt=alt)

# %% [markdown]
# ## 0.6 Keep it
#
# A result is one small file: code, image, loss history and settings. Loaded again, it draws the same image.

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
# - A generator draws a face from a code; the codes near each other draw similar faces.
# - Embedding looks for the code of a photo by gradient descent, on a loss of pixels and features.
# - Codes can be blended, and the images blend as faces do.
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
# **Next:** [lesson 1](01_stylegan_anatomy.ipynb) takes the generator apart.
