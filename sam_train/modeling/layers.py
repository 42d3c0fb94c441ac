"""The small layers that the encoders and the decoder share, with SAM's names."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of an (N, C, H, W) map. SAM uses eps 1e-6 here."""

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
        x = (x - mean) * torch.rsqrt(variance + self.eps)
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class MLPBlock(nn.Module):
    """The two-layer MLP of a transformer block."""

    def __init__(
        self, embedding_dim: int, mlp_dim: int, act: type[nn.Module], *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.lin1 = nn.Linear(embedding_dim, mlp_dim)
        self.lin2 = nn.Linear(mlp_dim, embedding_dim)
        self.act = act()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch C"]:
        return self.dropout(self.lin2(self.act(self.lin1(x))))


class MLP(nn.Module):
    """A plain MLP, in SAM with ReLU between its layers: the hypernetworks and the IoU head."""

    act: Callable[[Tensor], Tensor] = staticmethod(F.relu)

    def __init__(
        self, input_dim: int, hidden_dim: int, *, output_dim: int, num_layers: int
    ) -> None:
        super().__init__()
        dims = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in zip(dims, dims[1:], strict=False)
        )

    def forward(self, x: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch D"]:
        for layer in self.layers[:-1]:
            x = self.act(layer(x))
        return self.layers[-1](x)


def sam_neck(in_chans: int, out_chans: int) -> nn.Sequential:
    """What SAM puts after the blocks of an image encoder."""
    return nn.Sequential(
        nn.Conv2d(in_chans, out_chans, kernel_size=1, bias=False), *level_neck(out_chans)
    )


def level_neck(channels: int) -> nn.Sequential:
    """The same where the levels of a pyramid have been brought to one width and summed."""
    return nn.Sequential(
        LayerNorm2d(channels),
        nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
        LayerNorm2d(channels),
    )
