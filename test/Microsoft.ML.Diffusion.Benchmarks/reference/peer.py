#!/usr/bin/env python3
"""A peer to measure against, not a part of the library: the benchmarks' network in plain PyTorch.

Written for this repository, float32, in the way a user would write it; nothing in it is tuned, nothing is slowed down.
Runs on PyTorch 1.13 (Debian's python3-torch) and 2.x, on a CPU or a CUDA device. ./build.sh bench starts it; by hand:

    peer.py step                            times training steps: forward, backward, clip, Adam, moving average
    peer.py denoise                         times denoising steps: the network without gradients, one ancestral update
    peer.py sample --sampler ddpm           times the drawing of 64 images (--measure 10: of 10 steps, extrapolated to all, and says so)
    peer.py train --data DIR --minutes 10   trains on Fashion-MNIST, then writes --images generated ones to --output as raw bytes

--bfloat16 is its best setting on a CPU: autocast to bfloat16 and channels-last memory.
Each run prints JSON lines; the last one is the result: seconds of each iteration, images a second, peak memory in bytes.
"""

import argparse
import contextlib
import functools
import gzip
import json
import os
import statistics
import struct
import time

import torch

from diffusion import Diffusion, Trainer
from network import COMPACT_PARAMETERS, UNet, parameter_count

CLASSES = 10


def peak_memory(device):
    """The process's own peak; getrusage would count what the parent process held before it started this one.

    On a GPU what of its memory is taken at the end: the allocator keeps its most."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        return total - free
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


class Session:
    def __init__(self, options, channels, classes=0):
        if options.threads:
            torch.set_num_threads(options.threads)
        torch.manual_seed(options.seed)
        self.options = options
        self.device = torch.device(options.device)
        if options.tf32:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.autocast = functools.partial(torch.autocast, self.device.type, dtype=torch.bfloat16) if options.bfloat16 else contextlib.nullcontext
        self.network = UNet(channels, options.size, options.base, classes=classes)
        self.parameters = parameter_count(self.network)
        if (channels, options.size, options.base, classes) == (3, 32, 64, 0):
            assert self.parameters == COMPACT_PARAMETERS, f"{self.parameters} parameters, not {COMPACT_PARAMETERS}: this is another network"
        self.network.to(self.device)
        if options.bfloat16:
            self.network.to(memory_format=torch.channels_last)
        self.diffusion = Diffusion(self.device)

    def trainer(self):
        return Trainer(self.network, self.diffusion, self.options.learning_rate, self.options.warmup, self.options.ema, self.autocast)

    def noise(self, batch, channels=3):
        x = torch.randn(batch, channels, self.options.size, self.options.size, device=self.device)
        return self.layout(x)

    def layout(self, x):
        return x.contiguous(memory_format=torch.channels_last) if self.options.bfloat16 else x

    def timed(self, work, warmup, iterations):
        seconds = []
        for i in range(warmup + iterations):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            if i >= warmup:
                seconds.append(time.perf_counter() - start)
        return seconds

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def report(self, images, seconds, **more):
        median = statistics.median(seconds)
        print(json.dumps({
            "kind": "result", "mode": self.options.mode, "images": images, "seconds": seconds, "median_seconds": median,
            "images_per_second": images / median, "peak_memory": peak_memory(self.device), "parameters": self.parameters,
            "threads": torch.get_num_threads(), "torch": torch.__version__, "device": str(self.device),
            "type": "bfloat16" if self.options.bfloat16 else "float32", **more,
        }), flush=True)


def step(options):
    session = Session(options, 3)
    trainer = session.trainer()
    data = torch.rand(256, 3, options.size, options.size) * 2 - 1

    def work():
        rows = torch.randint(0, len(data), (options.batch,))
        trainer.step(session.layout(data[rows].to(session.device)))

    session.report(options.batch, session.timed(work, options.discard, options.iterations))


@torch.no_grad()
def denoise(options):
    session = Session(options, 3)
    session.network.eval()
    x = session.noise(options.batch)

    def work():
        with session.autocast():
            session.diffusion.ancestral_step(session.network, x, 500, None)

    session.report(options.batch, session.timed(work, options.discard, options.iterations))


def draw(session, network, options, batch, channels, labels=None, measure=None):
    """One batch, and the seconds that it took, extrapolated where only some of its steps were taken."""
    x = session.noise(batch, channels)
    if options.sampler == "ddpm":
        moves = [functools.partial(session.diffusion.ancestral_step, network, t=t, labels=labels) for t in reversed(range(session.diffusion.timesteps))]
    else:
        t = session.diffusion.ddim_timesteps(options.sampler_steps)
        moves = [functools.partial(session.diffusion.ddim_step, network, t=now, following=then, labels=labels) for now, then in zip(t, t[1:])]
    taken = min(measure or len(moves), len(moves))
    session.wait()
    start = time.perf_counter()
    with torch.no_grad(), session.autocast():
        for move in moves[:taken]:
            x = move(x=x)
    session.wait()
    return x, (time.perf_counter() - start) * len(moves) / taken, taken < len(moves), len(moves)


def sample(options):
    session = Session(options, 3)
    session.network.eval()
    draw(session, session.network, options, options.batch, 3, measure=1)
    seconds, extrapolated, steps, left = 0.0, False, 0, options.images
    while left > 0:
        batch = min(options.batch, left)
        _, took, extrapolated, steps = draw(session, session.network, options, batch, 3, measure=options.measure)
        # Steps of equal cost, batches of equal cost: one measured batch stands for the others where steps are extrapolated too.
        seconds, left = (took * options.images / batch, 0) if extrapolated else (seconds + took, left - batch)
    session.report(options.images, [seconds], sampler=options.sampler, sampler_steps=steps, extrapolated=extrapolated)


def read_idx(path):
    with gzip.open(path) as file:
        data = file.read()
    dimensions = struct.unpack_from(f">{data[3]}I", data, 4)
    return torch.frombuffer(bytearray(data[4 + 4 * data[3]:]), dtype=torch.uint8).reshape(dimensions)


def train(options):
    images = read_idx(os.path.join(options.data, "train-images-idx3-ubyte.gz"))
    labels = read_idx(os.path.join(options.data, "train-labels-idx1-ubyte.gz")).long()
    border = (options.size - images.shape[-1]) // 2
    images = torch.nn.functional.pad(images, [border] * 4)[:, None]

    session = Session(options, 1, CLASSES)
    trainer = session.trainer()
    limit, start, told, losses, seconds = options.minutes * 60, time.perf_counter(), 0.0, [], []
    while time.perf_counter() - start < limit and trainer.steps < options.steps:
        began = time.perf_counter()
        rows = torch.randint(0, len(images), (options.batch,))
        x0 = session.layout((images[rows].float() / 127.5 - 1).to(session.device))
        dropped = torch.rand(options.batch) < 0.1
        losses.append(trainer.step(x0, labels[rows].masked_fill(dropped, CLASSES).to(session.device)))
        seconds.append(time.perf_counter() - began)
        if time.perf_counter() - start > told:
            told += 10
            print(json.dumps({"kind": "progress", "step": trainer.steps, "loss": losses[-1], "elapsed": time.perf_counter() - start}), flush=True)
    trained = time.perf_counter() - start

    start = time.perf_counter()
    with open(options.output + ".partial", "wb") as file:
        for first in range(0, options.images, options.generate_batch):
            wanted = torch.arange(first, min(first + options.generate_batch, options.images)) % CLASSES
            x, *_ = draw(session, trainer.average, options, len(wanted), 1, wanted.to(session.device))
            file.write(((x + 1) * 127.5).round().clamp(0, 255).byte().cpu().contiguous().numpy().tobytes())
            print(json.dumps({"kind": "progress", "images": first + len(wanted), "elapsed": time.perf_counter() - start}), flush=True)
    os.replace(options.output + ".partial", options.output)
    session.report(
        options.batch, seconds, steps=trainer.steps, train_seconds=trained, generate_seconds=time.perf_counter() - start,
        loss=statistics.mean(losses[-50:]), generated=options.images, sampler=options.sampler, sampler_steps=options.sampler_steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["step", "denoise", "sample", "train"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--base", type=int, default=64, help="channels of the first resolution")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: every core; PyTorch's own default may be fewer")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--tf32", action="store_true", help="CUDA: TF32 in matrix products and convolutions")
    parser.add_argument("--discard", type=int, default=2, help="iterations before those that count")
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--sampler", choices=["ddpm", "ddim"], default="ddim")
    parser.add_argument("--sampler-steps", type=int, default=20)
    parser.add_argument("--measure", type=int, help="steps of a sampler to take; the rest is extrapolated")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=4e-4)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--ema", type=float, default=0.999)
    parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--steps", type=int, default=1 << 30, help="training steps at the most")
    parser.add_argument("--generate-batch", type=int, default=50)
    parser.add_argument("--output", default="peer.bytes")
    options = parser.parse_args()
    {"step": step, "denoise": denoise, "sample": sample, "train": train}[options.mode](options)


if __name__ == "__main__":
    main()
