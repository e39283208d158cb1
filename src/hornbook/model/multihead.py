"""3. Several heads, side by side: each may look for something else.

Unlike one head of C channels, H heads of C / H channels can attend to H things at once; what they find is laid side
by side and mixed by one linear, the projection (Vaswani 2017, section 3.2.2). Shapes: B batch, T time, C channels,
H heads, D head size.
"""

import torch
from torch import Tensor, nn

from hornbook.model.cache import NO_CACHE, Cache
from hornbook.model.config import ModelConfig
from hornbook.model.head import Head


class MultiHead(nn.Module):
    """H heads from `head.py`, concatenated and projected.

    When saved, the heads' matrices are stacked into one query, one key and one value, as `attention.py` holds them:
    what one form has learned opens in the other.
    """

    def __init__(self, config: ModelConfig, site: str) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(config, site, number) for number in range(config.n_head))
        self.project = nn.Linear(config.n_embd, config.n_embd, bias=config.bias_projection)
        self.register_state_dict_post_hook(_stack_heads)
        self.register_load_state_dict_pre_hook(_split_heads)

    def forward(self, x: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """Let every head gather, then mix what they found: (B, T, C) -> (B, T, C)."""
        found = [head(x, cache) for head in self.heads]  # H times (B, T, D)
        return self.project(torch.cat(found, dim=-1))  # (B, T, C)


def _stack_heads(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """On saving: heads.0.query.weight, heads.1.query.weight, … (D, C) become query.weight (C, C)."""
    rows = [name for name in state if name.startswith(f"{prefix}heads.")]
    stacks: dict[str, list[Tensor]] = {}
    for name in rows:
        stacks.setdefault(name.removeprefix(f"{prefix}heads.").partition(".")[2], []).append(state.pop(name))
    state.update({prefix + name: torch.cat(parts) for name, parts in stacks.items()})


def _split_heads(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """On loading: query.weight (C, C) becomes heads.0.query.weight, heads.1.query.weight, … (D, C)."""
    heads = module.heads
    assert isinstance(heads, nn.ModuleList)
    for name, _parameter in list(heads[0].named_parameters()):
        if (whole := state.pop(prefix + name, None)) is not None:
            for number, part in enumerate(whole.chunk(len(heads))):
                state[f"{prefix}heads.{number}.{name}"] = part
