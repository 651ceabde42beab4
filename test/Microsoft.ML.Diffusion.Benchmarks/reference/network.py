"""Part of the measurement peer, see peer.py: the benchmarks' network in plain PyTorch, float32, as a user would write it.

The U-Net of UNetOptions.Compact: base 64, multipliers 1-2-2-2, two blocks a resolution, scale-shift conditioning,
attention with four heads at 16x16; 9,593,539 parameters for 3x32x32 images without classes.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

COMPACT_PARAMETERS = 9_593_539


def timestep_embedding(t, channels, max_period=10_000):
    """[N] timesteps to [N, channels]: cosines, then sines."""
    half = channels // 2
    frequencies = torch.exp(-math.log(max_period) * torch.arange(half, device=t.device) / half)
    angles = t.float()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def zeroed(layer):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class GroupNorm(nn.GroupNorm):
    """Under autocast a float32 norm: PyTorch 1.13 has no mixed one on the CPU. In float32 nothing is converted."""

    def forward(self, x):
        return super().forward(x.float()).to(x.dtype)


class ResidualBlock(nn.Module):
    def __init__(self, channels, out_channels, embedding, groups=32):
        super().__init__()
        self.norm1 = GroupNorm(groups, channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.embed = nn.Linear(embedding, 2 * out_channels)
        self.norm2 = GroupNorm(groups, out_channels)
        self.conv2 = zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = nn.Conv2d(channels, out_channels, 1) if channels != out_channels else nn.Identity()

    def forward(self, x, embedding):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.embed(F.silu(embedding))[:, :, None, None].chunk(2, dim=1)
        h = self.norm2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class Attention(nn.Module):
    def __init__(self, channels, heads=4, groups=32):
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x):
        n, c, height, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, height * width).unbind(1)
        weights = torch.softmax(q.transpose(-1, -2) @ k / math.sqrt(c // self.heads), dim=-1)
        mixed = (v @ weights.transpose(-1, -2)).reshape(n, c, height, width)
        return x + self.out(mixed)


class Level(nn.Module):
    """A residual block with what follows it."""

    def __init__(self, block, attention, resample=None):
        super().__init__()
        self.block = block
        self.attention = attention
        self.resample = resample

    def forward(self, x, embedding):
        h = self.block(x, embedding)
        return self.attention(h) if self.attention is not None else h


class Upsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class UNet(nn.Module):
    def __init__(self, channels=3, size=32, base=64, multipliers=(1, 2, 2, 2), blocks=2, attention_at=16, heads=4, classes=0):
        super().__init__()
        self.base = base
        self.classes = classes
        embedding = 4 * base
        self.time = nn.Sequential(nn.Linear(base, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        # One row more: "no class", for classifier-free guidance.
        self.label = nn.Embedding(classes + 1, embedding) if classes else None
        self.stem = nn.Conv2d(channels, base, 3, padding=1)

        def attention(width, level):
            return Attention(width, heads) if size >> level == attention_at else None

        width, skips = base, [base]
        self.down = nn.ModuleList()
        for level, multiplier in enumerate(multipliers):
            for index in range(blocks):
                out = base * multiplier
                last = index == blocks - 1 and level < len(multipliers) - 1
                resample = nn.Conv2d(out, out, 3, stride=2, padding=1) if last else None
                self.down.append(Level(ResidualBlock(width, out, embedding), attention(out, level), resample))
                width = out
                skips += [width, width] if last else [width]

        self.middle = nn.ModuleList([
            Level(ResidualBlock(width, width, embedding), Attention(width, heads)),
            Level(ResidualBlock(width, width, embedding), None),
        ])

        self.up = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for index in range(blocks + 1):
                out = base * multiplier
                resample = Upsample(out) if index == blocks and level > 0 else None
                self.up.append(Level(ResidualBlock(width + skips.pop(), out, embedding), attention(out, level), resample))
                width = out

        self.norm = GroupNorm(32, width)
        self.head = zeroed(nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x, t, labels=None):
        embedding = self.time(timestep_embedding(t, self.base))
        if self.label is not None:
            embedding = embedding + self.label(labels)
        h = self.stem(x)
        skips = [h]
        for level in self.down:
            h = level(h, embedding)
            skips.append(h)
            if level.resample is not None:
                h = level.resample(h)
                skips.append(h)
        for level in self.middle:
            h = level(h, embedding)
        for level in self.up:
            h = level(torch.cat([h, skips.pop()], dim=1), embedding)
            if level.resample is not None:
                h = level.resample(h)
        return self.head(F.silu(self.norm(h)))


def parameter_count(network):
    return sum(p.numel() for p in network.parameters())
