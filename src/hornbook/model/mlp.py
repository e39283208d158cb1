"""The MLP: what each place does by itself with what it has gathered. Shapes: B batch, T time, C channels."""

from torch import Tensor, nn
from torch.nn import functional as F

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


class SquaredReLU(nn.Module):
    """What is above zero, squared (So 2021)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        return F.relu(x).square()


class SwiGLU(nn.Module):
    """Widen twice: one half, bent, says how much of the other goes through (Shazeer 2020)."""

    def __init__(self, config: ModelConfig, site: str) -> None:
        super().__init__()
        self.gate, self.expand = (nn.Linear(config.n_embd, config.mlp_size, bias=config.bias_mlp) for _ in range(2))
        self.project = nn.Linear(config.mlp_size, config.n_embd, bias=config.bias_mlp)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.project(F.silu(self.gate(x)) * self.expand(x))
