"""The loop: what it sees, that keeping keys and values changes nothing, and that chance belongs to the sample."""

from itertools import islice

import numpy as np
import pytest
import torch

from hornbook.errors import UsageError
from hornbook.generation.generator import PlainReader, Reader, evaluating, generate, quicken, window_start
from hornbook.generation.sampling import Sampling
from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.model.dropout import Clock

V, BLOCK = 11, 8
MODELS = [
    {"kind": "bigram"},
    *(
        {"attention": attention, "positions": positions}
        for attention in ("heads", "batched", "fused")
        for positions in ("learned", "sinusoidal", "nothing")
    ),
    *({"block": block} for block in ("branch", "post", "plain")),
    {"attention": "head", "n_head": 1},
    *({"attention": attention, "values": "embedding", "n_kv_head": 1} for attention in ("heads", "fused")),
    {"attention": "nothing"},
]
FLOAT32_BOUND = 2e-5  # where the largest logits are 1 to 3; seen: up to 2.5e-6


def make(dtype=torch.float64, block_size=BLOCK, **choices):
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 12, "init_std": 0.3, "dropout": 0.5}
    return build(ModelConfig(vocab_size=V, block_size=block_size, **(sizes | choices)), seed=1).to(dtype)


def take(model, ids=(3, 1, 4), *, tokens=30, block_size=BLOCK, **how):
    return np.array(list(generate(model, ids, block_size=block_size, tokens=tokens, **how))).T  # (samples, tokens)


def differences(model, block_size, first):
    """Read one text with and without a cache, `first` units at once and the rest one by one."""
    torch.manual_seed(0)
    text = torch.randint(V, (2, 3 * block_size + 2))
    cached, plain = Reader(model, block_size), PlainReader(model, block_size)
    pieces = [text[:, :first], *text[:, first:].split(1, dim=1)]
    return max((cached.read(piece) - plain.read(piece)).abs().max().item() for piece in pieces)


@pytest.mark.parametrize("block_size", [1, 2, 5, 8])
@pytest.mark.parametrize("first", [1, 4, 19])
def test_both_readers_say_which_window_they_saw(block_size, first):
    torch.manual_seed(0)
    text, model = torch.randint(V, (2, 30)), make(block_size=block_size)
    cached, plain = Reader(model, block_size), PlainReader(model, block_size)
    n = 0
    for piece in [text[:, :first], *text[:, first:].split(1, dim=1)]:
        n += piece.shape[1]
        cached.read(piece), plain.read(piece)
        assert torch.equal(cached.window, text[:, window_start(n, block_size) : n])
        assert torch.equal(plain.window, cached.window)


@pytest.mark.parametrize("penalty", [1.3, 1e6])
def test_a_repetition_penalty_is_about_that_window_with_or_without_a_cache(penalty):
    model, sampling = make(), Sampling(temperature=0.7, min_p=0.01, repetition_penalty=penalty)
    found = take(model, sampling=sampling, samples=3, tokens=40)
    assert (take(model, sampling=sampling, samples=3, tokens=40, cache=False) == found).all()
    assert (take(model, sampling=sampling, tokens=40) == found[:1]).all()  # each sample for itself
    assert (take(model, sampling=Sampling(temperature=0.7), samples=3, tokens=40) != found).any()


def test_nothing_in_the_window_comes_again_under_a_penalty_without_end():
    model = iid_bigram([1 / V] * V)
    with torch.no_grad():
        for weight in model.parameters():
            weight.sub_(weight.min() - 1)  # all logits the same, and above 0: what was seen sinks to 0
            weight.mul_(60)
    text = [3, 1, 4, *take(model, sampling=Sampling(repetition_penalty=1e9), tokens=40)[0].tolist()]
    for n in range(3, len(text)):
        assert text[n] not in text[window_start(n, BLOCK) : n]


@pytest.mark.parametrize("choices", MODELS, ids=str)
def test_kept_keys_and_values_give_the_same_logits(choices):
    for first in (1, BLOCK, 2 * BLOCK + 3):
        assert differences(make(**choices), BLOCK, first) <= 1e-12
        assert differences(make(torch.float32, **choices), BLOCK, first) <= FLOAT32_BOUND


@pytest.mark.parametrize("block_size", [1, 2, 3, 5])
def test_small_blocks(block_size):
    model = make(block_size=block_size)
    assert differences(model, block_size, 1) <= 1e-12
    for prompt in ([1], [1, 2, 3, 4, 5]):
        assert take(model, prompt, block_size=block_size, tokens=9).shape == (1, 9)


def test_the_window_written_out():
    assert [window_start(n, 4) for n in range(1, 12)] == [0, 0, 0, 0, 2, 2, 4, 4, 6, 6, 8]
    assert [window_start(n, 5) for n in range(1, 12)] == [0, 0, 0, 0, 0, 3, 3, 3, 6, 6, 6]
    assert [window_start(n, 1) for n in range(1, 5)] == [0, 1, 2, 3]


@pytest.mark.parametrize("block_size", range(1, 10))
def test_the_window_holds_from_half_a_block_to_a_block_and_only_moves_on(block_size):
    starts = [window_start(n, block_size) for n in range(1, 10 * block_size)]
    sizes = [n - start for n, start in enumerate(starts, 1)]
    assert starts == sorted(starts)
    assert max(sizes) == block_size
    assert min(sizes[block_size - 1 :]) == block_size // 2 + 1
    read_again = sum(size for size, start, before in zip(sizes[1:], starts[1:], starts, strict=False) if start > before)
    assert read_again <= (block_size // 2 + 1) / ((block_size + 1) // 2) * len(starts)


def test_a_window_predicts_what_the_model_does_for_that_text_alone():
    model = make().eval()
    text = torch.arange(30)[None] % V
    reader = Reader(model, BLOCK)
    for n in range(1, 31):
        logits = reader.read(text[:, n - 1 : n])
        alone = model(text[:, window_start(n, BLOCK) : n])[:, -1]
        torch.testing.assert_close(logits, alone, rtol=0, atol=1e-12)


def test_a_long_prompt_is_read_by_the_same_rule():
    model, prompt = make(), np.arange(50) % V
    expected = take(model, prompt[:20], tokens=5, sampling=Sampling(0))
    assert (take(model, prompt[window_start(20, BLOCK) : 20], tokens=3, sampling=Sampling(0)) == expected[:, :3]).all()
    # where the prompt ended and generating began makes no difference
    grown = [*prompt[:20], *expected[0, :2]]
    assert (take(model, grown, tokens=3, sampling=Sampling(0)) == expected[:, 2:]).all()


def test_greedy_is_the_argmax_with_or_without_a_cache():
    model = make()
    ids = torch.tensor([[3, 1, 4]])
    for unit in take(model, tokens=20, sampling=Sampling(temperature=0))[0]:
        with evaluating(model):
            assert unit == model(ids[:, window_start(ids.shape[1], BLOCK) :])[0, -1].argmax()
        ids = torch.cat([ids, torch.tensor([[unit]])], dim=1)
    assert (take(model, cache=False) == take(model)).all()


def test_greedy_takes_the_lowest_id_among_ties():
    model = make(kind="bigram")
    model.table.weight.data.zero_()
    model.table.weight.data[:, [4, 7]] = 1.0
    assert take(model, tokens=4, sampling=Sampling(0)).tolist() == [[4, 4, 4, 4]]


def test_a_sample_is_the_same_alone_and_among_others():
    model = make()
    five = take(model, samples=5, seed=9)
    assert (take(model, samples=1, seed=9)[0] == five[0]).all()
    assert (take(model, samples=3, seed=9) == five[:3]).all()
    assert len({tuple(sample) for sample in five}) == 5
    assert (take(model, samples=5, seed=10) != five).any()
    assert (take(model, samples=5, seed=9) == five).all()


def test_more_tokens_only_go_on():
    model = make()
    assert (take(model, tokens=7)[0] == take(model, tokens=30)[0, :7]).all()


def iid_bigram(probabilities):
    """A model that draws every unit with the same probabilities, whatever came before."""
    model = make(kind="bigram")
    model.table.weight.data[:] = torch.tensor(probabilities, dtype=torch.float64).log()
    return model


def chi_square(counts, p):
    return ((counts - p * counts.sum()) ** 2 / (p * counts.sum())).sum()


@pytest.mark.parametrize("shape", [(3000, 1), (1, 3000), (50, 60)], ids=["across samples", "along one", "both"])
def test_generated_frequencies_are_the_softmax(shape):
    samples, tokens = shape
    p = np.arange(1, V + 1) / (V * (V + 1) / 2)
    units = take(iid_bigram(p), samples=samples, tokens=tokens)
    counts = np.bincount(units.flatten(), minlength=V)
    assert chi_square(counts, p) < 35.6  # 10 degrees of freedom: a larger one has a chance of 1e-4
    assert chi_square(counts, np.roll(p, 1)) > 35.6
    pairs = np.bincount(units[:, 0] if tokens == 1 else units[:, :-1].flatten() // 6 * 2 + units[:, 1:].flatten() // 6)
    if tokens > 1:  # and one does not depend on the one before
        upper = p[6:].sum()
        both = np.outer([1 - upper, upper], [1 - upper, upper]).flatten()
        assert chi_square(pairs, both) < 21.1  # 3 degrees of freedom


@pytest.mark.parametrize("training", [True, False])
def test_every_part_is_left_in_the_mode_that_it_was_in(training):
    model = make().train(training)
    model.blocks[0].mlp.train(not training)
    before = [part.training for part in model.modules()]
    units = generate(model, [1], block_size=BLOCK)  # goes on until the caller stops
    for _ in islice(units, 3):
        assert [part.training for part in model.modules()] == before
        assert not torch.is_inference_mode_enabled()
    units.close()
    assert [part.training for part in model.modules()] == before
    broken = make().train(training)
    broken.head.weight.data[:] = float("nan")
    with pytest.raises(UsageError, match="NaN or infinite"):
        next(generate(broken, [1], block_size=BLOCK))
    assert broken.training == training


def test_dropout_is_off_and_no_gradient_is_kept_even_for_a_training_model():
    model = make().train()
    assert (take(model) == take(model.eval())).all()
    assert not Reader(model.train(), BLOCK).read(torch.tensor([[1]])).requires_grad


def test_a_caller_may_compute_gradients_between_two_units():
    model = make().train()
    Clock(model.modules(), seed=0).set(1)
    units = generate(model, [1], block_size=BLOCK)
    next(units)
    model.loss(model.hidden(torch.tensor([[1, 2]])), model.head, torch.tensor([[2, 3]])).backward()
    next(units)
    assert model.head.weight.grad is not None


@pytest.mark.parametrize("choices", [{}, {"tied": True, "bias_head": False}, {"attention": "heads"}], ids=str)
def test_a_quickened_model_is_the_same_one(choices):
    model, quick = make(**choices), make(**choices)
    quicken(quick)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), quick.parameters(), strict=True))
    assert (quick.head.weight is quick.tokens.weight) == ("tied" in choices)
    assert quick.head.weight.t().is_contiguous()
    assert (take(quick) == take(model)).all()
    text = torch.arange(BLOCK)[None]
    torch.testing.assert_close(Reader(quick, BLOCK).read(text), Reader(model, BLOCK).read(text), rtol=0, atol=1e-12)


def test_nothing_waits_for_the_end():
    first = next(generate(make(), [1], block_size=BLOCK, tokens=10**9))
    assert first.dtype == np.int64
    assert first.shape == (1,)


def test_no_tokens_are_nothing():
    assert list(generate(make(), [1], block_size=BLOCK, tokens=0)) == []


@pytest.mark.parametrize("ids", [[1, 2], (1, 2), np.array([1, 2], np.uint16), torch.tensor([1, 2])], ids=type)
def test_ids_may_come_in_any_row_and_stay_as_they_are(ids):
    if isinstance(ids, np.ndarray):
        ids.flags.writeable = False
    assert take(make(), ids, tokens=3).tolist() == take(make(), [1, 2], tokens=3).tolist()


ROW = "a text to go on from is one row of at least one unit; this has the shape {}."
WHOLE = "{} is {}; it has to be a whole number, at least {}; {}."


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"ids": []}, ROW.format("(0,)")),
        ({"ids": [[1, 2]]}, ROW.format("(1, 2)")),
        ({"ids": 5}, ROW.format("()")),
        ({"samples": 0}, WHOLE.format("samples", 0, 1, "say how many texts you want")),
        ({"samples": True}, WHOLE.format("samples", True, 1, "say how many texts you want")),
        ({"tokens": -1}, WHOLE.format("tokens", -1, 0, "say how many units you want")),
        ({"tokens": 2.0}, WHOLE.format("tokens", 2.0, 0, "say how many units you want")),
        ({"seed": -1}, WHOLE.format("seed", -1, 0, "0 is as good as any")),
        ({"seed": 2**64}, f"seed is {2**64}; it has to be at most 2**64 - 1."),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_is_computed(how, message):
    with pytest.raises(UsageError) as error:
        generate(None, **{"ids": [1], "block_size": BLOCK} | how)
    assert str(error.value) == message
