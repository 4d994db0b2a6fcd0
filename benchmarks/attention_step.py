"""How much does a training step cost if the keys are projected once and the readout waits for all words?

Measures one optimiser step of notebook 02's attention model against the usual tutorial formulation at the same
sizes, in turns, and writes the ratio of the median times to `results/attention_step.json`:

    python -m benchmarks.attention_step
"""

import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.writing import write_result
from course_lib.models.seq2seq import attention_model


class TutorialAttentionModel(nn.Module):
    """The formulation that many tutorials use: a GRU cell called word by word, the attention computed from the raw
    encoder outputs and the repeated decoder state at every step, the output layer inside the loop, no packing."""

    def __init__(self, source_size: int, target_size: int, embedding: int, hidden: int, attention: int) -> None:
        super().__init__()
        self.source_embedding = nn.Embedding(source_size, embedding)
        self.target_embedding = nn.Embedding(target_size, embedding)
        self.encoder = nn.GRU(embedding, hidden, batch_first=True, bidirectional=True)
        self.first_state = nn.Linear(2 * hidden, hidden)
        self.attention = nn.Linear(3 * hidden, attention)
        self.energy = nn.Linear(attention, 1, bias=False)
        self.decoder = nn.GRU(embedding + 2 * hidden, hidden, batch_first=True)
        self.output = nn.Linear(embedding + 3 * hidden, target_size)

    def forward(self, source: torch.Tensor, is_word: torch.Tensor, target_input: torch.Tensor) -> torch.Tensor:
        states, last = self.encoder(self.source_embedding(source))
        state = torch.tanh(self.first_state(torch.cat([last[0], last[1]], dim=1)))
        logits = []
        for step in range(target_input.shape[1]):
            embedded = self.target_embedding(target_input[:, step : step + 1])
            repeated = state.unsqueeze(1).repeat(1, source.shape[1], 1)
            energies = self.energy(torch.tanh(self.attention(torch.cat([repeated, states], dim=2)))).squeeze(2)
            weights = energies.masked_fill(~is_word, -1e10).softmax(dim=1)
            context = torch.bmm(weights.unsqueeze(1), states)
            output, next_state = self.decoder(torch.cat([embedded, context], dim=2), state.unsqueeze(0))
            state = next_state[0]
            logits.append(self.output(torch.cat([output, context, embedded], dim=2))[:, 0])
        return torch.stack(logits, dim=1)


def lengths(batch: int, mean: int) -> torch.Tensor:
    """Lengths from half the mean to one and a half times it, as in a shuffled batch of sentences."""
    return torch.linspace(mean // 2, mean + mean // 2, batch).long()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--words", type=int, default=16, help="mean length of a sentence")
    parser.add_argument("--vocabulary", type=int, default=800)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch; the lessons use one")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    sentence_lengths = lengths(arguments.batch, arguments.words)
    is_word = torch.arange(int(sentence_lengths.max())) < sentence_lengths.unsqueeze(1)
    source = torch.randint(4, arguments.vocabulary, is_word.shape) * is_word
    target = torch.randint(4, arguments.vocabulary, is_word.shape) * is_word
    size = arguments.hidden
    ours = attention_model(
        arguments.vocabulary, arguments.vocabulary, embedding_size=64, hidden_size=size, attention_size=size
    )
    tutorial = TutorialAttentionModel(arguments.vocabulary, arguments.vocabulary, 64, size, size)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, sees_logits) -> float:
        start = time.perf_counter()
        logits = sees_logits(model(source, is_word, target))
        loss = cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return time.perf_counter() - start

    ours_optimizer = torch.optim.Adam(ours.parameters())
    tutorial_optimizer = torch.optim.Adam(tutorial.parameters())
    times: dict[str, list[float]] = {"ours": [], "tutorial": []}
    for repeat in range(arguments.repeats + 3):  # in turns, so that a busy machine slows both; 3 to warm up
        ours_time = step(ours, ours_optimizer, lambda output: output.logits)
        tutorial_time = step(tutorial, tutorial_optimizer, lambda logits: logits)
        if repeat >= 3:
            times["ours"].append(ours_time)
            times["tutorial"].append(tutorial_time)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    write_result(
        "attention_step",
        command="python -m benchmarks.attention_step",
        settings=vars(arguments),
        measured={
            "ours_ms": round(1000 * medians["ours"], 1),
            "tutorial_ms": round(1000 * medians["tutorial"], 1),
            "ratio": round(medians["ours"] / medians["tutorial"], 3),
            "ours_parameters": sum(p.numel() for p in ours.parameters()),
            "tutorial_parameters": sum(p.numel() for p in tutorial.parameters()),
        },
    )


if __name__ == "__main__":
    main()
