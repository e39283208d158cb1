"""Text from text: pieces, several samples, stop strings, prompts that are empty or unknown."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.generation.sampling import Sampling
from hornbook.generation.streaming import StopAt, WholeLetters, complete, opening, stream
from hornbook.generation.streaming import pieces as pieces_of
from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.text.aksharas import Aksharas
from hornbook.text.bytes import Bytes
from hornbook.text.characters import Characters

BLOCK = 8
LETTERS = Characters.fit(["\n abcé🙂"])


def make(tokenizer=LETTERS):
    config = ModelConfig(vocab_size=tokenizer.vocab_size, block_size=BLOCK, n_layer=1, n_head=2, n_embd=8, init_std=0.5)
    return build(config, seed=2).double()


def cycle(text):
    """A bigram that says `text` over and over, and its tokenizer. No character may be in it twice."""
    tokenizer = Characters.fit([text])
    model = build(ModelConfig(vocab_size=tokenizer.vocab_size, kind="bigram"))
    ids = tokenizer.encode(text).astype(np.int64)
    model.table.weight.data.fill_(-100.0)
    model.table.weight.data[ids, np.roll(ids, -1)] = 100.0
    return model, tokenizer


def say(text, prompt, **how):
    model, tokenizer = cycle(text)
    return complete(model, tokenizer, prompt, **{"block_size": BLOCK, "tokens": 12} | how)


class Late:
    """A decoder that shows each unit when the next has come, as those of bytes and graphemes do."""

    def __init__(self, tokenizer):
        self.tokenizer, self.waiting = tokenizer, ""

    def feed(self, ids):
        shown, self.waiting = self.waiting, self.tokenizer.decode(ids)
        return shown

    def finish(self):
        return self.waiting


class LateCharacters(Characters):
    """Characters with a late decoder."""

    def decoder(self):
        return Late(self)


def test_text_comes_piece_by_piece_without_the_prompt():
    model, tokenizer = cycle("abcdef")
    pieces = stream(model, tokenizer, "ab", block_size=BLOCK, tokens=5)
    assert next(pieces) == (0, "c")  # once it is sure that nothing joins it
    assert list(pieces) == [(0, "d"), (0, "e"), (0, "f"), (0, "a")]


def test_several_samples_come_side_by_side_and_each_as_if_alone():
    how = {"block_size": BLOCK, "tokens": 25, "seed": 5}
    pieces = list(stream(make(), LETTERS, "a", samples=3, **how))
    assert [s for s, _ in pieces[:6]] == [0, 1, 2, 0, 1, 2]
    texts = complete(make(), LETTERS, "a", samples=3, **how)
    assert texts == ["".join(piece for s, piece in pieces if s == sample) for sample in range(3)]
    assert [len(text) for text in texts] == [25, 25, 25]
    assert complete(make(), LETTERS, "a", samples=1, **how) == texts[:1]
    assert len(set(texts)) == 3


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (["f"], "cde"),
        ("f", "cde"),
        (["efa"], "cd"),
        (["efx"], "cdefabcdefab"),
        (["cd"], ""),
        (["fab", "de"], "c"),
        (["b"], "cdefa"),
        (["abc", "b"], "cdef"[:4] + "a"),
        (["ab", "b"], "cdef"),
        (["ab" + "c" * 9], "cdefabcdefab"),
    ],
)
def test_text_ends_before_a_stop_string(stop, text):
    assert say("abcdef", "ab", stop=stop) == [text]


def test_only_what_may_be_a_stop_string_waits():
    model, tokenizer = cycle("abcdef")
    pieces = stream(model, tokenizer, "ab", block_size=BLOCK, tokens=7, stop=["efx", "bcde"])
    assert list(pieces) == [(0, "c"), (0, "def"), (0, "abc")]  # the last waited for more until the end


@pytest.mark.parametrize("kind", [Characters, Bytes, Aksharas])
def test_letters_come_whole(kind):
    text = "ಕ್ಷಿಜ್ಞಾ e\u0301\U0001f469\u200d\U0001f680!"
    tokenizer = kind.fit([text])
    units = iter([np.array([each]) for each in tokenizer.encode(text)])
    pieces = [piece for _, piece in pieces_of(units, tokenizer, [], 1)]
    assert pieces == ["ಕ್ಷಿ", "ಜ್ಞಾ", " ", "e\u0301", "\U0001f469\u200d\U0001f680", "!"]


def test_what_ends_inside_of_a_letter_shows_what_is_there():
    tokenizer = Characters.fit(["ಕ್ಷಾ ನ"])
    units = iter([np.array([each]) for each in tokenizer.encode("ನ ಕ್")])
    assert [piece for _, piece in pieces_of(units, tokenizer, [], 1)] == ["ನ", " ", "ಕ್"]
    units = iter([np.array([each]) for each in tokenizer.encode("ನಕ್ಷಾ")])
    assert [piece for _, piece in pieces_of(units, tokenizer, ["ಾ"], 1)] == ["ನ", "ಕ್ಷ"]
    units = iter([np.array([each]) for each in tokenizer.encode("ಾ್")])  # marks without a letter stay as they are
    assert [piece for _, piece in pieces_of(units, tokenizer, [], 1)] == ["ಾ್"]


@given(text=st.text("ab\u0301ಕ್ಷ\u200d"), cuts=st.sets(st.integers(0, 20)))
def test_letters_are_the_same_however_they_come(text, cuts):
    edges = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    letters = WholeLetters()
    shown = [letters.feed(text[a:b]) for a, b in pairwise(edges)]
    assert "".join([*shown, letters.finish()]) == text
    starts = {len("".join(Aksharas.split(text)[:i])) for i in range(len(text) + 1)}
    assert {len("".join(shown[:i])) for i in range(len(shown))} <= starts


def test_a_stopped_sample_is_silent_and_the_others_go_on():
    how = {"block_size": BLOCK, "tokens": 40, "samples": 4, "seed": 1}
    free = complete(make(), LETTERS, "a", **how)
    assert complete(make(), LETTERS, "a", stop=["b"], **how) == [text.partition("b")[0] for text in free]
    assert len({text.find("b") for text in free}) > 1


def test_generating_ends_when_every_sample_has():
    assert say("abcdef", "a", tokens=None, stop="f") == ["bcde"]


def test_what_a_decoder_shows_late_is_shown_and_stops_too():
    model, _ = cycle("abcdef")
    late = LateCharacters.fit(["abcdef"])
    how = {"block_size": BLOCK, "tokens": 4}
    assert complete(model, late, "a", **how) == ["bcde"]
    assert complete(model, late, "a", stop=["de"], **how) == ["bc"]
    assert complete(model, late, "a", stop=["ef"], **how) == ["bcde"]


@given(
    text=st.text("ab", max_size=20),
    stops=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    cuts=st.sets(st.integers(0, 20)),
)
@example(text="aba", stops=["aba", "b"], cuts=set())  # the one that begins later is complete first
@example(text="aba", stops=["aba", "a", "ba"], cuts={1})
def test_pieces_make_no_difference_to_where_text_ends(text, stops, cuts):
    def through(pieces):
        gate, shown = StopAt(stops), ""
        for piece in pieces:
            shown += gate.feed(piece)
            if gate.reached:
                return shown
            assert text.startswith(shown + gate.finish(""))
        return shown + gate.finish("")

    edges = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    ends = [(i + len(stop), i) for stop in stops for i in range(len(text)) if text.startswith(stop, i)]
    assert through(pieces) == (text[: min(ends)[1]] if ends else text)


def test_an_empty_prompt_begins_after_a_newline_a_space_or_unit_0():
    assert opening(LETTERS).tolist() == LETTERS.encode("\n").tolist()
    assert opening(Characters.fit(["a b"])).tolist() == [0]
    assert opening(Characters.fit(["!a b"])).tolist() == [0]
    assert opening(Characters.fit(["ab"])).tolist() == [0]
    assert say("\nabc", "", tokens=3) == ["abc"]
    assert say("x yz", "", tokens=3) == ["yzx"]


def test_unknown_characters_are_an_error_or_as_was_asked():
    with pytest.raises(UsageError, match="the vocabulary has no 'é'"):
        say("abc", "aé")
    assert say("abc", "aé", unknown="skip", tokens=2) == ["bc"]
    assert say("a?b", "aé", unknown="replace", tokens=2) == ["ba"]
    assert say("\nab", "é", unknown="skip", tokens=2) == ["ab"]  # nothing is left: as an empty prompt


def test_no_tokens_are_no_text():
    assert list(stream(make(), LETTERS, "a", block_size=BLOCK, tokens=0)) == []
    assert say("abc", "a", tokens=0, samples=2) == ["", ""]


def test_greedy_samples_are_all_the_same():
    texts = complete(make(), LETTERS, "a", block_size=BLOCK, tokens=20, samples=3, sampling=Sampling(temperature=0))
    assert len(set(texts)) == 1


@pytest.mark.parametrize("stop", ["", [""], ["a", ""]])
def test_an_empty_stop_string_is_refused_at_once(stop):
    with pytest.raises(UsageError) as error:
        stream(make(), LETTERS, "a", block_size=BLOCK, tokens=1, stop=stop)
    assert str(error.value) == "a stop string is empty; every text ends there: leave it out, or say some text."


@pytest.mark.parametrize("how", [{"tokens": -1}, {"samples": 0}, {"seed": -1}, {"unknown": "guess"}])
def test_what_cannot_be_had_is_refused_at_once(how):
    with pytest.raises(UsageError, match=next(iter(how)) + "|guess"):
        stream(make(), LETTERS, "a", **{"block_size": BLOCK, "tokens": 1} | how)


def test_a_broken_model_is_one_clear_line():
    model = make()
    torch.nn.init.constant_(model.head.weight, float("nan"))
    with pytest.raises(UsageError, match="weights are broken"):
        complete(model, LETTERS, "a", block_size=BLOCK, tokens=3)
