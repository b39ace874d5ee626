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
# | **Goals** | morph two faces; give one person's smile to another; cross content with style; see where each edit breaks; say what must not be done with it |
# | **Before** | lessons 1 and 2 |
# | **Time** | about 60 minutes; the cells take about half a minute on a laptop |
# | **You will see** | one person become another; a smile given away; the colours of one face on another; faces that break |
#
# ![Three edits on codes: a morph is a point on a line; an expression is the difference of two codes of one person, added to another; a crossover takes the first rows of one code and the last of another](images/edits.svg)

# %% tags=["nbval-ignore-output"]
import torch
from IPython.display import display

import i2s
from i2s import course
from i2s.course import lesson05 as checks

lab = course.setup(steps=50)
generator = lab.generator

# %% [markdown]
# ## 5.1 Whose faces are these?
#
# The people below let themselves be photographed for the **Face Research Lab London Set** (DeBruine and Jones 2017, CC BY 4.0), neutral and
# smiling, and agreed that their photos may be used in studies on the web and to illustrate research. We embedded them in W+, the smiling
# photo from the neutral one's code; the course ships the codes, so this lesson needs no network. They are people: what you make of their faces stays in this notebook.

# %%
people = course.load_people(generator)
print(people.attribution)

# %%
with torch.no_grad():
    neutral, smiling = (generator.synthesis(codes.to(lab.device)).cpu() for codes in (people.neutral, people.smiling))
labels = [*people.names, *(f"{name}, smiling" for name in people.names)]
alt = "Eight people drawn from their codes: neutral in the upper row, smiling in the lower one"
course.show(torch.cat([neutral, smiling]), labels=labels, columns=len(people.names), alt=alt)

# %% [markdown]
# With a connection to the internet, one of the photos of that set can be fetched (checked, and kept in the cache), uncropped as it was taken;
# without one the cell says so.

# %% tags=["nbval-ignore-output"]
original = course.fetch_photo("010", "smiling", progress=False, say=print)
course.show(i2s.load_photos(original, 256), size=256, alt="A photo of the London Set") if original else None

# %% [markdown]
# ## 5.2 Morphing
#
# Every place on the straight line between two codes is a code, too. With $w_1$ and $w_2$ of two people, $\lambda$ says how much of the first is
# in it:
#
# $$w = \lambda\,w_1 + (1 - \lambda)\,w_2$$
#
# ### Exercise 5.1 (fill, difficulty 1 of 3, 5 minutes): morph
#
# Given two codes `w1`, `w2` [num_ws, w_dim] and a list of numbers `lams`, return a batch of codes [len(lams), num_ws, w_dim], one for each lambda.
#
# <details><summary>Hint 1</summary><code>torch.stack</code> makes a batch of a list of codes.</details>
# <details><summary>Hint 2</summary>lambda 1 must give w1, lambda 0 w2.</details>


# %%
def morph(w1, w2, lams):
    ### BEGIN SOLUTION
    return torch.stack([lam * w1 + (1 - lam) * w2 for lam in lams])
    ### END SOLUTION


# %%
checks.check_morph(morph)

# %%
lams = [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
with torch.no_grad():
    frames = generator.synthesis(morph(people.neutral[0], people.neutral[1], lams).to(lab.device)).cpu()
alt = "Person 1 turns into person 2 in six images, each a face"
course.show(frames, labels=[f"lambda {lam}" for lam in lams], columns=6, alt=alt)

# %% [markdown]
# The same with a slider, from the first person through the second to the third: 0, 1 and 2 are the people themselves. It can be moved with the
# arrow keys once it is selected; the button beside it plays the whole way. The contact sheet below it shows the same.

# %% tags=["nbval-ignore-output"]
explorer = course.MorphExplorer(generator, list(people.neutral[:3]), names=people.names[:3])
display(explorer)
explorer.snapshot()

# %% [markdown]
# ## 5.3 Expression transfer
#
# Somebody, the *source*, is photographed twice: neutral, $w_2$, and smiling, $w_3$. What changes in the code is the smile. Add it to the neutral
# code $w_1$ of somebody else, the *target*:
#
# $$w = w_1 + \lambda\,(w_3 - w_2)$$
#
# ### Exercise 5.2 (fill, difficulty 1 of 3, 5 minutes): give a smile
#
# Given the codes `w1` of the target, `neutral2` and `smiling2` of the source, each [num_ws, w_dim], and the number `lam`, return the target's code
# with `lam` times the source's smile, [num_ws, w_dim].
#
# <details><summary>Hint 1</summary>With lam = 0 nothing may change.</details>
# <details><summary>Hint 2</summary>Smiling minus neutral, not the other way.</details>


# %%
def give_smile(w1, neutral2, smiling2, lam):
    ### BEGIN SOLUTION
    return w1 + lam * (smiling2 - neutral2)
    ### END SOLUTION


# %%
checks.check_give_smile(give_smile)

# %%
source, targets = 0, (1, 2, 3)  # person 1's smile, given to three others
amounts = [0.0, 0.5, 1.0, 1.5]
codes = [
    give_smile(people.neutral[k], people.neutral[source], people.smiling[source], lam)
    for k in targets
    for lam in amounts
]
with torch.no_grad():
    frames = generator.synthesis(torch.stack(codes).to(lab.device)).cpu()
labels = [f"{people.names[k]}, {lam:g} x" for k in targets for lam in amounts]
alt = "Three people, a row each, with more and more of person 1's smile: mouths open, and then eyes and cheeks break"
course.show(frames, labels, columns=4, alt=alt)

# %% [markdown]
# Follow each row from left to right. Where does the smile come, and what comes along that is no smile? At which amount does the face give way?
#
# Is one person's smile like another's, as a direction in W+? The cosine between two people's smiles, $w_3 - w_2$, would be about 0 if they had nothing in common
# (the spread of a random pair's cosine is $1/\sqrt{\text{numbers}}$), and 1 if they were equal.

# %%
smiles = (people.smiling - people.neutral).flatten(1)
similar = torch.nn.functional.cosine_similarity(smiles[:, None], smiles[None], dim=2)
others = similar[~torch.eye(len(smiles), dtype=torch.bool)]
print(f"cosines of two people's smiles: mean {others.mean():.2f}; chance {smiles.shape[1] ** -0.5:.2f}")

# %% [markdown]
# A mean above chance says that smiles share a direction; a mean far below 1 says that most of each difference is that person's own.
#
# ### Exercise 5.3 (ablate, difficulty 2 of 3, 8 minutes): the smile of many
#
# One person's difference also holds what else changed: the light, the head. Given `neutral` and `smiling`, both [people, num_ws, w_dim], return
# the **mean** smile of all people but the one at index `left_out`, [num_ws, w_dim], so that it can be given to that one.
#
# <details><summary>Hint 1</summary><code>[k for k in range(len(neutral)) if k != left_out]</code> are the others.</details>
# <details><summary>Hint 2</summary>A tensor can be indexed with such a list: it gives those people's codes. The mean over people is that over dim
# 0.</details>


# %%
def mean_smile(neutral, smiling, left_out):
    ### BEGIN SOLUTION
    others = [k for k in range(len(neutral)) if k != left_out]
    return (smiling[others] - neutral[others]).mean(dim=0)
    ### END SOLUTION


# %%
checks.check_mean_smile(mean_smile)

# %%
one = 1
own, single = people.neutral[one], people.smiling[0] - people.neutral[0]
smile = mean_smile(people.neutral, people.smiling, one)
print(f"length of one smile {single.norm():.1f}, of the mean smile {smile.norm():.1f}")
short = single * smile.norm() / single.norm()
codes = [own, own + 1.5 * single, own + 1.5 * short, own + 1.5 * smile, people.smiling[one]]
with torch.no_grad():
    frames = generator.synthesis(torch.stack(codes).to(lab.device)).cpu()
labels = ["neutral", "one smile", "one, shortened", "mean smile", "own smile"]
alt = "Person 2: neutral; one smile, eyes broken; the same, shortened, eyes uneven; the mean smile, whole; her own"
course.show(frames, labels, alt=alt)

# %% [markdown]
# In the middle are three smiles, each with $\lambda = 1.5$. The mean is much shorter than one person's difference, since
# what is each one's own cancels in it. So compare it with the one that was shortened to the same length: which keeps
# more of the face? The last is the smile that this person really has, from the second photo.
#
# ## 5.4 Style transfer by crossover
#
# At 1024 px the paper takes the first 9 of 18 rows from the **content** image and the last 9 from the **style** image. What does that mean
# for fewer rows? Nine rows at 1024 px are half of them, and also the layers up to 64 px (all of them in StyleGAN2; in
# StyleGAN, with its two rows a size, the ninth is the first of 64 px). For us these are two answers:

# %%
from i2s.edits import split_for

for resolution in (1024, generator.resolution):
    half, sixty_four = split_for(resolution), split_for(resolution, upto=64)
    print(
        f"{resolution} px: {2 * (resolution.bit_length() - 2)} rows; half of them {half}, layers up to 64 px {sixty_four}"
    )

# %% [markdown]
# ### Exercise 5.4 (predict, difficulty 1 of 3, 3 minutes): what will come from the style?
#
# With half of the rows from each, what will the result take from the **style** image? Set `prediction` to `"pose"`, `"colours"` or `"identity"`.
#
# <details><summary>Hint 1</summary>Which rows are coarse, the first or the last? See lesson 1.</details>
# <details><summary>Hint 2</summary>The style gives the last rows: the fine ones.</details>

# %%
prediction = None
### BEGIN SOLUTION
prediction = "colours"
### END SOLUTION

# %%
checks.check_crossover_prediction(prediction)

# %% [markdown]
# See for yourself, with three of the people and three random faces. The first `split` rows come from the content and the others from the style; a
# button moves a single row to the other side.

# %% tags=["nbval-ignore-output"]
strangers = generator.mapping(generator.sample_z(3, seed=40), truncation_psi=0.9).cpu()
crossing = course.CrossoverExplorer(
    generator, [*people.neutral[:3], *strangers], names=[*people.names[:3], "random 1", "random 2", "random 3"]
)
crossing.style.value = 4  # the fifth of the list, "random 2"
display(crossing)
crossing.snapshot()

# %% [markdown]
# In the contact sheet, from left to right, the style takes over, two rows at a time from the last. Which of its traits come first, and when does the content stop being the person?
#
# ## 5.5 What breaks
#
# A line leads on beyond its ends. Does more smile make a bigger smile? And what does a morph give with $\lambda$ below 0 or above 1?

# %%
far = [own + lam * smile for lam in (0, 2, 4, 8)]
beyond = [i2s.morph(people.neutral[0], people.neutral[1], lam) for lam in (-1.0, 2.0)]
with torch.no_grad():
    frames = generator.synthesis(torch.stack(far + beyond).to(lab.device)).cpu()
labels = ["no smile", "2 x", "4 x", "8 x", "morph, lambda -1", "morph, lambda 2"]
alt = (
    "No smile; the mean smile 2, 4 and 8 times, from a face to coloured patches; the morph beyond both its ends, broken"
)
course.show(frames, labels=labels, columns=6, alt=alt)

# %% [markdown]
# A little further than the codes that are known, faces give way. Lesson 2.5 showed the same for a line between codes that are no faces.
#
# ### Exercise 5.5 (diagnose, difficulty 2 of 3, 5 minutes): a smile that changes the hair
#
# A smile taken from one person also turned the hair of another one darker. What is the most likely reason? Set `cause`.
#
# - **A** the source's two codes differ in more than the smile
# - **B** the generator has no row for smiles
# - **C** lambda was not normalised
#
# <details><summary>Hint 1</summary>The formula adds everything that differs between w3 and w2.</details>
# <details><summary>Hint 2</summary>W+ has many codes for almost the same image. Would two searches find the same one?</details>

# %%
cause = None
### BEGIN SOLUTION
cause = "A"
### END SOLUTION

# %%
checks.check_dark_hair(cause)

# %% [markdown]
# ## 5.6 Whose face is it?
#
# With these few lines anybody's portrait can be made to smile at something they never saw. The tools are the same for a
# museum, for a game and for a lie. Three rules ([why](GLOSSARY.md#ethics)) that this course keeps, and asks you to keep:
#
# - **Ask.** Embed people who agreed to it. Those in the training data and in this lesson are named, with their licences, in [`data/README.md`](../data/README.md).
# - **Say so.** An image that was made or changed this way says it.
# - **Do not judge.** Neither a code nor an edit says who somebody is. What the generator draws badly is what it saw too rarely, not what is rare in the world.
#
# ### Exercise 5.6 (explain, difficulty 1 of 3, 4 minutes): a request
#
# A newspaper asks you to make a politician's portrait "a bit friendlier" for its front page. What do you answer, and why? Write two or three
# sentences into the string `answer`. The check looks for a reason and for a condition, not for one opinion.
#
# <details><summary>Hint 1</summary>What will readers believe that they see?</details>
# <details><summary>Hint 2</summary>Who was asked, and what is said beside the image?</details>

# %%
answer = ""
### BEGIN SOLUTION
answer = (
    "I would refuse: readers take a portrait in the news for a photo, and an edited expression would deceive them. "
    "Only with the consent of the person, and labelled as edited beside the image, could it be shown."
)
### END SOLUTION

# %%
checks.check_request(answer)

# %% [markdown]
# ## What you have seen
#
# - Edits are sums of codes: [morphing](GLOSSARY.md#morphing), [expression transfer](GLOSSARY.md#expression-transfer), [crossover](GLOSSARY.md#crossover).
# - A difference of two codes holds all that differs; the mean of many holds what they share.
# - Edits hold near ordinary faces, on the [manifold](GLOSSARY.md#manifold), and break beyond.
#
# **Ask yourself**
#
# <details><summary>What does lambda = 2 mean in a morph?</summary>A code beyond w1, away from w2: a caricature of the difference, until it breaks.</details>
# <details><summary>Why two photos of the <em>same</em> person for a smile?</summary>So that the difference holds the smile and not also another face.</details>
# <details><summary>Which rows would you change to recolour a face, and which to turn it?</summary>The last ones for colours, the first ones for pose.</details>
#
# You have finished the first edition of this course. What each lesson shows of the paper is in the [map](README.md).
