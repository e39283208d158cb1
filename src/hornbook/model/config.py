"""What a model is made of, as plain data: sizes, and the names of its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from hornbook.errors import UsageError

Find = Callable[[str], Callable[..., Any]]
"""how a part gets the parts that it is made of: `find("norm")` is the one that the config names"""

MOST_ROWS = 2**14  # of a table of pairs
LARGEST = {"vocab_size": 2**24, "block_size": 2**24, "n_layer": 1000, "n_hidden": 2**20}
LARGEST |= dict.fromkeys(("n_head", "n_kv_head", "n_embd"), 2**16)
"""Far beyond any small GPT: what is larger is a slip of the finger, and would only fail later and in other words."""


def _nearest_divisor(n: int, to: int) -> int:
    return min((d for d in range(1, n + 1) if n % d == 0), key=lambda d: abs(d - to))


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a model and the names of its parts; `build` looks the names up in its tables.

    Raises `UsageError` for sizes that no model can have.
    """

    vocab_size: int
    """how many different units the text has (V)"""
    kind: str = "gpt"
    """bigram: a table of what follows what; gpt: blocks of attention"""
    block_size: int = 64
    """how many units back the model can look (T)"""
    n_layer: int = 4
    """blocks, one after the other"""
    n_head: int = 4
    """attention heads in a block, side by side (H)"""
    n_kv_head: int | None = None
    """heads of keys and values, each for a group of attention heads; as many as n_head if not said"""
    n_embd: int = 128
    """channels of the residual stream (C)"""
    n_hidden: int | None = None
    """channels inside the MLP; four times n_embd if not said"""
    block: str = "pre"
    """where the norm stands: pre, branch, post; plain has no residual stream"""
    attention: str = "fused"
    """head, heads, batched, fused, or nothing"""
    qk_norm: str = "identity"
    """what is done to the size of queries and keys: identity, rmsnorm-nogain; unscaled undoes the division by √D"""
    mlp: str = "gelu"
    """relu, gelu, relu2, swiglu, nothing or identity"""
    norm: str = "layernorm"
    """layernorm, layernorm-nobias, rmsnorm, rmsnorm-nogain or identity"""
    positions: str = "learned"
    """learned, sinusoidal, rotary or nothing"""
    values: str = "nothing"
    """embedding adds a vector for the unit itself to the values of each attention; or nothing"""
    pairs: str = "nothing"
    """bigram adds a vector for each pair of neighbours to the embedding; or nothing"""
    logits: str = "plain"
    """plain, or capped: none beyond 15"""
    dropout: float = 0.0
    """share of the units that drop out on each branch while training"""
    attention_dropout: float | None = None
    """share of the attention weights that drop out; as dropout if not said"""
    embedding_dropout: float | None = None
    """share of the embedding's units that drop out; as dropout if not said"""
    bias_qkv: bool = True
    """a bias on query, key and value"""
    bias_projection: bool = True
    """a bias on the projection behind the heads"""
    bias_mlp: bool = True
    """a bias on both matrices of the MLP"""
    bias_head: bool = True
    """a bias on the head (the last linear)"""
    tied: bool = False
    """the head and the token embedding share one matrix"""
    init_std: float = 0.02
    """standard deviation of every matrix's first values"""
    init_scaled: bool = True
    """divide it by √(2·n_layer) for the matrices that write to the residual stream (GPT-2, section 2.3)"""
    init_zero: bool = False
    """start those matrices at zero: each block begins as one that changes nothing (Zhang 2019)"""

    def __post_init__(self) -> None:
        for name, most in LARGEST.items():
            value = getattr(self, name)
            if not (value is None and name in ("n_hidden", "n_kv_head")) and not 1 <= value <= most:
                raise UsageError(f"model.{name} is {value}; it has to be from 1 to {most:,}.")
        for name in ("dropout", "attention_dropout", "embedding_dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UsageError(f"model.{name} is {value}; it has to be from 0 to below 1.")
        if not 0 < self.init_std < float("inf"):
            raise UsageError(f"model.init_std is {self.init_std}; it has to be above 0 and finite.")
        if self.n_embd % self.n_head:
            raise UsageError(
                f"model.n_embd={self.n_embd} does not divide into model.n_head={self.n_head} heads of one size; "
                f"model.n_head={_nearest_divisor(self.n_embd, self.n_head)} would."
            )
        if self.n_head % self.groups:
            raise UsageError(
                f"model.n_head={self.n_head} heads do not divide into model.n_kv_head={self.groups} groups of one "
                f"size; model.n_kv_head={_nearest_divisor(self.n_head, self.groups)} would."
            )
        if self.positions == "rotary" and self.head_size % 2:
            raise UsageError(
                f"model.positions=rotary turns channels two by two, and a head has {self.head_size} of them; say "
                f"model.n_embd={self.n_embd + self.n_head}, or model.positions=learned."
            )
        if self.attention == "head" and self.n_head != 1:
            raise UsageError(
                f"model.attention=head is one head, but model.n_head is {self.n_head}; "
                "say model.n_head=1, or model.attention=heads."
            )

    @property
    def head_size(self) -> int:
        """D: the channels of one head."""
        return self.n_embd // self.n_head

    @property
    def shares_pairs(self) -> bool:
        """Whether there are more pairs of units than rows for them."""
        return self.vocab_size**2 >= MOST_ROWS

    @property
    def turn(self) -> str:
        """What turns queries and keys by their place."""
        return "rotary" if self.positions == "rotary" else "nothing"

    @property
    def groups(self) -> int:
        """The heads of keys and values."""
        return self.n_head if self.n_kv_head is None else self.n_kv_head

    @property
    def mlp_size(self) -> int:
        """The channels inside the MLP."""
        return 4 * self.n_embd if self.n_hidden is None else self.n_hidden

    @property
    def attention_rate(self) -> float:
        """The dropout rate of the attention weights."""
        return self.dropout if self.attention_dropout is None else self.attention_dropout

    @property
    def embedding_rate(self) -> float:
        """The dropout rate of the embedding."""
        return self.dropout if self.embedding_dropout is None else self.embedding_dropout

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return asdict(self)
