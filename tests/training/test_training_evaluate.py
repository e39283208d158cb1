"""Evaluation: exact, each character but the first once, in units that tokenizers and scripts can be compared by."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.text import batches, shards
from hornbook.text.characters import Characters
from hornbook.text.corpora import Source
from hornbook.training import evaluate as module
from hornbook.training.evaluate import Score, evaluate, random_batches

KANNADA = "ಕನ್ನಡನಾಡುನುಡಿಹಾಡುಪಾಡು"  # three bytes of UTF-8 each


def gpt(vocab_size, block_size=8, **changes):
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 8, "dropout": 0.5, "init_std": 0.3}
    return build(ModelConfig(vocab_size, block_size=block_size, **{**sizes, **changes}), 1)


def text_of(made_up, n=700):
    text = made_up(n)
    tokenizer = Characters.fit([text])
    return text, tokenizer, tokenizer.encode(text)


@torch.no_grad()
def one_at_a_time(model, ids, windows, block_size):
    """Return the surprise at each target of each window, one window after another, with dropout off."""
    training = model.training
    model.eval()
    found = []
    for start in windows:
        end = min(start + block_size, len(ids) - 1)
        inputs = torch.tensor([[int(i) for i in ids[start:end]]])
        chances = model(inputs)[0].double().softmax(-1)
        found += [-math.log(chances[place, int(ids[start + place + 1])].item()) for place in range(end - start)]
    model.train(training)
    return found


@pytest.mark.parametrize("n", [2, 7, 9, 10, 17, 18, 700])
def test_it_is_the_plain_mean_over_all_places(made_up, n):
    """Also where the last window is whole, where it is shorter, and where it is the only one."""
    _, tokenizer, ids = text_of(made_up)
    ids = ids[:n]
    model = gpt(tokenizer.vocab_size)
    surprises = one_at_a_time(model, ids, range(0, n - 1, 8), 8)
    score = evaluate(model, ids, 8, tokenizer)
    assert score.units == len(surprises) == n - 1
    assert score.loss == pytest.approx(math.fsum(surprises) / len(surprises), rel=1e-6)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(2, 400), block_size=st.integers(1, 40), at_once=st.integers(1, 300))
def test_every_unit_but_the_first_is_predicted_once_in_order(n, block_size, at_once):
    """However many windows go through at once."""
    seen = []

    class Watch(torch.nn.Module):
        def forward(self, hidden, head, targets):
            seen.extend(targets.flatten().tolist())
            return torch.zeros(())

    ids = np.arange(n, dtype=np.uint16)
    model = build(ModelConfig(400, kind="bigram"), 1)
    model.loss = Watch()
    tokenizer = Characters.fit([chr(0x4E00 + i) for i in range(400)])
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "UNITS_AT_ONCE", at_once)
        score = evaluate(model, ids, block_size, tokenizer, progress=lambda done, total: shown.append((done, total)))
    assert seen == list(range(1, n))
    assert score.units == n - 1
    assert shown[-1] == (n - 1, n - 1)
    assert shown == sorted(shown)


def test_batches_hold_what_memory_holds(made_up):
    _, tokenizer, ids = text_of(made_up)
    model = gpt(tokenizer.vocab_size)
    sizes = []
    model.register_forward_pre_hook(lambda part, args: sizes.append(args[0].numel()))
    model.hidden, hidden = (lambda x: (sizes.append(x.numel()), hidden(x))[1]), model.hidden
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "UNITS_AT_ONCE", 64)
        evaluate(model, ids, 8, tokenizer)
    assert max(sizes) <= 64
    assert sum(sizes) == len(ids) - 1


def test_tiny_shakespeare_has_111_539_predictions(shared_text):
    path = shared_text("tinyshakespeare.txt")
    data = shards.prepare(Source("tinyshakespeare", (path,), "a test"))
    model = build(ModelConfig(data.tokenizer.vocab_size, kind="bigram", init_std=1.0), 1)
    score = evaluate(model, data.val, 8, data.tokenizer)
    assert score.units == score.characters == score.bytes == 111_539
    assert score.bits_per_byte == score.bits_per_character == pytest.approx(score.loss / math.log(2), rel=1e-12)


def test_at_most_takes_evenly_spaced_windows_always_the_same(made_up):
    _, tokenizer, ids = text_of(made_up)
    model = gpt(tokenizer.vocab_size)
    for at_most in (1, 8, 9, 100, 698, 699, 10_000):
        windows = batches.evaluation_windows(len(ids), 8, at_most)
        surprises = one_at_a_time(model, ids, windows, 8)
        score = evaluate(model, ids, 8, tokenizer, at_most=at_most)
        assert score.units == len(surprises) <= max(8, at_most)
        assert score.loss == pytest.approx(math.fsum(surprises) / len(surprises), rel=1e-6)
        assert evaluate(model, ids, 8, tokenizer, at_most=at_most) == score
    windows = batches.evaluation_windows(len(ids), 8, 100)
    assert {b - a for a, b in itertools.pairwise(windows)} <= {56, 64}  # 12 of 87, evenly
    assert evaluate(model, ids, 8, tokenizer, at_most=699) == evaluate(model, ids, 8, tokenizer)


@pytest.mark.parametrize("training", [True, False])
def test_it_is_deterministic_and_leaves_the_model_as_it_was(made_up, training):
    """Dropout is off meanwhile; not a weight, nor the mode, nor torch's own chance is touched."""
    _, tokenizer, ids = text_of(made_up)
    model = gpt(tokenizer.vocab_size).train(training)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    score = evaluate(model, ids, 8, tokenizer)
    assert evaluate(model, ids, 8, tokenizer) == score
    random_batches(model, ids, 8, 4, 3, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(part.training is training for part in model.modules())
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_after_an_error_the_model_is_in_training_again(made_up):
    _, tokenizer, ids = text_of(made_up)
    model = gpt(tokenizer.vocab_size)

    def fail(*_):
        assert not model.training
        raise KeyboardInterrupt

    model.head.register_forward_hook(fail)
    model.blocks[0].eval()  # a learner may hold a part still
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, ids, 8, tokenizer)
    assert model.training
    assert not model.blocks[0].training


def test_bits_for_each_character_and_for_each_byte_of_kannada():
    tokenizer = Characters.fit([KANNADA])
    ids = tokenizer.encode(KANNADA)
    score = evaluate(gpt(tokenizer.vocab_size), ids, 8, tokenizer)
    assert score.units == score.characters == len(KANNADA) - 1
    assert score.bytes == 3 * (len(KANNADA) - 1)
    assert score.nats_per_character == pytest.approx(score.loss, rel=1e-15)
    assert score.bits_per_character == pytest.approx(score.loss / math.log(2), rel=1e-15)
    assert score.bits_per_byte == pytest.approx(score.bits_per_character / 3, rel=1e-15)


def test_bits_of_a_text_in_two_scripts(made_up):
    """The first character is not predicted, so its bytes don't count."""
    text, tokenizer, ids = text_of(made_up)
    score = evaluate(gpt(tokenizer.vocab_size), ids, 8, tokenizer)
    assert score.bytes == len(text[1:].encode("utf-8")) > len(text)
    assert score.bits_per_byte * score.bytes == pytest.approx(score.bits_per_character * score.characters, rel=1e-12)


def test_a_slice_counts_the_bytes_of_its_own_characters(made_up):
    text, tokenizer, ids = text_of(made_up)
    score = evaluate(gpt(tokenizer.vocab_size), ids, 8, tokenizer, at_most=24)
    windows = batches.evaluation_windows(len(ids), 8, 24)
    assert score.bytes == sum(len(text[s + 1 : s + 9].encode("utf-8")) for s in windows)


def test_what_a_unit_of_several_characters_is_worth():
    """A loss a unit of 2 nats, where 10 units hold 40 characters and 60 bytes."""
    score = Score(loss=2.0, units=10, characters=40, bytes=60)
    assert score.nats_per_character == 0.5
    assert score.bits_per_character == pytest.approx(0.5 / math.log(2), rel=1e-15)
    assert score.bits_per_byte == pytest.approx(20 / 60 / math.log(2), rel=1e-15)
    assert score.to_json() == {
        "val_loss": 0.5,  # a character: what tokenizers can be compared by
        "nats_per_unit": 2.0,
        "bits_per_character": score.bits_per_character,
        "bits_per_byte": score.bits_per_byte,
        "units": 10,
        "characters": 40,
        "bytes": 60,
        "unknown": 0,
    }


def test_random_batches_are_the_mean_of_their_windows(made_up):
    _, tokenizer, ids = text_of(made_up)
    model = gpt(tokenizer.vocab_size)
    windows = [w for i in range(3) for w in batches.starts(len(ids), 8, 7, i, range(4), purpose="random batches")]
    surprises = one_at_a_time(model, ids, windows, 8)
    found = random_batches(model, ids, 8, batch_size=4, n=3, seed=7)
    assert found == pytest.approx(math.fsum(surprises) / len(surprises), rel=1e-6)
    assert random_batches(model, ids, 8, batch_size=4, n=3, seed=7) == found
    assert random_batches(model, ids, 8, batch_size=4, n=3, seed=8) != found
    assert set(windows).isdisjoint(batches.starts(len(ids), 8, 7, 0, range(4))) or len(set(windows)) > 4


def test_random_batches_come_near_the_exact_loss(made_up):
    """With 4,000 windows, within five standard errors of the mean over all windows that fit."""
    _, tokenizer, ids = text_of(made_up, 200)
    model = gpt(tokenizer.vocab_size)
    of_each = [np.mean(one_at_a_time(model, ids, [start], 8)) for start in range(len(ids) - 8)]
    found = random_batches(model, ids, 8, batch_size=400, n=10, seed=1)
    assert abs(found - np.mean(of_each)) < 5 * np.std(of_each) / math.sqrt(4000)


def test_bfloat16_is_near_and_not_equal(made_up):
    _, tokenizer, ids = text_of(made_up)
    model = gpt(tokenizer.vocab_size)
    exact = evaluate(model, ids, 8, tokenizer).loss
    rounded = evaluate(model, ids, 8, tokenizer, dtype="bfloat16").loss
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=2**-8)
