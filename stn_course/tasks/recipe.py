"""How a network is trained, and how much of it: a recipe and a profile."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from stn_course.augmentation import FlipAndShift
from stn_course.models import STNetwork
from stn_course.training import Loss

OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "nesterov": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adamw": torch.optim.AdamW,
}


@dataclass(frozen=True)
class Phase:
    """A part of the training, up to a share of its epochs: how strong the distortion is, and what learns.

    A part of the network that does not learn keeps its weights; the gradient still flows through it.

    Built in: 05, "A recipe that turns".
    """

    until: float
    distortion: float = 1.0
    classifier: bool = True
    localisation: bool = True


@dataclass(frozen=True)
class Recipe:
    """How to train a network. `localisation_rate` multiplies the learning rate of the localisation networks.

    Built in: 05, "Train it".
    """

    optimizer: str
    learning_rate: float
    batch_size: int
    localisation_rate: float = 1.0
    weight_decay: float = 0.0
    one_cycle: bool = False
    clip: float | None = None
    autocast: bool = False
    augmentation: FlipAndShift | None = None
    phases: tuple[Phase, ...] | None = None  # one after another; None: everything learns, on the whole distortion
    smoothing: float | None = None  # the share of each label that goes to all classes alike
    average: float | None = None  # the weights that are kept in the end are a moving average; what a step leaves of it

    def __post_init__(self):
        until = [0.0, *(phase.until for phase in self.phases or (Phase(1.0),))]
        if until[-1] != 1 or any(after <= before for before, after in pairwise(until)):
            raise ValueError(f"expected phases until rising shares of the training, the last one 1, got {until[1:]}")

    def phase_ends(self, epochs: int) -> list[tuple[Phase, int]]:
        """List the phases that a training of so many epochs has, each with its last epoch."""
        phases = self.phases or (Phase(1.0),)
        ends = [round(phase.until * epochs) for phase in phases]
        return [(phase, end) for phase, before, end in zip(phases, [0, *ends], ends, strict=False) if end > before]

    def let_learn(self, model: nn.Module, phase: Phase) -> None:
        """Let only those parameters learn that the phase lets learn."""
        rest, localisation = _groups(model)
        for group, learns in ((rest, phase.classifier), (localisation, phase.localisation)):
            for parameter in group:
                parameter.requires_grad_(learns)

    def optimizer_and_schedule(self, model: nn.Module, steps: int):
        """Make the optimiser, and the schedule or None, for a model and a number of steps."""
        groups = _groups(model)
        rates = self.learning_rate, self.learning_rate * self.localisation_rate
        parameters = [{"params": group, "lr": rate} for group, rate in zip(groups, rates) if group]
        make = OPTIMIZERS[self.optimizer]
        optimizer = make(parameters, weight_decay=self.weight_decay, fused=True)  # all parameters in one pass
        if self.average is not None:
            optimizer.register_step_post_hook(functools.partial(_average, get_ema_multi_avg_fn(self.average)))
        if not self.one_cycle:
            return optimizer, None
        highest = [group["lr"] for group in parameters]
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(
            optimizer, highest, total_steps=steps, cycle_momentum=False
        )

    def training_loss(self, loss: Loss) -> Loss:
        """Make the loss to train on from the loss of a task: the same, or with smoothed labels."""
        return loss if self.smoothing is None else functools.partial(loss, label_smoothing=self.smoothing)


def take_average(optimizer: torch.optim.Optimizer) -> None:
    """Put the moving average of the weights, if the recipe asked for one, in the place of the weights."""
    with torch.no_grad():
        for parameter, state in optimizer.state.items():
            if "average" in state:
                parameter.copy_(state["average"])


def _average(follow, optimizer: torch.optim.Optimizer, *_) -> None:
    """After a step: let the averages follow the weights. They lie in the optimiser's state, and are saved with it."""
    moved = [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
    for each in moved:
        if "average" not in optimizer.state[each]:
            optimizer.state[each]["average"] = each.detach().clone()
    follow([optimizer.state[each]["average"] for each in moved], moved, None)


def _groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split the parameters into all others and those of the localisation networks."""
    return model.parameter_groups() if isinstance(model, STNetwork) else (list(model.parameters()), [])


# what all recipes of the course have in common; call it with (learning_rate, batch_size, …)
course_recipe = functools.partial(Recipe, "adamw", one_cycle=True, clip=1.0, autocast=True)


@dataclass(frozen=True)
class Profile:
    """How much of an experiment is done: sizes and epochs, never another path through the code.

    `offline`: True uses what comes with the package, False insists on the whole data set, None takes what is there.
    """

    epochs: int
    train_images: int | None = None
    test_images: int | None = None
    offline: bool | None = None


OFFLINE = {"smoke": True, "quick": None, "full": False}  # whether each profile does without a network


def profiles(smoke: Profile, quick: Profile, full: Profile) -> Mapping[str, Profile]:
    """Name the three profiles, and give each its `OFFLINE`."""
    sizes = {"smoke": smoke, "quick": quick, "full": full}
    return {name: replace(size, offline=OFFLINE[name]) for name, size in sizes.items()}
