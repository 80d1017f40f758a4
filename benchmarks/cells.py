"""What each cell costs to train, as ratios to ``torch.nn.LSTM`` in the same run, in JSON lines.

    python benchmarks/cells.py [--sizes S1 S2] [--cells lstm gru] [--roads compiled aten] [--device cpu] [--memory]
    python benchmarks/cells.py --step      what a step costs beside the network (benchmarks/step.py)

A training step is forwards, the mean of all outputs, and backwards. At each size nn.LSTM is measured twice, stock and
after the allocator was tuned as ``lstmcast`` does at its start; each process runs on one thread, rounds alternate, and
medians are told. ``relative`` is the speed relative to the tuned nn.LSTM (2 is twice as fast), ``per_flop`` the same
with the cell's own multiplications weighed against those of nn.LSTM. ``memory`` is the growth of the resident set.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

SIZES = {
    "S1": (32, 48, 1, 64),
    "S2": (64, 96, 8, 128),
    "S3": (256, 168, 8, 128),
    "S4": (64, 512, 8, 64),
    "S5": (1024, 24, 1, 32),
}
"""(B, T, F, C)."""
ROADS = ("native", "compiled", "aten", "readable")
VARIANTS = {
    "multiplicative-additive": ("multiplicative", {"form": "additive"}, {}),
    "lstm-zoneout": ("lstm", {}, {"zoneout": 0.1}),
    "lstm-variational": ("lstm", {}, {"variational": 0.1}),
    "lstm-checkpoint": ("lstm", {}, {"checkpoint": True}),
}
ROUNDS, ROUND_SECONDS = 5, 0.15


def product_flops(name: str, batch: int, steps: int, inputs: int, hidden: int) -> int:
    """Multiplications of one forward pass."""
    inputs = hidden if name == "multiplicative-additive" else inputs  # it wants as many of both
    blocks = {"gru": 3, "coupled": 3, "rnn": 1, "highway": 5}.get(name, 4)
    recurrent = blocks * hidden * (hidden + inputs)
    extra = {
        "projected": hidden * hidden // 2,
        "multiplicative": hidden * (hidden + inputs),
        "multiplicative-additive": hidden * hidden,
    }
    return batch * steps * (recurrent + extra.get(name, 0))


def trainers(names: list[str], roads: list[str], size: str, device: str) -> dict:
    """(cell, road) -> a function that takes one training step."""
    import torch

    from lstmcast.net import draws
    from lstmcast.net.cells import CELLS, NativeCell
    from lstmcast.net.scan import Noise, scan

    torch.set_num_threads(1)
    batch, steps, inputs, hidden = SIZES[size]
    found = {}
    theirs = torch.nn.LSTM(inputs, hidden, batch_first=True).to(device)
    x = torch.randn(batch, steps, inputs, device=device)

    def their_step() -> None:
        theirs.zero_grad()
        theirs(x)[0].mean().backward()

    found["nn.LSTM", ""] = their_step
    for name in names:
        family, options, regular = VARIANTS.get(name, (name, {}, {}))
        width = hidden if options.get("form") == "additive" else inputs
        own = torch.randn(batch, steps, width, device=device) if width != inputs else x
        if family == "projected":
            options = {"memory": hidden}
        units = hidden // 2 if family == "projected" else hidden
        cell = CELLS.load(family)(width, units, generator=torch.Generator().manual_seed(0), **options).to(device)
        for road in roads:
            if road == "native" and (regular or not isinstance(cell, NativeCell)):
                continue

            def own_step(cell=cell, x=own, road=road, regular=regular) -> None:
                cell.zero_grad()
                state, noise = cell.initial_state(batch), Noise()
                if rate := regular.get("zoneout"):
                    keep = tuple(draws.ones((batch, steps, p.shape[1]), rate, like=p) for p in state)
                    noise = Noise(keep=keep)
                if rate := regular.get("variational"):
                    noise = Noise(mask=torch.empty_like(state[0]).bernoulli_(1 - rate).div_(1 - rate))
                h, _ = scan(cell, x, state, noise=noise, checkpoint=regular.get("checkpoint", False), road=road)
                h.mean().backward()

            found[name, road] = own_step
    return found


def timed(names: list[str], roads: list[str], size: str, device: str, rounds: int) -> None:
    """In a process of its own: print the median seconds of each trainer."""
    import torch

    def now() -> float:
        if device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    steps = trainers(names, roads, size, device)
    repeats, seconds = {}, {key: [] for key in steps}
    for key, step in steps.items():
        step()
        step()
        start = now()
        step()
        repeats[key] = max(1, int(ROUND_SECONDS / max(now() - start, 1e-6)))
    for _ in range(rounds):
        for key, step in steps.items():
            start = now()
            for _ in range(repeats[key]):
                step()
            seconds[key].append((now() - start) / repeats[key])
    for (name, road), values in seconds.items():
        print(json.dumps({"cell": name, "road": road, "seconds": statistics.median(values)}))


def resident(name: str, road: str, size: str) -> None:
    """In a process of its own: print by how many MiB one training step raises the peak of the resident set."""
    SIZES["tiny"] = (4, 4, *SIZES[size][2:])
    trainers([name] if name != "nn.LSTM" else [], [road], "tiny", "cpu")[name, road]()
    step = trainers([name] if name != "nn.LSTM" else [], [road], size, "cpu")[name, road]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    print(json.dumps({"mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}))


def child(arguments: list[str], *, tuned: bool) -> list[dict]:
    """This file again, in a process with or without the allocator's settings."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LSTMCAST_TUNING": "1" if tuned else "0"}
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return [json.loads(line) for line in done.stdout.splitlines()]


def processor() -> str:
    """The processor's name, as the kernel tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def speed(options: argparse.Namespace) -> None:
    """Print one line for each cell, road and size."""
    for size in options.sizes:
        common = ["--device", options.device, "--sizes", size, "--rounds", str(options.rounds)]
        stock = child(["--timed", *common, "--roads", "native", "--cells"], tuned=False)[0]["seconds"]
        rows = child(["--timed", *common, "--roads", *options.roads, "--cells", *options.cells], tuned=True)
        tuned = rows[0]["seconds"]
        print(json.dumps({"size": size, "cell": "nn.LSTM", "tuned_over_stock": round(stock / tuned, 2)}), flush=True)
        for row in rows[1:]:
            flops = product_flops(row["cell"], *SIZES[size]) / product_flops("lstm", *SIZES[size])
            told = {
                "size": size,
                "cell": row["cell"],
                "road": row["road"],
                "milliseconds": round(1e3 * row["seconds"], 3),
                "relative": round(tuned / row["seconds"], 2),
                "per_flop": round(tuned / row["seconds"] * flops, 2),
                "over_stock": round(stock / row["seconds"], 2),
            }
            print(json.dumps(told), flush=True)


def memory(options: argparse.Namespace) -> None:
    """Print the memory of a training step relative to nn.LSTM's."""
    for size in options.sizes:
        theirs = child(["--resident", "nn.LSTM", "", "--sizes", size], tuned=True)[0]["mib"]
        print(json.dumps({"size": size, "cell": "nn.LSTM", "mib": round(theirs, 1)}), flush=True)
        for name in options.cells:
            for road in options.roads:
                if road == "native":
                    continue
                mib = child(["--resident", name, road, "--sizes", size], tuned=True)[0]["mib"]
                told = {
                    "size": size,
                    "cell": name,
                    "road": road,
                    "mib": round(mib, 1),
                    "memory": round(mib / theirs, 2),
                }
                print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--cells", nargs="*", default=None)
    parser.add_argument("--roads", nargs="+", choices=ROADS, default=["native", "compiled", "aten"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", action="store_true", help="memory instead of time")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of which the median is told")
    parser.add_argument("--step", action="store_true", help="what a training step costs beside the network")
    parser.add_argument("--data", help="not read; the sizes are fixed")
    parser.add_argument("--timed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--resident", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.timed or options.resident:
        from lstmcast.process import prepare

        prepare()
        if options.resident:
            resident(*options.resident, options.sizes[0])
        else:
            timed(options.cells, options.roads, options.sizes[0], options.device, options.rounds)
        return
    if options.step:
        sys.exit(subprocess.run([sys.executable, str(Path(__file__).with_name("step.py"))], check=False).returncode)
    import torch

    from lstmcast.net.cells import CELLS

    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("there is no CUDA device here; the processor is measured instead", file=sys.stderr)
        options.device = "cpu"
    if options.cells is None:
        options.cells = [*CELLS, *VARIANTS]
    if options.device != "cpu":
        options.roads = [road for road in options.roads if road != "compiled"]
    print(json.dumps({"processor": processor(), "python": platform.python_version(), "device": options.device}))
    (memory if options.memory else speed)(options)


if __name__ == "__main__":
    main()
