"""The exercises of notebook 09: what two boxes share, a loss without labels, sums from digits, a look within a look."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_course.exercises.exercise import function_exercise


def _pairs_of_boxes() -> list[tuple]:
    """Two boxes that meet, one inside another, two apart along both axes and along one, and two of another shape."""
    pairs = (
        ((0, 0, 2, 2), (1, 1, 3, 3)),
        ((-1, -1, 1, 1), (-0.5, 0, 0.5, 0.5)),
        ((0, 0, 1, 1), (2, 2, 3, 3)),
        ((0, 0, 1, 1), (0.25, 3, 1.25, 4)),
        ((-0.5, 0, 0.5, 0.25), (0, -1, 1, 1)),
    )
    return [tuple(torch.tensor(box, dtype=torch.float64) for box in pair) for pair in pairs]


def _areas(first: Tensor, second: Tensor, low=torch.maximum, high=torch.minimum, least=0.0):
    """The areas of the box that two boxes share, and of each."""
    both = (high(first[2:], second[2:]) - low(first[:2], second[:2])).clamp(min=least).prod()
    return both, (first[2:] - first[:2]).prod(), (second[2:] - second[:2]).prod()


@function_exercise(
    cases=_pairs_of_boxes,
    hints=(
        "What both share is a box, too. Its left edge is the right one of the two left edges: the larger number.",
        "So left and top are maxima, right and bottom minima. With right < left they share nothing: a width of 0.",
        "The area inside either: the area of the first and that of the second, less what was counted twice.",
    ),
    success="Yes: 1 for the same box, 0 for boxes apart. The paper calls a digit found when it exceeds one half.",
    gives="a number",
)
def intersection_over_union(first, second):
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right, bottom = min(first[2], second[2]), min(first[3], second[3])
    both = max(right - left, 0) * max(bottom - top, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return both / (sum(areas) - both)


@intersection_over_union.mistake(
    "boxes apart share nothing, and yours share something: two negative lengths have a positive product"
)
def _(first, second):
    both, one, other = _areas(first, second, least=-torch.inf)
    return both / (one + other - both)


@intersection_over_union.mistake("in the sum of both areas what they share is counted twice: take it off once")
def _(first, second):
    both, one, other = _areas(first, second)
    return both / (one + other)


@intersection_over_union.mistake("that is the share of the first box alone; a box that covers everything would win")
def _(first, second):
    both, one, _ = _areas(first, second)
    return both / one


@intersection_over_union.mistake("that is the share of the smaller box: one inside another would count as the same")
def _(first, second):
    both, one, other = _areas(first, second)
    return both / min(one, other)


@intersection_over_union.mistake("you divide by the smallest box round both; its corners belong to neither of them")
def _(first, second):
    both, _, _ = _areas(first, second)
    return both / (torch.maximum(first[2:], second[2:]) - torch.minimum(first[:2], second[:2])).prod()


@intersection_over_union.mistake("maximum and minimum are exchanged: the shared box begins at the larger left edge")
def _(first, second):
    both, one, other = _areas(first, second, torch.minimum, torch.maximum)
    return both / (one + other - both)


def _crops() -> list[tuple]:
    """Features of crops and of others, some near and some far, so that some hinges are 0 and others are not."""
    generator = torch.Generator().manual_seed(9)
    made = []
    for n, far, margin in ((5, 2.5, 1.0), (4, 0.4, 0.75)):
        seen, step = torch.randn(2, n, 4, generator=generator, dtype=torch.float64).unbind(0)
        made.append((seen, seen + far * step, margin))
    return made


def _mean_hinge(seen: Tensor, elsewhere: Tensor, margin: float, bound=F.relu, power: int = 1, diagonal=False) -> Tensor:
    """The mean hinge over pairs, with something changed."""
    apart, away = torch.cdist(seen, seen) ** power, (seen - elsewhere).norm(dim=1)[:, None] ** power
    hinges = bound(apart - away + margin)
    pairs = torch.ones_like(hinges, dtype=torch.bool) if diagonal else ~torch.eye(len(seen), dtype=torch.bool)
    return hinges[pairs].mean()


@function_exercise(
    cases=_crops,
    hints=(
        "‖fₙ − fₘ‖, all n and m at once: torch.cdist(seen, seen), (N, N). ‖fₙ − eₙ‖: (seen - elsewhere).norm(dim=1).",
        "The second belongs to n, the row: [:, None] makes it (N, 1). max(0, …) is .clamp(min=0).",
        "A picture is no partner of its own: leave out the diagonal, and divide by N · (N − 1).",
    ),
    success="Yes: no label in it. Crops that agree with each other, and with nothing else, have no loss.",
    gives="a number",
)
def triplet_hinge(seen, elsewhere, margin):
    apart = torch.cdist(seen, seen)  # (N, N)
    away = (seen - elsewhere).norm(dim=1)  # (N,)
    hinges = (apart - away[:, None] + margin).clamp(min=0)
    others = ~torch.eye(len(seen), dtype=torch.bool)
    return hinges[others].mean()


@triplet_hinge.mistake("the diagonal is in it: each picture paired with itself, at distance 0")
def _(seen, elsewhere, margin):
    return _mean_hinge(seen, elsewhere, margin, diagonal=True)


@triplet_hinge.mistake("the diagonal is in the sum: each picture paired with itself; and then divided by N · (N − 1)")
def _(seen, elsewhere, margin):
    return _mean_hinge(seen, elsewhere, margin, diagonal=True) * len(seen) / (len(seen) - 1)


@triplet_hinge.mistake("turned round: this loss falls as crops grow *unlike* each other")
def _(seen, elsewhere, margin):
    return _mean_hinge(seen, elsewhere, margin, bound=lambda hinge: F.relu(2 * margin - hinge))


@triplet_hinge.mistake("max(0, …) is missing: a pair that is right by far would pay for one that is wrong")
def _(seen, elsewhere, margin):
    return _mean_hinge(seen, elsewhere, margin, bound=lambda hinge: hinge)


@triplet_hinge.mistake("the margin is taken off, not added: crops could stop before they are any nearer than others")
def _(seen, elsewhere, margin):
    return _mean_hinge(seen, elsewhere, -margin)


@triplet_hinge.mistake("the margin is missing")
def _(seen, elsewhere, margin):
    return _mean_hinge(seen, elsewhere, 0)


@triplet_hinge.mistake("these are squares of distances, as in the paper; here the distances themselves are asked for")
def _(seen, elsewhere, margin):
    return _mean_hinge(seen, elsewhere, margin, power=2)


@triplet_hinge.mistake("the mean comes after max(0, …): each pair has a hinge of its own")
def _(seen, elsewhere, margin):
    return _mean_hinge(seen, elsewhere, margin, bound=lambda hinge: hinge).clamp(min=0)


@triplet_hinge.mistake("the crop elsewhere is of the same picture n; you compare with those of the other pictures")
def _(seen, elsewhere, margin):
    hinges = F.relu(torch.cdist(seen, seen) - torch.cdist(seen, elsewhere) + margin)
    return hinges[~torch.eye(len(seen), dtype=torch.bool)].mean()


def _scores_of_two() -> list[tuple]:
    """Scores of two digits: undecided, sure, and of one that may be either of two."""
    generator = torch.Generator().manual_seed(19)
    first, second = (3 * torch.randn(4, 10, generator=generator, dtype=torch.float64) for _ in range(2))
    first[1] = 12 * F.one_hot(torch.tensor(4), 10)
    second[2] = 8 * (F.one_hot(torch.tensor(1), 10) + F.one_hot(torch.tensor(7), 10))
    return [(first, second), (second[:1], first[:1])]


def _up_to_a_constant(result, *given) -> dict[str, object]:
    return {"": torch.as_tensor(result).log_softmax(1)}  # scores mean the same with a constant added


def _over_pairs(first: Tensor, second: Tensor, gather) -> Tensor:
    """Gather what is known of all pairs of digits (B, 10, 10) to what is known of the sums (B, 19)."""
    both = first.log_softmax(1)[:, :, None] + second.log_softmax(1)[:, None]
    sums = torch.arange(10)[:, None] + torch.arange(10)
    return torch.stack([gather(both[:, sums == total]) for total in range(19)], dim=1)


@function_exercise(
    cases=_scores_of_two,
    observe=_up_to_a_constant,
    hints=(
        "Probabilities first, .softmax(1). The first is a *and* the second b: p[:, :, None] * q[:, None], (B, 10, 10).",
        "The sum 3 is 0 + 3, 1 + 2, 2 + 1 or 3 + 0: chances of ways that exclude each other add.",
        "torch.arange(10)[:, None] + torch.arange(10) has the sum of each pair. What is asked are logarithms.",
    ),
    success="Yes: nothing was learnt anew. Two networks of ten classes are one of nineteen.",
    gives="scores of the 19 sums, (B, 19)",
)
def sum_logits(first, second):
    pairs = first.softmax(1)[:, :, None] * second.softmax(1)[:, None]  # (B, 10, 10): chances of a and b
    sums = torch.arange(10)[:, None] + torch.arange(10)  # (10, 10): a + b
    return torch.stack([pairs[:, sums == total].sum(1) for total in range(19)], dim=1).log()


@sum_logits.mistake("these are the probabilities of the sums; scores are their logarithms")
def _(first, second):
    return _over_pairs(first, second, lambda ways: ways.exp().sum(1))


@sum_logits.mistake("a sum is as likely as all its ways together; you take the likeliest way alone")
def _(first, second):
    return _over_pairs(first, second, lambda ways: ways.amax(1))


@sum_logits.mistake("that is the mean over the ways to make a sum; their chances add: 9 can be made in ten ways")
def _(first, second):
    return _over_pairs(first, second, lambda ways: ways.logsumexp(1) - torch.tensor(ways.shape[1]).log())


@sum_logits.mistake("logarithms of ways are added here; it is the chances of the ways that add")
def _(first, second):
    return _over_pairs(first, second, lambda ways: ways.sum(1))


@sum_logits.mistake("the likeliest first digit plus the likeliest second: how sure each is gets lost")
def _(first, second):
    return F.one_hot(first.argmax(1) + second.argmax(1), 19).double()


@sum_logits.mistake("chances of a *and* b multiply, so their logarithms add; you add the chances")
def _(first, second):
    pairs = first.softmax(1)[:, :, None] + second.softmax(1)[:, None]
    sums = torch.arange(10)[:, None] + torch.arange(10)
    return torch.stack([pairs[:, sums == total].sum(1) for total in range(19)], dim=1).log()


def _two_looks() -> list[tuple]:
    looks = (
        ([[0.5, 0.25, -0.5], [1.25, 0.0, 0.5]], [[0.5, 0.5, 0.25], [0.75, -0.5, 0.0]]),
        ([[0.25, -0.75, 0.1]], [[2.0, 0.4, 1.0]]),
    )
    return [tuple(torch.tensor(each, dtype=torch.float64) for each in pair) for pair in looks]


@function_exercise(
    cases=_two_looks,
    hints=(
        "The second θ is in coordinates of what the first look saw. Take a point through both maps, the second first.",
        "A point p of the last output lies at s₂ p + t₂ in what the first saw. And that lies where in the picture?",
        "s₁ (s₂ p + t₂) + t₁ = (s₁ s₂) p + (s₁ t₂ + t₁).",
    ),
    success="Yes: the second's shift is in units of the first's frame, so that a close look moves in small steps.",
    gives="θ (B, 3)",
)
def second_look(first, second):
    size = first[:, :1]
    return torch.cat((size * second[:, :1], first[:, 1:] + size * second[:, 1:]), dim=1)


@second_look.mistake("the second shift is in units of the frame of the first; multiply it by the first's s")
def _(first, second):
    return torch.cat((first[:, :1] * second[:, :1], first[:, 1:] + second[:, 1:]), dim=1)


@second_look.mistake("the order is exchanged: that puts the first look into the frame of the second")
def _(first, second):
    return second_look.reference(second, first)


@second_look.mistake("sizes multiply: half of a half is a quarter")
def _(first, second):
    return torch.cat((first[:, :1] + second[:, :1], first[:, 1:] + first[:, :1] * second[:, 1:]), dim=1)


@second_look.mistake("that is the sum of both θ; two maps one after the other are a product")
def _(first, second):
    return first + second


@second_look.mistake("the first's shift is gone: the second look starts where the first has brought it")
def _(first, second):
    return torch.cat((first[:, :1] * second[:, :1], first[:, :1] * second[:, 1:]), dim=1)


@second_look.mistake("that is the second look at the picture itself; it was meant within the frame of the first")
def _(first, second):
    return second


@second_look.mistake("the shift is divided by s: a close look would move in large steps")
def _(first, second):
    return torch.cat((first[:, :1] * second[:, :1], first[:, 1:] + second[:, 1:] / first[:, :1]), dim=1)
