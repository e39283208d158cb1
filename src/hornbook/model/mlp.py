"""The MLP: what each place does by itself with what it has gathered. Shapes: B batch, T time, C channels."""

from torch import Tensor, nn

from hornbook.model.config import ModelConfig


class MLP(nn.Module):
    """Widen (four-fold, as a rule), bend, and come back (Vaswani 2017, section 3.3)."""

    def __init__(self, config: ModelConfig, site: str, activation: type[nn.Module]) -> None:
        super().__init__()
        self.expand = nn.Linear(config.n_embd, config.mlp_size, bias=config.bias_mlp)
        self.activation = activation()
        self.project = nn.Linear(config.mlp_size, config.n_embd, bias=config.bias_mlp)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.project(self.activation(self.expand(x)))
