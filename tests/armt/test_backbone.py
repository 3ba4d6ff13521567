import pytest
import torch
from transformers import DynamicCache

from armt.backbone import Backbone

LLAMA = {
    "model_type": "llama",
    "vocab_size": 32,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
SHARED_KEYS = LLAMA | {"num_key_value_heads": 2}
GPT2 = {"model_type": "gpt2", "vocab_size": 32, "n_embd": 32, "n_layer": 2, "n_head": 4}


def run(backbone: Backbone, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    x, rotary = backbone.place(x, torch.arange(x.shape[1]).unsqueeze(0))
    for index in range(2):
        x = backbone.run(index, x, rotary, mask=mask)
    return x


@pytest.mark.parametrize("config", [LLAMA, SHARED_KEYS, GPT2], ids=["llama", "shared-keys", "gpt2"])
@pytest.mark.parametrize("masked", [False, True], ids=["causal", "masked"])
def test_attention_spelt_out_gives_the_fused_kernels_output_and_gradient(
    config: dict[str, object], *, masked: bool
) -> None:
    torch.manual_seed(0)
    backbone = Backbone(config)
    x = torch.randn(3, 9, 32, requires_grad=True)
    mask = (torch.rand(3, 1, 9, 9) > 0.5).tril() | torch.eye(9, dtype=torch.bool) if masked else None

    fused = run(backbone, x, mask)
    (fused_gradient,) = torch.autograd.grad(fused.square().sum(), x)
    backbone.spell_out_attention()
    spelt_out = run(backbone, x, mask)
    (gradient,) = torch.autograd.grad(spelt_out.square().sum(), x)

    torch.testing.assert_close(spelt_out, fused)
    torch.testing.assert_close(gradient, fused_gradient)


def test_attention_spelt_out_goes_on_from_a_cache() -> None:
    torch.manual_seed(0)
    backbone = Backbone(LLAMA)
    backbone.spell_out_attention()
    x = torch.randn(1, 6, 32)
    whole = run(backbone, x, None)

    placed, (cos, sin) = backbone.place(x, torch.arange(6).unsqueeze(0))
    cache, last = DynamicCache(), None
    for part in (slice(0, 5), slice(5, 6)):
        last = placed[:, part]
        for index in range(2):
            last = backbone.run(index, last, (cos[:, part], sin[:, part]), cache)

    torch.testing.assert_close(last, whole[:, 5:])
