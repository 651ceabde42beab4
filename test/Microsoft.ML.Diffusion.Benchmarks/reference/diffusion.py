"""Part of the measurement peer, see peer.py: the process of Ho et al. 2020 in plain PyTorch, trained on epsilon, and two samplers."""

import copy

import torch
from torch.nn import functional as F


class Diffusion:
    def __init__(self, device, timesteps=1000):
        self.timesteps = timesteps
        self.betas = torch.linspace(1e-4, 0.02, timesteps, dtype=torch.float64)
        self.alpha_bars = torch.cumprod(1 - self.betas, dim=0)
        self.signal = self.alpha_bars.sqrt().float().to(device)
        self.noise = (1 - self.alpha_bars).sqrt().float().to(device)

    def loss(self, network, x0, labels):
        t = torch.randint(0, self.timesteps, (len(x0),), device=x0.device)
        epsilon = torch.randn_like(x0)
        x = self.signal[t][:, None, None, None] * x0 + self.noise[t][:, None, None, None] * epsilon
        return F.mse_loss(network(x, t, labels).float(), epsilon)

    def x0(self, network, x, t, labels):
        """What the network takes the clean batch to be, clipped."""
        epsilon = network(x, torch.full((len(x),), t, device=x.device), labels).float()
        return ((x - self.noise[t] * epsilon) / self.signal[t]).clamp(-1, 1)

    def ancestral_step(self, network, x, t, labels):
        """Algorithm 2 of Ho et al. 2020, with the larger of the two variances."""
        x0 = self.x0(network, x, t, labels)
        bar, before, beta = float(self.alpha_bars[t]), float(self.alpha_bars[t - 1]) if t else 1.0, float(self.betas[t])
        mean = before ** 0.5 * beta / (1 - bar) * x0 + (1 - beta) ** 0.5 * (1 - before) / (1 - bar) * x
        return mean + beta ** 0.5 * torch.randn_like(x) if t else mean

    def ddim_step(self, network, x, t, following, labels):
        """Equation 12 of Song et al. 2020 with eta 0; the step after the last is the clean image."""
        x0 = self.x0(network, x, t, labels)
        bar, after = float(self.alpha_bars[t]), float(self.alpha_bars[following]) if following >= 0 else 1.0
        epsilon = (x - bar ** 0.5 * x0) / (1 - bar) ** 0.5
        return after ** 0.5 * x0 + (1 - after) ** 0.5 * epsilon

    def ddim_timesteps(self, steps):
        """Evenly spaced from the last timestep down, then -1."""
        return [round(self.timesteps * (steps - i) / steps) - 1 for i in range(steps)] + [-1]


class Trainer:
    """Adam, gradients clipped to norm 1, a moving average of the weights that warms up."""

    def __init__(self, network, diffusion, learning_rate, warmup, ema_decay, autocast):
        self.network, self.diffusion, self.autocast = network, diffusion, autocast
        self.learning_rate, self.warmup, self.ema_decay = learning_rate, warmup, ema_decay
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
        self.steps = 0

    def step(self, x0, labels=None):
        self.steps += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * (min(1, self.steps / self.warmup) if self.warmup else 1)
        self.optimizer.zero_grad()
        with self.autocast():
            loss = self.diffusion.loss(self.network, x0, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1)
        self.optimizer.step()
        decay = min(self.ema_decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for average, parameter in zip(self.average.parameters(), self.network.parameters()):
                average.mul_(decay).add_(parameter, alpha=1 - decay)
        return loss.item()
