"""Base of all trainings: learning rate, optimizer step, and a state on disk from which to resume."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from mdissect.files import read_sealed, write_atomically, write_sealed


class TrainingError(FloatingPointError):
    """The loss or a weight is not finite; the message says what is intact and how to resume."""


class SavingError(OSError):
    """A file cannot be written; the message says what is intact and how to resume."""


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then half a cosine down to `floor` of the peak rate."""

    peak: float
    total_steps: int
    warmup_steps: int = 100
    floor: float = 0.01

    def rate(self, step: int) -> float:
        """The learning rate of a step counted from 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return self.peak * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


@dataclass
class Progress:
    """The progress of a training; `history` has a row per epoch."""

    step: int = 0
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)


class Training:
    """A module in training; subclasses compute the loss and name what an error leaves intact.

    `schedules` has one per parameter group; `what` is all that the result depends on: only an equal training resumes a state on
    the disk. Gradients are scaled down to `max_grad_norm` (0 leaves them), and those of float16 while they are computed.
    """

    progress_type = Progress
    advice = "Train again with a lower learning rate"

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedules: Sequence[Schedule],
        what: dict,
        steps_per_epoch: int,
        max_grad_norm: float,
        precision: torch.dtype = torch.float32,
    ):
        self.module, self.optimizer, self.schedules, self.what = module, optimizer, schedules, what
        self.steps_per_epoch, self.max_grad_norm, self.progress = steps_per_epoch, max_grad_norm, self.progress_type()
        self.precision, self.device = precision, next(module.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision is torch.float16)

    def intact(self) -> str:
        """The files that an error leaves intact, for its message."""
        raise NotImplementedError

    def update(self, loss: Tensor) -> float:
        """One optimizer step for a loss; returns the loss."""
        self.check_loss(value := loss.item())

        def backward(scaled: Callable[[Tensor], Tensor]) -> float:
            scaled(loss).backward()
            return value

        return self.update_by(backward)

    def update_by(self, backward: Callable[[Callable[[Tensor], Tensor]], float]) -> float:
        """One optimizer step for the gradients that `backward` accumulates, given the scaling of a loss; returns its loss."""
        for group, schedule in zip(self.optimizer.param_groups, self.schedules, strict=True):
            group["lr"] = schedule.rate(self.progress.step)
        self.optimizer.zero_grad(set_to_none=True)
        value = backward(self.scaler.scale)
        self.check_loss(value)
        if self.max_grad_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.module.parameters(), self.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.progress.step += 1
        return value

    def check_loss(self, value: float) -> None:
        """Raise TrainingError when a loss is not finite."""
        if not math.isfinite(value):
            raise TrainingError(self._not_finite(f"the loss is {value}"))

    def save(self, path: Path) -> None:
        """Write the state from which an interrupted run resumes."""
        self.check_weights()
        state = {name: part.state_dict() for name, part in self._parts().items()}
        with self.explained(path):
            write_sealed(path, torch_bytes(state | {"what": self.what, "progress": vars(self.progress)}))

    def resume(self, path: Path) -> None:
        """Load the state on the disk, if there is one; ValueError when it is damaged or of another training."""
        if not path.is_file():
            return
        data = read_sealed(path, "delete it to train from the start, or take a whole copy")
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        check_same(state["what"], self.what, path)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.progress = self.progress_type(**state["progress"])

    def check_weights(self) -> None:
        """Raise TrainingError when a weight is not finite, so that no good file is replaced."""
        broken = [name for name, value in self.module.state_dict().items() if not torch.isfinite(value).all()]
        if broken:
            raise TrainingError(self._not_finite(f"the weights {', '.join(broken[:3])} are not finite"))

    def write(self, path: Path, data: bytes | memoryview) -> None:
        """Write a file completely or not at all."""
        with self.explained(path):
            write_atomically(path, data)

    @contextmanager
    def explained(self, path: Path) -> Iterator[None]:
        """Re-raise an OSError as a SavingError that says what is intact and what to do."""
        try:
            yield
        except OSError as error:
            raise SavingError(
                error.errno,
                f"cannot write {path} ({error.strerror or error}); {self.intact()}. Free some space or make the folder "
                "writable, then run the same again: it resumes from the last saved step",
            ) from error

    def _parts(self) -> dict:
        return {"module": self.module, "optimizer": self.optimizer, "scaler": self.scaler}

    def _not_finite(self, what: str) -> str:
        step = self.progress.step
        return f"{what} at step {step} (epoch {step // self.steps_per_epoch + 1}); {self.intact()}. {self.advice}"


def check_same(found: dict, wanted: dict, path: Path) -> None:
    """Raise ValueError when a file comes from another training; the message says in what it differs."""
    differing = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    if differing:
        shown = "; ".join(f"{key}: {found.get(key)!r} there, {wanted.get(key)!r} here" for key in differing[:4])
        raise ValueError(f"{path} is of another training ({shown}); choose another folder, or delete this one to train again")


def torch_bytes(content: dict) -> memoryview:
    """The bytes of torch.save; in memory first, because torch's errors on a full disk hide the cause."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getbuffer()
