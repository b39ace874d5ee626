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
# | | |
# |---|---|
# | **Goals** | write Image2StyleGAN's five steps yourself; read a loss curve; choose start, optimiser and learning rate; find the cause of a broken run; know when to stop |
# | **Before** | lessons 2 (W and W+) and 3 (the loss); a training loop in PyTorch, seen once |
# | **Time** | about 90 minutes; the cells take about two on a laptop without a GPU |
# | **You will see** | your own loop find a face; what a random start draws; four broken runs; a face that is moved |
#
# ![The loop: initial code, generated image, comparison with the photo, update of the code, and back to the image](images/loop.svg)
#
# You will build this loop, and then look at four that somebody built wrong.

# %% tags=["nbval-ignore-output"]
import torch
import i2s
from i2s import course
from i2s.course import lesson04 as checks

lab = course.setup(steps=3500)
generator, net = lab.generator, lab.perceptual

# %% [markdown]
# The photo is the one of lesson 0: Eileen Collins, a NASA portrait in the public domain, cropped so that eyes and
# mouth are where the generator expects them.

# %%
from skimage import data

portrait = data.astronaut()
photo = i2s.load_photos(portrait[15:195, 135:315], generator.resolution).to(lab.device)
course.show(photo, size=192, alt="The photo to embed: a portrait of the astronaut Eileen Collins.")

# %% [markdown]
# ## 4.1 Five steps
#
# [Embedding](GLOSSARY.md#embedding) a photo means: find the code whose image looks like it. The method has five
# steps.
#
# 1. Start with an initial code $w^*$.
# 2. Generate an image $G(w^*)$ of it.
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
# <details><summary>Hint 2</summary>Three calls in a chain: <code>expand</code>, <code>clone</code>, and
# <code>requires_grad_(True)</code>, in this order.</details>


# %%
def initial_code(generator):
    """The mean latent in each row: [1, num_ws, w_dim], a tensor that an optimiser may change."""
    ### BEGIN SOLUTION
    return generator.w_mean.expand(1, generator.num_ws, generator.w_dim).clone().requires_grad_(True)
    ### END SOLUTION


# %%
checks.check_initial_code(initial_code, generator)

# %% [markdown]
# Step 2 draws it. All rows are equal, so this is the average face.

# %%
code = initial_code(generator)
image = generator.synthesis(code)
course.show(torch.cat([image.detach(), photo]), labels=["image of the code", "photo"])

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
# scale [0, 1], that is as `(x + 1) / 2`; the network wants them in [-1, 1], as they are.
#
# **Return:** the loss, a tensor of shape `[]`, float32, at least 0.
#
# <details><summary>Hint 1</summary>A mean of squares is <code>(a - b).square().mean()</code>. Start with the
# pixels' term, then add the others in a loop.</details>
# <details><summary>Hint 2</summary><code>for ours, theirs in zip(net.features(image), features):</code> goes
# through the four pairs. Nothing may cut the loss off from the image: no <code>no_grad</code>, no
# <code>item()</code>.</details>


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
# Why is `features` handed in? The photo never changes, so its maps are computed *once*, before the loop.
# Computing them again in each step gives the same numbers, later.

# %% tags=["nbval-ignore-output"]
features = net.features(photo)
loss = compare(image, photo, features, net)
print(f"loss of the average face: {loss.item():.3f}")

# %% [markdown]
# One number says how wrong the image is. `backward()` asks how this number would change with *each* number of the
# code, and leaves the answer in `code.grad`, the *gradient*.

# %% tags=["nbval-ignore-output"]
loss.backward()
print("numbers in the code:", code.numel(), "- numbers in its gradient:", code.grad.numel())
print("size of the gradient, row by row:", [round(g, 3) for g in code.grad[0].norm(dim=1).tolist()])

# %% [markdown]
# Every row has one: the first rows could change the pose, the last ones the colours, and the loss asks for both.
#
# ### Exercise 4.3 (fill, difficulty 1 of 3, 5 minutes): step 4, the update
#
# **Given:** an `optimiser` of PyTorch that holds the code, and the `loss` of that code.
#
# **Return:** nothing. Afterwards the code has moved once, down the slope of this loss alone.
#
# <details><summary>Hint 1</summary><code>backward()</code> <em>adds</em> to the gradient that is there
# already.</details>
# <details><summary>Hint 2</summary>Three lines: the optimiser forgets old gradients, the loss computes new ones,
# the optimiser takes a step.</details>


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
# **Given:** your three functions, and the two lines that prepare the search. The optimiser is
# [Adam](GLOSSARY.md#adam), the paper's choice; section 4.5 says what it does.
#
# **Return:** `code`, of shape `[1, num_ws, w_dim]`, without gradients (`detach()`); and `losses`, a list of
# `steps + 1` floats: entry `k` is the loss of the code after `k` updates. So the last code is compared too, but
# updated no more. Most of what follows calls `find`: if you are still stuck after the hints, copy it from
# `solutions/04_optimization.ipynb` and read on.
#
# <details><summary>Hint 1</summary>Go round <code>steps + 1</code> times. Each time: generate, compare, append,
# and update unless it is the last time.</details>
# <details><summary>Hint 2</summary>The loop counts <code>step</code> through <code>range(steps + 1)</code>, and
# its last lines update only if <code>step &lt; steps</code>. A loss becomes a float by
# <code>loss.item()</code>.</details>


# %%
def find(photo, generator, net, steps, method=torch.optim.Adam, lr=0.01, **settings):
    """Image2StyleGAN: the code of a photo, and the loss of each code on the way."""
    code, features, losses = initial_code(generator), net.features(photo), []
    optimiser = method([code], lr=lr, **settings)
    ### BEGIN SOLUTION
    for step in range(steps + 1):
        loss = compare(generator.synthesis(code), photo, features, net)
        losses.append(loss.item())
        if step < steps:
            update(optimiser, loss)
    return code.detach(), losses
    ### END SOLUTION


# %%
checks.check_find(find, generator, net)

# %% [markdown]
# ## 4.2 Yours and the library's
#
# `i2s.embed` takes the same five steps, with more care around them: many photos at once, progress, snapshots,
# errors that say what to do. With the same settings it must give the same numbers. Both go 100 steps.

# %% tags=["nbval-ignore-output"]
mine, losses = find(photo, generator, net, 100)
result = i2s.embed(photo, generator, steps=100, perceptual=net, progress=False)
theirs = result.loss[:, 0].tolist()
for step in (0, 1, 2, 5, 20, 100):
    print(f"step {step:3}: yours {losses[step]:.6f}, i2s.embed {theirs[step]:.6f}")

# %% [markdown]
# Two programs, one method. At first they agree in all digits that a float32 has, about seven. Then they part by a
# little: sums were taken in another order and rounded differently, and where a gradient is almost 0, its rounding
# decides in which direction Adam steps. The images do not show it.

# %%
with torch.no_grad():
    pair = generator.synthesis(torch.cat([mine, result.w_plus.to(mine)]))
alt = "The photo, the face that your loop has found, and that of i2s.embed: the two are the same to the eye"
course.show(torch.cat([photo, pair]), labels=["photo", "yours", "i2s.embed"], alt=alt)

# %% [markdown]
# ## 4.3 Read a loss curve
#
# `result.history` keeps each term by itself. On a linear axis only the first steps can be seen. On a logarithmic
# one equal heights are equal *ratios*, and the later steps can be compared too. Look at both.

# %%
course.plot({"loss": theirs}, "step", "loss", alt="Loss against step on a linear axis.")

# %%
terms = {name: values[:, 0] for name, values in result.history.items()}
styles = ("-", "-", "--", "-", "-")  # conv1_1 and conv1_2 nearly coincide
alt = "The five terms of the loss against step, on a logarithmic axis."
course.plot(terms, "step", "term of the loss", log=True, styles=styles, alt=alt)

# %% [markdown]
# What to look at, in this order:
#
# 1. **The first steps.** A sound run falls at once. A loss that leaps up at step 1 was thrown there.
# 2. **The slope at the end.** Falling still: more steps would help. Flat: they would not.
# 3. **The roughness.** Small waves are normal, since Adam overshoots a little. Swings that grow are not.
# 4. **The terms.** One that stays up shows what the code does not catch: colours (`mse`), edges (`conv1_1`,
#    `conv1_2`), larger shapes (`conv3_2`, `conv4_2`).
#
# And never the curve alone: it does not show what a face looks like. The next section has an example.

# %% tags=["nbval-ignore-output"]
share = {name: values[-1].item() / theirs[-1] for name, values in terms.items()}
print("share of the last loss:", {name: f"{part:.0%}" for name, part in share.items()})
print("gain of the last 20 steps:", f"{1 - theirs[-1] / theirs[-21]:.0%}")

# %% [markdown]
# ## 4.4 Where to start: at the mean, or anywhere?
#
# The paper knows two starts: the mean latent; and U(-1, 1), random numbers, each drawn from anywhere in [-1, 1]. It
# recommends the mean for faces, and U(-1, 1) for everything else. We try both, on a face and on a cat.

# %%
cat = i2s.load_photos(data.chelsea()[0:300, 90:390], generator.resolution).to(lab.device)
mean_code = generator.w_mean.cpu().expand(generator.num_ws, -1)
seeds = [torch.Generator().manual_seed(k) for k in range(3)]
random_codes = [torch.rand(mean_code.shape, generator=seed) * 2 - 1 for seed in seeds]
starts = torch.stack([mean_code, *random_codes])
starts.shape

# %% [markdown]
# Four starts, one mean and three random, each with a row for every layer. Here is what the generator draws of
# them.

# %%
with torch.no_grad():
    drawn = generator.synthesis(starts.to(lab.device))
names = ["mean", "random 1", "random 2", "random 3"]
course.show(drawn, labels=names, alt="The average face, and three images of dark and glaring patches, of no face")

# %% [markdown]
# The mapping network never makes such random codes, and the generator does not know what to draw for them. All
# eight searches (two photos, four starts) go at once, as one batch; each has a loss of its own. About half a
# minute.

# %% tags=["nbval-ignore-output"]
batch = torch.cat([photo.expand(4, -1, -1, -1), cat.expand(4, -1, -1, -1)])
race = i2s.embed(batch, generator, start=torch.cat([starts, starts]), steps=120, perceptual=net, progress=False)
curves = race.loss.T  # [8, 121]

# %%
face_curves = {"mean": curves[0:1], "U(-1, 1), 3 runs": curves[1:4]}
course.plot_spread(
    face_curves, "step", "loss of the face", log=True,
    alt="Loss of the face against step: the run from the mean latent, and the range of three runs from random codes.",
)  # fmt: skip

# %%
cat_curves = {"mean": curves[4:5], "U(-1, 1), 3 runs": curves[5:8]}
course.plot_spread(
    cat_curves, "step", "loss of the cat", log=True,
    alt="Loss of the cat against step: the run from the mean latent, and the range of three runs from random codes.",
)  # fmt: skip

# %% [markdown]
# The band goes from the lowest to the highest of the three runs, the line is their median; the run from the mean is a
# single one. A single random run would have shown you a piece of luck. Now the images; and beside the loss a second number, how far the code is
# from the mean.

# %%
labels = [f"face, {n}" for n in names] + [f"cat, {n}" for n in names]
alt = "Face and cat after 120 steps: from the mean both can be recognised, from the random codes hardly"
course.show(race.image, labels, columns=4, alt=alt)

# %% tags=["nbval-ignore-output"]
distance = (race.w_plus - mean_code).norm(dim=2).mean(dim=1)  # [8]: mean over the rows
for k, what in enumerate(["face"] * 4 + ["cat"] * 4):
    print(f"{what:4} from {names[k % 4]:9} loss {curves[k, -1]:.3f}, distance to the mean {distance[k]:5.1f}")
print(f"where the random ones began: {(starts[1:] - mean_code).norm(dim=2).mean():.1f}")
w = generator.mapping(generator.sample_z(1000, seed=0))[:, 0]
print(f"codes w of random faces, for comparison: {(w - generator.w_mean).norm(dim=1).mean():.1f}")

# %% [markdown]
# Read the table against the images: look at the eyes and the mouth of each face. Are the searches from U(-1, 1)
# behind? With many more steps one of them may catch up in the loss. But compare where they end with where they began:
# still far from all codes of faces. What they draw is paint that resembles the photo from afar, and lesson 2.5 showed
# where lines between such codes lead.
#
# And the cat, for which the paper recommends U(-1, 1)? Look at its curves again: after these few steps the mean is
# ahead here, too. The random codes draw glaring patches, and the way from there is long; the paper goes on for 5000
# steps, in a much larger network. So this recommendation is one to try, and not one that we have seen.
#
# **Take along:** start faces at the mean. Evaluate a code by its loss, its image *and* its distance to the mean.
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
# paper takes $\eta = 0.01$, $\beta_1 = 0.9$, $\beta_2 = 0.999$ and $\epsilon = 10^{-8}$, a number so small that
# it only prevents a division by 0. Averaging $g$ is called *momentum*: the code keeps some of its direction, as a
# ball would.
#
# ### Exercise 4.5 (predict, difficulty 2 of 3, 4 minutes): the first step
#
# Before you run anything: how far does Adam move a number of the code in its *first* step?
#
# - `"gradient"`: by the learning rate times the gradient, so much for some numbers and little for others;
# - `"rate"`: by the learning rate, nearly the same for each number;
# - `"loss"`: the further, the higher the loss.
#
# Set `prediction` to one of the three.
#
# <details><summary>Hint 1</summary>Put t = 1 and m = v = 0 into the formulas. What are the two fractions
# then?</details>
# <details><summary>Hint 2</summary>The upper one is g, and the lower one is the root of g². What is g divided by
# the root of g²?</details>

# %%
prediction = None
### BEGIN SOLUTION
prediction = "rate"
### END SOLUTION

# %%
checks.check_first_step(prediction)

# %% [markdown]
# See for yourself: one step from the mean, once with our loss, and once with a loss a thousand times as large.

# %% tags=["nbval-ignore-output"]
for factor in (1, 1000):
    code = initial_code(generator)
    adam = torch.optim.Adam([code], lr=0.01)
    update(adam, factor * compare(generator.synthesis(code), photo, features, net))
    way = (code.detach() - generator.w_mean).abs()
    print(f"loss x {factor:4}: a number moved by {way.median():.5f} (median), {way.max():.5f} (most)")

# %% [markdown]
# So with Adam the learning rate is a *length*, in units of the code. And a factor before the whole loss does
# nothing: a loss that somebody divided by $N$ twice gives the same path. A factor before *one term* does change
# it (lesson 3).
#
# Which length is right? Three learning rates, 100 steps each; look at the loss and at the way gone.

# %% tags=["nbval-ignore-output"]
rates = {}
for rate in (0.001, 0.01, 0.1):
    w_plus, rates[f"learning rate {rate}"] = find(photo, generator, net, 100, lr=rate)
    way = (w_plus - generator.w_mean).norm(dim=2).mean()
    print(f"learning rate {rate:5}: loss {rates[f'learning rate {rate}'][-1]:.3f}, distance to the mean {way:.1f}")

# %%
course.plot(rates, "step", "loss", log=True, alt="Loss against step for learning rates 0.001, 0.01 and 0.1.")

# %% [markdown]
# A small rate needs more steps. A large one is quick, but it runs far, and a code far from the mean may draw this
# photo and be of no use for edits. The paper's 0.01 with more steps is the middle way.
#
# ### Exercise 4.6 (ablate, difficulty 2 of 3, 8 minutes): take Adam apart
#
# To *ablate* is to take one part away and see what was due to it. Fill `runs` with the losses of three searches
# of `photo`, 100 steps each, all with `lr=0.01`:
#
# - `runs["Adam"]`: as above;
# - `runs["no momentum"]`: Adam with $\beta_1 = 0$ and $\beta_2 = 0.999$, so that $m$ is just the newest gradient;
# - `runs["plain descent"]`: `torch.optim.SGD`, the update $w \leftarrow w - \eta g$.
#
# Each value is the list of 101 floats that `find` returns second. Write down first what you expect of each.
#
# <details><summary>Hint 1</summary>Your <code>find</code> hands further settings on to the optimiser:
# <code>betas=(..., ...)</code>. PyTorch wants both as floats, so <code>0.0</code> and not
# <code>0</code>.</details>
# <details><summary>Hint 2</summary>The optimiser itself is the fifth argument of <code>find</code>;
# <code>[1]</code> takes the losses of what it returns.</details>

# %%
runs = {}
### BEGIN SOLUTION
runs["Adam"] = find(photo, generator, net, 100)[1]
runs["no momentum"] = find(photo, generator, net, 100, betas=(0.0, 0.999))[1]
runs["plain descent"] = find(photo, generator, net, 100, torch.optim.SGD)[1]
### END SOLUTION

# %%
checks.check_ablation(runs)

# %%
course.plot(
    runs, "step", "loss", log=True, alt="Loss against step: Adam, Adam without momentum, and plain gradient descent."
)

# %% [markdown]
# Plain descent stays far behind: $\eta g$ is tiny, because the loss is a mean and each number of the code has a small
# share in it. Adam divides by the gradient's size, so 0.01 means the same to every number, row and photo.
#
# ## 4.6 Broken runs
#
# Four programs, each with one thing wrong. All claim to do what yours does, with learning rate 0.05, in 100
# steps. You get what one gets in a report that somebody sends: a curve, and one more finding. These are the
# causes to choose from:
#
# | answer | cause |
# |---|---|
# | `"rate"` | the learning rate is far too high |
# | `"gradient"` | the gradient is never cleared: `zero_grad()` was left out |
# | `"noise"` | the generator draws new [noise](GLOSSARY.md#noise) each time it makes an image |
# | `"rows"` | it says W, but it optimises a row for each layer |
# | `"steps"` | nothing is wrong, it only needs more steps |
#
# First two healthy runs, one in W+ and one in W, to compare with.

# %% tags=["nbval-ignore-output"]
fast = dict(steps=100, learning_rate=0.05, perceptual=net, progress=False)
healthy = i2s.embed(photo, generator, **fast)
healthy_w = i2s.embed(photo, generator, space="w", **fast)
sound = {"healthy, W+": healthy.loss[:, 0], "healthy, W": healthy_w.loss[:, 0]}


def beside(name, run):
    """The curve of a run, and over it, dashed, those of the healthy ones."""
    curves = {name: run.losses} | sound
    alt = f"Loss against step of {name} and of two healthy runs."
    return course.plot(curves, "step", "loss", log=True, styles=("-", "--", ":"), alt=alt)


{name: round(curve[-1].item(), 3) for name, curve in sound.items()}

# %% [markdown]
# ### Exercise 4.7 (diagnose, difficulty 1 of 3, 4 minutes): run A
#
# Look at the very first steps of A, and at its image. Set `cause_a` to one of the five answers.

# %%
from i2s.course.lesson04 import broken_run

a = broken_run("A", photo, generator, net)
beside("run A", a)

# %%
alt = "The photo, the image of the healthy run in W+, and that of run A, blurred and without eyes"
course.show(torch.cat([photo.cpu(), healthy.image, a.image.cpu()]), ["photo", "healthy, W+", "run A"], alt=alt)

# %% [markdown]
# <details><summary>Hint 1</summary>Where is the loss after one update, compared with the start?</details>
# <details><summary>Hint 2</summary>Exercise 4.5: how far does one update go, and what decides it?</details>

# %%
cause_a = None
### BEGIN SOLUTION
cause_a = "rate"
### END SOLUTION

# %%
checks.check_run_a(cause_a)

# %% [markdown]
# ### Exercise 4.8 (diagnose, difficulty 2 of 3, 4 minutes): run B
#
# Compare B with the healthy run in W+ step by step, from the first. Set `cause_b`.

# %%
b = broken_run("B", photo, generator, net)
beside("run B", b)

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
checks.check_run_b(cause_b)

# %% [markdown]
# ### Exercise 4.9 (diagnose, difficulty 2 of 3, 5 minutes): run C
#
# C uses a copy of the generator whose noise inputs are switched on, as they are in NVIDIA's networks. Its report
# comes with a test: the code that it found, drawn and compared five more times by its own program. Set `cause_c`.

# %%
c = broken_run("C", photo, generator, net)
beside("run C", c)

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
checks.check_run_c(cause_c)

# %% [markdown]
# The remedy is to *store* the noise and to use the same maps each time, as `generator.synthesis(code)` does here.
# Otherwise a saved code does not even draw the image that was saved with it.
#
# ### Exercise 4.10 (diagnose, difficulty 3 of 3, 5 minutes): run D
#
# D says that it searched **W**, and its author is proud of the result. Set `cause_d`.

# %%
d = broken_run("D", photo, generator, net)
beside("run D", d)

# %% tags=["nbval-ignore-output"]
for name, w_plus in {"healthy, W": healthy_w.w_plus, "run D": d.w_plus}.items():
    print(f"{name:10}: the rows of the code differ by {w_plus.std(dim=1).mean():.3f} (standard deviation)")

# %% [markdown]
# <details><summary>Hint 1</summary>Which of the two healthy curves does D follow?</details>
# <details><summary>Hint 2</summary>How many different rows can a code in W have?</details>

# %%
cause_d = None
### BEGIN SOLUTION
cause_d = "rows"
### END SOLUTION

# %%
checks.check_run_d(cause_d)

# %% [markdown]
# This one is the most dangerous: nothing looks wrong. D began with `w_mean` *copied* into every row, and the copies
# part at the first update. A search in W holds one row and *expands* it in each step, so that all layers read the
# same numbers.
#
# ## 4.7 A photo that is moved
#
# The paper warns that the result is sensitive to where the face is. How sensitive? The same photo nine times,
# shifted, turned and scaled; what lies outside of the image is filled by mirroring. About half a minute.

# %%
from i2s.course.lesson04 import transform_face

changes = {
    "as it was": {},
    "shift 1/16": {"right": 1 / 16}, "shift 1/8": {"right": 1 / 8}, "shift 1/4": {"right": 1 / 4},
    "turn 20°": {"degrees": 20}, "turn 60°": {"degrees": 60}, "turn 180°": {"degrees": 180},
    "scale 0.5": {"scale": 0.5}, "scale 1.5": {"scale": 1.5},
}  # fmt: skip
portraits = [transform_face(portrait, box=(135, 15, 180), **change) for change in changes.values()]
photos = i2s.load_photos(portraits, generator.resolution)

# %% tags=["nbval-ignore-output"]
moves = i2s.embed(photos, generator, steps=100, perceptual=net, progress=False)
alt = "Above the photo as it was, shifted, turned and scaled; below what was found: eyes and mouth clear only as it was"
course.show(torch.cat([photos, moves.image]), labels=[*changes] * 2, columns=len(changes), alt=alt)

# %% tags=["nbval-ignore-output"]
from i2s.metrics import psnr

last, quality = moves.loss[-1], psnr(moves.image, moves.target)
for name, loss, db in zip(changes, last, quality):
    print(f"{name:13} loss {loss:.3f}, {loss / last[0]:4.2f} times that of the first, PSNR {db:.1f} dB")

# %%
costs = {name.replace(" ", "\n", 1): float(loss) for name, loss in zip(changes, last)}
alt = "Loss after 100 steps for the photo as it was, shifted, turned and scaled."
course.bars(costs, "loss after 100 steps", size=(7.2, 3.0), alt=alt)

# %% [markdown]
# ([PSNR](GLOSSARY.md#psnr) is the error of the pixels on a scale of decibels; higher is better.) Look at the eyes and
# the mouth, too: a number averages over all pixels, and the eyes are few of them. Did one of the changed photos come
# out as well, or *better*? Then ask what it has and the photo as it was has not: a head held straighter, or less of the
# border and its patterns.
#
# So before you embed a photo of your own, [align](GLOSSARY.md#alignment) it: turn and crop it so that eyes and mouth
# come where they are in the training photos.
#
# ### Exercise 4.11 (explain, difficulty 2 of 3, 5 minutes): why does moving cost?
#
# To us a shifted face is the same face. In two or three sentences: why is it harder for the generator? Write them
# into the string `answer`. The check looks only whether both halves of the reason are mentioned.
#
# <details><summary>Hint 1</summary>Where does the synthesis network begin (lesson 1), and can a style move
# it?</details>
# <details><summary>Hint 2</summary>What was the same in all the photos that the generator has seen?</details>

# %%
answer = ""
### BEGIN SOLUTION
answer = (
    "The generator was trained on aligned photos, so it has only ever seen eyes and mouths at fixed places of the grid. "
    "A style scales a feature map as a whole, the same at every position, so no code can simply shift a face; "
    "the search must paint the moved face out of parts that were learned for other places."
)
### END SOLUTION

# %%
checks.check_why_moved(answer)

# %% [markdown]
# ## 4.8 When to stop
#
# The paper takes 5000 steps, and reports that faces settle after about 1000. Each step costs time, and each
# carries the code further away. A longer search shows what the later steps buy.

# %% tags=["nbval-ignore-output"]
long = i2s.embed(photo, generator, steps=400, perceptual=net, progress=False, snapshots=17)
pick = [0, 25, 50, 100, 200, 400]
kept = [long.snapshot_steps.index(step) for step in pick]
for step, k in zip(pick, kept):
    way = (long.snapshots[k, 0] - mean_code).norm(dim=1).mean()
    print(f"step {step:3}: loss {long.loss[step, 0]:.3f}, distance to the mean {way:.1f}")

# %%
with torch.no_grad():
    path = generator.synthesis(long.snapshots[kept, 0].to(lab.device)).cpu()
alt = "The image after 0 to 400 steps, and the photo: from the average face to hers, the later steps changing little"
course.show(torch.cat([path, photo.cpu()]), labels=[f"step {step}" for step in pick] + ["photo"], alt=alt)

# %% [markdown]
# From image to image twice as many steps, and less to see of them; the distance to the mean goes on growing.
#
# ### Exercise 4.12 (fill, difficulty 2 of 3, 10 minutes): a rule that stops
#
# **Given:** `losses`, a list of floats; `window`, a number of steps; `tolerance`, a share such as 0.05.
#
# **Return:** the first step `k`, at least `window`, at which the last `window` steps have gained less than
# `tolerance`, that is $L_k > (1 - \text{tolerance}) \, L_{k - \text{window}}$; an int. If there is none, the last
# step.
#
# <details><summary>Hint 1</summary>Go through the steps from <code>window</code> to the last, and return as soon
# as the condition holds.</details>
# <details><summary>Hint 2</summary>Steps count from 0, so the last of a list of 101 losses is step 100.</details>


# %%
def stop_at(losses, window=50, tolerance=0.1):
    """The first step whose last `window` steps gained less than `tolerance` of the loss; else the last step."""
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
    k = stop_at(long.loss[:, 0].tolist(), tolerance=tolerance)
    print(f"gain below {tolerance:.0%} in 50 steps: stop at step {k} with loss {long.loss[k, 0]:.3f}")

# %% [markdown]
# A run that stops at its last step has not met the rule yet: it could go on. No number of steps is right for all
# uses. To *show* a photo again, go on until the curve is flat. To *edit* it (lesson 5), stop earlier, while the
# code is still near the faces.
#
# ## What you have seen
#
# - Five steps, about twenty lines, and the same numbers as `i2s.embed`.
# - The mean latent as a start keeps faces near the faces; a random start ends far from them, whatever its loss.
# - Adam's learning rate is the length of a step, whatever the size of the gradient.
# - A curve is evidence: its first step, its end, its roughness, its terms. Image and distance to the mean belong
#   to it.
# - A face that is moved costs more, because the generator has learned where faces are.
#
# **Ask yourself**
#
# <details><summary>Your loss is 0.4 and a friend's, on another photo, is 0.3. Whose embedding is
# better?</summary>Nobody can say: each photo has its own lowest loss. Compare runs on one photo, or look at the
# images.</details>
# <details><summary>Why are the photo's features computed before the loop?</summary>They never change. Inside of
# the loop they would cost time and give the same result.</details>
# <details><summary>You double the loss. What changes about Adam's path?</summary>Nothing: both averages grow, and
# their ratio stays, but for the tiny epsilon.</details>
#
# **Words:** [embedding](GLOSSARY.md#embedding), [initial code](GLOSSARY.md#initial-code),
# [Adam](GLOSSARY.md#adam), [learning rate](GLOSSARY.md#learning-rate), [mean latent](GLOSSARY.md#mean-latent),
# [noise](GLOSSARY.md#noise), [alignment](GLOSSARY.md#alignment), [PSNR](GLOSSARY.md#psnr).
#
# **Next:** [lesson 5](05_editing.ipynb) edits the faces that you can now find.
