import torch
from transformers import AutoModelForCausalLM
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from rlhf_core.models.bundled import bundled_folder
from rlhf_core.models.kernels.norm import speed_up_norms


def norm(dtype: torch.dtype) -> LlamaRMSNorm:
    layer = LlamaRMSNorm(32)
    torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))
    return layer.to(dtype).requires_grad_(False)


def test_output_and_gradient_are_those_of_transformers():
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
        plain, fast = norm(dtype), norm(dtype)
        speed_up_norms(fast)
        found = []
        for layer in (plain, fast):
            x = torch.randn(4, 7, 32, generator=torch.Generator().manual_seed(2)).to(dtype)
            x.requires_grad_()
            out = layer(x)
            out.pow(3).sum().backward()
            found.append((out, x.grad))
        torch.testing.assert_close(found[0], found[1], atol=tolerance, rtol=tolerance)


def test_weights_that_are_trained_get_their_gradient():
    layer = norm(torch.float32).requires_grad_(True)
    speed_up_norms(layer)
    layer(torch.randn(3, 32)).sum().backward()
    assert layer.weight.grad is not None


def test_other_norms_of_that_name_stay():
    """Gemma's RMSNorm multiplies by 1 + w."""
    layer = Gemma2RMSNorm(32)
    speed_up_norms(layer)
    assert "forward" not in vars(layer)


def test_every_norm_of_a_llama_is_faster():
    model = AutoModelForCausalLM.from_pretrained(bundled_folder("tiny-random"))
    speed_up_norms(model)
    norms = [module for module in model.modules() if isinstance(module, LlamaRMSNorm)]
    assert norms
    assert all("forward" in vars(layer) for layer in norms)
