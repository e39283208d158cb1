"""The fast twin of `bpe.py`: the library `tokenizers` learns the merges and cuts by them, alike, in less time.

Where it is not installed, `bpe.py` does all of it. The library is given the pieces that `pieces.py` found, with a sign
between them that no text holds; as it can't be told how often a piece comes, it reads each as often as it does. It
does not say how often it joined a pair, which is counted from the units that were left in the end: each was made of
two, and those of others.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from hornbook.text.reading import joined

if TYPE_CHECKING:
    from tokenizers.models import BPE

GAP = "\U0010ffff"  # no character, by Unicode's promise
MOST = 1 << 31  # the library counts no further
LONG = 1 << 20  # bytes of text that a learner waits for


def learn(words: Mapping[str, int], alphabet: Sequence[str], size: int) -> list[tuple[str, str, int]] | None:
    """Return what `bpe.learn` returns, or None where that has to do it."""
    if not _able(alphabet) or sum(n * len(word) for word, n in words.items()) >= MOST:
        return None
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(GAP)
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, initial_alphabet=[*alphabet], show_progress=False)
    repeated = (f"{word}{GAP}" * min(1024, n - done) for word, n in words.items() for done in range(0, n, 1024))
    library.train_from_iterator(joined(repeated, 1 << 14), trainer)  # many at a time: it is quicker
    pairs = [(left, right) for left, right in json.loads(library.to_str())["model"]["merges"]]
    id_of, model = library.get_vocab(), library.model
    cut = [[token.id for token in model.tokenize(word)] for word in words]
    often = np.repeat(list(words.values()), list(map(len, cut)))
    made = np.bincount(np.fromiter(chain.from_iterable(cut), np.int64), often, len(id_of)).astype(np.int64).tolist()
    for left, right in reversed(pairs):
        made[id_of[left]] += made[id_of[left + right]]
        made[id_of[right]] += made[id_of[left + right]]
    return [(left, right, made[id_of[left + right]]) for left, right in pairs]


def cutter(units: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Callable[[str], list[int]] | None:
    """Return what gives the ids of a piece of the alphabet; None where `bpe.py` has to find them.

    `units` are the alphabet, then what the merges of `pairs` make.
    """
    if not _able(units):
        return None
    from tokenizers.models import BPE

    model = BPE({unit: i for i, unit in enumerate(units)}, list(pairs))
    return partial(_cut, model)


def advice(n_bytes: int) -> str:
    """Return what to tell somebody who is about to wait for this much text; "" if nothing would help."""
    if n_bytes < LONG or find_spec("tokenizers"):
        return ""
    return "bpe is several times faster with the library tokenizers: pip install 'hornbook[bpe]'"


def _able(units: Iterable[str]) -> bool:
    """Whether the library is there, and takes these: neither GAP nor half a surrogate pair."""
    return find_spec("tokenizers") is not None and not any(
        "\ud800" <= each <= "\udfff" or GAP in each for each in units
    )


def _cut(model: "BPE", word: str) -> list[int]:
    return [token.id for token in model.tokenize(word)]
