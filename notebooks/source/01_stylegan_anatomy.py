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
# | **You will see** | a face grow from 4 by 4 pixels; two kinds of network draw the same people; two faces exchange single layers; six people become one |
#
# This is the machine. Of the four columns of numbers the left two are those of the StyleGAN paper, the right two are
# ours; the lesson walks through it from $z$ to the image. Words with a link lead to the [glossary](GLOSSARY.md).
#
# ![Two networks: the mapping network turns z into w; the synthesis network grows an image from a learned 4 by 4 constant, with a style from w in each layer](images/networks.svg)

# %% tags=["nbval-ignore-output"]
import torch
import i2s
from i2s import course
from i2s.course import lesson01 as checks

lab = course.setup(steps=150)
generator = lab.generator

# %% [markdown]
# ## 1.1 From Z to W: the mapping network
#
# Older generators feed their random numbers $z$ straight into the first layer. **StyleGAN** (Karras et al. 2019)
# first sends them through a [mapping network](GLOSSARY.md#mapping-network), eight fully connected layers, which makes
# $w$ of $z$. Look at ours.

# %%
for number, layer in enumerate(generator.mapping.layers):
    print(number, "weight", list(layer.weight.shape))

# %% [markdown]
# The official networks have 512 numbers in $z$ and in $w$; ours is smaller. Why bother with $w$? Each number of $z$
# is drawn from a bell curve, whatever the others are; all $z$ together form a round cloud. Faces are not like that: a
# beard goes with some other features and not with all. The mapping can bend the cloud into a shape that fits. Is it
# bent? One sign: the numbers of $w$ follow a lopsided curve. `skewness` measures how lopsided.

# %%
z = generator.sample_z(4000, seed=1)
with torch.no_grad():
    w = generator.mapping(z)[:, 0]  # the mapping repeats w for each layer; take the first


def skewness(x):
    """0 for a bell curve; above 0 where the tail is on the right."""
    x = (x - x.mean(0)) / x.std(0)
    return x.pow(3).mean(0)


for name, codes in {"z": z, "w": w}.items():
    print(f"{name}: mean size of the skewness {skewness(codes).abs().mean():.2f}")

# %% [markdown]
# The curves of $z$ are even, those of $w$ are not: the mapping network did not just copy.
#
# ### Exercise 1.1 (predict, difficulty 1 of 3, 3 minutes): the same face twice
#
# In the diagram, $z$ is first **normalised**: divided by its length. What happens to the image when $z$ is multiplied
# by 10? Does it stay the `"same"`, does it get `"brighter"`, or does it turn into `"noise"`? Set `prediction` to one
# of these three before you run on.
#
# (The cell of an exercise stops with `NotImplementedError` until you put your answer in place of that line. The cell
# below it checks the answer, and says what may be wrong. If both hints have not helped, the solution is in the notebook of
# the same name in the folder `solutions`; copy it where later cells need it.)
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
    pair = generator(torch.cat([z[:1], 10 * z[:1]]), truncation_psi=0.7)  # section 1.7 says what psi is
course.show(pair, labels=["z", "10 z"], alt="The face of z and the face of 10 z")

# %% [markdown]
# ## 1.2 From W to images: the synthesis network
#
# The [synthesis network](GLOSSARY.md#synthesis-network) does not start from $w$ at all. It starts from a **learned
# constant**, 4 by 4 pixels, the same for every face, and doubles the size until the image is done. $w$ comes in from
# the side: in each layer a small linear map, the [affine](GLOSSARY.md#affine) map A, makes a
# [style](GLOSSARY.md#style) of it, and the style says how strong each feature map is.

# %%
synthesis = generator.synthesis
print("constant", list(synthesis.const.shape))
for block in synthesis.blocks:
    for layer in block.layers():
        out_channels, in_channels = layer.weight.shape[:2]
        size, style = layer.noise.shape[0], layer.affine.weight.shape[0]
        print(f"{size:4d} px: {in_channels:4d} -> {out_channels:4d} feature maps, style of {style} numbers")

# %% [markdown]
# From 4 to 1024 px there are nine sizes, with two styles each: the **18** styles of the paper. How many are ours?

# %%
import math

for resolution in (1024, generator.resolution):
    sizes = int(math.log2(resolution)) - 1  # 4, 8, 16, ... resolution
    print(f"{resolution} px: {sizes} sizes, {2 * sizes} styles")
generator.num_ws

# %% [markdown]
# `num_ws`, the number of rows of a code that has a $w$ for each layer (lesson 2 calls it W+), agrees. But the list
# above has one layer less! In StyleGAN2, which
# ours is, there is only one layer at 4 px, and the last row goes to the layer that turns the last feature maps into
# red, green and blue.

# %% [markdown]
# Now watch a face grow. StyleGAN2 draws a small RGB image at every size and adds them up, so that the sum can be
# looked at as it stands after each size:

# %%
w_plus = generator.mapping(generator.sample_z(1, seed=12), truncation_psi=0.6)
stages = course.stages(generator, w_plus)
labels = [f"{stage.shape[-1]} px" for stage in stages]
course.show([stage[0] for stage in stages], labels, alt="A face after each size, from 4 px to its own")

# %% [markdown]
# And these are [feature maps](GLOSSARY.md#feature-map), what the convolutions themselves pass on: eight of the many
# at each size, one size a row. Look from top to bottom: at 4 px a map can only say *where* something is, at the
# largest size it can hold edges and shades.

# %%
maps = course.feature_maps(generator, w_plus)
rows = [course.enlarge(m[0, :8], 64) for m in maps]
labels = [f"{m.shape[-1]} px" for m in maps for _ in range(8)]
alt = "Eight feature maps at each size: blobs first, outlines of a face at last"
course.show_maps(torch.cat(rows), labels, size=72, alt=alt)

# %% [markdown]
# ## 1.3 What a style does: AdaIN
#
# The network of the Image2StyleGAN paper, the first StyleGAN, has a scale $y_s$ and a shift $y_b$ in each style, one
# pair for each feature map. It applies them by [AdaIN](GLOSSARY.md#adain), adaptive instance normalisation. For each
# feature map $x_i$ of each image, with mean $\mu$ and spread $\sigma$ (the standard deviation) over its pixels:
#
# $$\text{AdaIN}(x_i, y) = y_{s,i}\,\frac{x_i - \mu(x_i)}{\sigma(x_i)} + y_{b,i}$$
#
# First the map loses its own mean and spread; then the style gives it new ones.
#
# ![Left: AdaIN normalises each feature map and then gives it the style's scale and shift. Right: StyleGAN2 scales the weights by the style and divides by the expected length](images/adain_and_demodulation.svg)
#
# ### Exercise 1.2 (fill, difficulty 2 of 3, 10 minutes): write AdaIN
#
# Given `x` [N, C, H, W], the C feature maps of N images; `scale` [N, C], which is $y_s$; and `shift` [N, C], which is
# $y_b$: return AdaIN(x), [N, C, H, W], float32. Mean and spread are those of each map by itself; add `1e-8` to the
# variance under the root.
#
# <details><summary>Hint 1</summary><code>x.mean(dim=(2, 3), keepdim=True)</code> has shape [N, C, 1, 1].</details>
# <details><summary>Hint 2</summary>The variance is the mean of the squares after the mean is taken off
# (<code>x.var</code> divides by one less). <code>scale[:, :, None, None]</code> fits over the image.</details>


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
# Now a whole layer of the first StyleGAN, with random weights: convolution, leaky ReLU (negative numbers are divided
# by 5), AdaIN. Its four input maps are as different as can be. What are their mean and spread on the way?

# %%
rng = torch.Generator().manual_seed(0)
layer = course.adain_layer(channels=4, w_dim=generator.w_dim)
x = torch.randn(1, 4, 32, 32, generator=rng) * torch.tensor([20, 5, 1, 0.2]).view(1, 4, 1, 1) + 3


def describe(name, maps):
    mean, spread = maps.mean(dim=(2, 3))[0], maps.std(dim=(2, 3), unbiased=False)[0]
    print(f"{name:18s} mean {mean.numpy().round(2)}  spread {spread.numpy().round(2)}")


describe("input", x)
describe("after convolution", layer.conv(x))
describe("after AdaIN", layer(x, w[:1], noise=None, fir=None))  # w: of the first z; no noise, no doubling

# %% [markdown]
# And this is what the style says, made of $w$ alone. The network keeps the scale as its difference from 1:

# %%
scale, shift = layer.affine(w[:1]).chunk(2, dim=1)
print("shift", shift[0].numpy().round(2), " scale", (1 + scale[0]).numpy().round(2))

# %% [markdown]
# Nothing of the input's strength is left: mean and spread after AdaIN are shift and scale of the style (a negative
# scale turns the map upside down). Does *your* AdaIN do the same as the layer's?

# %% tags=["nbval-ignore-output"]
inside = torch.nn.functional.leaky_relu(layer.conv(x), 0.2)
whole = layer(x, w[:1], noise=None, fir=None)
gap = (adain(inside, 1 + scale, shift) - whole).abs().max()
print(f"largest difference {gap:.1e}")

# %% [markdown]
# ## 1.4 What replaced it: demodulation
#
# AdaIN forgets how strong a map was in relation to the others, and StyleGAN smuggled that strength past it: its
# images have blobs like droplets of water. **StyleGAN2** (Karras et al. 2020), like ours, has
# [demodulation](GLOSSARY.md#demodulation) instead. The style, scales only, goes into the *weights* $w_{ijk}$ of the
# convolution (from map $i$ to map $j$, at place $k$ of its window), and the weights are divided by their length:
#
# $$w'_{ijk} = s_i\,w_{ijk}, \qquad w''_{ijk} = \frac{w'_{ijk}}{\sqrt{\sum_{i,k} w'^2_{ijk} + \epsilon}}$$
#
# (These $w$ are weights; the letter is the paper's.) Why that length? If all inputs were noise of spread 1, it would
# be the spread of the output. So after the division it is 1, **in expectation**. Try it with the layers of our
# generator: their weights, a real style, and noise.

# %%
from i2s.generators import layers, stylegan1, stylegan2

fir = layers.fir_kernel()  # a filter for doubling the size, which is not done here
at_work = course.trace_layers(generator, w_plus)
for number, (layer, x, style) in enumerate(at_work):
    noise = torch.randn(1, x.shape[1], 32, 32, generator=rng)
    out = [stylegan2.modulated_conv(maps, layer.weight, style, fir).std() for maps in (noise, x)]
    spreads = f"noise 1 -> {out[0]:.2f}, its own input {x.std():.2f} -> {out[1]:.2f}"
    print(f"layer {number}: spread of {spreads}")

# %% [markdown]
# Noise comes out with a spread near 1 in every layer (a little less, because of the empty border). The layers' real
# inputs, which are no noise, come out with spreads of their own: nothing is measured, so nothing is forced. Now both
# side by side, on inputs of which one map is 1, 5 and 25 times as strong:

# %%
weight, style, zero = torch.randn(4, 8, 3, 3, generator=rng), torch.ones(1, 8), torch.zeros(1, 4)
for strength in (1, 5, 25):
    x = torch.randn(1, 8, 32, 32, generator=rng)
    x[:, 0] *= strength
    new = stylegan2.modulated_conv(x, weight, style, fir)
    old = torch.nn.functional.conv2d(x, weight, padding=1)
    old = stylegan1.adain(old, zero, zero)  # a scale of 1 + 0, no shift
    print(f"times {strength:2d}: spread after AdaIN {old.std():.2f}, after demodulation {new.std():.2f}")

# %% [markdown]
# AdaIN gives 1, whatever came in: that a map was strong is lost. Demodulation passes it on, so no droplet is needed to
# smuggle it.
#
# ### Exercise 1.3 (diagnose, difficulty 2 of 3, 5 minutes): a style that does nothing
#
# A colleague multiplies **all** entries of the style by 3 and wonders why the output of a demodulated convolution
# does not change. Which explanation is right? Set `cause` to `"A"`, `"B"` or `"C"`.
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
tripled = stylegan2.modulated_conv(x, weight, 3 * style, fir)
print(f"largest difference {(tripled - new).abs().max():.1e}, of numbers up to {new.abs().max():.0f}")

# %% [markdown]
# ### Both at work
#
# So far a single layer had AdaIN, with random weights. Here is a whole generator of such layers: the **student** of
# ours, a StyleGAN (1) of the same sizes. Its mapping network is the same, so both read the same $w$; its synthesis
# network learned to draw what ours draws, by distillation.

# %%
student = i2s.load_generator("faces-64-adain", device=lab.device)
print(student.describe())
six = generator.sample_z(6, seed=21)
print("the same w of the same z:", torch.allclose(student.mapping(six), generator.mapping(six), atol=1e-2))

# %%
with torch.no_grad():
    ours, theirs = (network(six, truncation_psi=0.7) for network in (generator, student))
labels = ["demodulation"] * 6 + ["AdaIN"] * 6
alt = "Six faces of six z, drawn by our generator above and by its student with AdaIN below"
course.show(torch.cat([ours, theirs]), labels, columns=6, alt=alt)

# %% [markdown]
# Go from column to column: what is the same above and below, and what is not? Eyes, the borders of the hair and the
# background are good places to look. How far apart are the two images of one $z$, compared with the images of two?

# %% tags=["nbval-ignore-output"]
for name, a, b in [("one z, two networks", ours, theirs), ("two z, one network", ours, ours.roll(1, dims=0))]:
    print(f"{name}: mean difference of a pixel {(a - b).abs().mean() * 127.5:.0f} of 255")

# %% [markdown]
# The faces are in the codes, then, and not in one way of applying a style. Inside, the two differ as the diagram says.
# Look into one layer of the student while it draws: what does the style say, and what comes out?

# %%
code = student.mapping(six[:1])
layer, maps = student.synthesis.blocks[2].layer1, course.feature_maps(student, code)[2]  # 16 px
scale, shift = layer.affine(code[:, 5]).cpu().chunk(2, dim=1)  # two rows a size: rows 4 and 5 are those of 16 px
print(f"{maps.shape[1]} feature maps, style of {layer.affine.weight.shape[0]} numbers")
mean, spread = maps.mean(dim=(2, 3)), maps.std(dim=(2, 3), unbiased=False)
print("mean equals shift:  ", torch.isclose(mean, shift, atol=1e-2).sum().item(), "maps")
print("spread equals scale:", torch.isclose(spread, (1 + scale).abs(), atol=1e-2).sum().item(), "maps")

# %% [markdown]
# Twice as many numbers as feature maps; and the maps have the mean and the spread that the style asks for. In our own
# generator nothing forces them: there the layers' real inputs came out with spreads of their own.

# %% [markdown]
# ## 1.5 Noise
#
# Where a single hair lies is chance, and nothing that $w$ should carry. So each layer adds a map of
# [noise](GLOSSARY.md#noise), times a learned strength. The maps are stored beside the weights: drawn anew at each
# call, the same code would never give the same image twice, and embedding would chase a moving target. What are the
# strengths in our network?

# %%
strengths = [layer.noise_strength.item() for block in synthesis.blocks for layer in block.layers()]
print("noise strengths:", [round(s, 3) for s in strengths])

# %% [markdown]
# All zero! In a training as short as ours, noise became speckle, so its last part was done without noise
# (`training/README.md`); official networks do have it. To see the mechanism, give copies of our network some
# strength: in the layers up to 8 px, or in those from 32 px on.

# %%
import copy

faces = [generator.synthesis(w_plus)]
for rows in (range(0, 3), range(5, 9)):  # layers up to 8 px; layers from 32 px on
    noisy = copy.deepcopy(generator)
    styled = [layer for block in noisy.synthesis.blocks for layer in block.layers()]
    for row in rows:
        styled[row].noise_strength.data.fill_(0.05)
    faces.append(noisy.synthesis(w_plus))

# %% [markdown]
# In the second line is what the noise changed, four times as strong, on grey:

# %%
changes = [4 * (face - faces[0]) for face in faces]
labels = ["no noise", "noise up to 8 px", "noise from 32 px on"] + ["change, x 4"] * 3
alt = "A face without noise, with noise in coarse layers, with noise in fine layers; below, the changes"
course.show(torch.cat(faces + changes).clamp(-1, 1), labels, columns=3, alt=alt)

# %% [markdown]
# The same strength does little in coarse layers and shows as grain in fine ones. A network trained with noise learns
# a strength for each layer, so that grain becomes hair and skin.

# %% [markdown]
# ## 1.6 Coarse, middle, fine: style mixing
#
# Nothing forces all layers to get the same $w$. [Style mixing](GLOSSARY.md#style-mixing) takes some rows of the code
# from another face. In the paper, [coarse](GLOSSARY.md#coarse-middle-fine) layers (4 and 8 px) bring pose, shape and
# hair, middle ones (16 and 32 px) the features of the face, fine ones colour. Ours, with fewer sizes, are divided so:

# %%
groups = course.layer_groups(generator.resolution)
for name, rows in groups.items():
    print(f"{name:7s} rows {list(rows)}")

# %%
two = generator.mapping(generator.sample_z(2, seed=40), truncation_psi=0.8)
a, b = two[:1], two[1:]
mixed = [a, b] + [i2s.crossover(a, b, layers=rows) for rows in groups.values()]  # a with rows of b
with torch.no_grad():
    images = generator.synthesis(torch.cat(mixed))
labels = ["A", "B"] + [f"A, {name} of B" for name in groups]
course.show(images, labels, alt="Faces A and B, then A with the coarse, the middle and the fine rows of B")

# %% [markdown]
# Compare each mixture with A: what came along from B? Two faces prove little, so measure it over 64 pairs. When a
# group of rows is replaced, how much of the whole change from A to B happens in the *shape* (light and dark on a grid
# of 8 x 8), in *features* (16 x 16), in the strength of fine *detail*, and in the mean *colour*? 0: nothing; 1: all
# of it.

# %%
effects = course.layer_effects(generator, count=64)
for name, shares in effects.items():
    print(f"{name:7s}", {aspect: round(share, 2) for aspect, share in shares.items()})
for aspect in effects["coarse"]:
    print(f"{aspect} comes most with the", max(effects, key=lambda name: effects[name][aspect]), "rows")

# %% [markdown]
# The order is the paper's where shape comes with coarse rows and colour with fine ones. The middle rows decide less
# here than in the paper: the borders depend on the network, how many sizes it has, and how long it was trained.
#
# ### Exercise 1.4 (ablate, difficulty 2 of 3, 8 minutes): one row at a time
#
# Which single row changes the **colour** of the image most? Given the generator and two codes `a` and `b`, [1,
# num_ws, w_dim]: for each row `k` by itself, replace that row of `a` by that of `b`, and measure how far the mean
# colour, `image.mean(dim=(2, 3))`, moves from that of `a` (the length of the difference). Return the distances as a
# tensor [num_ws], float32.
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

# %% [markdown]
# One pair proves little here, too: the plot shows the mean of a dozen.

# %%
pairs = generator.mapping(generator.sample_z(24, seed=5), truncation_psi=0.8).chunk(12)
with torch.no_grad():
    change = torch.stack([colour_changes(generator, pair[:1], pair[1:]) for pair in pairs]).mean(dim=0)
values = {str(k): value for k, value in enumerate(change.tolist())}
course.bars(values, "change of the mean colour", xlabel="row of the code")

# %% [markdown]
# Which bar is the longest, and to which group does its row belong? The coarse rows have bars, too: larger hair or another
# shape of the head moves the mean colour of the whole image, without any colour being painted anew.

# %% [markdown]
# ## 1.7 Truncation: variety against quality
#
# Codes far from the centre of W were rare in training, and their faces are often broken.
# [Truncation](GLOSSARY.md#truncation) pulls a code towards the [mean latent](GLOSSARY.md#mean-latent) $\bar w$:
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
    rows = [generator.synthesis(truncate(many, generator.w_mean, psi)) for psi in levels]
labels = [f"psi {psi}" for psi in levels for _ in range(6)]
alt = "Six faces in four rows: different at psi 1, more and more alike, the same at psi 0"
course.show(torch.cat(rows), labels, columns=6, alt=alt)

# %% [markdown]
# From top to bottom, six people become one: the average face. How much variety is left? The mean distance between the
# images of pairs of codes, as a share of that at psi 1:

# %%
codes, distances = generator.mapping(generator.sample_z(32, seed=3)), []
with torch.no_grad():
    for psi in levels:
        drawn = generator.synthesis(truncate(codes, generator.w_mean, psi)).flatten(1)  # [32, 3 * R * R]
        distances.append(torch.pdist(drawn).mean())  # pdist: the distance of each pair
        print(f"psi {psi}: {distances[-1] / distances[0]:.0%} of the variety")

# %% [markdown]
# ### Exercise 1.6 (explain, difficulty 1 of 3, 4 minutes): in your own words
#
# In two or three sentences: why does an image generated with psi 0.5 often look *better* than one with psi 1, and
# what is the price? Write it into the string; the check only looks whether you mention both sides.
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
