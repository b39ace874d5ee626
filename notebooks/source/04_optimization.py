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
# # 4. The optimisation
#
# ![The face of the mean latent, then after 25, 100, 200 and 300 steps more and more the astronaut Eileen Collins, and her
# photo](images/found_face.jpg)
#
# | | |
# |---|---|
# | **Goals** | write Image2StyleGAN's five steps yourself; read a loss curve; choose start, optimiser and learning rate; find the cause of a broken run; know when to stop |
# | **Before** | lessons 2 (W and W+) and 3 (the loss); a training loop in PyTorch, seen once |
# | **Time** | about 100 minutes; the cells take about two on a laptop without a GPU |
# | **You will see** | your own loop find a face; what a random start draws; four broken runs; a face that was moved; what a longer search costs an edit |
#
# ![The loop: initial code, generated image, comparison with the photo, update of the code, and back to the image](images/loop.svg)
#
# You will build this loop, find out what is wrong with four others, and at the end embed a photo of your own with
# yours, if you like.

# %% tags=["nbval-ignore-output"]
import torch
from IPython.display import display
from tqdm.auto import trange

import i2s
from i2s import course
from i2s.course import lesson04 as checks
from i2s.course.checks import compare_guess
from i2s.course.lesson04 import progress

lab = course.setup(steps=1400)
generator, net = lab.generator, lab.perceptual

# %% [markdown]
# The photo is the one of lesson 0, the **target image** of this lesson: Eileen Collins, a NASA portrait in the
# public domain, cropped so that eyes and mouth are where the generator expects them. Where many searches are
# compared, a `small` generator does the work, to save time: 64 px, codes of 10 rows with 256 numbers each.

# %%
from skimage import data

portrait = data.astronaut()
photo = i2s.load_photos(portrait[15:195, 135:315], generator.resolution).to(lab.device)
small = i2s.load_generator("faces-64", device=lab.device)
small_photo = i2s.load_photos(portrait[15:195, 135:315], small.resolution).to(lab.device)
course.show(photo, size=256, alt="The photo to embed: the astronaut Eileen Collins, smiling.")

# %% [markdown]
# ## 4.1 Five steps
#
# [Embedding](GLOSSARY.md#embedding) a photo means: find the code whose image looks like it. The method has five
# steps.
#
# 1. Start with an initial code $w^*$.
# 2. Generate an image $G(w^*)$ from it.
# 3. Compare the image with the photo, using a loss.
# 4. Update the code by gradient descent.
# 5. Repeat.
#
# You write steps 1, 3 and 4, and then the loop. Step 2 is a single call: `generator.synthesis(code)`.
#
# ### Exercise 4.1 (fill, difficulty 1 of 3, 5 minutes): step 1, the initial code
#
# **Given:** `generator.w_mean`, the [mean latent](GLOSSARY.md#mean-latent), of shape `[w_dim]`;
# `generator.num_ws`, the number of rows; and `generator.w_dim`.
#
# **Return:** a code in [W+](GLOSSARY.md#w-plus), of shape `[1, num_ws, w_dim]`, float32, with the mean latent in
# every row, for which PyTorch computes gradients. Changing it must not change the generator.
#
# <details><summary>Hint 1</summary><code>w_mean.expand(...)</code> repeats a row without copying it. What happens
# to the original when somebody writes into the repeats?</details>
# <details><summary>Hint 2</summary>A tensor asks for gradients after <code>requires_grad_(True)</code>. An
# optimiser takes only tensors that were not computed from such a tensor: so when does this call come?</details>


# %%
def initial_code(generator):
    """The mean latent in each row: [1, num_ws, w_dim], for an optimiser to change."""
    ### BEGIN SOLUTION
    mean = generator.w_mean.expand(1, generator.num_ws, generator.w_dim)
    return mean.clone().requires_grad_(True)
    ### END SOLUTION


# %%
checks.check_initial_code(initial_code, generator)

# %% [markdown]
# Step 2 generates its image, the face of the mean latent. It is nobody's face, and not drawn well: the codes from
# which the generator learned lie around this one, none of them close to it (lesson 1.5).

# %%
with torch.no_grad():
    average = generator.synthesis(initial_code(generator))
alt = "Left the image of the mean latent, a face before a patchy background; right the photo"
course.show(torch.cat([average, photo]), ["image of the code", "photo"], size=256, alt=alt)

# %% [markdown]
# ### Exercise 4.2 (fill, difficulty 2 of 3, 8 minutes): step 3, the comparison
#
# The paper's loss, with the photo $I$ and the feature maps $F_1 ... F_4$ of a perceptual network (lesson 3):
#
# $$L(w) = \frac{1}{N} \|G(w) - I\|^2 + \sum_{j=1}^{4} \frac{1}{N_j} \|F_j(G(w)) - F_j(I)\|^2$$
#
# $N$ and $N_j$ count the numbers that are compared, so each of the five terms is a *mean* of squared differences.
#
# **Given:** `image` and `photo`, both `[1, 3, R, R]` with values in [-1, 1]; `features`, the list of the photo's
# four feature maps; and `net`, so that `net.features(image)` is the list for the image. Compare the pixels on the
# scale [0, 1], that is as `(x + 1) / 2`; the network wants them in [-1, 1], as they are. The photo never changes,
# so its maps were computed once: use `features`, and do not compute them again.
#
# **Return:** the loss, a tensor of shape `[]`, float32, at least 0. The search needs the gradient of each of the
# five terms.
#
# <details><summary>Hint 1</summary>Write the pixels' term first and test it alone: of equal images it is 0, of a
# black and a white one 1.</details>
# <details><summary>Hint 2</summary><code>zip</code> goes through two lists side by side. What cuts a loss off
# from the image: <code>no_grad</code>, <code>detach()</code>, <code>item()</code>?</details>


# %%
def compare(image, photo, features, net):
    """The paper's loss of one image and one photo: a tensor of shape []."""
    ### BEGIN SOLUTION
    loss = ((image + 1) / 2 - (photo + 1) / 2).square().mean()
    for ours, theirs in zip(net.features(image), features):
        loss = loss + (ours - theirs).square().mean()
    return loss
    ### END SOLUTION


# %%
checks.check_compare(compare, photo, net)

# %% [markdown]
# One number says how wrong the image is. `backward()` asks how this number would change with *each* number of the
# code: it goes back through the perceptual network and the generator, layer by layer
# ([**backpropagation**](GLOSSARY.md#backpropagation)), and leaves the answer in `code.grad`, the **gradient**.

# %% tags=["nbval-ignore-output"]
features = net.features(photo)
code = initial_code(generator)
at_mean = compare(generator.synthesis(code), photo, features, net)
at_mean.backward()
print(f"loss of the mean latent: {at_mean.item():.3f}")
print(f"numbers in the code: {code.numel()}, in its gradient: {code.grad.numel()}")
sizes = code.grad[0].norm(dim=1).tolist()
print("size of the gradient, row by row:", [round(size, 3) for size in sizes])

# %% [markdown]
# No row is without one, and that of row 0 is the largest here: the first rows could change the pose, the last ones
# the colours, and the loss asks for both.
#
# ### Exercise 4.3 (fill, difficulty 1 of 3, 5 minutes): step 4, the update
#
# **Given:** an `optimiser` of PyTorch that holds the code, and the `loss` of that code.
#
# **Return:** nothing. Afterwards the code has moved once, down the slope of this loss alone.
#
# <details><summary>Hint 1</summary><code>backward()</code> <em>adds</em> to the gradient that is there already.
# Who takes the old one away?</details>
# <details><summary>Hint 2</summary>Two of the three lines are methods of the optimiser, one is a method of the
# loss. Which of them needs what another one makes?</details>


# %%
def update(optimiser, loss):
    """One step of gradient descent on `loss`."""
    ### BEGIN SOLUTION
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    ### END SOLUTION


# %%
checks.check_update(update)

# %% [markdown]
# ### Exercise 4.4 (fill, difficulty 3 of 3, 12 minutes): step 5, the loop
#
# **Given:** your three functions, and the lines that prepare the search. The optimiser is
# [Adam](GLOSSARY.md#adam), the paper's choice; section 4.5 says what it does. `rounds` is
# `range(steps + 1)` with a progress bar.
#
# **Return:** `code`, of shape `[1, num_ws, w_dim]`, without gradients (`detach()`); and `losses`, a list of
# `steps + 1` floats: entry `k` is the loss of the code after `k` updates. So the last code is compared too, but
# not updated again. Later sections call `find`: if you are still stuck after the hints, copy it from
# `solutions/04_optimization.ipynb` and read on.
#
# <details><summary>Hint 1</summary>Each round makes an image and a loss of its own. How many rounds are there for
# <code>steps</code> updates?</details>
# <details><summary>Hint 2</summary>In which round must the code stay as it is, so that it belongs to the last
# loss? And <code>loss.item()</code> is the loss as a float.</details>


# %%
def find(photo, generator, net, steps, method=torch.optim.Adam, lr=0.01, **settings):
    """Image2StyleGAN: the code of a photo, and the loss of each code on the way."""
    code, features, losses = initial_code(generator), net.features(photo), []
    optimiser = method([code], lr=lr, **settings)
    rounds = trange(steps + 1, delay=1, leave=False)  # 0, 1, ... steps
    ### BEGIN SOLUTION
    for step in rounds:
        loss = compare(generator.synthesis(code), photo, features, net)
        losses.append(loss.item())
        if step < steps:
            update(optimiser, loss)
    return code.detach(), losses
    ### END SOLUTION


# %%
checks.check_find(find, small, net)

# %% [markdown]
# ## 4.2 Your loop finds a face
#
# Now the photo, in 200 steps. First a guess: after how many of them will the loss have fallen to half of what it is
# for the mean latent?

# %%
guess = None  # your number

# %% tags=["nbval-ignore-output"]
mine, losses = find(photo, generator, net, steps=200)
half = next(k for k, value in enumerate(losses) if value < losses[0] / 2)
compare_guess(guess, half, "steps until the loss is half")

# %%
with torch.no_grad():
    found = generator.synthesis(mine)
alt = "Photo, and the face that your loop has found: alike, hair softer, teeth smeared"
course.show(torch.cat([photo, found]), ["photo", "yours, 200 steps"], size=384, alt=alt)

# %% [markdown]
# You have written Image2StyleGAN. Half of the loss was gone after about a tenth of the steps. What are all the others
# for? Sections 4.3 and 4.8 come back to it.
#
# `i2s.embed` takes the same five steps, and adds what is needed in daily use: many photos at once, progress,
# snapshots, errors that say what to do. With the same settings it must give the same numbers. It runs for 300 steps
# here, for the sections to come.

# %% tags=["nbval-ignore-output"]
long = i2s.embed(photo, generator, steps=300, perceptual=net, snapshots=13,
                 progress=False, callback=progress())  # fmt: skip
theirs = long.loss[:, 0].tolist()
for step, (ours, library) in enumerate(zip(losses, theirs)):
    if step in (0, 1, 2, 5, 20, 200):
        print(f"step {step:3}: yours {ours:.6f}, i2s.embed {library:.6f}")

# %% [markdown]
# Two programs, one method. At first they agree in all digits that a float32 has, about seven. Then they diverge a
# little: sums were taken in another order and rounded differently, and where a gradient is almost 0, its rounding
# decides in which direction Adam steps. The images hardly show it: compare yours with step 200 in section 4.8.

# %% [markdown]
# ## 4.3 Read a loss curve
#
# The same curve twice. On a linear axis the later steps look flat. On a logarithmic one equal heights are equal
# *ratios*, and the later steps can be compared, too.

# %%
alt = "Loss against step on a linear axis: a steep fall, then nearly flat."
course.plot({"loss": theirs}, "step", "loss", alt=alt)

# %%
alt = "The same on a logarithmic axis: it goes on falling, more and more slowly."
course.plot({"loss": theirs}, "step", "loss", log=True, alt=alt)

# %% [markdown]
# `long.history` keeps each term of the loss by itself.

# %%
terms = {name: values[:, 0] for name, values in long.history.items()}
styles = ("-", "-", "--", "-.", ":")  # conv1_1 and conv1_2 nearly coincide
alt = "The five terms: all fall; conv1_1 and conv1_2 stay highest, mse is far below."
course.plot(terms, "step", "term of the loss", log=True, styles=styles, alt=alt)

# %% [markdown]
# What to look at, in this order:
#
# 1. **The first steps.** A sound run falls at once. A loss that leaps up at step 1 has overshot.
# 2. **The slope at the end.** Falling still: more steps would help. Flat: the search has [**converged**](GLOSSARY.md#convergence).
# 3. **The roughness.** Small waves are normal, since Adam overshoots a little. Swings that grow are not.
# 4. **The terms.** One that stays up shows what the code does not catch: colours (`mse`), edges (`conv1_1`,
#    `conv1_2`), larger shapes (`conv3_2`, `conv4_2`).
#
# And never the curve alone: it does not show what a face looks like. Section 4.4 has an example. First points 2 and 4
# in numbers:

# %% tags=["nbval-ignore-output"]
share = {name: values[-1].item() / theirs[-1] for name, values in terms.items()}
print("share of the last loss:", {name: f"{part:.0%}" for name, part in share.items()})
print("gain of the last 50 steps:", f"{1 - theirs[-1] / theirs[-51:][0]:.0%}")

# %% [markdown]
# The last 50 steps still gained almost a tenth: this search has not converged. More than half of what is left is in
# the first two feature maps, which hold edges. The pixels' own term is next to nothing, as in lesson 3.
#
# ## 4.4 Where to start: at the mean, or anywhere?
#
# The paper compares two starts: the mean latent; and U(-1, 1), random numbers spread evenly from -1 to 1. It
# recommends the mean for faces, and U(-1, 1) for everything else.
#
# Before we try, one question that the paper does not ask: where does U(-1, 1) lie, seen from the codes of faces?
# Guess: how many times as far from the mean latent is such a random code as the code of a random face?

# %%
guess_far = None  # your number

# %% tags=["nbval-ignore-output"]
for network in (generator, small):
    mean = network.w_mean
    w = network.mapping(network.sample_z(1000, seed=0))[:, 0]
    seed = torch.Generator().manual_seed(0)
    uniform = torch.rand(1000, network.w_dim, generator=seed).to(mean) * 2 - 1
    faces, far = (w - mean).norm(dim=1).mean(), (uniform - mean).norm(dim=1).mean()
    fair = uniform.norm(dim=1).mean()
    print(f"{network.name}: length of the mean {mean.norm():.1f}; distance to the mean: "
          f"faces {faces:.1f}, U(-1, 1) {far:.1f}, mean + U(-1, 1) {fair:.1f}")  # fmt: skip
compare_guess(guess_far, far / faces, "U(-1, 1), in distances of a face (small generator)")

# %% [markdown]
# Three to four times as far. The numbers of our W are not spread about 0: the mean latent is long. So U(-1, 1), whose
# centre is 0, begins far outside of all that either of our generators has learned. In a generator whose W has its
# centre near 0 it would not. To be fair to the paper, we also try U(-1, 1) *around the mean*.

# %%
mean_code = small.w_mean.cpu().expand(small.num_ws, -1)
seeds = [torch.Generator().manual_seed(k) for k in range(3)]
draws = [torch.rand(mean_code.shape, generator=seed) * 2 - 1 for seed in seeds]
starts = torch.stack([mean_code, *draws, *(mean_code + draw for draw in draws)])
names = ["mean", "U 1", "U 2", "U 3", "mean + U 1", "mean + U 2", "mean + U 3"]
starts.shape

# %%
with torch.no_grad():
    drawn = small.synthesis(starts[[0, 1, 2, 4, 5]].to(lab.device))
labels = [names[k] for k in (0, 1, 2, 4, 5)]
alt = "A plain face; from U twice patches of colour; from mean + U two heads with blurred eyes"
course.show(drawn, labels, columns=5, alt=alt)

# %% [markdown]
# Fourteen searches, a face and a cat from seven starts each, run as one batch; each has a loss of its own. They take
# some 20 seconds.

# %% tags=["nbval-ignore-output"]
cat = i2s.load_photos(data.chelsea()[0:300, 90:390], small.resolution).to(lab.device)
pairs = torch.cat([small_photo.expand(7, -1, -1, -1), cat.expand(7, -1, -1, -1)])
race = i2s.embed(pairs, small, start=torch.cat([starts, starts]), steps=80, learning_rate=0.03,
                 perceptual=net, progress=False, callback=progress())  # fmt: skip


# %%
def compare_starts(what, losses):
    """Plot the losses [7, steps + 1] of the seven starts."""
    groups = {"mean": losses[:1], "U(-1, 1)": losses[1:4], "mean + U(-1, 1)": losses[4:]}
    alt = f"Loss of the {what}: U(-1, 1) stays far above; mean and mean + U fall together."
    return course.plot_spread(groups, "step", f"loss of the {what}", log=True, alt=alt)


compare_starts("face", race.loss.T[:7])

# %%
compare_starts("cat", race.loss.T[7:])

# %% [markdown]
# A band goes from the lowest to the highest of three runs, its line is their median; the run from the mean is a
# single one. (A single random run might just have been lucky.) Now the images, and beside the loss a second number,
# how far the code is from the mean.

# %%
shown = [0, 1, 4, 7, 8, 11]
alt = "Face and cat: recognisable from the mean and around it, hardly from U(-1, 1)"
labels = [f"{what}, {names[k]}" for what in ("face", "cat") for k in (0, 1, 4)]
course.show(race.image[shown], labels, columns=3, alt=alt)

# %% tags=["nbval-ignore-output"]
distances = (race.w_plus - mean_code).norm(dim=2).mean(dim=1).view(2, 7)
for what, loss, far in zip(("face", "cat"), race.loss[-1].view(2, 7), distances):
    for name, k in (("mean", [0]), ("U(-1, 1)", [1, 2, 3]), ("mean + U(-1, 1)", [4, 5, 6])):
        print(f"{what:4} from {name:15} loss {[round(x, 2) for x in loss[k].tolist()]}, "
              f"distance to the mean {far[k].mean():.1f}")  # fmt: skip

# %% [markdown]
# Three things to see:
#
# - **U(-1, 1)** itself loses both races. But that is a fact about our generators, not about the method: the centre of
#   their W is far from 0. The codes have not come nearer to the mean than they were at the start, and what they draw
#   resembles the photo from afar only.
# - **Around the mean**, random starts do about as well as the mean itself: a little behind it for the face in two
#   runs of three, level for the cat. So we see one half of the paper's advice: for a face the mean is a safe choice.
#   That other pictures do better from a random start we do not see. (A second face and a cup, tried beside these:
#   there the mean was ahead of all random starts.)
# - The codes from around the mean end about **twice as far** from it as the one that began there, at about the same
#   loss. Most of that distance they had at the start. Section 4.8 shows why it matters.
#
# **Takeaway:** start at the mean. Judge a code by its loss, its image *and* its distance to the mean. (A third
# start came after the paper: an [encoder](GLOSSARY.md#encoder), a network that guesses the code in one pass;
# `init="encoder"` in `i2s.embed`.)
#
# ## 4.5 Adam
#
# Plain gradient descent updates $w \leftarrow w - \eta g$, with gradient $g$ and [learning
# rate](GLOSSARY.md#learning-rate) $\eta$. [Adam](GLOSSARY.md#adam) keeps two running averages for each number of
# the code, $m$ of $g$ and $v$ of $g^2$:
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1) g \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2$$
#
# $$w \leftarrow w - \eta \, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}$$
#
# Both start at 0, and $t$ counts the steps from 1; the divisions by $1 - \beta^t$ make up for that start. The
# paper takes $\eta = 0.01$, $\beta_1 = 0.9$, $\beta_2 = 0.999$ and $\epsilon = 10^{-8}$, which only prevents a
# division by 0, as long as gradients are much larger than it. Averaging $g$ is called
# [**momentum**](GLOSSARY.md#momentum): the code keeps some of its direction, as a rolling ball does.
#
# ### Exercise 4.5 (predict, difficulty 2 of 3, 5 minutes): the first step
#
# Before you run anything: in the *first* step, with the paper's settings, one number of the code has the gradient
# 0.02 and another one 0.0001. How far does Adam move each of them? Set `prediction` to the two lengths.
#
# <details><summary>Hint 1</summary>Put t = 1 and m = v = 0 into the formulas, with g as a letter.</details>
# <details><summary>Hint 2</summary>Both averages are divided by just what their start at 0 took away. What is
# left of the upper one, and of the root of the lower one?</details>

# %%
prediction = None
### BEGIN SOLUTION
prediction = (0.01, 0.01)
### END SOLUTION

# %%
checks.check_first_step(prediction)

# %% [markdown]
# See for yourself: one step from the mean, once with our loss, and once with a loss a thousand times as large.

# %% tags=["nbval-ignore-output"]
for factor in (1, 1000):
    one = initial_code(small)
    adam = torch.optim.Adam([one], lr=0.01)
    maps = net.features(small_photo)
    update(adam, factor * compare(small.synthesis(one), small_photo, maps, net))
    moved = (one.detach() - small.w_mean).abs()
    print(f"loss x {factor:4}: moved by {moved.median():.5f} (median), {moved.max():.5f} (most)")

# %% [markdown]
# So with Adam the learning rate is a *length*, in units of the code. And a factor before the whole loss does
# nothing: a loss that somebody divided by $N$ twice gives the same path, until its gradients come near $\epsilon$.
# A factor before *one term* does change it (lesson 3).
#
# Which length is right? Three learning rates, 100 steps each, on the small generator.

# %% tags=["nbval-ignore-output"]
rates = {}
for rate in (0.003, 0.01, 0.1):
    rates[rate] = i2s.embed(small_photo, small, steps=100, learning_rate=rate, perceptual=net,
                            snapshots=21, progress=False, callback=progress())  # fmt: skip
    way = (rates[rate].w_plus - mean_code).norm(dim=2).mean()
    print(f"rate {rate:5}: loss {rates[rate].loss[-1, 0]:.3f}, distance to the mean {way:.1f}")

# %%
alt = "Loss against step: 0.1 falls first and is lowest in the end, 0.003 stays highest."
falls = {f"rate {rate}": run.loss[:, 0] for rate, run in rates.items()}
course.plot(falls, "step", "loss", log=True, alt=alt)

# %% [markdown]
# The largest rate wins the race. What did it pay? Now the same runs as *paths*: how far from the mean was the code
# when it reached a loss?

# %%
paths = {}
for rate, run in rates.items():
    far = (run.snapshots[:, 0] - mean_code).norm(dim=2).mean(dim=1)  # [21]
    paths[f"learning rate {rate}"] = far, run.loss[run.snapshot_steps, 0]
alt = "At the same loss, rate 0.1 is more than twice as far from the mean as the smaller ones"
course.plot(paths, "distance to the mean", "loss", log=True, marker="o", alt=alt)

# %% [markdown]
# For one and the same loss the largest rate has travelled much further: its first steps move *every* number of the
# code by about 0.1, whether it matters or not, and where the image does not show a move, nothing takes it back. A
# small rate needs more steps and stays nearer. The paper's 0.01 with more steps is a compromise. Why nearer is better
# follows in 4.8.
#
# ### Exercise 4.6 (ablate, difficulty 2 of 3, 8 minutes): take Adam apart
#
# To [*ablate*](GLOSSARY.md#ablation) is to take one part away and see what was due to it. Fill `runs` with the losses
# of three searches of `small_photo` with `small`, 100 steps each, all with `lr=0.01`:
#
# - `runs["Adam"]`: as above, the **baseline**;
# - `runs["no momentum"]`: Adam with $\beta_1 = 0$ and $\beta_2 = 0.999$, so that $m$ is just the newest gradient;
# - `runs["plain descent"]`: `torch.optim.SGD`, the update $w \leftarrow w - \eta g$.
#
# Each value is the list of 101 floats that `find` returns second. Guess first, and write it down: which last loss will
# the other two have? You know Adam's, from the rate 0.01 above.
#
# <details><summary>Hint 1</summary>Your <code>find</code> hands further settings on to the optimiser. PyTorch wants
# both betas as floats, so <code>0.0</code> and not <code>0</code>.</details>
# <details><summary>Hint 2</summary>Which argument of <code>find</code> is the optimiser itself, and which part of
# what it returns are the losses?</details>

# %% tags=["nbval-ignore-output"]
runs = {}
### BEGIN SOLUTION
runs["Adam"] = find(small_photo, small, net, 100)[1]
runs["no momentum"] = find(small_photo, small, net, 100, betas=(0.0, 0.999))[1]
runs["plain descent"] = find(small_photo, small, net, 100, torch.optim.SGD)[1]
### END SOLUTION

# %%
checks.check_ablation(runs, small_photo, small, net)

# %% tags=["nbval-ignore-output"]
for name, values in runs.items():
    up = torch.as_tensor(values).diff().gt(0).float().mean()
    print(f"{name:13} loss {values[0]:.3f}, after 20 steps {values[20]:.3f}, after 100 "
          f"{values[100]:.3f}; {up:.0%} of the steps led up")  # fmt: skip
alt = "Adam falls smoothly; without momentum it trembles and ends higher; descent is slow."
course.plot(runs, "step", "loss", log=True, alt=alt) if runs else None

# %% [markdown]
# How near were your two guesses? **Without momentum** the search is as quick at first. Then a good part of its steps
# lead up: where the gradient of a number changes its sign from step to step, an average cancels it, and the newest one
# alone follows each swing. So the curve trembles, and ends higher here. (With three other photos: higher for two
# faces, level for the cat.)
#
# **Plain descent** stays far behind: $\eta g$ is tiny, because the loss is a mean and each number of the code has a
# small share in it. Adam divides by the gradient's size, so 0.01 means the same to every number, row and photo.
#
# ## 4.6 Broken runs
#
# Four programs, each with one thing wrong. All claim to do what yours does, on the small generator with learning
# rate 0.05, in 60 steps. You get what a bug report would hold: an image, a curve, and some numbers. These are the
# causes to choose from; one may fit twice, and some fit none.
#
# | answer | cause |
# |---|---|
# | `"rate"` | the learning rate is far too high |
# | `"gradient"` | the gradient is never cleared: `zero_grad()` was left out |
# | `"noise"` | the generator draws new [noise](GLOSSARY.md#noise) each time it makes an image |
# | `"rows"` | it says W, but it optimises a row for each layer |
# | `"start"` | it starts at a random code, not at the mean |
# | `"steps"` | nothing is wrong, it only needs more steps |
#
# First two healthy runs, one in W+ and one in W, to compare with.

# %% tags=["nbval-ignore-output"]
healthy, healthy_w = (
    i2s.embed(small_photo, small, space=space, steps=60, learning_rate=0.05, perceptual=net,
              progress=False, callback=progress())
    for space in ("w+", "w")
)  # fmt: skip
for name, run in {"W+": healthy, "W": healthy_w}.items():
    print(f"healthy, {name:2}: loss {run.loss[0, 0]:.3f} -> {run.loss[-1, 0]:.3f}")


# %%
def report(name, run, image, curve):
    """The image of a run beside those of the healthy ones, and the three curves."""
    images = torch.cat([small_photo.cpu(), healthy.image, healthy_w.image, run.image.cpu()])
    labels = ["photo", "healthy, W+", "healthy, W", name]
    alt = f"The photo, two healthy runs, in W less like her, and {name}: {image}"
    display(course.show(images, labels, size=192, alt=alt))
    curves = {name: run.losses, labels[1]: healthy.loss[:, 0], labels[2]: healthy_w.loss[:, 0]}
    alt = f"Loss against step. Healthy runs fall, W+ below W. {name.capitalize()} {curve}."
    return course.plot(curves, "step", "loss", log=True, styles=("-", "--", ":"), alt=alt)


# %% [markdown]
# ### Exercise 4.7 (diagnose, difficulty 1 of 3, 4 minutes): run A
#
# Look at the very first steps of A, and at its image. Set `cause_a` to one of the six answers.

# %%
from i2s.course.lesson04 import broken_run

a = broken_run("A", small_photo, small, net)
report("run A", a, "a blurred head", "leaps up at step 1, then falls, far above both")

# %% tags=["nbval-ignore-output"]
print("healthy:", [f"{loss:.3f}" for loss in healthy.loss[:4, 0]])
print("run A:  ", [f"{loss:.3f}" for loss in a.losses[:4]])

# %% [markdown]
# <details><summary>Hint 1</summary>Where is the loss after one update, compared with the start?</details>
# <details><summary>Hint 2</summary>Exercise 4.5: how far does one update go, and what decides it?</details>

# %%
cause_a = None
### BEGIN SOLUTION
cause_a = "rate"
### END SOLUTION

# %%
checks.check_cause("A", cause_a)

# %% [markdown]
# ### Exercise 4.8 (diagnose, difficulty 2 of 3, 4 minutes): run B
#
# Compare B with the healthy run in W+ step by step, from the first. Set `cause_b`.

# %%
b = broken_run("B", small_photo, small, net)
report("run B", b, "a blue blur, no face", "rises in ever larger swings")

# %% tags=["nbval-ignore-output"]
print("healthy:", [f"{loss:.3f}" for loss in healthy.loss[:4, 0]])
print("run B:  ", [f"{loss:.3f}" for loss in b.losses[:4]])

# %% [markdown]
# <details><summary>Hint 1</summary>Is the first update a good one? From which step on do the two
# differ?</details>
# <details><summary>Hint 2</summary>Something is right as long as there is only one gradient, and wrong from the
# second on.</details>

# %%
cause_b = None
### BEGIN SOLUTION
cause_b = "gradient"
### END SOLUTION

# %%
checks.check_cause("B", cause_b)

# %% [markdown]
# ### Exercise 4.9 (diagnose, difficulty 2 of 3, 5 minutes): run C
#
# The report of C comes with a test: the code that it found, drawn and compared five more times by its own
# program. Set `cause_c`.

# %%
c = broken_run("C", small_photo, small, net)
report("run C", c, "her, speckled", "begins higher, trembles, ends a little below W")

# %% tags=["nbval-ignore-output"]
print("one code, five losses:", [f"{loss:.4f}" for loss in c.compared_again])

# %% [markdown]
# <details><summary>Hint 1</summary>If nothing but the code decided the image, how many different losses could one
# code have?</details>
# <details><summary>Hint 2</summary>Which of the causes changes the image while the code stays the same?</details>

# %%
cause_c = None
### BEGIN SOLUTION
cause_c = "noise"
### END SOLUTION

# %%
checks.check_cause("C", cause_c)

# %% [markdown]
# C used a copy of the generator whose noise inputs are switched on, as they are in NVIDIA's networks, and drew them
# anew for each image. The remedy is to *store* the noise and to use the same maps each time, as
# `generator.synthesis(code)` does here. Otherwise a saved code does not even draw the image that was saved with it.
#
# ### Exercise 4.10 (diagnose, difficulty 3 of 3, 5 minutes): run D
#
# D says that it searched **W**, and that W is as good as W+. Set `cause_d`.

# %%
d = broken_run("D", small_photo, small, net)
report("run D", d, "as the one in W+", "coincides with W+")

# %% tags=["nbval-ignore-output"]
for name, w_plus in {"healthy, W": healthy_w.w_plus, "run D": d.w_plus}.items():
    print(f"{name:10}: standard deviation over the rows {w_plus.std(dim=1).mean():.3f}")

# %% [markdown]
# <details><summary>Hint 1</summary>Which of the two healthy curves does D follow?</details>
# <details><summary>Hint 2</summary>How many different rows can a code in W have?</details>

# %%
cause_d = None
### BEGIN SOLUTION
cause_d = "rows"
### END SOLUTION

# %%
checks.check_cause("D", cause_d)

# %% [markdown]
# This one is the easiest to miss, since nothing looks wrong; you met it in exercise 2.4. D began with `w_mean` *copied*
# into every row, and the copies diverge at the first update. A search in W holds one row and *expands* it in each
# step, so that all layers read the same numbers.
#
# ## 4.7 A photo that is moved
#
# The paper warns that the result is sensitive to where the face is. How sensitive? The same photo six times, once as
# it was, then with the face shifted, rotated or scaled; what lies outside the photo is filled by mirroring.
#
# The six frames show different surroundings, so their losses cannot be compared. But the *face* is the same in
# all. We measure the error inside an oval that moves with it, as [PSNR](GLOSSARY.md#psnr) (in decibels; higher is
# better). Guess: how many dB does a shift by a quarter of the width cost?

# %%
guess_shift = None  # your number

# %%
changes = {
    "original": {}, "shift 1/8": {"right": 1 / 8}, "shift 1/4": {"right": 1 / 4},
    "rotation 30°": {"degrees": 30}, "rotation 180°": {"degrees": 180},
    "scale 0.7": {"scale": 0.7},
}  # fmt: skip
box = (135, 15, 180)  # left, top, side of the crop
frames = [checks.transform_face(portrait, box, **change) for change in changes.values()]
photos = i2s.load_photos(frames, small.resolution)
ovals = checks.face_ovals(portrait, box, changes.values(), small.resolution)

# %% tags=["nbval-ignore-output"]
moves = i2s.embed(photos, small, steps=100, learning_rate=0.03, perceptual=net,
                  progress=False, callback=progress())  # fmt: skip
alt = "Six photos, below what was found: clear if unmoved, eyes lost if shifted, smeared otherwise"
course.show(torch.cat([photos, moves.image]), [*changes] * 2, columns=6, size=144, alt=alt)

# %% tags=["nbval-ignore-output"]
quality = checks.psnr_within(moves.image, photos, ovals)
for name, db in zip(changes, quality):
    print(f"{name:13} PSNR inside the face {db:.1f} dB")
compare_guess(guess_shift, quality[0] - quality[2], "cost of the shift by 1/4 (dB)")

# %% [markdown]
# Every movement costs, the shifts most, and the further one more. Look at the eyes and the mouth as well: the number
# averages over all pixels of the face, and they are only a few of them. In the shifted faces they are smeared or
# missing.
#
# So before you embed a photo of your own, [align](GLOSSARY.md#alignment) it: turn and crop it so that eyes and mouth
# are where they are in the training photos.
#
# ### Exercise 4.11 (explain, difficulty 2 of 3, 5 minutes): why does moving cost?
#
# To us a shifted face is the same face. In two or three sentences: why is it harder for the generator? Write them,
# in English, into the string `answer`. The check looks only whether both halves of the reason are mentioned.
#
# <details><summary>Hint 1</summary>Where does the synthesis network begin (lesson 1), and can a style move
# it?</details>
# <details><summary>Hint 2</summary>Think of the photos that the generator has learned from. What did they have in
# common?</details>

# %%
answer = ""
### BEGIN SOLUTION
answer = (
    "The generator was trained on aligned photos, so it has only seen eyes and mouths "
    "at fixed places of the grid. A style scales a feature map as a whole, the same at "
    "every position, so no code can simply shift a face; the search must paint the moved "
    "face out of parts that were learned for other places."
)
### END SOLUTION

# %%
checks.check_why_moved(answer)

# %% [markdown]
# ## 4.8 When to stop
#
# The paper takes 5000 steps, and reports that faces settle after about 1000. Each step costs time, and carries the
# code further from the mean. The long run of 4.2 shows what the later steps gain.

# %% tags=["nbval-ignore-output"]
from i2s.metrics import psnr

picked = [0, 1, 4, 8, 12]  # of 13 snapshots: steps 0, 25, 100, 200, 300
codes = long.snapshots[picked, 0].to(lab.device)  # [5, num_ws, w_dim]
with torch.no_grad():
    path = generator.synthesis(codes)
for k, image in zip(picked, path):
    far = (long.snapshots[k, 0] - generator.w_mean.cpu()).norm(dim=1).mean()
    step, db = long.snapshot_steps[k], psnr(image[None].cpu(), photo.cpu()).item()
    loss_there = long.loss[step, 0]
    print(f"step {step:3}: loss {loss_there:.3f}, PSNR {db:.1f} dB, distance to the mean {far:.1f}")

# %%
labels = [f"step {long.snapshot_steps[k]}" for k in picked] + ["photo"]
alt = "From the face of the mean latent to hers, and the photo; the last steps change little"
course.show(torch.cat([path, photo]).cpu(), labels=labels, columns=3, size=256, alt=alt)

# %% [markdown]
# The later steps change less and less that one can see; the distance to the mean goes on growing. Does the distance
# matter? Not to show the photo. But lesson 5 *edits* codes: it adds the same direction to each, here minus 1.5 times
# the mean smile of the people whose codes the course brings (lesson 0.6). A guess first: at which of the steps will
# the edit close the mouth best?

# %%
people = course.load_people(generator)
smile = (people.smiling - people.neutral).mean(dim=0).to(lab.device)  # [num_ws, w_dim]
with torch.no_grad():
    serious = generator.synthesis(codes[1:] - 1.5 * smile)
labels = [f"step {long.snapshot_steps[k]}" for k in picked[1:]] + ["- smile"] * 4
alt = "Steps 25 to 300, below without the smile: the mouth closes at 25, is a pale smear at 300"
course.show(torch.cat([path[1:], serious]).cpu(), labels, columns=4, alt=alt)

# %% [markdown]
# **Distortion** is the distance of the image to the photo: it falls from left to right, as the loss says.
# [**Editability**](GLOSSARY.md#editability) is how well a code takes an edit, and it falls too: from the code of step
# 25 the edit closes the mouth, from that of step 300 it smears it; and from step 100 on it draws long hair beside the
# neck, which nobody asked for. But step 25 is not Eileen Collins yet. What is gained on one side is lost on the other,
# and the number of steps decides where you stand; so does the learning rate (4.5). (This is one photo and one edit;
# lesson 2.4 has more.)
#
# ### Exercise 4.12 (fill, difficulty 2 of 3, 10 minutes): a rule that stops
#
# **Given:** `losses`, a list of floats; `window`, a number of steps; `tolerance`, a share such as 0.05.
#
# **Return:** the first step `k`, at least `window`, at which the last `window` steps have gained less than
# `tolerance`, that is $L_k > (1 - \text{tolerance}) \, L_{k - \text{window}}$; an int. If there is none, the last
# step.
#
# <details><summary>Hint 1</summary>Which is the first step that has <code>window</code> steps before it?</details>
# <details><summary>Hint 2</summary>Steps count from 0, so the last of a list of 101 losses is step 100. Where in
# the function is it clear that no step has met the rule?</details>


# %%
def stop_at(losses, window=50, tolerance=0.1):
    """The first step whose `window` gained less than the share `tolerance`; else the last."""
    ### BEGIN SOLUTION
    for k in range(window, len(losses)):
        if losses[k] > (1 - tolerance) * losses[k - window]:
            return k
    return len(losses) - 1
    ### END SOLUTION


# %%
checks.check_stop_at(stop_at)

# %% [markdown]
# Why a window, and not the step before? Because one small wave of Adam would stop the search. Your rule, on the
# long run:

# %% tags=["nbval-ignore-output"]
for tolerance in (0.4, 0.3, 0.2, 0.1):
    k = int(stop_at(theirs, tolerance=tolerance))
    print(f"gain below {tolerance:.0%} in 50 steps: stop at step {k} with loss {theirs[k]:.3f}")

# %% [markdown]
# The smaller the tolerance, the later the stop. (Step 300, the last, mostly means that the rule was not met, and the
# run could go on.) No number of steps is right for all uses. To *show* a photo again, go on until the curve is
# flat. To *edit* it, stop earlier, while the code is still near those of faces.
#
# ## 4.9 Yours: two faces and three edits
#
# Everything together: your own `find` on a second face, then a foretaste of the three edits of lesson 5 (half-way to
# another face, a smile added, the colours of another), and a file to keep. If you have a portrait of yourself, or of
# somebody who agrees to this, square and cropped like the photo above, write the file's name into `my_file`. Else the
# second face is person 1 of the course, drawn from a code of the Face Research Lab London Set (DeBruine and Jones
# 2017, CC BY 4.0).

# %%
my_file = None  # "portrait.jpg", say
if my_file:
    second = i2s.load_photos(my_file, generator.resolution).to(lab.device)
else:
    with torch.no_grad():
        second = generator.synthesis(people.neutral[:1].to(lab.device)).clamp(-1, 1)

# %% tags=["nbval-ignore-output"]
yours, second_losses = find(second, generator, net, steps=80, lr=0.03)
print(f"loss {second_losses[0]:.3f} -> {second_losses[-1]:.3f}")

# %%
neutral, smiling = (x.mean(0).to(lab.device) for x in (people.neutral, people.smiling))
edits = torch.cat([
    i2s.morph(mine, yours, 0.5),
    i2s.transfer_expression(yours, neutral, smiling, 1.5),
    i2s.crossover(mine, yours, split=8),
])  # fmt: skip
with torch.no_grad():
    results = generator.synthesis(torch.cat([yours, edits]))
labels = ["face 1", "face 2", "2, found", "half-way", "2, smiling", "1, colours of 2"]
alt = "Two faces, the second as found; their morph; the second, faintly smiling; the first, paler"
sheet = course.show(torch.cat([photo, second, results]).cpu(), labels, columns=3, size=256, alt=alt)
sheet

# %% [markdown]
# Person 1 ends with a far lower loss than any photo above: the generator drew this face, so there is a code for all of
# it. For a photo there is hardly ever one.
#
# To keep the sheet and the codes, set `keep` to `True`: both files go into the folder of this notebook. An edited face
# of a real person is for your own eyes, unless that person agrees (lesson 5.8).

# %%
keep = False
if keep:
    sheet.image.save("my_faces.jpg")
    torch.save({"first": mine.cpu(), "second": yours.cpu()}, "my_codes.pt")

# %% [markdown]
# **Go on by yourself.** Open questions, with what you have on this page:
#
# - Give `find` another optimiser of `torch.optim`, `RMSprop` or `Adagrad`. Does it need another learning rate, and why?
# - Let the learning rate fall while the search goes on: change one line of your loop. Does the last loss get better?
# - Embed the image that your search has found, and then the image that is found for *that*. What is lost?
# - Embed a photo of a statue, a drawing, a dog. How far from the mean do they end?
#
# ## What you have seen
#
# - Five steps, about twenty lines, and the same numbers as `i2s.embed`.
# - The mean latent as a start keeps the code near those of faces. U(-1, 1) needs the mean as its centre, and ends
#   further out.
# - Adam's learning rate is the length of a step, whatever the size of the gradient.
# - A curve is evidence: its first step, its end, its roughness, its terms. Image and distance to the mean belong
#   to it.
# - More steps bring the image nearer to the photo, and the code further from what edits need: distortion against
#   editability.
# - A face that is moved costs more, because the generator has learned where faces are.
#
# **Ask yourself**
#
# <details><summary>Your loss is 0.4 and a friend's, on another photo, is 0.3. Whose embedding is
# better?</summary>Nobody can say: each photo has its own lowest loss. Compare runs on one photo, or look at the
# images.</details>
# <details><summary>Why are the photo's features computed before the loop?</summary>They never change. Inside
# the loop they would cost time and give the same result.</details>
# <details><summary>You double the loss. What changes about Adam's path?</summary>Nothing: both averages grow, and
# their ratio stays, but for the tiny epsilon.</details>
#
# **Words:** [embedding](GLOSSARY.md#embedding), [initial code](GLOSSARY.md#initial-code),
# [Adam](GLOSSARY.md#adam), [learning rate](GLOSSARY.md#learning-rate), [mean latent](GLOSSARY.md#mean-latent),
# [momentum](GLOSSARY.md#momentum), [convergence](GLOSSARY.md#convergence), [noise](GLOSSARY.md#noise),
# [alignment](GLOSSARY.md#alignment), [PSNR](GLOSSARY.md#psnr), [editability](GLOSSARY.md#editability).
#
# **Next:** [lesson 5](05_editing.ipynb) edits the faces that you can now find.
