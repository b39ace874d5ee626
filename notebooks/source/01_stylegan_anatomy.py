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
# ![A grid of faces: on the left one face, on top four others; in the row below them it takes their pose and hair, in the next their features, in the last their colours](images/mixed_styles.jpg)
#
# | | |
# |---|---|
# | **Goals** | say what a GAN is; follow a code from $z$ to an image; mix the styles of two faces; use truncation; write AdaIN and the modulated convolution |
# | **Before** | lesson 0; convolutions in PyTorch |
# | **Time** | about 90 minutes; the cells take one to two minutes on a laptop |
# | **You will see** | a face grow from 4 by 4 pixels; one face with the hair, the features or the colours of others; six people become one; two kinds of network draw the same people |
#
# This lesson goes through the generator that the whole course works with, from $z$ to the image. The numbers on the
# right of the diagram are those of the StyleGAN paper and of our own, smaller generator. Linked words lead to the
# [glossary](GLOSSARY.md).
#
# ![Two networks: the mapping network turns z into w; the synthesis network grows an image from a learned 4 by 4 constant, with two styles made of w at each size](images/networks.svg)

# %% tags=["nbval-ignore-output"]
import torch
import i2s
from i2s import course
from i2s.course import lesson01
from i2s.course import lesson01 as checks
from i2s.course.checks import compare_guess

lab = course.setup(steps=900)
generator = lab.generator

# %% [markdown]
# ## 1.1 Two networks in a contest
#
# A **generative adversarial network**, GAN for short (Goodfellow et al. 2014), is a pair. The
# [generator](GLOSSARY.md#generator) turns random numbers into an image. The [discriminator](GLOSSARY.md#discriminator)
# sees images, some of them photos of a **training set**, some generated, and says how real each one looks. Both learn
# at the same time: one to tell them apart, the other to pass. Nobody ever tells the generator which photo to draw.
#
# When the training ends, only the generator is kept, with its weights averaged over the last part of the training
# ([EMA](GLOSSARY.md#ema)): it draws better than with those of the last step.
#
# The contest has a weak spot. A generator that draws only a few faces, but very well, passes as easily as one that
# draws everybody. That is **[mode collapse](GLOSSARY.md#mode-collapse)**, and no single image shows it. Here are eight
# images in a row, drawn by an early attempt at our generator. How many people do you count?
#
# ![Eight faces in a row, from a generator with mode collapse: the first and the sixth are the same man in front of a flag, and the fourth, seventh and eighth much the same grey-haired man](images/mode_collapse.jpg)
#
# The **birthday test** (Arora and Zhang 2017) turns such counting into a measurement: among $n$ images of $N$ equally
# likely faces, $n (n - 1) / 2N$ pairs of the same face are expected.

# %%
for people in (30, 3616):
    print(f"{people:4d} different faces: {8 * 7 / 2 / people:.2f} pairs among 8 images")

# %% [markdown]
# You may have counted five people: the first and the sixth image show one man, and the fourth, seventh and eighth look
# much alike. The training set had 3616 faces; with as many in the generator, a single pair among eight would be a rare
# accident. That generator knew a few dozen at most. Ours is a later one ([how it was trained](../training/README.md)).
#
# ## 1.2 From Z to W: the mapping network
#
# Older generators feed their random numbers $z$ into the first layer. **StyleGAN** (Karras et al. 2019) sends them
# through a [mapping network](GLOSSARY.md#mapping-network) first, which turns them into $w$. Look at its layers.

# %%
for number, layer in enumerate(generator.mapping.layers):
    print(number, "weight", list(layer.weight.shape))

# %% [markdown]
# Eight fully connected layers, then. Both $z$ and $w$ are [latent codes](GLOSSARY.md#latent-code), lists of numbers
# that are not seen in the image, but decide it. All possible $z$ form the **[latent space](GLOSSARY.md#latent-space)**
# Z, all $w$ the latent space W. Why two of them? Each number of $z$ is drawn independently from a **[normal
# distribution](GLOSSARY.md#normal-distribution)** (a Gaussian): Z is a round cloud without gaps. Faces are not like
# that. Suppose that a face had two numbers only, the length of its hair and of its beard, and that nobody has both
# long:

# %%
lesson01.plot_toy_walks()

# %% [markdown]
# The grey dots are the same faces in both plots. To press them into a round cloud, space must be bent. Take a walk from
# short to long hair, with the same beard at both ends. The straight line in Z grows a longer beard on the way: hair and
# beard are **entangled**. W is not drawn from a fixed distribution, so it may have the shape of the faces, and there a
# straight line can change one thing alone. That is **[disentanglement](GLOSSARY.md#disentanglement)**, the authors'
# reason for the mapping network.
#
# Now our generator: a walk between two faces, in both spaces. ($z$ is normalised before the first layer, which turns a
# straight line in Z into an arc; `slerp` walks along it.)

# %%
z_ends = torch.cat([generator.sample_z(1, seed=seed) for seed in (15, 39)])
places = torch.linspace(0, 1, 5)
z_walk = torch.cat([lesson01.slerp(z_ends[:1], z_ends[1:], t) for t in places])
w_ends = generator.mapping(z_ends, truncation_psi=0.7)  # section 1.5 says what psi is
w_walk = torch.cat([torch.lerp(w_ends[:1], w_ends[1:], t) for t in places])

# %%
with torch.no_grad():
    walks = [generator(z_walk, truncation_psi=0.7), generator.synthesis(w_walk)]
labels = [f"{space}, {t:.2f}" for space in "ZW" for t in places.tolist()]
alt = "A red-haired man becomes a dark-haired woman: along Z above, along W below"
course.show(torch.cat(walks), labels, columns=5, alt=alt)

# %% [markdown]
# The ends of the two rows are the same. Is one row more of a detour? Judging by eye is hard, so measure how much the
# mapping network bends space: how well does the best *linear* map predict $w$, its last leaky ReLU undone, from $z$?
# $R^2$ is the share of the variance of $w$ that it predicts: 1 if it is always right, 0 if it does no better than the
# mean. The same network with random weights serves as a **control**. What $R^2$ do you expect of ours?

# %%
guess_of_r2 = None
### BEGIN SOLUTION
guess_of_r2 = 0.3
### END SOLUTION

# %%
z_many = generator.sample_z(6000, seed=1)
untrained = [lesson01.UntrainedMapping(generator, seed) for seed in range(3)]
for control in untrained:
    print(f"random weights: R2 {lesson01.linear_share(control.mapping, z_many):.2f}")
compare_guess(guess_of_r2, lesson01.linear_share(generator.mapping, z_many), "R2 of ours")

# %% [markdown]
# You may have expected that a trained network bends more than a random one. Ours does the opposite: but for that last
# leaky ReLU, it is nearly a linear map. So *our* W is hardly more disentangled than our Z. StyleGAN's own mapping
# network learned in the contest; ours was fitted to codes that a third network, an encoder, had made of the training
# faces, and the fit found a map that hardly bends.
#
# The paper's measure looks at the images. The **[perceptual path length](GLOSSARY.md#perceptual-path-length)** takes
# tiny steps along walks, and measures how much the image changes with each: by lesson 3's [perceptual
# loss](GLOSSARY.md#perceptual-loss) between the images before and after the step, divided by the square of the step.
# Less is smoother. The control's codes are brought to the mean and covariance of W, so that it draws faces, too. The
# number behind +- is the standard error of the mean.

# %% tags=["nbval-ignore-output"]
mappings = {"ours": generator.mapping, "random weights": untrained[0]}
for name, mapping in mappings.items():
    lengths = {}
    for space in "wz":
        walked = lesson01.path_lengths(generator, lab.perceptual, space, mapping)
        lengths[space], error = walked, walked.std() / len(walked) ** 0.5
        print(f"{name}, in {space.upper()}: mean {walked.mean():.0f} +- {error:.0f}")
    ratio = (lengths["z"] / lengths["w"]).median()
    print(f"{name}, Z / W: median over the walks {ratio:.1f}")

# %% [markdown]
# The control shows that the measure sees bending: the path in its Z is several times as long as the one in its W. In
# ours the two are alike, within the error of 64 walks. In the paper, with a mapping network that learned in the
# contest, the path in Z was more than twice as long as in W. So W *can* be disentangled; whether it is depends on the
# training, and it takes a control to tell.
#
# ### Exercise 1.1 (predict, difficulty 1 of 3, 3 minutes): ten times z
#
# In the diagram, $z$ is first **normalised**: divided by its root mean square, after which its length is $\sqrt{512}$.
# By how much does the image change when $z$ is multiplied by 10? Set `prediction` to the mean difference of a pixel, in
# grey values from 0 to 255; two random faces are 50 to 80 apart.
#
# (In an exercise, put your answer in place of the line that says so. The cell below checks it, and says what may be
# wrong. If both hints have not helped, the solution is in the notebook of the same name in the folder `solutions`.)
#
# <details><summary>Hint 1</summary>Take $z = (3, 4)$. What is left of it after the division? And of $(30, 40)$?</details>
# <details><summary>Hint 2</summary>How much of the factor reaches the first layer of the mapping network?</details>

# %%
prediction = None
### BEGIN SOLUTION
prediction = 0
### END SOLUTION

# %%
checks.check_scaled_z(prediction)

# %%
with torch.no_grad():
    ten_times = generator(torch.cat([z_ends[:1], 10 * z_ends[:1]]), truncation_psi=0.7)
    two_people = generator(z_ends, truncation_psi=0.7)
for what, (one, other) in {"z and 10 z": ten_times, "two z": two_people}.items():
    gap = (one - other).abs().mean() * 127.5
    print(f"{what}: mean difference {gap:.1f} of 255")

# %% [markdown]
# ## 1.3 From W to images: the synthesis network
#
# The [synthesis network](GLOSSARY.md#synthesis-network) does not start from $w$. It starts from a **learned
# constant**, 4 by 4 pixels, the same for every face, and doubles the size until the image is done. $w$ comes in from
# the side: in each layer an [affine](GLOSSARY.md#affine) map A makes a **style vector** of it, one number for each
# [feature map](GLOSSARY.md#feature-map), by which the map is multiplied.

# %%
synthesis = generator.synthesis
print("constant", list(synthesis.const.shape))
for layer in (layer for block in synthesis.blocks for layer in block.layers()):
    out_channels, in_channels = layer.weight.shape[:2]
    size, numbers = layer.noise.shape[0], layer.affine.weight.shape[0]
    print(f"{size:4d} px: {in_channels} -> {out_channels} maps, style of {numbers}")

# %% [markdown]
# In code, $w$ is repeated as the rows of a table, one for each layer. The layer that makes red, green and blue of the
# last maps takes one more row. From 4 to 1024 px there are nine sizes with two rows each, the **18** rows of the paper.
# How many has ours?

# %%
import math

for resolution in (1024, generator.resolution):
    count = int(math.log2(resolution)) - 1  # of 4, 8, 16, ... resolution
    print(f"{resolution} px: {count} sizes, {2 * count} rows")
print("ours has", generator.num_ws)

# %% [markdown]
# In StyleGAN2, which ours is, a style scales the *input* of its layer, in the first StyleGAN the *output*. The first
# layer of 8 px has the maps of 4 px as its input. So in both, rows $2k$ and $2k + 1$ scale the maps of size number $k$,
# counted from 0: rows 0 and 1 those of 4 px, rows 2 and 3 those of 8 px, and so on.
#
# Now watch a face grow. StyleGAN2 draws a small RGB image at every size and adds them up, so that the sum can be
# looked at after each size:

# %%
w_face = generator.mapping(generator.sample_z(1, seed=15), truncation_psi=0.6)
stages = [stage[0] for stage in course.stages(generator, w_face)]
labels = [f"{stage.shape[-1]} px" for stage in stages]
alt = "A face after each size, from a grey blur at 4 px to the face itself at 128 px"
course.show(stages, labels, columns=3, size=192, alt=alt)

# %%
for stage in stages:
    print(f"up to {stage.shape[-1]:3d} px: standard deviation {stage.std():.2f}")

# %% [markdown]
# The contrast comes late: nothing asks the images of the small sizes to look like a face by themselves. Only the sum
# is judged.
#
# The first StyleGAN was trained by **progressive growing**: it began with images of 8 px, and blended in the layers of
# one larger size after the other. With it, teeth and eyes stuck to fixed places in the image while the head turned.
# StyleGAN2 trains all sizes at once; the sum of images serves the same purpose.
#
# Inside, the convolutions pass on [feature maps](GLOSSARY.md#feature-map). Here are six of the many at each size, one
# size a row: at 4 px a map can only say *where* something is, at 128 px it holds edges and shades.

# %%
grown = course.feature_maps(generator, w_face)
tiles = torch.cat([course.enlarge(block_maps[0, :6], 128) for block_maps in grown])
labels = [f"{m.shape[-1]} px" if k == 0 else "" for m in grown for k in range(6)]
alt = "Six feature maps at each size: grey squares first, a face's outlines at last"
course.show_maps(tiles, labels, columns=6, size=96, alt=alt)

# %% [markdown]
# ## 1.4 Coarse, middle, fine: style mixing
#
# Nothing forces all layers to get the same $w$. A code of N faces, `[N, num_ws, w_dim]`, has for each face `num_ws`
# rows of `w_dim` numbers. It may take some rows from one face and the others from another: [style
# mixing](GLOSSARY.md#style-mixing). StyleGAN does it during training, too, so that no layer relies on the rows of the
# others. In the paper the [coarse](GLOSSARY.md#coarse-middle-fine) rows bring pose, shape of the head and hair, the
# middle ones the features of the face, the fine ones colour.

# %%
groups = course.layer_groups(generator.resolution)
for name, rows in groups.items():
    sizes = sorted({4 * 2 ** (row // 2) for row in rows})
    print(f"{name:7s} rows {list(rows)}, maps of {sizes} px")

# %% [markdown]
# ### Exercise 1.2 (fill, difficulty 1 of 3, 5 minutes): mix two codes
#
# Given two codes `a` and `b`, [N, num_ws, w_dim], and a list of row numbers `rows`: return a *new* code, equal to `a`
# but for those rows, which are those of `b`. Leave `a` and `b` as they are.
#
# <details><summary>Hint 1</summary>Why would writing into <code>a</code> spoil the next mixture? <code>a.clone()</code>
# copies it.</details>
# <details><summary>Hint 2</summary>In [N, num_ws, w_dim] the rows are along the second dimension; a list can be an
# index.</details>


# %%
def mix_styles(a, b, rows):
    ### BEGIN SOLUTION
    mixed = a.clone()
    mixed[:, list(rows)] = b[:, list(rows)]
    return mixed
    ### END SOLUTION


# %%
checks.check_mix_styles(mix_styles)

# %% [markdown]
# One face on the left, A, and four on top, B. Each line of faces below takes one group of rows of the code from B, and
# all others from A:


# %%
def random_codes(*seeds, psi=0.6):
    z_of_seeds = torch.cat([generator.sample_z(1, seed=seed) for seed in seeds])
    return generator.mapping(z_of_seeds, truncation_psi=psi)


code_a, codes_b = random_codes(40), random_codes(0, 57, 61, 39)
four_a = code_a.expand_as(codes_b)
mixed_codes = [mix_styles(four_a, codes_b, rows) for rows in groups.values()]

# %%
with torch.no_grad():
    face_a, faces_b = generator.synthesis(code_a), generator.synthesis(codes_b)
    grid, labels = [torch.ones_like(face_a), faces_b], ["", "B", "B", "B", "B"]
    for name, codes in zip(groups, mixed_codes):
        grid += [face_a, generator.synthesis(codes)]
        labels += ["A"] + 4 * [f"{name} of B"]
alt = "Face A on the left, four faces B on top; A with coarse, middle, fine rows of B"
course.show(torch.cat(grid), labels, columns=5, alt=alt)

# %% [markdown]
# Compare each mixture with A and with the face on top. What came along from B with the coarse rows, with the middle,
# with the fine ones? Then measure it over many pairs. When one group of rows is replaced, what share of the whole
# change from A to B comes with it: of the change in *shape* (light and dark on a grid of 8 x 8), in *features* (what a
# grid of 16 x 16 adds), in the strength of fine *detail*, and in the mean *colour*? 0: nothing; 1: all of it. First a
# guess: what share of the change in colour comes with the fine rows?

# %%
guess = None
### BEGIN SOLUTION
guess = 0.9
### END SOLUTION

# %%
effects = []
for seed in range(4):  # 64 pairs each
    effects.append(course.layer_effects(generator, count=64, seed=seed))
    print(f"{64 * (seed + 1)} pairs done")
of_fine = torch.tensor([e["fine"]["colour"] for e in effects])
compare_guess(guess, of_fine.mean(), "share of colour")

# %%
for name in groups:
    for aspect in ("shape", "features", "detail", "colour"):
        share = torch.tensor([e[name][aspect] for e in effects])
        low, high = share.aminmax()
        print(f"{name:6s} {aspect:8s} {share.mean():.2f} ({low:.2f} to {high:.2f})")

# %% [markdown]
# How near was your guess? As in the paper, most of the shape comes with the coarse rows, and the fine rows bring more
# colour than the other groups. But by themselves they bring only about 0.3 of its change. The three shares of the
# colour add up to about 0.6: the rest needs several groups at once. The *features* come mostly with the coarse rows;
# after all, a head that turns takes its eyes along. How much *detail* there is depends, on average, more on the coarse
# rows (think of long hair or a busy background) than on the fine ones.
#
# ### Exercise 1.3 (ablate, difficulty 2 of 3, 8 minutes): one row at a time
#
# Which single row changes the **colour** of the image most? Given the generator and two codes `a` and `b`, [1, num_ws,
# w_dim]: for each row `k` by itself, replace that row of `a` by that of `b`, and measure how far the mean colour,
# `image.mean(dim=(2, 3))`, moves from that of `a` (the length of the difference). Return the distances, [num_ws].
#
# <details><summary>Hint 1</summary>You wrote the replacement a moment ago; here <code>rows</code> has one entry.</details>
# <details><summary>Hint 2</summary>You compare two lists of three numbers, by their Euclidean distance. Numbers that
# a loop collects can be stacked.</details>


# %%
def colour_changes(generator, a, b):
    ### BEGIN SOLUTION
    before = generator.synthesis(a).mean(dim=(2, 3))
    found = []
    for k in range(generator.num_ws):
        after = generator.synthesis(mix_styles(a, b, [k])).mean(dim=(2, 3))
        found.append((after - before).norm())
    return torch.stack(found)
    ### END SOLUTION


# %%
checks.check_colour_changes(colour_changes)

# %% [markdown]
# One pair proves little. The plot shows the mean of twelve.

# %%
pairs = generator.mapping(generator.sample_z(24, seed=5), truncation_psi=0.7).chunk(12)
with torch.no_grad():
    moved = [colour_changes(generator, two[:1], two[1:]) for two in pairs]
means_of_rows = torch.stack(moved).mean(0).tolist()
heights = {str(k): round(127.5 * value, 1) for k, value in enumerate(means_of_rows)}
course.bars(heights, "change of mean colour (of 255)", xlabel="row of the code")

# %% [markdown]
# The longest bar is that of row 11, a fine one: the row of the layer that makes red, green and blue of the last maps.
# Row 0 has a long bar, too. More hair, or another shape of the head, can move the mean colour of the whole image
# without any colour being painted anew.
#
# ## 1.5 Truncation: variety against quality
#
# A code that lies far from the centre of W in some direction has a feature that was rare in training, and what was rare
# is often drawn badly. (Rare in the training set, not among people: the [model card](../data/faces-128.md) says whom
# ours leaves out.) [Truncation](GLOSSARY.md#truncation) pulls a code towards the [mean latent](GLOSSARY.md#mean-latent)
# $\bar w$:
#
# $$w' = \bar w + \psi\,(w - \bar w)$$
#
# ### Exercise 1.4 (fill, difficulty 1 of 3, 4 minutes): truncate
#
# Given `w` [N, num_ws, w_dim], the mean `w_mean` [w_dim] and a number `psi`, return the truncated codes, and leave `w`
# as it is.
#
# <details><summary>Hint 1</summary>Which code should come out at psi 0, which at psi 1? Try your line on both.</details>
# <details><summary>Hint 2</summary>Shapes are matched from the right: [w_dim] fits [N, num_ws, w_dim] as it is.</details>


# %%
def truncate(w, w_mean, psi):
    ### BEGIN SOLUTION
    return w_mean + psi * (w - w_mean)
    ### END SOLUTION


# %%
checks.check_truncate(truncate)

# %% [markdown]
# Six faces at five values of psi, one of them beyond 1. Where do the images break, and what is left at the end?

# %%
six = random_codes(15, 39, 12, 34, 57, 28, psi=1)
psis = [1.5, 1.0, 0.7, 0.4, 0.0]
with torch.no_grad():
    pulled = [generator.synthesis(truncate(six, generator.w_mean, psi)) for psi in psis]
labels = [f"psi {psi}" if k == 0 else "" for psi in psis for k in range(6)]
alt = "Six faces at five psi: distorted at 1.5, different at 1, more alike, equal at 0"
course.show(torch.cat(pulled), labels, columns=6, alt=alt)

# %% [markdown]
# From top to bottom, six people become one: the average face. With psi 0.4, how much of the variety is left: the mean
# distance between the images of two codes, as a share of that at psi 1?

# %%
guess_of_variety = None
### BEGIN SOLUTION
guess_of_variety = 0.4
### END SOLUTION

# %%
w_of_48 = generator.mapping(generator.sample_z(48, seed=3))
variety = {}
for psi in psis:
    with torch.no_grad():
        drawn = generator.synthesis(truncate(w_of_48, generator.w_mean, psi)).flatten(1)
    variety[psi] = torch.pdist(drawn).mean()  # the distance of each pair
    print(f"psi {psi}: mean distance {variety[psi]:.0f}")
for psi, distance in variety.items():
    print(f"psi {psi}: {distance / variety[1.0]:.0%} of the variety")
far_out = (w_of_48[:, 0] - generator.w_mean).norm(dim=1)
print(f"distance of the codes from the mean: {far_out.min():.0f} to {far_out.max():.0f}")
compare_guess(guess_of_variety, variety[0.4] / variety[1.0], "variety at psi 0.4")

# %% [markdown]
# You may have expected 40 %: the distances of the *codes* shrink to exactly that, those of the images much less. And
# look at the last row of faces again. The average face is not the best drawn one; behind it is a patchwork. Random
# codes lie far from the mean, none of these 48 nearer than 9, so training hardly ever asked for an image there. (In the
# StyleGAN paper the mean face is drawn well.) The course mostly takes a psi between 0.5 and 0.7.
#
# ### Exercise 1.5 (explain, difficulty 1 of 3, 4 minutes): in your own words
#
# In two or three sentences: why does an image generated with psi 0.5 often look *better* than one with psi 1, and what
# is the price? Write it into the string. The check reads English, and only looks whether both are mentioned.
#
# <details><summary>Hint 1</summary>How often did training see common features, how often uncommon ones?</details>
# <details><summary>Hint 2</summary>What do all faces at psi 0 have in common?</details>

# %%
answer = ""
### BEGIN SOLUTION
answer = (
    "Towards the mean features become usual ones, which training has seen often, "
    "so they are drawn well; rare ones are drawn badly. The price is variety: "
    "all faces move towards the average one, and unusual faces are lost."
)
### END SOLUTION

# %%
checks.check_truncation_words(answer)

# %% [markdown]
# ## 1.6 What a style does: AdaIN
#
# So far a style was "multiplied" with the maps. How exactly? The network of the Image2StyleGAN paper, the first
# StyleGAN, has a scale $y_s$ and a shift $y_b$ in each style vector, one pair for each feature map. It applies them by
# [AdaIN](GLOSSARY.md#adain), adaptive instance normalisation. For each feature map $x_i$ of each image, with mean
# $\mu$ and standard deviation $\sigma$ over its pixels:
#
# $$\text{AdaIN}(x_i, y) = y_{s,i}\,\frac{x_i - \mu(x_i)}{\sigma(x_i)} + y_{b,i}$$
#
# First the map loses its own mean and standard deviation; then the style gives it new ones.
#
# ![Left: AdaIN normalises each feature map and then gives it the style's scale and shift. Right: StyleGAN2 scales the weights by the style and divides by their length](images/adain_and_demodulation.svg)
#
# ### Exercise 1.6 (fill, difficulty 2 of 3, 10 minutes): write AdaIN
#
# Given `x` [N, C, H, W], the C feature maps of N images; `scale` [N, C], which is $y_s$; and `shift` [N, C], which is
# $y_b$: return AdaIN(x), [N, C, H, W]. Mean and variance are those of each map by itself, the variance as the mean of
# the squared distances from that mean; add `1e-8` to it under the root.
#
# <details><summary>Hint 1</summary>Over which dimensions is a single map spread? <code>keepdim=True</code> keeps the others
# in their places.</details>
# <details><summary>Hint 2</summary>What does <code>x.var</code> divide by, unless told otherwise? Indexing with
# <code>None</code> adds dimensions of size 1.</details>


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
# Here is a whole generator of such layers: the **student** of our smaller generator, of 64 px. Both read the same $w$;
# the student's synthesis network learned to draw what its teacher draws ([distillation](../data/faces-64-adain.md)).

# %%
pair = "faces-64", "faces-64-adain"
teacher, student = (i2s.load_generator(name, device=lab.device) for name in pair)
print(teacher.describe(), student.describe(), sep="\n")
z_of_pair = teacher.sample_z(4, seed=21)
same = torch.allclose(student.mapping(z_of_pair), teacher.mapping(z_of_pair), atol=1e-2)
print("the same w of the same z:", same)

# %%
with torch.no_grad():
    by_teacher = teacher(z_of_pair, truncation_psi=0.6)
    by_student = student(z_of_pair, truncation_psi=0.6)
labels = ["demodulation"] * 4 + ["AdaIN"] * 4
alt = "Four faces of four z: by the teacher above, a little softer by its student below"
course.show(torch.cat([by_teacher, by_student]), labels, columns=4, size=160, alt=alt)

# %% [markdown]
# The same people, a little softer below. That says nothing about AdaIN: the student learned from its teacher's images
# alone, for two hours on one core of a CPU. How far apart are the two images of one $z$, compared with the images of
# two different $z$?

# %% tags=["nbval-ignore-output"]
neighbours = by_teacher.roll(1, dims=0)
others = {"one z, two networks": by_student, "two z, one network": neighbours}
for what, compared in others.items():
    gap = (by_teacher - compared).abs().mean() * 127.5
    print(f"{what}: mean difference {gap:.0f} of 255")

# %% [markdown]
# The faces are in the codes, then, and not in one way of applying a style. Does *your* AdaIN do what the student's
# layers do? Take the second layer of 16 px: the maps before its AdaIN, its style, and the maps after it. (The layer
# stores the scale minus 1.)

# %%
w_student = student.mapping(z_of_pair[:1])
old_layer = student.synthesis.blocks[2].layer1
old_scale, old_shift = old_layer.affine(w_student[:, 5]).cpu().chunk(2, dim=1)
before_style, after_style = lesson01.around_style(student, w_student, old_layer)
mine = adain(before_style, 1 + old_scale, old_shift)
print(f"{mine.shape[1]} maps, style of {old_layer.affine.weight.shape[0]} numbers")
print("your AdaIN gives the same:", torch.allclose(mine, after_style, atol=1e-3))


# %%
def mean_and_std(maps):
    return maps.mean(dim=(2, 3))[0], maps.std(dim=(2, 3), correction=0)[0]


for when, maps_then in {"before": before_style, "after": after_style}.items():
    for what, values in zip(("mean", "std"), mean_and_std(maps_then)):
        print(f"{when}: {what} of four maps {values[:4].numpy().round(2)}")
print(f"style: shift {old_shift[0, :4].numpy().round(2)}")
print(f"style: scale {(1 + old_scale[0, :4]).numpy().round(2)}")

# %% [markdown]
# Nothing of the maps' own strength is left after AdaIN: mean and standard deviation are shift and scale of the style.
# (A negative scale would swap high and low values.)
#
# ## 1.7 What replaced it: demodulation
#
# AdaIN forgets how strong a map was compared with the others. The images of the first StyleGAN have blobs like droplets
# of water, and the authors suspect that the network sneaks such strengths past the normalisation by a strong local
# spike: when they took the normalisation away, the droplets went. **StyleGAN2** (Karras et al. 2020), like ours, has
# [demodulation](GLOSSARY.md#demodulation) instead. The style, scales only, goes into the *weights* $w_{ijk}$ of the
# convolution (from map $i$ to map $j$, at place $k$ of its window), and the weights of each output map are divided by
# their length:
#
# $$w'_{ijk} = s_i\,w_{ijk}, \qquad w''_{ijk} = \frac{w'_{ijk}}{\sqrt{\sum_{i,k} w'^2_{ijk} + \epsilon}}$$
#
# (These $w$ are weights; the letter is the paper's.) No mean is taken off, and noise and bias come after it.
#
# ### Exercise 1.7 (fill, difficulty 3 of 3, 15 minutes): write the modulated convolution
#
# This is the operation that our generator is made of. Given `x` [N, in, H, W], `weight` [out, in, 3, 3] and `style`
# [N, in], one scale for each input map of each image: return the convolution of each image with *its* $w''$, [N, out,
# H, W], with `padding=1` and $\epsilon$ = `1e-8`. A loop over the images is fine.
#
# <details><summary>Hint 1</summary>PyTorch stores weights as [out, in, 3, 3]: which dimension is i, which are k, and which one
# keeps a length of its own?</details>
# <details><summary>Hint 2</summary><code>torch.nn.functional.conv2d</code> takes one set of weights for all images, so
# give it one image, [1, in, H, W], at a time. <code>torch.cat</code> joins the results.</details>


# %%
def modulated_conv(x, weight, style):
    ### BEGIN SOLUTION
    outputs = []
    for image, s in zip(x, style):
        modulated = weight * s[None, :, None, None]
        length = (modulated.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        unit = modulated / length
        outputs.append(torch.nn.functional.conv2d(image[None], unit, padding=1))
    return torch.cat(outputs)
    ### END SOLUTION


# %%
checks.check_modulated_conv(modulated_conv)

# %% [markdown]
# Why that length? If all inputs were noise of standard deviation 1, it would be the standard deviation of the output.
# So after the division it is 1, **in expectation**. Try it with *your* convolution and the layers of our generator: on
# noise, and on the maps that the layers really get.

# %%
rng = torch.Generator().manual_seed(0)
for number, (layer, inputs, style) in enumerate(course.trace_layers(generator, w_face)):
    unit_noise = torch.randn(1, inputs.shape[1], 32, 32, generator=rng)
    of_noise = modulated_conv(unit_noise, layer.weight.cpu(), style).std()
    of_own = modulated_conv(inputs, layer.weight.cpu(), style).std()
    print(f"{number:2d}: noise 1 -> {of_noise:.2f}, own {inputs.std():.2f} -> {of_own:.2f}")

# %% [markdown]
# Noise comes out with a standard deviation near 1 in every layer (a little less, because of zero padding). The layers'
# own inputs, which are no noise, come out with standard deviations of their own: nothing is measured, so nothing is
# forced. Now both side by side, with one input map 1, 5 and 25 times as strong. Which standard deviations do you expect
# of the output, with AdaIN and with demodulation?

# %%
weight_8 = torch.randn(4, 8, 3, 3, generator=rng)
for strength in (1, 5, 25):
    x_8 = torch.randn(1, 8, 32, 32, generator=rng)
    x_8[:, 0] *= strength
    new = modulated_conv(x_8, weight_8, torch.ones(1, 8))
    plain_8 = torch.nn.functional.conv2d(x_8, weight_8, padding=1)
    old = adain(plain_8, torch.ones(1, 4), torch.zeros(1, 4))
    print(f"times {strength:2d}: AdaIN {old.std():.2f}, demodulation {new.std():.2f}")

# %% [markdown]
# AdaIN gives 1, whatever came in: that a map was strong is lost. Demodulation passes it on.
#
# ### Exercise 1.8 (diagnose, difficulty 2 of 3, 5 minutes): a style that does nothing
#
# A colleague multiplies **all** entries of the style by 3 and wonders why the output of a demodulated convolution does
# not change. Which explanation is right? Set `cause` to `"A"`, `"B"` or `"C"`.
#
# - **A** the affine layer clips the style
# - **B** the factor is in $w'$ and in the root it is divided by, so it cancels
# - **C** the leaky ReLU after the convolution removes scales
#
# <details><summary>Hint 1</summary>Put $3 s_i$ in place of $s_i$ in both formulas above.</details>
# <details><summary>Hint 2</summary>What is the root of 9 times a sum?</details>

# %%
cause = None
### BEGIN SOLUTION
cause = "B"
### END SOLUTION

# %%
checks.check_scaled_style(cause)

# %% tags=["nbval-ignore-output"]
once, thrice = (modulated_conv(x_8, weight_8, k * torch.ones(1, 8)) for k in (1, 3))
gap = (thrice - once).abs().max()
print(f"largest difference {gap:.1e}, of numbers up to {once.abs().max():.0f}")

# %% [markdown]
# ## 1.8 Noise
#
# Where a single hair lies is random; $w$ should not have to encode it. So each layer adds a map of
# [noise](GLOSSARY.md#noise), times a learned strength (one for each feature map in StyleGAN, one for each layer in
# StyleGAN2). In training the maps are drawn anew for every image. For use they are drawn once and stored: otherwise
# the same code would never give the same image twice, and embedding would chase a moving target. What are our
# strengths?

# %%
noisy_layers = [layer for block in synthesis.blocks for layer in block.layers()]
strengths = [layer.noise_strength.item() for layer in noisy_layers]
print("noise strengths:", [round(s, 4) for s in strengths])

# %% [markdown]
# Small: [our training](../training/README.md) added noise late, when the network already drew well without it, so it
# hardly uses it. Official networks do. To see what noise does, hand in the stored maps 10 times as strong. In the
# middle is the change itself, doubled, on grey.

# %%
loud = [10 * noise_map for noise_map in generator.noise_maps()]
with torch.no_grad():
    noises = ("none", "const", loud)
    without, stored, noisy = (generator.synthesis(w_face, noise=n) for n in noises)
print(f"stored noise moves a pixel by {(stored - without).abs().mean() * 127.5:.2f} of 255")
labels = ["stored noise", "the change, x 2", "noise x 10"]
alt = "A face; grain that noise adds, on grey; the face with grain over skin and hair"
noise_sheet = torch.cat([stored, 2 * (noisy - stored), noisy]).clamp(-1, 1)
course.show(noise_sheet, labels, size=192, alt=alt)

# %% [markdown]
# The grain gathers in the hair and along the outlines of the face: even this network has learned a little where detail
# is random. One that has noise from the start of its training turns it into hair and pores.
#
# ## What you have seen
#
# - A GAN is a generator and a discriminator in a contest; [mode collapse](GLOSSARY.md#mode-collapse) is its weak spot.
# - [Mapping network](GLOSSARY.md#mapping-network): eight layers from $z$ to $w$; it lets W be disentangled, ours hardly uses
#   that. [Synthesis network](GLOSSARY.md#synthesis-network): from a learned constant to the image, with a
#   [style](GLOSSARY.md#style) in every layer.
# - Rows of a code are [coarse, middle and fine](GLOSSARY.md#coarse-middle-fine); [truncation](GLOSSARY.md#truncation) trades
#   variety for quality.
# - [AdaIN](GLOSSARY.md#adain) normalises what it sees; [demodulation](GLOSSARY.md#demodulation) divides by what is expected.
#
# **Ask yourself**
#
# <details><summary>Where does the first layer of the synthesis network get its input from?</summary>From a learned constant, the same for
# every image. The code comes in as styles.</details>
# <details><summary>How many rows has a code of a network of 256 px, and which are coarse?</summary>Seven sizes from 4 to 256, two rows
# each: 14. Rows 0 to 3 scale the maps of 4 and 8 px.</details>
# <details><summary>Why does a mapping network with random weights belong in a measurement of ours?</summary>As a control: without it,
# nobody knows which number the measure gives where nothing was learned.</details>
# <details><summary>Why are the noise maps stored?</summary>So that a code always gives the same image; an embedding would otherwise chase a
# moving target.</details>
#
# **Try it**
#
# - Find your own pay-off picture: other seeds in the grid of 1.4, or a group of rows of your choice. Which rows bring
#   glasses, which a smile?
# - `generator.mapping` takes `truncation_cutoff`: truncate the first four rows only, as StyleGAN's authors do with their
#   first eight of 18. What is kept, what is lost?
# - Do the birthday test on ours: 64 images at psi 1, and at 0.4. Does truncation look like mode collapse?
# - Write the modulated convolution without a loop: scale the maps in place of the weights, and divide the output.
#
# **Read on:** Karras et al. 2019, sections 2 to 4, and 2020, sections 2 to 4 (links in the [glossary](GLOSSARY.md)).
#
# **Next:** [lesson 2](02_w_versus_w_plus.ipynb) asks which of Z, W and W+ can hold a given photo.
