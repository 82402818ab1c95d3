"""The training loop of a sparse autoencoder, and its state on the disk."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mdissect.sae.autoencoder import SparseAutoencoder
from mdissect.sae.options import SAEOptions
from mdissect.sae.saving import STATE, read_state, write_state
from mdissect.train.base import Progress, Schedule, Training, check_same

REPORT_EVERY = 100  # steps
AUXILIARY = 1 / 32  # weight of the auxiliary loss
RESAMPLED = 0.2  # norm of the encoder's direction of a latent that starts again, relative to the living ones'
ORDER, RESAMPLE, START = 1, 2, 3  # streams of random numbers
AT_ONCE = 4096  # vectors encoded together


@dataclass
class FitProgress(Progress):
    """Also for how many steps each latent has been 0, and the sums of the figures since the last report."""

    silent: list[int] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)


class Fit(Training):
    """Trains an autoencoder in place on inputs (n, width); `held_out` (n, width) are only measured."""

    progress_type = FitProgress

    def __init__(self, sae: SparseAutoencoder, x: Tensor, held_out: Tensor, what: dict, options: SAEOptions):
        self.sae, self.x, self.held_out, self.options = sae, x, held_out, options
        self.size = min(options.batch_size, len(x))
        sae.start(x, torch.Generator().manual_seed(_seed(options.seed, START, 0)))
        optimizer = torch.optim.Adam(sae.parameters(), lr=options.learning_rate, betas=(0.9, 0.999))
        warmup = min(100, -(-options.steps // 10))
        schedule = Schedule(options.learning_rate, options.steps, warmup)
        super().__init__(sae, optimizer, [schedule], what, max(1, len(x) // self.size), max_grad_norm=1.0)
        self.progress.silent = [0] * sae.n_latents
        sae.decoder.register_hook(self._turning)

    def intact(self) -> str:
        return "the last saved state is kept"

    def run(self, folder: Path | None) -> None:
        """Train to the end; a state in the folder is resumed, and kept there every so many steps."""
        from tqdm.auto import tqdm

        if folder is not None:
            self.resume(folder)
        progress, options = self.progress, self.options
        self.silent = torch.tensor(progress.silent, device=self.device)
        started = time.monotonic()
        bar = tqdm(total=options.steps, initial=progress.step, unit="step", desc="autoencoder", disable=not options.progress)
        with bar:
            while progress.step < options.steps:
                self._step()
                bar.update()
                last = progress.step == options.steps
                if progress.step % REPORT_EVERY == 0 or last:
                    self._report()
                if folder is not None and (progress.step % options.save_every == 0 and not last):
                    progress.seconds, started = progress.seconds + time.monotonic() - started, time.monotonic()
                    self.save(folder)
        progress.seconds += time.monotonic() - started
        self.check_weights()
        self.sae.dead.copy_(~self._ever_active())
        self.sae.history = progress.history

    def save(self, folder: Path) -> None:
        """Write the state from which an interrupted run resumes, as safetensors with a JSON manifest."""
        self.check_weights()
        self.progress.silent = self.silent.tolist()
        tensors = {f"weights/{name}": value for name, value in self.sae.state_dict().items()}
        for i, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{i}/{name}": value for name, value in moments.items()}
        with self.explained(folder / STATE):
            write_state(folder, {"what": self.what, "progress": vars(self.progress)}, tensors)

    def resume(self, folder: Path) -> None:
        """Load the state in the folder, if there is one; ValueError when it is of another training."""
        found = read_state(folder)
        if found is None:
            return
        document, tensors = found
        check_same(document["what"], self.what, folder / STATE)
        own = {name.removeprefix("weights/"): value for name, value in tensors.items() if name.startswith("weights/")}
        self.sae.load_state_dict(own)
        moments: dict[int, dict] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, i, moment = name.split("/")
                moments.setdefault(int(i), {})[moment] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.progress = self.progress_type(**document["progress"])

    def _step(self) -> None:
        """One step of the optimizer, on the batch that the number of the step determines."""
        progress, sae = self.progress, self.sae
        epoch, position = divmod(progress.step, self.steps_per_epoch)
        if position == 0 or not hasattr(self, "_order"):
            rng = np.random.default_rng([self.options.seed, ORDER, epoch])
            self._order = torch.from_numpy(rng.permutation(len(self.x)))
        x = self.x[self._order[position * self.size : (position + 1) * self.size]].to(self.device)
        z, pre = x / sae.scale, sae.pre_activations(x)
        latents = sae.active(pre)
        error = z - (latents @ sae.decoder + sae.pre_bias)
        squared = error.square().sum(dim=1).mean()
        loss = squared + (self.options.l1 * latents.sum(dim=1).mean() if sae.kind == "relu" else 0)
        fired = (latents > 0).any(dim=0)
        self.silent = torch.where(fired, 0, self.silent + 1)
        dead = self.silent >= self.options.dead_after
        if self.options.revive and sae.kind == "topk" and dead.any():
            loss = loss + AUXILIARY * self._auxiliary(pre, error.detach(), dead)
        value = self.update(loss)
        with torch.no_grad():
            sae.decoder.copy_(F.normalize(sae.decoder, dim=1))
        spread = (z - z.mean(dim=0)).square().sum(dim=1).mean()
        figures = {"loss": value, "error": squared.item(), "spread": spread.item()}
        figures["l0"] = (latents > 0).sum().item() / len(latents)
        progress.sums = {name: progress.sums.get(name, 0.0) + one for name, one in figures.items()}
        every, until = self.options.dead_after, 0.75 * self.options.steps
        if self.options.revive and sae.kind == "relu" and progress.step % every == 0 and progress.step <= until:
            self._start_again(dead)

    def _auxiliary(self, pre: Tensor, error: Tensor, dead: Tensor) -> Tensor:
        """How badly the strongest dead latents explain the error that is left, relative to it."""
        few = min(max(1, self.sae.width // 2), int(dead.sum()))
        strongest = pre.masked_fill(~dead, -torch.inf).topk(few, dim=1)
        latents = torch.zeros_like(pre).scatter(1, strongest.indices, strongest.values.relu())
        left = error - latents @ self.sae.decoder
        return left.square().sum() / error.square().sum().clamp(min=torch.finfo(error.dtype).tiny)

    @torch.no_grad()
    def _start_again(self, dead: Tensor) -> None:
        """Dead latents take the directions of inputs that are explained badly, drawn by their squared error."""
        if not dead.any():
            return
        sae, rng = self.sae, np.random.default_rng([self.options.seed, RESAMPLE, self.progress.step])
        some = self.x[torch.from_numpy(rng.permutation(len(self.x))[:AT_ONCE])].to(self.device)
        weights = (some - sae(some)).square().sum(dim=1).double().cpu().numpy()
        if not weights.sum() > 0:
            return
        n, places = int(dead.sum()), np.flatnonzero(weights)
        drawn = rng.choice(len(some), n, replace=n > len(places), p=weights / weights.sum())
        directions = F.normalize(some[torch.from_numpy(drawn)] / sae.scale - sae.pre_bias, dim=1)
        living = sae.encoder[~dead].norm(dim=1).mean() if not dead.all() else torch.ones((), device=self.device)
        sae.decoder[dead], sae.encoder[dead], sae.bias[dead] = directions, RESAMPLED * living * directions, 0.0
        for parameter in (sae.decoder, sae.encoder, sae.bias):
            for name in ("exp_avg", "exp_avg_sq"):
                self.optimizer.state[parameter][name][dead] = 0.0
        self.silent[dead] = 0

    def _report(self) -> None:
        """A row of the history: means since the last one, and the held-out patients."""
        progress = self.progress
        n = (progress.step - 1) % REPORT_EVERY + 1
        row = {"step": progress.step, "loss": progress.sums["loss"] / n}
        row["explained"] = 1 - progress.sums["error"] / max(progress.sums["spread"], torch.finfo(torch.float64).tiny)
        row["l0"] = progress.sums["l0"] / n
        row["dead"] = float((self.silent >= self.options.dead_after).float().mean())
        if len(self.held_out):
            row["held_out"], row["held_out_l0"] = explained(self.sae, self.held_out)
        progress.history.append(row)
        progress.sums = {}

    @torch.inference_mode()
    def _ever_active(self) -> Tensor:
        """(n_latents,) bool: which latents any training input has."""
        return torch.stack([(self.sae.encode(x.to(self.device)) > 0).any(dim=0) for x in self.x.split(AT_ONCE)]).any(dim=0)

    def _turning(self, gradient: Tensor) -> Tensor:
        """The decoder's gradient without the part along each direction, whose length is fixed."""
        decoder = self.sae.decoder.detach()
        return gradient - (gradient * decoder).sum(dim=1, keepdim=True) * decoder


@torch.inference_mode()
def explained(sae: SparseAutoencoder, x: Tensor) -> tuple[float, float]:
    """The share of the variance of inputs (n, width) that an autoencoder explains, and the mean number of active latents."""
    device, centre = sae.decoder.device, x.double().mean(dim=0)
    error = spread = active = 0.0
    for part in x.split(AT_ONCE):
        latents = sae.encode(part.to(device))
        error += float((part - sae.decode(latents).cpu()).double().square().sum())
        spread += float((part - centre).square().sum())
        active += float((latents > 0).sum())
    return (1 - error / spread if spread else float("nan")), active / len(x)


def _seed(*parts: int) -> int:
    return int(np.random.default_rng(parts).integers(2**62))
