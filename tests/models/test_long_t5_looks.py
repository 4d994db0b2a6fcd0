"""Where the decoder looks: transformers' cross-attentions, and what must hold of any weights."""

import pytest
import torch
import transformers

from course_lib.models.long_t5 import LongT5, LongT5Config
from course_lib.models.long_t5_files import load_long_t5
from course_lib.models.long_t5_looks import looks_at_document

THEIRS = {"vocab_size": 53, "d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 3}
MORE = {"num_heads": 3, "feed_forward_proj": "gated-gelu", "dropout_rate": 0.0, "decoder_start_token_id": 0}


def batch():
    generator = torch.Generator().manual_seed(3)
    tokens, before = (torch.randint(2, 53, (2, length), generator=generator) for length in (21, 4))
    return tokens, before, torch.arange(21) < torch.tensor([[21], [9]])


@pytest.mark.parametrize("kind", ["transient-global", "local"])
def test_they_are_transformers_own(tmp_path, kind):
    config = transformers.LongT5Config(
        **THEIRS, **MORE, encoder_attention_type=kind, local_radius=7, global_block_size=4, attn_implementation="eager"
    )
    torch.manual_seed(0)
    theirs = transformers.LongT5ForConditionalGeneration(config).eval()
    theirs.save_pretrained(tmp_path)
    tokens, before, is_word = batch()
    said = theirs(
        input_ids=tokens, attention_mask=is_word.long(), decoder_input_ids=before, output_attentions=True
    ).cross_attentions
    ours = looks_at_document(load_long_t5(tmp_path), tokens, before, is_word)
    assert ours.shape == (2, 3, 3, 4, 21)
    torch.testing.assert_close(ours, torch.stack(said, dim=1), atol=1e-5, rtol=0)


def test_padding_gets_nothing_and_rows_sum_to_one_and_no_hook_stays():
    torch.manual_seed(1)
    model = LongT5(LongT5Config(53, 16, 1, 2, 2, 8, 24, block=8, summary_of=4)).eval()
    tokens, before, is_word = batch()
    weights = looks_at_document(model, tokens, before, is_word)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 2, 4))
    assert not weights[1, ..., 9:].any()
    assert not any(part._forward_hooks for part in model.modules())
    alone = looks_at_document(model, tokens[1:, :9], before[1:])
    torch.testing.assert_close(alone, weights[1:, ..., :9], atol=1e-5, rtol=0)
