"""The head of critics and reward models."""

from typing import cast

import torch
from torch import Tensor, nn

from rlhf_core.errors import ShapeError


class ScalarHead(nn.Module):
    """A linear map from a hidden state to one number, in fp32, or the mean of several such maps.

    Weights are initialised from N(0, 1/(H+1)) and biases with 0 (arXiv:2009.01325, as in the
    released code).

    Args:
        hidden_size: H.
        members: Number of maps.
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
        """Return the mean over the members, (…), for hidden states (…, H)."""
        return self.member_scores(hidden).mean(dim=-1)

    def member_scores(self, hidden: Tensor) -> Tensor:
        """Return the number of every member, (…, members), for hidden states (…, H)."""
        with torch.autocast(hidden.device.type, enabled=False):
            return cast(Tensor, self.linear(hidden.float()))

    @torch.no_grad()
    def rescale(self, mean: Tensor, deviation: Tensor) -> None:
        """Make each member return (number − mean) / deviation from now on.

        Args:
            mean: Mean of each member's numbers, which becomes 0, (members,).
            deviation: Deviation of each member's numbers, which becomes 1, (members,).

        Raises:
            ShapeError: If either does not hold one number a member.
        """
        bias = self.linear.bias
        if not mean.shape == deviation.shape == bias.shape:
            raise ShapeError(
                f"mean {tuple(mean.shape)} and deviation {tuple(deviation.shape)} must hold one "
                f"number a member, {tuple(bias.shape)}"
            )
        mean, deviation = mean.to(bias.device), deviation.to(bias.device)
        self.linear.weight.div_(deviation[:, None])
        bias.sub_(mean).div_(deviation)
