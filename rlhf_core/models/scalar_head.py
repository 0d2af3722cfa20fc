"""The head of critics and reward models."""

from typing import cast

import torch
from torch import Tensor, nn


class ScalarHead(nn.Module):
    """A linear map from a hidden state to one number, in fp32; or several, of which it is the mean.

    Weights start as N(0, 1/(H+1)), bias 0 (arXiv:2009.01325, as in the released code).

    Args:
        hidden_size: H.
        members: Maps.
    """

    def __init__(self, hidden_size: int, members: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, members)
        nn.init.normal_(self.linear.weight, std=(hidden_size + 1) ** -0.5)
        nn.init.zeros_(self.linear.bias)

    @property
    def members(self) -> int:
        return self.linear.out_features

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, H) to (…)."""
        return self.each(hidden).mean(dim=-1)

    def each(self, hidden: Tensor) -> Tensor:
        """The number of every member: (…, H) to (…, members)."""
        with torch.autocast(hidden.device.type, enabled=False):
            return cast(Tensor, self.linear(hidden.float()))

    @torch.no_grad()
    def rescale(self, mean: float, deviation: float) -> None:
        """Answer (number − mean) / deviation from now on."""
        self.linear.weight.div_(deviation)
        self.linear.bias.sub_(mean).div_(deviation)
