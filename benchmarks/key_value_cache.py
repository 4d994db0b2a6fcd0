"""How much faster is writing with the keys and values kept, by the number of new tokens?

Measures greedy writing with and without the cache, in turns, on a GPT of `pydoc-gpt`'s sizes with a longer context and
random weights; the tokens must be the same. It writes the ratios of the median times to `results/key_value_cache.json`:

    python -m benchmarks.key_value_cache
"""

import argparse
import statistics

import torch

from benchmarks.timing import seconds_of
from benchmarks.writing import write_result
from course_lib.generation.continuing import Continuation, continue_text
from course_lib.models.gpt import GPT, GPTConfig


def seconds(model: GPT, prompt: list[int], new_tokens: int, use_cache: bool) -> tuple[float, list[int]]:
    """How long the writing takes, and what was written."""
    texts: list[Continuation] = []
    settings = {"max_new_tokens": new_tokens, "do_sample": False, "use_cache": use_cache}
    device = next(model.parameters()).device
    spent = seconds_of(lambda: texts.extend(continue_text(model, [prompt], **settings)), device)
    return spent, texts[0].tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--vocabulary", type=int, default=4_096)
    parser.add_argument("--prompt", type=int, default=8, help="tokens before the first new one")
    parser.add_argument("--new", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch; the lessons use one")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    context = arguments.prompt + max(arguments.new)
    sizes = GPTConfig(arguments.vocabulary, context, arguments.blocks, arguments.heads, arguments.width)
    model = GPT(sizes).to(arguments.device).eval()
    prompt = torch.randint(0, arguments.vocabulary, (arguments.prompt,)).tolist()
    continue_text(model, [prompt], max_new_tokens=4, do_sample=False)  # the first call sets things up
    measured: dict[str, object] = {"parameters": sum(p.numel() for p in model.parameters())}
    for new in arguments.new:
        times: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(arguments.repeats):  # in turns, so that a busy machine slows both
            written = []
            for use_cache, spent in times.items():
                duration, tokens = seconds(model, prompt, new, use_cache)
                spent.append(duration)
                written.append(tokens)
            if written[0] != written[1]:
                raise SystemExit(f"at {new} new tokens the two ways wrote different texts, so their times say nothing")
        cached, anew = (statistics.median(times[use_cache]) for use_cache in (True, False))
        measured[f"{new}_new_tokens"] = {
            "cached_s": round(cached, 3),
            "anew_s": round(anew, 3),
            "times_as_fast": round(anew / cached, 2),
            "cached_tokens_per_second": round(new / cached),
        }
    write_result(
        "key_value_cache" if arguments.device == "cpu" else f"key_value_cache_{arguments.device}",
        command="python -m benchmarks.key_value_cache",
        settings=vars(arguments),
        measured=measured,
    )


if __name__ == "__main__":
    main()
