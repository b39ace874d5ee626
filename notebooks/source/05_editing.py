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
# # 5. Editing: morphs, smiles and crossovers
#
# | | |
# |---|---|
# | **Goals** | morph two faces; give one person's smile to another; find the rows that carry it; cross content with style; choose between a closer embedding and one that can be edited; say what must not be done with all this |
# | **Before** | lessons 1 to 3; lesson 4 helps |
# | **Time** | about 75 minutes; the cells take about one on a laptop |
# | **You will see** | one person turn into another; a smile that was never photographed; faces that break, and why; your own photo edited |
#
# ![Three people, each before and after an edit: neutral and with a smile that was never photographed; a woman and her morph with a man, half-way; a woman, and the same woman in cold grey-blue light, with older skin](images/editing.jpg)
#
# ![Three edits on codes: a morph is a point on a line; an expression is the difference of two codes of one person, added to another; a crossover takes the first rows of one code and the last of another](images/edits.svg)

# %% tags=["nbval-ignore-output"]
import torch
from IPython.display import display

import i2s
from i2s import course
from i2s.course import lesson05 as checks
from i2s.course.checks import compare_guess
from i2s.course.lesson05 import changes, draw, nearest, remaining

lab = course.setup(steps=240)
generator, net = lab.generator, lab.perceptual

# %% [markdown]
# ## 5.1 Whose faces are these?
#
# These people had their photographs taken for the **Face Research Lab London Set** (DeBruine and Jones 2017, CC BY 4.0),
# neutral and smiling, and agreed that the photos may be used in studies on the web and to illustrate research; nobody
# asked them about latent codes. The generator was never trained on them. The course ships their codes, not the photos,
# so this lesson needs no internet. They are people: what you make of their faces stays in this notebook.

# %%
people = course.load_people(generator)
print(len(people.names), "people, codes", list(people.neutral.shape[1:]))
print(people.settings)
print(people.attribution)

# %% [markdown]
# The second line says how the codes were found: by a search that starts at the guess of an
# [encoder](GLOSSARY.md#encoder) (lesson 4). It is *not* quite the method of Image2StyleGAN: a term was added to its
# loss, a **regularisation** called P_N+, which keeps codes near those of random faces. Section 5.6 shows what it costs
# and what it brings.

# %%
neutral = draw(generator, people.neutral)
smiling = draw(generator, people.smiling)
some = [0, 3, 5, 7]
labels = [people.names[k] for k in some] + ["smiling"] * len(some)
alt = "Four people: neutral above; below them their smiles, two broad, two faint"
pairs = torch.cat([neutral[some], smiling[some]])
course.show(pairs, labels, columns=4, size=192, alt=alt)

# %% [markdown]
# If there is a connection to the internet, the next cell fetches one of the photos themselves, as it was taken,
# uncropped, and keeps it on this computer. If there is none, it says so, and the lesson goes on.

# %% tags=["nbval-ignore-output"]
original = course.fetch_photo("010", "smiling", progress=False, say=print)
if original:
    alt = "A photo of the London Set, uncropped: person 1, smiling"
    display(course.show(i2s.load_photos(original, 256), size=256, alt=alt))

# %% [markdown]
# ## 5.2 Morphing
#
# [Morphing](GLOSSARY.md#morphing) is **interpolation** between two codes: every point of the straight line between them
# is a code as well. With $w_1$ and $w_2$ of two people, $\lambda$ says how much of the first is in it:
#
# $$w = \lambda\,w_1 + (1 - \lambda)\,w_2$$
#
# ### Exercise 5.1 (fill, difficulty 1 of 3, 5 minutes): morph
#
# Given two codes `w1`, `w2`, each [num_ws, w_dim], and a list of numbers `lams`, return a batch of codes
# [len(lams), num_ws, w_dim], one for each lambda.
#
# <details><summary>Hint 1</summary>Try one lambda first: what should come out for 1, what for 0?</details>
# <details><summary>Hint 2</summary>A list of tensors of one shape becomes a batch with <code>torch.stack</code>.</details>


# %%
def morph(w1, w2, lams):
    ### BEGIN SOLUTION
    return torch.stack([lam * w1 + (1 - lam) * w2 for lam in lams])
    ### END SOLUTION


# %%
checks.check_morph(morph)

# %%
lams = [1.0, 0.75, 0.5, 0.25, 0.0]
frames = draw(generator, morph(people.neutral[5], people.neutral[3], lams))
labels = [f"lambda {lam:g}" for lam in lams]
alt = "A woman turns into a man in five images, each of them a face"
course.show(frames, labels, columns=5, size=192, alt=alt)

# %% [markdown]
# The same with a slider, from person 1 through person 8 to person 7: at 0, 1 and 2 it shows these people themselves.
# Once the slider is selected, the arrow keys move it; the button beside it plays the whole way.

# %% tags=["nbval-ignore-output"]
chosen = [0, 7, 6]
names = [people.names[k] for k in chosen]
explorer = course.MorphExplorer(generator, list(people.neutral[chosen]), names=names)
display(explorer)
explorer.snapshot()

# %% [markdown]
# ## 5.3 Expression transfer
#
# Somebody, the **source**, was photographed twice: neutral, $w_2$, and smiling, $w_3$. The difference of the two codes
# is added to the neutral code $w_1$ of somebody else, the **target**. This is
# [expression transfer](GLOSSARY.md#expression-transfer):
#
# $$w = w_1 + \lambda\,(w_3 - w_2)$$
#
# The paper gives no value for $\lambda$. We hope that the difference is the smile, and nothing but the smile.
#
# ### Exercise 5.2 (fill, difficulty 1 of 3, 5 minutes): transfer an expression
#
# Given `w1` of the target, `w2` and `w3` of the source, each [num_ws, w_dim], and the number `lam`, return the edited
# code, [num_ws, w_dim].
#
# <details><summary>Hint 1</summary>What has to come out for lam = 0? And if source and target are the same person, for lam = 1?</details>
# <details><summary>Hint 2</summary>If the target turns into the source, a code was added where a difference should be.</details>


# %%
def transfer(w1, w2, w3, lam):
    ### BEGIN SOLUTION
    return w1 + lam * (w3 - w2)
    ### END SOLUTION


# %%
checks.check_transfer(transfer)

# %% [markdown]
# First one source, person 1, and three targets, with more and more of the source's smile.

# %%
source, targets = 0, (3, 6, 4)
amounts = [0.0, 0.5, 1.0, 1.5]
pair = people.neutral[source], people.smiling[source]
codes = [transfer(people.neutral[k], *pair, lam) for k in targets for lam in amounts]
labels = [f"{people.names[k]}, {lam:g} x" for k in targets for lam in amounts]
alt = (
    "Three people, a row each, with more and more of person 1's smile: "
    "mouths open and show teeth; at 1.5 x teeth glare and faces get hard lines"
)
course.show(draw(generator, codes), labels, columns=4, size=192, alt=alt)

# %% [markdown]
# None of these smiles was ever photographed. Mouths open and teeth appear; hair and light change with them, most at
# 1.5 x.
#
# The same formula and the same targets, with person 8 as the source, who smiles only faintly:

# %%
source = 7
pair = people.neutral[source], people.smiling[source]
codes = [transfer(people.neutral[k], *pair, lam) for k in targets for lam in amounts]
labels = [f"{people.names[k]}, {lam:g} x" for k in targets for lam in amounts]
alt = (
    "The same three with person 8's difference: hardly a smile, but heads that "
    "rise and turn, jaws that grow, and at 1.5 x uneven eyes and stained cheeks"
)
course.show(draw(generator, codes), labels, columns=4, size=192, alt=alt)

# %% [markdown]
# Heads rise and turn, jaws grow, and there is hardly a smile: person 8 held the head differently in the second photo.
# That is an accident of two photos, and says nothing about the person.
#
# The difference $w_3 - w_2$ holds *everything* in which the two codes differ: the smile, but also how the head was held
# in the second photo, and what the search happened to find. How much of it do people share? The **cosine** of two
# people's differences is 1 if they are equal, up to their length, and near 0 if they have nothing in common: two random
# directions of $n$ numbers have a cosine of about $1/\sqrt{n}$, with either sign. Here $n$ is 12 x 512.

# %%
smiles = (people.smiling - people.neutral).flatten(1)
smiles = smiles / smiles.norm(dim=1, keepdim=True)  # [people, num_ws * w_dim]
cosines = (smiles @ smiles.T)[~torch.eye(len(smiles), dtype=torch.bool)]
chance = smiles.shape[1] ** -0.5
print(f"cosine of two people's smiles: mean {cosines.mean():.2f}, chance {chance:.3f}")

# %% [markdown]
# Far above chance: smiles share a direction. Far below 1: most of each difference is that person's own. What is shared
# can be separated from what is not by a **mean**.
#
# ### Exercise 5.3 (ablate, difficulty 2 of 3, 8 minutes): the smile of many
#
# Given `neutral` and `smiling`, both [people, num_ws, w_dim], return the mean difference, smiling minus neutral, of all
# people but the one at index `left_out`, [num_ws, w_dim]. That one is left out so that it can be the target: its own
# smile must not be in what it is given.
#
# <details><summary>Hint 1</summary>First make the differences of all, then choose whose to keep. Which of the two steps needs <code>left_out</code>?</details>
# <details><summary>Hint 2</summary>A tensor takes a list of indices, or a tensor of booleans, in its brackets. Over which of the three dimensions does the mean run?</details>


# %%
def mean_smile(neutral, smiling, left_out):
    ### BEGIN SOLUTION
    others = [k for k in range(len(neutral)) if k != left_out]
    return (smiling[others] - neutral[others]).mean(dim=0)
    ### END SOLUTION


# %%
checks.check_mean_smile(mean_smile)

# %%
everyone = range(len(people.names))
shared = [mean_smile(people.neutral, people.smiling, k) for k in everyone]
shared = torch.stack(shared)  # [people, num_ws, w_dim]: each one's own smile left out
single = (people.smiling - people.neutral).roll(1, dims=0)  # of the person before
print(f"length of one smile {single.flatten(1).norm(dim=1).mean():.1f},", end=" ")
print(f"of the mean smile {shared.flatten(1).norm(dim=1).mean():.1f}")

# %% [markdown]
# The mean is much shorter, since what is each one's own cancels in it. A fair comparison gives the single smile the
# same length. "One smile" is that of person 6; the last image is the smile that person 7 really has.

# %%
one = 6
own = people.neutral[one]
short = single[one] * shared[one].norm() / single[one].norm()
codes = [own, own + single[one], own + short, own + shared[one], people.smiling[one]]
labels = ["neutral", "one smile", "the same, shortened", "mean smile", "own smile"]
alt = (
    "Person 7: neutral; one smile, wide, with a turned head; the same, shortened, and "
    "the mean smile, both with lips just open; her own smile, with closed lips"
)
course.show(draw(generator, codes), labels, columns=5, size=192, alt=alt)

# %% [markdown]
# Now for all of them. How far is each edited face from that person's *own* smile, as a share of the distance of their
# neutral face? The distance is that of the feature maps, as in lesson 3, once of whole images and once of the mouth and
# cheeks cut out of them. Below 1 is nearer to the own smile, above 1 farther away than no edit at all.

# %%
cut = checks.cut
for name, added in {"one smile": single, "mean smile": shared}.items():
    for lam in (0.5, 1.0, 1.5):
        edited = draw(generator, people.neutral + lam * added)
        whole = remaining(net, edited, neutral, smiling).mean()
        mouth = remaining(net, cut(edited), cut(neutral), cut(smiling)).mean()
        print(f"{name}, {lam:g} x: whole image {whole:.2f}, mouth {mouth:.2f}")

# %% [markdown]
# One person's difference leads *away* from the own smile, on average and at all three strengths, convincing as its
# images may be: people smile each in their own way, and hold their heads differently. Half of it is about as long as the
# whole mean smile, so its length is not the reason. The mean smile leads nearer at 0.5 x, and at 1 x on the whole
# image, if not at the mouth; at 1.5 x it leads away, too, perhaps since most of these people smile less.
#
# Is the mean smile **clean**, that is, does it change the smile and leave the rest? Where do pixels change? And whom is
# an edited face most like, among all eight when they smile? If it is the same person, the cell counts one as recognised.

# %%
edits = {"own smile": smiling}
edits["one smile"] = draw(generator, people.neutral + single)
edits["mean smile"] = draw(generator, people.neutral + shared)
for name, images in edits.items():
    moved = changes(neutral, images)
    right = (nearest(net, images, smiling) == torch.arange(len(images))).sum()
    print(f"{name}: mouth {moved['mouth']:.1f} of 255,", end=" ")
    print(f"background {moved['background']:.1f}; {right} of {len(images)} recognised")

# %%
maps = [(images - neutral).abs().mean(dim=(0, 1)) for images in edits.values()]
alt = (
    "Where pixels change, bright: mouth, eyes and the outline of the head in "
    "all three maps, least around the head for the mean smile"
)
course.show_maps(torch.stack(maps), list(edits), columns=3, size=256, alt=alt)

# %% [markdown]
# Cleaner than one smile, but not perfect: the mean smile changes the background least, in proportion to the mouth, too.
# All but one are still recognised, as many as with one smile. (The own smiles are the very images that all are compared
# with, so they only show that the count works.) The outline of the head moves a little, as when people really smile.
#
# ## 5.4 Which rows carry the smile?
#
# Rows of a code decide different things (lesson 1): rows 0 to 3, at 4 and 8 px, are coarse, 4 to 7, at 16 and 32 px,
# middle, 8 to 11 fine. Does a smile need all of them?
#
# ### Exercise 5.4 (predict, difficulty 1 of 3, 3 minutes): a number first
#
# What the mean smile, added in all rows, leaves of the distance of the mouth was printed in 5.3: "mean smile, 1 x".
# (1.00 is 100 percent.) What if it is added in the middle rows 4 to 7 alone? Set `guess` to the percentage of the
# neutral face's distance that you expect to remain. 100 would mean: no nearer to the own smile than before.
#
# <details><summary>Hint 1</summary>Which of the three groups bent eyes and mouths in lesson 1, which only recoloured them?</details>
# <details><summary>Hint 2</summary>A number below that of all rows would say that the other rows do harm at the mouth; above it, that they carry a part of the smile.</details>

# %%
guess = None
### BEGIN SOLUTION
guess = 95
### END SOLUTION

# %%
checks.check_guess(guess)

# %% [markdown]
# ### Exercise 5.5 (ablate, difficulty 2 of 3, 8 minutes): a smile in some rows
#
# Given `w1` and `smile`, both [num_ws, w_dim], a number `lam` and a list `rows`, return the code [num_ws, w_dim] that
# is `w1` with `lam` times the smile added in these rows, and `w1` in all others. `w1` itself must stay as it is.
#
# <details><summary>Hint 1</summary>What is changed has to be a copy: <code>clone()</code>.</details>
# <details><summary>Hint 2</summary>Two tensors can be indexed with the same list of rows.</details>


# %%
def smile_in_rows(w1, smile, lam, rows):
    ### BEGIN SOLUTION
    result = w1.clone()
    for row in rows:
        result[row] += lam * smile[row]
    return result
    ### END SOLUTION


# %%
checks.check_smile_in_rows(smile_in_rows)

# %%
groups = {"coarse": range(0, 4), "middle": range(4, 8), "fine": range(8, 12)}
groups["all"] = range(12)
measured = {}
for name, rows in groups.items():
    codes = [smile_in_rows(people.neutral[k], shared[k], 1.0, rows) for k in everyone]
    mouths = cut(draw(generator, codes))
    left = remaining(net, mouths, cut(neutral), cut(smiling))
    measured[name] = 100 * left.mean().item()
label = "distance left, mouth, %"
course.bars(measured, label, xlabel="rows with the mean smile")

# %%
compare_guess(guess, measured["middle"], "middle rows, what remains (%)")

# %%
codes = [smile_in_rows(own, shared[one], 1.5, rows) for rows in groups.values()]
labels = ["neutral", *(f"{name} rows" for name in groups)]
alt = (
    "Person 7: neutral; coarse rows hardly change her; middle rows make her smile; "
    "fine rows change nothing that can be seen; all rows: she smiles"
)
course.show(draw(generator, [own, *codes]), labels, columns=5, size=192, alt=alt)

# %% [markdown]
# (The bars are at 1 x, the images at 1.5 x, where one sees more.) The middle rows alone make the smile, and at the
# mouths of these eight people they come nearer than all rows do: probably since the mean of only seven smiles still
# holds other things in the other rows. With a single source, over the pairs of 16 people, half of the difference in the
# middle rows came nearest at the mouth ([measured](../data/london-128.md)). So the library's `i2s.transfer_expression`
# does that unless it is told otherwise; `rows=None` is the paper's formula.
#
# ## 5.5 Style transfer by crossover
#
# At 1024 px the paper takes the first 9 of 18 rows from the **content** image and the last 9 from the **style** image.
# This is a [crossover](GLOSSARY.md#crossover): rows are swapped, nothing is added or blended. Half of our
# 12 rows is 6.
#
# ### Exercise 5.6 (fill, difficulty 1 of 3, 5 minutes): crossover
#
# Given two codes `content` and `style`, both [num_ws, w_dim], and the number `split`, return the code [num_ws, w_dim]
# whose first `split` rows are the content's and whose other rows are the style's.
#
# <details><summary>Hint 1</summary>What should come out for split = 0, and for split = num_ws?</details>
# <details><summary>Hint 2</summary>Two pieces, joined along the rows: their lengths have to add up to num_ws.</details>


# %%
def crossover(content, style, split):
    ### BEGIN SOLUTION
    return torch.cat([content[:split], style[split:]])
    ### END SOLUTION


# %%
checks.check_crossover(crossover)

# %% [markdown]
# The content is person 1; the styles are four random faces, chosen for their light and colours. (A painting could be a
# style, too, once it is embedded.) Before you run the cell: with 8 rows from the content, what will come from the style?
# And with 4?

# %%
random = generator.mapping(generator.sample_z(64, seed=0), truncation_psi=0.7)
styles = random[[38, 24, 40, 16]].detach().cpu()
content = people.neutral[0]
codes = [crossover(content, style, split) for split in (8, 6, 4) for style in styles]
labels = [f"style {k}" for k in range(1, 5)]
labels += [f"split {split}" for split in (8, 6, 4) for _ in styles]
alt = (
    "Four styles; below each person 1 with 8, 6 and 4 rows of her own: first "
    "colours, then light and wrinkles, at 4 also a smile and glasses"
)
course.show(draw(generator, [*styles, *codes]), labels, columns=4, size=192, alt=alt)

# %% [markdown]
# With 8 rows of her own, person 1 gets the colours. With 6, the paper's half, also the hard or soft light, the skin, and
# a trace of glasses. With 4 she begins to look like them: the smile of style 3, the glasses of style 4. More than a tint
# is taken over, and where style ends and content begins is your choice.
#
# With the widget, try others: the first `split` rows come from the content, the others from the style, and a button
# moves a single row to the other side.

# %% tags=["nbval-ignore-output"]
chosen = [0, 5, 3]
names = [*(people.names[k] for k in chosen), "style 1", "style 2", "style 3", "style 4"]
crossed = [*people.neutral[chosen], *styles]
crossing = course.CrossoverExplorer(generator, crossed, names)
crossing.style.value = 5  # "style 3"
display(crossing)
crossing.snapshot()

# %% [markdown]
# ## 5.6 Your own photo: close to it, or easy to edit?
#
# Now a photo of yours, or of somebody who agreed to it: write its file name in place of `None`. It should be square,
# with eyes and mouth where they are in the faces above, since a face placed otherwise embeds badly (lesson 4). Without a
# name it is the portrait of lesson 0: Eileen Collins, photographed by NASA.

# %%
import skimage

file = None  # "me.jpg"
portrait = skimage.data.astronaut()[15:195, 135:315]
photo = i2s.load_photos(file or portrait, generator.resolution)
course.show(photo, size=192, alt="The photo to edit: by default Eileen Collins, smiling")

# %% [markdown]
# Image2StyleGAN looks for the code whose image is closest to the photo, wherever in W+ it lies. Its **distortion**,
# the distance to the photo, is small, and its [**editability**](GLOSSARY.md#editability) may suffer: far from the codes
# of random faces the generator never learned what a smile is. II2S (Zhu et al. 2020) adds a regularisation to the loss,
# the mean square $\|v\|^2 / n$ of the $n$ numbers $v$ of the code in [P space](GLOSSARY.md#p-space), where the last
# leaky ReLU of the mapping network is undone, and each principal direction is divided by its standard deviation: there
# random faces have about 1. The larger the weight of this term, the more closeness is given up for it.
#
# Three searches, all from the encoder's code, which differ in that weight only:

# %% tags=["nbval-ignore-output"]
from i2s.latents import latent_statistics
from i2s.metrics import psnr

statistics = latent_statistics(generator)
found = {}
for weight in (0.0, 0.001, 0.02):
    result = i2s.embed(
        photo, generator, init="encoder", steps=80, learning_rate=0.03,
        p_norm_weight=weight, perceptual=net, progress=False,
    )  # fmt: skip
    found[weight] = result.w_plus[0].cpu()
    decibels = psnr(result.image, photo).item()
    square = statistics.whiten(result.w_plus).square().mean()
    print(f"weight {weight:g}: PSNR {decibels:.1f} dB, mean square in P space {square:.1f}")

# %% [markdown]
# Without the term the image is closest, and the mean square of the code hundreds of times that of a random face; with
# 0.02 the code is near theirs, and pays for it with 1 or 2 dB. Now the same edits on each of the three codes: the mean
# smile, taken away and added. (The mean of all eight: this face is none of theirs. The labels give the weight first.)

# %%
smile = (people.smiling - people.neutral).mean(dim=0)
codes = [code + lam * smile for code in found.values() for lam in (-2.0, 0.0, 1.5)]
labels = [f"{w:g}, {lam:+g} x" for w in found for lam in (-2.0, 0.0, 1.5)]
alt = (
    "Three rows, a weight each: the smile taken away, as found, and exaggerated; the "
    "rows look much alike: all are faces, with a lopsided mouth where it is exaggerated"
)
course.show(draw(generator, codes), labels, columns=3, size=192, alt=alt)

# %% [markdown]
# All three take the edits, and none of them clearly better than the others: one photo and one edit decide nothing. The
# price of a close code shows in the *difference* of two codes.
#
# ### Exercise 5.7 (diagnose, difficulty 3 of 3, 6 minutes): the difference of nothing
#
# The first and the last of these three codes draw nearly the same image of the same photo. Their difference should then
# be nothing. We add it to person 1, with $\lambda = 1$:

# %%
nothing = found[0.0] - found[0.02]
codes = [found[0.02], found[0.0], people.neutral[0], people.neutral[0] + nothing]
labels = ["weight 0.02", "weight 0", "person 1", "plus the difference"]
alt = (
    "Two nearly equal images of the photo; person 1; person 1 with their "
    "difference added: another nose, a mouth pulled down, uneven eyes, paler hair"
)
course.show(draw(generator, codes), labels, columns=4, size=192, alt=alt)

# %% [markdown]
# Person 1 has changed. Which explanation fits all that you have seen? Set `cause` to its letter.
#
# - **A** the searches were stopped too early; run to the end, both would arrive at one code
# - **B** W+ has many codes for nearly one image; what tells them apart hardly shows in this face, but in others it does
# - **C** $\lambda = 1$ is too much; 0.5 would have been no change at all
# - **D** the noise inputs differ between the two searches
#
# <details><summary>Hint 1</summary>Look at the mean squares above: how far apart are the two codes, and how far apart are their images?</details>
# <details><summary>Hint 2</summary>What would make the explanation wrong? Which of the four could you test in one line?</details>

# %%
cause = None
### BEGIN SOLUTION
cause = "B"
### END SOLUTION

# %%
checks.check_same_photo(cause)

# %% [markdown]
# So the smiling photos of this lesson were embedded *from the neutral code*: two independent searches would have left
# such a difference in every smile.
#
# Now edit: choose the code that you would edit, in the first line of the cell. To put the sheet into a file, take away
# the `#` in front of `sheet.image.save`.

# %%
code = found[0.02]
between = morph(code, people.neutral[5], [0.5])[0]
mine = [code, code - 2 * smile, between, crossover(code, styles[1], 6)]
labels = ["embedded", "smile taken away", "half person 6", "style 2"]
alt = "The embedded photo and three edits: the smile taken away, half-way to person 6, and in the cold light of style 2"
sheet = course.show(draw(generator, mine), labels, columns=4, size=192, alt=alt)
# sheet.image.save("my-edits.jpg")
sheet

# %% [markdown]
# ## 5.7 What breaks
#
# A line extends beyond its ends. Does more smile make a bigger smile? And what does a morph give with $\lambda$ below 0
# or above 1, an **extrapolation**? On faces of nobody, since not all of these images are pleasant to look at:

# %%
nobody, other = random[[7, 18]].detach().cpu()
far = [nobody + lam * smile for lam in (0, 2, 4, 8)]
beyond = morph(nobody, other, [-1.0, 2.0])
labels = ["no smile", "2 x", "4 x", "8 x", "morph, lambda -1", "morph, lambda 2"]
alt = (
    "The smile at 2 x broad, at 4 x with a torn mouth, at 8 x with a broken "
    "face; beyond the ends of the morph a bald head with torn skin, and a face with a split lip"
)
course.show(draw(generator, [*far, *beyond]), labels, columns=3, size=192, alt=alt)

# %% [markdown]
# At 2 x it is a bigger smile; at 4 x the mouth tears, at 8 x the face. The morph breaks, too, one whole length beyond
# either end. Lesson 2 showed the same of a line that lies far from all faces, between a cat and a cup: edits hold near
# the codes of faces, on the [manifold](GLOSSARY.md#manifold), and break beyond.
#
# ## 5.8 Whose face is it?
#
# With these few lines anybody's portrait can be made to smile at something they never saw. The tools are the same for a
# museum, for a game and for a lie. Three rules ([why](GLOSSARY.md#ethics)) that this course keeps, and asks you to keep:
#
# - **Ask.** Embed people who agreed to it. Whose photos are in the training data and in this lesson, and under which licence, is written in [`data/README.md`](../data/README.md). (Eileen Collins was not asked. Hers is an official portrait, made for the public, and these notebooks say which images are edits.)
# - **Say so.** An image that was made or changed this way says it.
# - **Do not judge.** Neither a code nor an edit says who somebody is. What the generator draws badly is what it saw too rarely, not what is rare in the world.
#
# ### Exercise 5.8 (explain, difficulty 1 of 3, 4 minutes): a request
#
# A newspaper asks you to make a politician's portrait "a bit friendlier" for its front page. What do you answer, and
# why? Write two or three English sentences into the string `answer`. The check looks for a reason and for a condition, not
# for one opinion, and shows a model answer.
#
# <details><summary>Hint 1</summary>Whom does the picture tell something, and what?</details>
# <details><summary>Hint 2</summary>Is there anything that would make it acceptable?</details>

# %%
answer = ""
### BEGIN SOLUTION
answer = (
    "I would refuse: readers take a portrait in the news for a photo, and an edited "
    "expression would deceive them. Only with the consent of the person, and labelled "
    "as edited beside the image, could it be shown."
)
### END SOLUTION

# %%
checks.check_request(answer)

# %% [markdown]
# ## What you have seen
#
# The picture at the top of this lesson, made of all three edits:

# %%
smiled = smile_in_rows(own, shared[one], 1.5, range(4, 8))
half = morph(people.neutral[5], people.neutral[3], [0.5])[0]
codes = [own, smiled, people.neutral[5], half]
codes += [people.neutral[0], crossover(people.neutral[0], styles[1], 6)]
labels = ["person 7", "+ smile", "person 6", "half person 4", "person 1", "+ style 2"]
alt = "Three people, each before and after an edit: a smile, a morph half-way to a man, a style"
course.show(draw(generator, codes), labels, columns=6, size=192, alt=alt)

# %% [markdown]
# - Edits are arithmetic on codes: [morphing](GLOSSARY.md#morphing) blends two, [expression transfer](GLOSSARY.md#expression-transfer) adds a difference, [crossover](GLOSSARY.md#crossover) swaps rows.
# - A difference of two codes holds all that differs; the mean of many holds what they share.
# - The middle rows carry the smile; the mean smile comes nearer at the mouth without the other rows.
# - A closer embedding need not be a better one to edit: **distortion** is traded against **editability**.
# - Edits hold near codes of faces, on the [manifold](GLOSSARY.md#manifold), and break beyond.
#
# **Ask yourself**
#
# <details><summary>What does lambda = 2 mean in a morph?</summary>A code beyond w1, away from w2: a caricature of the difference, until it breaks.</details>
# <details><summary>Why two photos of the <em>same</em> person for a smile, and why one search begun at the other's code?</summary>So that the difference holds the smile, and neither another face nor what two searches happen to find.</details>
# <details><summary>Two embeddings of one photo reach 30 and 27 dB. Which would you edit?</summary>That of 30 dB shows the photo better. If its code lies far from those of random faces, the other one may be the better start for an edit.</details>
#
# **Open questions to try** (nobody will check them)
#
# - Cut the fine rows out of the mean smile and add the others twice. Does the background stay?
# - Make a direction of your own: the mean code of the people with dark hair minus that of the others. What else changes?
# - Embed a drawing of a face with the three weights of 5.6, and take it as the style of a crossover.
# - Two photos of yours, one smiling, embedded as those of 5.1 were: give *your* smile to person 1.
#
# Which claims of the paper each lesson looks at is in the [map](README.md#claims-and-what-we-see).
