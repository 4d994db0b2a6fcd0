"""What does a translator learn from? The loss of its next word (notebooks 01-03)."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from course_lib.data.batching import TranslationBatch
from course_lib.models.seq2seq import EncoderDecoder


def next_word_loss(model: EncoderDecoder, batch: TranslationBatch) -> Float[Tensor, ""]:
    """Mean cross-entropy of the true next word, in nats, over all target words of the batch, END included.

    The model reads the true words before it (teacher forcing), whatever it would have said itself.
    """
    logits = model(batch.source, batch.source_is_word, batch.target_input).logits
    is_word = batch.target_is_word
    return cross_entropy(logits[is_word], batch.target_output[is_word])
