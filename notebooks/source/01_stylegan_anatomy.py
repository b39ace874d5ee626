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
# # 1. Anatomy of StyleGAN
#
# | | |
# |---|---|
# | **Goals** | follow a code from $z$ to an image; say what a *style* is; write AdaIN; tell coarse, middle and fine layers apart; use truncation |
# | **Before** | lesson 0; convolutions in PyTorch |
# | **Time** | about 60 minutes; the cells take about half a minute on a laptop |
#
# ![Two networks: the mapping network turns z into w; the synthesis network grows an image from a learned 4 by 4 constant, with a style from w in each layer](images/networks.svg)

# %% tags=["nbval-ignore-output"]
import torch
import i2s
from i2s import checks, course

lab = course.setup()
generator = lab.generator

# %% [markdown]
# ## 1.1 From Z to W: the mapping network
#
# A classic GAN feeds its random vector $z$ straight into the first layer. **StyleGAN** (Karras et al. 2019) first sends
# it through a **mapping network**, eight fully connected layers, to a vector $w$. Look at ours.

# %%
for number, layer in enumerate(generator.mapping.layers):
    print(number, "weight", list(layer.weight.shape))

# %% [markdown]
# The official networks have 512 numbers in $z$ and in $w$; ours is smaller. Why bother with $w$? Each number of $z$ is drawn from
# a bell curve, so Z is a ball without corners. Faces are not like that: some combinations (a beard on a child) are rare.
# The mapping may bend the ball into a shape that fits. Measure the bend: how far from a bell curve are the numbers of $w$?

# %%
z = generator.sample_z(4000, seed=1)
with torch.no_grad():
    w = generator.mapping(z)[:, 0]


def skewness(x):
    """0 for a bell curve; above 0 where the tail is on the right."""
    x = (x - x.mean(0)) / x.std(0)
    return x.pow(3).mean(0)


print(f"skewness, mean size over the numbers: z {skewness(z).abs().mean():.2f}, w {skewness(w).abs().mean():.2f}")

# %% [markdown]
# ### Exercise 1.1 (predict, difficulty 1 of 3, 3 minutes): the same face twice
#
# The mapping network first **normalises** $z$: it divides it by its length. What happens to the image when $z$ is multiplied by
# 10? Set `prediction` to `"same"`, `"brighter"` or `"noise"`, then run the check and the cell after it.
#
# <details><summary>Hint 1</summary>Which part of a vector does a division by its length keep?</details>
# <details><summary>Hint 2</summary>Only the direction. So what does the mapping network see of the factor 10?</details>

# %%
prediction = None
### BEGIN SOLUTION
prediction = "same"
### END SOLUTION

# %%
checks.check_scaled_z(prediction)

# %%
with torch.no_grad():
    pair = generator(torch.cat([z[:1], 10 * z[:1]]))
course.show(pair, labels=["z", "10 z"], size=160)

# %% [markdown]
# ## 1.2 From W to pictures: the synthesis network
#
# The **synthesis network** does not start from $w$ at all. It starts from a **learned constant**, 4 by 4 pixels, the same for every
# face, and doubles the size until the image is done. There are two layers at each size (one at 4x4). $w$ comes in from the side,
# into every layer.

# %%
synthesis = generator.synthesis
print("constant", list(synthesis.const.shape))
for block in synthesis.blocks:
    for layer in block.layers():
        out_channels, in_channels = layer.weight.shape[:2]
        print(f"{layer.noise.shape[0]:4d} px: {in_channels:4d} -> {out_channels:4d} feature maps")

# %% [markdown]
# Nine sizes from 4 to 1024 px give the paper's **18** styles: two for each size. How many are ours?

# %%
styles = lambda resolution: 2 * (resolution.bit_length() - 2)  # noqa: E731
print("1024 px:", styles(1024), "styles; ours:", styles(generator.resolution), "=", generator.num_ws)

# %% [markdown]
# Watch a face grow: the image as it stands after each size. StyleGAN2 adds a small RGB picture at every size, so each
# stage can be looked at.

# %%
w_plus = generator.mapping(generator.sample_z(1, seed=12), truncation_psi=0.8)
stages = course.stages(generator, w_plus)
course.show([stage[0] for stage in stages], labels=[f"{s.shape[-1]} px" for s in stages], size=192)

# %% [markdown]
# And these are **feature maps**, what the convolutions themselves pass on: eight of them at each size, one size a row. The first
# are blobs that say *where*; the last hold edges and shades.

# %%
maps = course.feature_maps(generator, w_plus)
rows = [course.enlarged(m[0, :8], 64) for m in maps]
course.show_maps(torch.cat(rows), labels=[f"{m.shape[-1]} px" for m in maps for _ in range(8)], size=72)

# %% [markdown]
# ## 1.3 What a style is: affine, then AdaIN
#
# In each layer a small linear map, the **affine** layer $A$, turns $w$ into a **style**: for each feature map a scale and a shift.
# StyleGAN applies it by **AdaIN**, adaptive instance normalisation. For each feature map $x_i$ of each image:
#
# $$\text{AdaIN}(x_i, y) = y_{s,i}\,\frac{x_i - \mu(x_i)}{\sigma(x_i)} + y_{b,i}$$
#
# First the map loses its own mean and spread; then the style gives it new ones.
#
# ![Left: AdaIN normalises each feature map and then gives it the style's scale and shift. Right: StyleGAN2 scales the weights by the style and divides by the expected length](images/adain_and_demodulation.svg)
#
# ### Exercise 1.2 (fill, difficulty 2 of 3, 10 minutes): write AdaIN
#
# Given `x` [N, C, H, W], `scale` [N, C] and `shift` [N, C], return AdaIN(x), [N, C, H, W], float32. Mean and spread are those of
# each map by itself; add `1e-8` to the variance under the root.
#
# <details><summary>Hint 1</summary><code>x.mean(dim=(2, 3), keepdim=True)</code> has shape [N, C, 1, 1].</details>
# <details><summary>Hint 2</summary>The variance is the mean of the squares after the mean is taken off
# (<code>x.var</code> divides by one less). <code>scale[:, :, None, None]</code> fits over the picture.</details>


# %%
def adain(x, scale, shift):
    ### BEGIN SOLUTION
    x = x - x.mean(dim=(2, 3), keepdim=True)
    x = x / (x.square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt()
    return x * scale[:, :, None, None] + shift[:, :, None, None]
    ### END SOLUTION


# %%
checks.check_adain(adain)

# %% [markdown]
# Your function is a layer of StyleGAN1. `i2s.generators.stylegan1` has the whole network; its `adain` takes the scale as a
# difference from 1. The two agree:

# %% tags=["nbval-ignore-output"]
from i2s.generators import stylegan1

rng = torch.Generator().manual_seed(0)
x = torch.randn(2, 3, 16, 16, generator=rng) * 5 + 2
scale, shift = torch.randn(2, 2, 3, generator=rng).unbind(0)
gap = (adain(x, scale + 1, shift) - stylegan1.adain(x, scale, shift)).abs().max()
print(f"largest difference {gap:.1e}")

# %% [markdown]
# ## 1.4 What replaced it: demodulation
#
# AdaIN forgets how strong a map was in relation to the others, and the network smuggled that strength through as bright
# droplets. **StyleGAN2** (Karras et al. 2020) puts the style into the *weights* of the convolution, and divides by the length that
# the output is **expected** to have:
#
# $$w'_{ijk} = s_i\,w_{ijk}, \qquad w''_{ijk} = \frac{w'_{ijk}}{\sqrt{\sum_{i,k} w'^2_{ijk} + \epsilon}}$$
#
# Run both on the same input, a map that is strong and one that is weak, and look at the spread of what comes out.

# %%
from i2s.generators import layers, stylegan2

x = torch.randn(1, 8, 32, 32, generator=rng)
x[:, 0] *= 20  # one strong map
weight = torch.randn(4, 8, 3, 3, generator=rng)
style = torch.ones(1, 8)
demodulated = stylegan2.modulated_conv(x, weight, style, layers.fir_kernel())
normalised = stylegan1.adain(torch.nn.functional.conv2d(x, weight, padding=1), torch.zeros(1, 4), torch.zeros(1, 4))
for name, y in {"AdaIN": normalised, "demodulation": demodulated}.items():
    print(f"{name:13s} spread of the four maps:", [round(v, 2) for v in y.std(dim=(2, 3))[0].tolist()])

# %% [markdown]
# AdaIN makes each spread exactly 1, whatever came in. Demodulation divides by what noise of spread 1 *would* have given, so a
# strong input stays visible. Nothing is normalised by looking at the picture.
#
# ### Exercise 1.3 (diagnose, difficulty 2 of 3, 5 minutes): a style that does nothing
#
# A colleague multiplies **all** entries of the style by 3 and wonders why the output of a demodulated convolution does not
# change. Which explanation is right? Set `cause` to `"A"`, `"B"` or `"C"`.
#
# - **A** the affine layer clips the style
# - **B** the factor is in $w'$ and in the root it is divided by, so it cancels
# - **C** the leaky ReLU after the convolution removes scales
#
# <details><summary>Hint 1</summary>Put 3s for s into both formulas above.</details>
# <details><summary>Hint 2</summary>What is the root of 9 times a sum?</details>

# %%
cause = None
### BEGIN SOLUTION
cause = "B"
### END SOLUTION

# %%
checks.check_scaled_style(cause)

# %% tags=["nbval-ignore-output"]
tripled = stylegan2.modulated_conv(x, weight, 3 * style, layers.fir_kernel())
print(f"largest difference {(tripled - demodulated).abs().max():.1e}")

# %% [markdown]
# ## 1.5 Noise
#
# Where a hair lies exactly is chance, and nothing that $w$ should carry. So each layer adds a **noise map**, times a learned
# strength. The maps are stored beside the weights: drawn anew at each call, the same code would never give the same image
# twice, and embedding would chase a moving target. What are the strengths in our network?

# %%
strengths = [layer.noise_strength.item() for block in synthesis.blocks for layer in block.layers()]
print("noise strengths:", [round(s, 3) for s in strengths])

# %% [markdown]
# All zero: in a training as short as ours, noise became speckle, so the network was trained without
# (`i2s/training/README.md`). To see the mechanism, give a copy some strength, first in the coarse layers only, then in the fine ones.

# %%
import copy

faces = [generator.synthesis(w_plus)]
for name, rows in {"coarse": range(0, 4), "fine": range(5, 9)}.items():
    noisy = copy.deepcopy(generator)
    styled = [layer for block in noisy.synthesis.blocks for layer in block.layers()]
    for row in rows:
        styled[row].noise_strength.data.fill_(0.15)
    faces.append(noisy.synthesis(w_plus))
course.show(torch.cat(faces), labels=["no noise", "coarse noise", "fine noise"], size=160)

# %% [markdown]
# ## 1.6 Coarse, middle, fine: style mixing
#
# Nothing forces all layers to get the same $w$. Take some rows from another face and see what comes along. The rows of our
# network, by the size of their feature maps:

# %%
from i2s.training.layer_effects import layer_groups

groups = layer_groups(generator.resolution)
for name, rows in groups.items():
    print(f"{name:7s} rows {list(rows)}")

# %%
two = generator.mapping(generator.sample_z(2, seed=40), truncation_psi=0.8)
a, b = two[:1], two[1:]
mixed = [a, b] + [i2s.crossover(a, b, layers=rows) for rows in groups.values()]
with torch.no_grad():
    images = generator.synthesis(torch.cat(mixed))
course.show(images, labels=["A", "B"] + [f"A, {name} of B" for name in groups], size=160)

# %% [markdown]
# Coarse rows bring pose, shape of the head and hair; fine rows the colours. Is that only these two faces? Measure it over many pairs:
# the share of the change in four aspects of the image that comes with each group of rows.

# %%
from i2s.training.layer_effects import layer_effects

effects = layer_effects(generator)
for name, shares in effects.items():
    print(f"{name:7s}", {aspect: round(share, 2) for aspect, share in shares.items()})

# %% [markdown]
# ### Exercise 1.4 (ablate, difficulty 2 of 3, 8 minutes): one row at a time
#
# Which single row changes the **colour** of the image most? For each row `k` of `a`, replace it by that of `b`, and measure how far the mean
# colour (over the picture, `image.mean(dim=(2, 3))`, [1, 3]) moves from that of `a`: the length of the difference. Return the distances as
# a tensor `colour_change` [num_ws], float32.
#
# <details><summary>Hint 1</summary><code>i2s.crossover(a, b, layers=[k])</code> replaces row k alone.</details>
# <details><summary>Hint 2</summary>Start from the mean colour of <code>generator.synthesis(a)</code>; <code>.norm()</code> is the length;
# <code>torch.stack</code> makes a tensor of a list.</details>


# %%
def colour_changes(generator, a, b):
    ### BEGIN SOLUTION
    mean_colour = lambda code: generator.synthesis(code).mean(dim=(2, 3))  # noqa: E731
    before = mean_colour(a)
    rows = range(generator.num_ws)
    return torch.stack([(mean_colour(i2s.crossover(a, b, layers=[k])) - before).norm() for k in rows])
    ### END SOLUTION


# %%
checks.check_colour_changes(colour_changes)

# %%
with torch.no_grad():
    change = colour_changes(generator, a, b)
course.bars({str(k): v for k, v in enumerate(change.tolist())}, "change of the mean colour")

# %% [markdown]
# ## 1.7 Truncation: variety against quality
#
# Codes far from the centre of W were rare in training, and their faces are often broken. **Truncation** pulls a code towards the
# **mean latent** $\bar w$:
#
# $$w' = \bar w + \psi\,(w - \bar w)$$
#
# ### Exercise 1.5 (fill, difficulty 1 of 3, 4 minutes): truncate
#
# Given `w` [N, num_ws, w_dim], the mean `w_mean` [w_dim] and a number `psi`, return the truncated codes.
#
# <details><summary>Hint 1</summary>The formula is the code. Shapes broadcast from the right.</details>
# <details><summary>Hint 2</summary>Check the two ends: psi 1 must give w, psi 0 the mean.</details>


# %%
def truncate(w, w_mean, psi):
    ### BEGIN SOLUTION
    return w_mean + psi * (w - w_mean)
    ### END SOLUTION


# %%
checks.check_truncate(truncate)

# %%
many = generator.mapping(generator.sample_z(6, seed=21))
levels = [1.0, 0.7, 0.4, 0.0]
with torch.no_grad():
    sheet = torch.cat([generator.synthesis(truncate(many, generator.w_mean, psi)) for psi in levels])
course.show(sheet, labels=[f"psi {psi}" for psi in levels for _ in range(6)], columns=6)

# %% [markdown]
# From top to bottom, six people become one: the average face. How much variety is left? The mean distance between the images
# of pairs of codes, as a share of that at psi 1:

# %%
with torch.no_grad():
    codes = generator.mapping(generator.sample_z(32, seed=3))
    for psi in levels:
        drawn = generator.synthesis(truncate(codes, generator.w_mean, psi)).flatten(1)
        spread = torch.pdist(drawn).mean()
        full = spread if psi == 1.0 else full
        print(f"psi {psi}: {spread / full:.0%} of the variety")

# %% [markdown]
# ### Exercise 1.6 (explain, difficulty 1 of 3, 4 minutes): in your own words
#
# In two or three sentences: why does an image generated with psi 0.5 often look *better* than one with psi 1, and what is the price? Write it
# into the string; the check only looks whether you mention both sides.
#
# <details><summary>Hint 1</summary>Where did the training see many codes, near the mean or far away?</details>
# <details><summary>Hint 2</summary>What do all faces at psi 0 have in common?</details>

# %%
answer = ""
### BEGIN SOLUTION
answer = (
    "Near the mean the network has seen many codes in training, so faces there are drawn well. "
    "The price is variety: all faces move towards the average one, and unusual faces are lost."
)
### END SOLUTION

# %%
checks.check_truncation_words(answer)

# %% [markdown]
# ## What you have seen
#
# - [Mapping network](GLOSSARY.md#mapping-network): eight layers from $z$ to $w$. [Synthesis network](GLOSSARY.md#synthesis-network): from a
#   learned constant to the image, with a [style](GLOSSARY.md#style) in every layer.
# - [AdaIN](GLOSSARY.md#adain) normalises what it sees; [demodulation](GLOSSARY.md#demodulation) divides by what is expected.
# - Rows of a code are [coarse, middle and fine](GLOSSARY.md#coarse-middle-fine); [truncation](GLOSSARY.md#truncation) trades variety for quality.
#
# **Ask yourself**
#
# <details><summary>Where does the first layer of the synthesis network get its input from?</summary>From a learned constant, the same for
# every image. The code comes in as styles.</details>
# <details><summary>How many styles has a network of 256 px?</summary>Seven sizes from 4 to 256, two styles each: 14.</details>
# <details><summary>Why are the noise maps stored?</summary>So that a code always gives the same image; an embedding would otherwise chase a
# moving target.</details>
#
# **Next:** [lesson 2](02_w_versus_w_plus.ipynb) asks which of Z, W and W+ can hold a given photo.
