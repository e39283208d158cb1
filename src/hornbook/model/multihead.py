"""3. Several heads, side by side: each may look for something else.

Unlike one head of C channels, H heads of C / H channels can attend to H things at once; what they find is laid side
by side and mixed by one linear, the projection (Vaswani 2017, section 3.2.2). Shapes: B batch, T time, C channels,
H heads, D head size.
"""

import torch
from torch import Tensor, nn

from hornbook.model.block import absent
from hornbook.model.cache import NO_CACHE, Cache
from hornbook.model.config import Find, ModelConfig
from hornbook.model.head import Head
from hornbook.model.weights import split_heads, stack_heads


class MultiHead(nn.Module):
    """H heads from `head.py`, concatenated and projected.

    When saved, the heads' matrices are stacked into one query, one key and one value (`weights.py`), as `attention.py`
    holds them: what one form has learned opens in the other.
    """

    def __init__(self, config: ModelConfig, site: str, find: Find = absent) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(config, site, find, number) for number in range(config.n_head))
        recall = find("values")(config, site)  # one table, of which each has some columns
        for number, head in enumerate(self.heads):
            head.recall = recall
            if config.groups < config.n_head:  # the heads of a group have one key and one value
                first = self.heads[number - number % (config.n_head // config.groups)]
                head.key, head.value = first.key, first.value
        self.project = nn.Linear(config.n_embd, config.n_embd, bias=config.bias_projection)
        self.register_state_dict_post_hook(stack_heads)
        self.register_load_state_dict_pre_hook(split_heads)

    def forward(self, x: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """Let every head gather, then mix what they found: (B, T, C) -> (B, T, C)."""
        found = [head(x, cache) for head in self.heads]  # H times (B, T, D)
        return self.project(torch.cat(found, dim=-1))  # (B, T, C)
