"""Writes `results/README.md`, a table of everything that was measured, from the JSON files beside it.

python -m benchmarks.table
"""

import json

from benchmarks.writing import RESULTS


def main() -> None:
    lines = ["# What was measured", "", "Written by `python -m benchmarks.table` from the JSON files beside it.", ""]
    lines += ["| benchmark | measured | value | command | machine | date |", "| --- | --- | --- | --- | --- | --- |"]
    for path in sorted(RESULTS.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf8"))
        hardware = content["hardware"]
        machine = f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['ram_bytes'] / 2**30:.0f} GiB"
        machine = ", ".join([gpu["name"] for gpu in hardware["gpus"]] + [machine])
        for name, value in measured(content).items():
            shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            shown = str(shown).replace("\n", " / ").replace("|", "\\|")  # a sample of text must not break the row
            lines.append(f"| {path.stem} | {name} | {shown} | `{content['command']}` | {machine} | {content['date']} |")
    (RESULTS / "README.md").write_text("\n".join(lines) + "\n", encoding="utf8")
    print("\n".join(lines))


def measured(content: dict) -> dict:
    """A benchmark's measurements; of a kept batch run, the time and memory of its notebooks."""
    if "runs" not in content:
        return content["measured"]
    values = {}
    for name in dict.fromkeys(run["name"] for run in content["runs"]):
        runs = [run for run in content["runs"] if run["name"] == name]
        seconds = [round(run["seconds"]) for run in runs]
        ram = max(run["peak_ram_bytes"] for run in runs) / 2**20
        spread = f"{seconds[0]} s" if len(runs) == 1 else f"{len(runs)} runs, {min(seconds)} to {max(seconds)} s each"
        values[name] = f"{spread}, peak RAM {ram:.0f} MiB"
    return values


if __name__ == "__main__":
    main()
