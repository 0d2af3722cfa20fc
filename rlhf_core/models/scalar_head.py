"""The head of critics and reward models."""

from typing import cast

import torch
from torch import Tensor, nn

from rlhf_core.errors import ShapeError


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
    def rescale(self, mean: Tensor, deviation: Tensor) -> None:
        """Answer (number − mean) / deviation from now on, each member by its own two.

        Args:
            mean: What becomes 0, (members,).
            deviation: What becomes 1, (members,).

        Raises:
            ShapeError: If either is not of one number a member.
        """
        bias = self.linear.bias
        if not mean.shape == deviation.shape == bias.shape:
            raise ShapeError(
                f"mean {tuple(mean.shape)} and deviation {tuple(deviation.shape)} must be of one "
                f"number a member, {tuple(bias.shape)}"
            )
        mean, deviation = mean.to(bias.device), deviation.to(bias.device)
        self.linear.weight.div_(deviation[:, None])
        bias.sub_(mean).div_(deviation)
