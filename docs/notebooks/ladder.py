# %% [markdown]
# # The ladder: from a table of letters to a GPT
#
# This lesson builds a small GPT one idea at a time. Each rung is trained, and each has to earn its place by a lower
# loss. Nothing here is a simplified copy: `show(...)` prints a part of hornbook's own source, and it is that part
# which runs. Edit the file, start again, and see what it does.
#
# You need some Python, and to have seen a matrix product. All of it takes about two minutes on a laptop without a GPU.
# Run the cells from top to bottom; the paragraphs marked **Try** say what to change.
#
# To open it: `pip install -c constraints.txt -e '.[notebook]'`, then `jupyter lab docs/notebooks/ladder.ipynb`. The
# notebook is made from the plain source `ladder.py`, which runs by itself too; `build.py` makes it anew.

# %%
import inspect
import math
import tempfile
import textwrap
import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

import hornbook as hb
from hornbook.generation.generator import evaluating
from hornbook.generation.streaming import complete
from hornbook.model.attention import Attention, FusedCore, MatmulCore
from hornbook.model.bigram import Bigram, NextUnit
from hornbook.model.block import Plain, PreNorm
from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.model.count import count, total
from hornbook.model.gpt import GPT
from hornbook.model.head import Head, lower_triangle
from hornbook.model.mlp import MLP
from hornbook.model.multihead import MultiHead
from hornbook.presets import find_preset
from hornbook.runs.picture import BLUE, GREEN, GREY, INK, SKY, VERMILLION
from hornbook.text import batches, corpora, shards
from hornbook.text.characters import Characters
from hornbook.training import baselines
from hornbook.training.evaluate import evaluate
from hornbook.training.optimizers import make_optimizer
from hornbook.training.schedule import evaluation_steps
from hornbook.training.step import TrainStep
from hornbook.training.task import Task

TEXT = None  # or the path of a text of your own, in any script: TEXT = "my.txt"
STEPS = 1000  # how long a rung learns; fewer is quicker and shows less
SEED = 1  # all that is random comes from it

torch.manual_seed(SEED)
torch.set_num_threads(1)  # models this small gain nothing from more, and so the figures depend on no core count
plt.rcParams.update({"figure.dpi": 100, "axes.spines.top": False, "axes.spines.right": False, "font.size": 10})


def show(part):
    """Print a part of the textbook as its file has it."""
    print(f"# src/{part.__module__.replace('.', '/')}.py\n{textwrap.dedent(inspect.getsource(part)).rstrip()}")


# %% [markdown]
# ## 1. Data and batches
#
# The text is Shakespeare's, or if that can't be had without a network, what Python says about itself. The first nine
# tenths train; the last tenth is kept aside, to find out whether what was learned is about the language, or only about
# this text.

# %%
source = corpora.resolve([TEXT]) if TEXT else corpora.default_source(print)
data = shards.prepare(source)
tokenizer, V = data.tokenizer, data.tokenizer.vocab_size

print(f"{len(data.train):,} characters to learn from, {len(data.val):,} to be tested on; it begins:\n")
print(tokenizer.decode(data.train[:150]))

# %% [markdown]
# A network takes numbers, so each character of the text gets one: its place in the vocabulary, which is the sorted
# list of all characters that occur. Encoding loses nothing: decoding gives the text back.

# %%
print(f"V = {V} characters:", repr("".join(tokenizer.units))[:100])
beginning = tokenizer.decode(data.train[:12])
ids = tokenizer.encode(beginning)
print(repr(beginning), "->", ids.tolist())
assert tokenizer.decode(ids) == beginning

# %% [markdown]
# A character is a Unicode code point, of any script. What a reader takes for one letter may be several of them: this
# Kannada word (*jñānavē*, knowledge itself) has three syllables on paper, and seven code points.

# %%
word = "ಜ್ಞಾನವೇ"
kannada = Characters.fit([word])
print(word, "->", [f"U+{ord(unit):04X}" for unit in word], "->", kannada.encode(word).tolist())
assert kannada.decode(kannada.encode(word)) == word

# %% [markdown]
# The model never sees the whole text at once. A step of training sees **B** windows of **T** characters, cut out at
# random places. The targets are the same windows moved on by one: at every place, what comes next?
#
# "Random" means a hash of (seed, step, row). So step 17 has the same windows whenever it is asked for, and whatever
# model it is for: the rungs below all read the same text in the same order, which makes comparing them fair.

# %%
T, B = 32, 32
show(batches.batch)


def get_batch(step):
    """Return inputs and targets of a step, (B, T) each."""
    starts = batches.starts(len(data.train), T, SEED, step, range(B))
    return [torch.from_numpy(array) for array in batches.batch(data.train, starts, T)]


inputs, targets = get_batch(step=1)
print(f"\ninputs {tuple(inputs.shape)}, targets {tuple(targets.shape)}; the first row begins:\n")
for t in range(6):
    print(f"after {tokenizer.decode(inputs[0, : t + 1])!r:<12} comes {tokenizer.decode(targets[0, t : t + 1])!r}")
assert torch.equal(inputs[:, 1:], targets[:, :-1])

# %% [markdown]
# One window of 32 characters holds 32 questions, from "what follows one character?" to "what follows 32?". So the
# model learns to go on from a short beginning as well as from a long one.
#
# **Try:** other steps, and another `SEED`.

# %% [markdown]
# ## 2. The bigram, and its loss
#
# The simplest model looks at one character and says how likely each is to come next: a table of V × V scores. The loss
# is its surprise, −log of the probability that it gave to what did come, on average over all places.

# %%
show(Bigram.hidden)
print()
show(NextUnit)

# %% [markdown]
# Before training anything, let us know what a loss means. Three landmarks, in nats a character:
#
# - a **guess at random**: every character is as likely as any other, ln V;
# - the **letter frequencies**: knowing what is common, and nothing of what came before;
# - a **counted table**: how often each character followed each other one in the training text. No bigram model can be
#   much better than this, however it is trained.

# %%
frequencies = np.bincount(data.train, minlength=V) + 0.1  # a little for what never came: rare, not impossible
guess = baselines.uniform(V)
letters = -np.log(frequencies / frequencies.sum())[data.val].mean()
counted = baselines.bigram(data.train, data.val, V)
print(f"a guess at random {guess:.3f}, letter frequencies {letters:.3f}, a counted table {counted:.3f}")
assert math.isclose(guess, math.log(V))

# %% [markdown]
# Now let a table *learn* what the other one counted. This loop is all that training is: look at a batch, ask how each
# score should change to lower the loss (`backward`), and move it a little that way (`step`). The gradients of a step
# add to those that are there, so they are cleared first (`zero_grad`).
#
# `val_loss` asks the model about text that it never trains on: always the same slice, so that losses can be compared.


# %%
def slice_loss(model, ids):
    """Return the loss on a fixed slice of a text: 16,384 characters, evenly spaced."""
    return evaluate(model, ids, T, tokenizer, at_most=16_384).loss


bigram = build(find_preset("bigram").model_config(V), seed=SEED)
optimizer = torch.optim.AdamW(bigram.parameters(), lr=0.01)

by_hand = {"train": {}, "validation": {}}
for step in range(STEPS + 1):
    if step > 0:
        inputs, targets = get_batch(step)
        logits = bigram(inputs)  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if step in evaluation_steps(STEPS, every=max(1, STEPS // 20)):
        by_hand["train"][step] = slice_loss(bigram, data.train)
        by_hand["validation"][step] = slice_loss(bigram, data.val)
print(f"validation loss: {by_hand['validation'][0]:.3f} before, {by_hand['validation'][STEPS]:.3f} after")

# %% [markdown]
# The untrained table is worse than a guess: its random scores are sure of themselves for no reason. Then it comes down
# to the counted table, and there it has to stay.


# %%
def draw_landmarks(axes):
    """Draw the losses to compare with, each named at the right."""
    for loss, name in ((guess, "guess at random"), (letters, "letter frequencies"), (counted, "counted table")):
        axes.axhline(loss, color=GREY, linewidth=1, linestyle=":")
        axes.annotate(name, (1.01, loss), xycoords=("axes fraction", "data"), color=GREY, va="center")


def draw_losses(axes, curves):
    """Draw curves, {name: {step: loss}}, told apart by colour and by marker."""
    looks = zip((BLUE, VERMILLION, GREEN, SKY, INK, GREY), "os^Dvx", strict=True)
    for (name, curve), (color, marker) in zip(curves.items(), looks, strict=False):
        axes.plot(curve.keys(), curve.values(), color=color, marker=marker, markersize=4, label=name)
    axes.set(xlabel="step", ylabel="loss, nats a character")
    axes.legend(framealpha=1, edgecolor="none")


figure, axes = plt.subplots(figsize=(7, 3.6))
draw_losses(axes, by_hand)
draw_landmarks(axes)
axes.set_title("A bigram table learns what could be counted", loc="left")
plt.show()

# %% [markdown]
# Training and validation lie on one another: so small a table can't learn a text by heart. And what does a model say
# that has learned which letter follows which?

# %%
print(*complete(bigram, tokenizer, "", block_size=T, tokens=200, seed=SEED))

# %% [markdown]
# From here on the loop is hornbook's own, so that the lesson can be about the models. Its step, in `training/step.py`,
# does what the loop above does; it can also cut a batch into pieces, shorten gradients that are too long, and change
# the learning rate on the way.


# %%
def learn(rung, settings, steps=STEPS):
    """Train a preset, with some settings changed; return the model and its validation losses, {step: loss}."""
    preset = find_preset(rung).changed({"model.block_size": T, "recipe.batch_size": B, **settings})
    recipe, model = preset.recipe, build(preset.model_config(V), seed=SEED)
    task = Task(model, T, data, recipe, steps, SEED, dtype="float32")
    update = TrainStep(model, make_optimizer(model, recipe), recipe, steps, SEED, dtype="float32")
    losses = {}
    for step in range(steps + 1):
        if step > 0:
            update(step, *task.batch(step))
        if step in evaluation_steps(steps, every=None):
            losses[step] = slice_loss(model, data.val)
    return model, losses


# %% [markdown]
# Is it the same? Trained both ways, the two tables should agree in each of their V × V scores.

# %%
ladder = {}  # the validation losses of every rung
same, ladder["bigram"] = learn("bigram", {"recipe.learning_rate": 0.01})
print(f"largest difference between two scores: {(same.table.weight - bigram.table.weight).abs().max():.1e}")
assert torch.allclose(same.table.weight, bigram.table.weight, atol=1e-4)

# %% [markdown]
# **Try:** a learning rate of 0.1, of 0.001. Which is too fast, and how do you see it? How long must the slow one
# learn?

# %% [markdown]
# ## 3. Averaging the past, four ways
#
# The bigram forgets all but one character. To use more of the past, each place needs to gather from the places before
# it, and never from those after: they are what it has to predict. The plainest way to gather is to take the mean. Here
# is that mean four times; the last way is already attention.
#
# Below, `x` holds 6 places with 4 numbers each. **First way:** loops. Slow, and beyond doubt.

# %%
x = torch.randn(6, 4)  # (T, C)

loops = torch.zeros_like(x)
for t in range(len(x)):
    loops[t] = x[: t + 1].mean(dim=0)
print(x, loops, sep="\n\n")

# %% [markdown]
# **Second way:** one matrix product. Row t of the matrix holds how much place t takes from each place. A triangle of
# ones, each row divided by its sum, takes as much from each place up to t, and nothing from those after.

# %%
triangle = torch.ones(6, 6).tril()
shares = triangle / triangle.sum(dim=1, keepdim=True)
product = shares @ x
print(shares)

# %% [markdown]
# **Third way:** write the shares as a softmax of scores. A score of −∞ becomes a share of 0: that is how the future is
# hidden. Equal scores become equal shares. It looks like a detour, but scores are something that a network can
# compute, and a softmax makes proper shares of whatever it computes.

# %%
allowed = lower_triangle(6, 6, x.device)
scores = torch.zeros(6, 6).masked_fill(~allowed, -math.inf)
softmax = scores.softmax(dim=-1) @ x
print(scores)

# %% [markdown]
# **Fourth way:** a head of attention that asks for nothing. It computes its scores from queries and keys. With queries
# of zero, all the scores are zero, and we are back at the mean; with the unit matrix for its values, at the mean of
# `x` itself.

# %%
lazy = Head(ModelConfig(vocab_size=V, n_head=1, n_embd=4), site="lazy")
with torch.no_grad():
    for weight in lazy.parameters():
        weight.zero_()
    lazy.value.weight.copy_(torch.eye(4))
    attention = lazy(x[None])[0]  # a batch of one

for name, way in {"matrix product": product, "masked softmax": softmax, "lazy head": attention}.items():
    print(f"{name}: differs from the loops by at most {(way - loops).abs().max():.1e}")
    assert torch.allclose(way, loops, atol=1e-6)

# %% [markdown]
# Four ways, the same numbers. A mean is a poor reader, though: it gives the comma from a line ago as much as the
# letter just before. The next rung lets the scores depend on what stands there.
#
# **Try:** change one score from 0 to 3, and look at the shares of its row.

# %% [markdown]
# ## 4. One head of attention
#
# Every place sends out three vectors, each by a matrix that is learned: a **query** (what am I looking for?), a
# **key** (what do I hold?) and a **value** (what do I tell?). A score is how well a query fits a key: their dot
# product. All else is the third way from above.

# %%
show(Head.forward)

# %% [markdown]
# The same in slow motion, for each place by itself, with nothing but dot products and a weighted sum:

# %%
head = Head(ModelConfig(vocab_size=V, n_head=1, n_embd=16), site="head")
x = torch.randn(1, 8, 16)  # (B, T, C)

with torch.no_grad():
    slow = []
    for t in range(8):
        query = head.query(x[0, t])
        fits = [query @ head.key(x[0, s]) / math.sqrt(16) for s in range(t + 1)]  # itself, and those before
        exps = [math.exp(fit) for fit in fits]
        slow.append(sum(e / sum(exps) * head.value(x[0, s]) for s, e in enumerate(exps)))
    assert torch.allclose(torch.stack(slow), head(x)[0], atol=1e-6)
print("place by place, and all at once: the same")

# %% [markdown]
# **Why divide by √D?** A dot product of D random numbers grows like √D, and a softmax of large scores gives nearly all
# to the largest one. Then almost nothing else is heard, and almost no gradient flows. Look at the last two columns:
# how much of the attention the strongest of 8 keys gets.

# %%
print("   D   size of scores   strongest share, as it is   divided by √D")
for D in (4, 64, 1024):
    q, k = torch.randn(2, 2000, 8, D)
    scores = (q * k).sum(dim=-1)  # (2000, 8): 2000 times eight keys
    strongest = [(s.softmax(dim=-1).amax(dim=-1).mean().item()) for s in (scores, scores / math.sqrt(D))]
    print(f"{D:>4} {scores.std():>16.1f} {strongest[0]:>27.2f} {strongest[1]:>15.2f}")
    assert math.isclose(scores.std().item(), math.sqrt(D), rel_tol=0.1)

# %% [markdown]
# **Does nothing leak from the future?** If it did, the loss would be wonderful, and worthless. Gradients can prove it:
# what comes out at place t must not change with what goes in at a later place s. Not a little: not at all.

# %%
x.requires_grad_()
reach = torch.stack([torch.autograd.grad(head(x)[0, t].sum(), x)[0][0].abs().sum(dim=-1) for t in range(8)])  # (T, T)
assert (reach[~lower_triangle(8, 8, x.device)] == 0).all()
assert (reach[lower_triangle(8, 8, x.device)] > 0).all()
print("each place depends on itself and on every place before, and on none after")

# %% [markdown]
# Now train it. Around the head stands only what it needs: each character becomes a vector, to which the vector of its
# place is added, as attention by itself has no notion of order; and what the head has found is turned into V scores.

# %%
one, ladder["one head"] = learn("head", {"recipe.learning_rate": 0.01})
print({step: round(loss, 3) for step, loss in ladder["one head"].items()})

# %% [markdown]
# Where does it look? The head has a place from which its weights can be watched while the model reads.


# %%
def look(model, ids):
    """Return the attention weights of a model of one layer: ids (B, T) -> (H, B, T, T)."""
    kept = []
    eyes = [part.weights for part in model.modules() if hasattr(part, "weights")]
    hooks = [eye.register_forward_hook(lambda eye, before, after: kept.append(after)) for eye in eyes]
    with evaluating(model):
        model(ids)
    for hook in hooks:
        hook.remove()
    return torch.stack(kept)


def label(unit):
    """Make a character visible; a picture's font does not have those of most scripts."""
    return {" ": "␣", "\n": "↵"}.get(unit, unit if unit.isascii() and unit.isprintable() else "·")


def draw_attention(axes, weights, ids):
    """Draw one head's weights (T, T): a row for each place that asks, a column for each that answers."""
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    units = [label(tokenizer.units[i]) for i in ids]
    axes.set_xticks(range(len(ids)), units)
    axes.set_yticks(range(len(ids)), units)
    axes.tick_params(length=0, labelsize=7)
    axes.set(xlabel="looked at", ylabel="looks from")


seen = torch.from_numpy(data.val[:24].astype(np.int64))
print("the text:", repr(tokenizer.decode(seen)))
figure, axes = plt.subplots(figsize=(5, 5))
draw_attention(axes, look(one, seen[None])[0, 0], seen)
axes.set_title("Where one trained head looks", loc="left")
plt.show()

# %% [markdown]
# The upper right is empty: that is the mask. Follow a row to see where its place looks: the darker, the more. One head
# has one set of shares. If it is to fetch both the letter before and the beginning of the word, it gets a blend of the
# two, and can't tell any more which was which.
#
# **Try:** `{"recipe.learning_rate": 0.01, "model.positions": "nothing"}`. What does a head do that can't tell places
# apart?

# %% [markdown]
# ## 5. Several heads
#
# So take several small heads instead of one large one. Each has queries, keys and values of its own, so each may look
# for something else. What they find is laid side by side, and one more matrix, the projection, mixes it.

# %%
show(MultiHead.forward)
four, ladder["four heads"] = learn("heads", {"recipe.learning_rate": 0.01})
print()
for name, model in (("one head", one), ("four heads", four)):
    print(f"{name}: {total(count(model)):,} parameters, validation loss {ladder[name][STEPS]:.3f}")

# %%
figure, grid = plt.subplots(2, 2, figsize=(8, 8.4), sharex=True, sharey=True, layout="constrained")
for number, (axes, weights) in enumerate(zip(grid.flat, look(four, seen[None]), strict=True)):
    draw_attention(axes, weights[0], seen)
    axes.set_title(f"head {number}", loc="left")
    axes.label_outer()
plt.show()

print("Where the attention goes, on average:\n")
print(f"{'':<20}{'itself':>10}{'one back':>10}{'two back':>10}{'further':>10}")
for name, model in (("one head", one), ("four heads", four)):
    for number, weights in enumerate(look(model, get_batch(0)[0])):  # (B, T, T)
        back = [weights.diagonal(-n, dim1=1, dim2=2).sum().item() / (B * T) for n in range(3)]
        print(f"{f'{name}, head {number}':<20}" + "".join(f"{share:>10.0%}" for share in (*back, 1 - sum(back))))

# %% [markdown]
# The four divide the work without being told to: compare their rows in the table with the row of the one head, which
# has to do all of it.
#
# **All heads at once.** H small products can be one batched product, with the heads as one more dimension. hornbook
# has that form too, and keeps the weights in the same way, so what one form has learned opens in the other. That they
# compute the same, gradients included, need not be believed:

# %%
show(Attention.forward)
print()
show(MatmulCore.forward)

config = ModelConfig(vocab_size=V, n_head=4, n_embd=32, attention="heads")
modular = build(config, SEED).blocks[0].attention
x = torch.randn(8, T, 32)


def forward_and_backward(part):
    """Return what comes out of an attention, and the gradient that goes back to what went in."""
    into = x.clone().requires_grad_()
    out = part(into)
    out.square().sum().backward()
    return out.detach(), into.grad


print()
for core in (MatmulCore, FusedCore):
    batched = Attention(config, "batched", core=core)
    batched.load_state_dict(modular.state_dict())
    pairs = list(zip(forward_and_backward(modular), forward_and_backward(batched), strict=True))
    print(f"{core.__name__}: out and back, they differ by {[f'{(a - b).abs().max():.0e}' for a, b in pairs]}")
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)

# %% [markdown]
# **Try:** `{"model.n_head": 8}`, or 32: heads of one channel each. Where does it stop helping?

# %% [markdown]
# ## 6. The block, and what breaks without its parts
#
# Attention moves information between places; it does nothing with it. So behind it stands an **MLP**: at each place by
# itself, widen, bend, come back. Talk, then think: that is a block, and blocks can be stacked.
#
# A stack of bare layers is hard to train, though. Two things make it work. The **residual stream**: a block *adds* to
# what it was given, and never replaces it. And the **norm**: what a branch reads is brought to one size first. Compare
# the two orders:

# %%
show(MLP.forward)
print()
show(PreNorm)
print()
show(Plain)

# %% [markdown]
# Take six blocks, fresh and untrained, and look inside while one batch goes through and its gradients come back.

# %%
DEEP = {"model.n_layer": 6, "model.attention": "fused", "model.block_size": T}


def look_inside(settings):
    """Return for each block how long its gradient is, and how alike the places are behind it (cosine, 1: the same)."""
    model = build(find_preset("block").changed({**DEEP, **settings}).model_config(V), SEED)
    streams = []
    for block in model.blocks:
        block.register_forward_hook(lambda block, before, after: streams.append(after.detach()))
    inputs, targets = get_batch(1)
    model.loss(model.hidden(inputs), model.head, targets).backward()
    lengths = [math.sqrt(sum(w.grad.square().sum() for w in block.parameters())) for block in model.blocks]
    directions = [F.normalize(stream, dim=-1) for stream in streams]
    others = ~torch.eye(T, dtype=torch.bool)
    alike = [(d @ d.transpose(1, 2))[:, others].mean().item() for d in directions]
    return lengths, alike


stacks = {
    "stream and norm": {},
    "norm, no stream": {"model.block": "plain"},
    "neither": {"model.block": "plain", "model.norm": "identity"},
}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
for (name, settings), color, marker in zip(stacks.items(), (BLUE, VERMILLION, GREEN), "os^", strict=True):
    lengths, alike = look_inside(settings)
    left.plot(range(1, 7), lengths, color=color, marker=marker, label=name)
    if name != "neither":  # its vectors are too small to have a direction
        right.plot(range(1, 7), alike, color=color, marker=marker, label=name)
    print(f"{name:<16} gradient at block 1: {lengths[0]:.0e}, at block 6: {lengths[-1]:.0e}")
left.set(yscale="log", xlabel="block", ylabel="length of the gradient", title="What comes back")
right.set(xlabel="block", ylabel="likeness of two places", title="What goes forward", ylim=(0, 1.05))
left.legend(frameon=False)
right.legend(frameon=False)
plt.show()

# %% [markdown]
# Left: with neither, each block shrinks the gradient by a factor of thousands, and what arrives at the first block is
# nothing: it can't learn. The norm alone repairs that. Right: but it doesn't repair what goes forward. Attention
# averages, and averages of averages are all alike; a few blocks on, every place holds the same vector, and which
# character stood there is forgotten. The stream keeps it.
#
# Now train such stacks, with one part left out at a time. An absent norm is the identity, an absent branch adds
# nothing: each is a name in hornbook's table of parts (`model/build.py`). All other weights start out the same, and
# read the same batches.

# %%
without = {
    "whole": {},
    "no residual stream": {"model.block": "plain"},
    "no attention": {"model.attention": "nothing"},
    "no MLP": {"model.mlp": "nothing"},
    "no norm": {"model.norm": "identity"},
    "no positions": {"model.positions": "nothing"},
}
broken = {
    name: learn("block", {**DEEP, "recipe.learning_rate": 3e-3, **settings}, steps=max(1, STEPS * 3 // 10))[1]
    for name, settings in without.items()
}
whole = min(broken["whole"].values())
print(f"{'':<20} loss   more than the whole")
for name, losses in sorted(broken.items(), key=lambda pair: list(pair[1].values())[-1]):
    last = list(losses.values())[-1]
    print(f"{name:<20} {last:.3f}  {last - whole:+.3f}")

# %%
figure, axes = plt.subplots(figsize=(8, 4.2))
draw_losses(axes, broken)
draw_landmarks(axes)
axes.set_title("Six blocks, one part left out", loc="left")
plt.show()

# %% [markdown]
# What to see here, on Tiny Shakespeare:
#
# - **No residual stream:** stuck on the line of the letter frequencies, as the picture before foretold. Every place
#   holds the same, so no place knows more than what is common.
# - **No attention:** it can't get below the counted table, however deep it is and however long it learns. It sees one
#   character, and its place.
# - **No norm:** it learns, but much more slowly.
# - **No positions:** a little worse. The mask gives a hint of the order: the first place sees one character, the
#   second sees two.
# - **No MLP:** no loss yet! So few steps are spent on learning which letters to gather, and attention does that alone.
#   The MLP pays later: after 3,000 steps (`steps=3000` in the cell above) we found 1.86 with it and 1.93 without.
#
# These are single runs of a few seconds; differences below 0.03 mean nothing.
#
# **Try:** `"model.block": "post"`, the order of 2017. A part that is removed at one layer only. More steps with and
# without the MLP.

# %% [markdown]
# The rung of the ladder is three such blocks:

# %%
_, ladder["three blocks"] = learn("block", {"recipe.learning_rate": 3e-3})
print({step: round(loss, 3) for step, loss in ladder["three blocks"].items()})

# %% [markdown]
# ## 7. The whole GPT
#
# Nothing new is needed. Characters become vectors, positions are added, blocks stand on one another, a last norm, and
# a head that scores every character. Wider, and with a context twice as long, it is the model that `hornbook train`
# trains.

# %%
show(GPT.hidden)
print()
show(GPT.forward)

# %% [markdown]
# So train it with that: `hb.train` takes all the steps above, from the text to the loss. The recipe is a little richer
# than ours was: the learning rate rises over the first steps, then falls to almost nothing, and large weights are
# pulled towards zero. The run is a folder that a person can read.

# %%
folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
run = hb.train(
    source.asked,
    preset="quick",
    steps=STEPS,
    seed=SEED,
    out=f"{folder.name}/run",
    device="cpu",
    progress=False,
)
ladder["GPT"] = {line["step"]: line["val_loss"] for line in run.evaluations}

print(*sorted(path.name for path in run.path.iterdir()))
print(f"\n{run.evaluate().nats_per_character:.3f} nats a character on the whole validation text. Its parameters:\n")
print(*count(run.model), f"{total(count(run.model)):>68,}", sep="\n")

# %% [markdown]
# And here is the ladder, each rung the one before plus one idea:

# %%
figure, axes = plt.subplots(figsize=(8, 4.6))
draw_losses(axes, ladder)
draw_landmarks(axes)
axes.set_title("The ladder", loc="left")
plt.show()
for name, losses in ladder.items():
    print(f"{name:<14} {list(losses.values())[-1]:.3f} after {list(losses)[-1]:,} steps")

# %% [markdown]
# The counted table is where it begins to be interesting: what lies below that line can only come from looking further
# back than one character.
#
# **Try:** on the command line, `hornbook train --minutes 5`, and then `hornbook show` on its folder. Or a preset of a
# rung: `hornbook train --preset heads`.

# %% [markdown]
# ## 8. Sampling
#
# A trained model gives probabilities for one character. To write, draw one, add it to the text, and ask again. The
# **temperature** divides the scores before the softmax: below 1 the likely becomes likelier, above 1 the unlikely gets
# its chance. Here is what comes after the beginning of the validation text:

# %%
model = run.model
prompt = tokenizer.decode(data.val[:20])
ids = torch.from_numpy(tokenizer.encode(prompt).astype(np.int64))[None]  # (1, T)
with evaluating(model):
    logits = model(ids)[0, -1]  # (V,)

print(f"after {prompt!r}:")
for temperature in (0.5, 1.0, 2.0):
    likely = (logits / temperature).softmax(dim=-1).sort(descending=True)
    chances = [f"{tokenizer.units[i]!r} {p:.2f}" for p, i in zip(likely.values[:6], likely.indices[:6], strict=True)]
    print(f"temperature {temperature}: {'  '.join(chances)}")

# %% [markdown]
# By hand, always taking the likeliest (a temperature of 0), and then hornbook's generator, which keeps the keys and
# values of what it has read, so that nothing is computed twice. They write the same.

# %%
with evaluating(model):
    for _ in range(40):
        best = model(ids)[:, -1].argmax(dim=-1, keepdim=True)  # (1, 1)
        ids = torch.cat([ids, best], dim=1)
written = tokenizer.decode(ids[0])
assert written == run.generate(prompt, tokens=40, temperature=0)
print(written)

# %% [markdown]
# The likeliest character every time makes a dull writer, which soon goes round in circles. Drawing is better:

# %%
for how in ({"temperature": 0.5}, {"temperature": 0.8}, {"temperature": 1.2}, {"temperature": 1.2, "top_k": 5}):
    print(f"--- {', '.join(f'{name} {value}' for name, value in how.items())}")
    print(run.generate(prompt, tokens=200, seed=SEED, **how), "\n")
folder.cleanup()

# %% [markdown]
# **Try:** `top_p=0.9`, and prompts of your own. A character that the text does not have is named, with its code point.

# %% [markdown]
# ## 9. Modular against batched, timed
#
# One head at a time is the form to read. All at once is the form to run; the third is PyTorch's fused kernel, which
# never writes the table of weights to memory. They compute the same, as section 5 proved. What does it cost to read
# well? Forward and backward, the fastest of thirty tries, for the same 64 channels cut into more and more heads:


# %%
def milliseconds(part, x):
    """Return how long forward and backward take."""
    start = time.perf_counter()
    part(x).sum().backward()
    return 1000 * (time.perf_counter() - start)


forms = {
    "one head at a time": MultiHead,
    "batched": partial(Attention, core=MatmulCore),
    "fused": partial(Attention, core=FusedCore),
}
numbers = (1, 2, 4, 8, 16)
x = torch.randn(16, 64, 64)  # (B, T, C)
parts = {}
for n_head in numbers:
    config = ModelConfig(vocab_size=V, n_head=n_head, n_embd=64)
    for name, form in forms.items():
        parts[name, n_head] = form(config, "timed")
        parts[name, n_head].load_state_dict(parts["one head at a time", n_head].state_dict())
        assert torch.allclose(parts[name, n_head](x), parts["one head at a time", n_head](x), atol=1e-5)

fastest = dict.fromkeys(parts, math.inf)
for _ in range(30):  # in turns, so that whatever else the machine does meets all of them
    for key, part in parts.items():
        fastest[key] = min(fastest[key], milliseconds(part, x))
timed = {name: [fastest[name, n_head] for n_head in numbers] for name in forms}

figure, axes = plt.subplots(figsize=(8, 3.6))
for i, (name, color, hatch) in enumerate(zip(timed, (VERMILLION, SKY, BLUE), ("//", "", ".."), strict=True)):
    places = np.arange(len(numbers)) + 0.27 * (i - 1)
    axes.bar(places, timed[name], width=0.25, color=color, hatch=hatch, edgecolor="white", label=name)
axes.set_xticks(range(len(numbers)), numbers)
axes.set(xlabel="heads", ylabel="milliseconds, forward and backward")
axes.legend(frameon=False)
axes.set_title("The same attention in three forms", loc="left")
plt.show()

for name, times in timed.items():
    print(f"{name:<18}", *(f"{ms:7.2f}" for ms in times), " ms")

# %% [markdown]
# The more heads, the more small products, and the more of the time goes into starting them. The parameters and the
# number of multiplications in the four matrices are the same in every column.
#
# **Try:** a longer context, `torch.randn(4, 256, 64)`. Where does the fused form gain most?

# %% [markdown]
# ## Where to go from here
#
# Read the files in the order of the ladder: `bigram.py`, `head.py`, `multihead.py`, `block.py`, `gpt.py` in
# `src/hornbook/model`. A part of your own goes in by the same door as hornbook's: a class, and a line in a table of
# `build.py`.
#
# ## References
#
# - Vaswani and others, *Attention Is All You Need*, 2017: attention, several heads, √D, sinusoidal positions.
# - Radford and others, *Improving Language Understanding by Generative Pre-Training*, 2018 (GPT), and *Language Models
#   are Unsupervised Multitask Learners*, 2019 (GPT-2): the decoder alone, norms before the branches.
# - Karpathy, *Let's build GPT: from scratch, in code, spelled out*, a lecture, 2023: the order of these rungs, and the
#   triangle of section 3, are after it. The words and the code are our own.
# - He and others, *Deep Residual Learning for Image Recognition*, 2015: the residual stream.
# - Ba, Kiros and Hinton, *Layer Normalization*, 2016.
# - Srivastava and others, *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, 2014: not used above;
#   `model/dropout.py` has it.
# - Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, 2019: AdamW, the optimizer of all the rungs.
#
# The texts:
#
# - **Tiny Shakespeare:** about a million characters of Shakespeare's plays, put together by Karpathy for char-rnn
#   (2015). The plays are in the public domain.
# - **shakespeare-works:** plays and poems from the Python package `shakespeare` 0.6. The texts are in the public
#   domain; the package is under CC BY 2.5.
# - **pydoc:** the documentation that comes with Python, under the PSF License.
