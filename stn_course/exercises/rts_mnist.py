"""The exercises of notebook 05: poses, fair tests, and a training that collapses."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parameters_to_vector

from stn_course.algebra import compose
from stn_course.data import load_mnist
from stn_course.exercises.exercise import function_exercise
from stn_course.models import STClassifier
from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.training import fit
from stn_course.transforms import Affine

_THETAS = ((0.8, -0.6, 0.1, 0.6, 0.8, -0.3), (1.3, 0.2, 0.4, -0.1, 1.2, 0.2), (0.5, 0.0, 0.3, 0.0, 0.5, -0.2))


@function_exercise(
    cases=lambda: [(torch.tensor(theta),) for theta in _THETAS],
    hints=(
        "Warped by θ and then by your answer, the digit has to be where it was: which θ is 'where it was'?",
        "The product of the two matrices has to be the identity.",
        "A 2×3 matrix has no inverse. Add the row (0, 0, 1), invert, take the row off.",
    ),
    success="Yes. This is what the transformer has to find, from the picture alone.",
    observe=lambda result, theta: {"your θ": result},
)
def straighten(theta):
    matrix = torch.cat((theta, torch.tensor([0, 0, 1.0]).to(theta))).view(3, 3)
    return torch.linalg.inv(matrix)[:2].flatten()


@straighten.mistake("−θ is not the inverse of θ: it turns the picture by half a circle")
def _(theta):
    return -theta


@straighten.mistake("one by each number is not the inverse of a matrix")
def _(theta):
    return torch.where(theta == 0, 0, 1 / theta)


@straighten.mistake("only the shift was turned round; scale and rotation have to be undone too")
def _(theta):
    return theta * torch.tensor([1, 1, -1, 1, 1, -1])


@straighten.mistake("the shift has to be undone as well, after it was scaled and turned: invert the whole 3×3 matrix")
def _(theta):
    inverse = torch.linalg.inv(theta.view(2, 3)[:, :2])
    return torch.cat((inverse, theta.view(2, 3)[:, 2:]), dim=1).flatten()


@straighten.mistake("the shift is undone in the wrong units: it was made before scale and rotation were undone")
def _(theta):
    inverse = torch.linalg.inv(theta.view(2, 3)[:, :2])
    return torch.cat((inverse, -theta.view(2, 3)[:, 2:]), dim=1).flatten()


@straighten.mistake("the transpose undoes a rotation, but not a scale")
def _(theta):
    linear = theta.view(2, 3)[:, :2].T
    return torch.cat((linear, -linear @ theta.view(2, 3)[:, 2:]), dim=1).flatten()


@straighten.mistake("that does it once more instead of undoing it")
def _(theta):
    return compose(theta[None], theta[None])[0]


def _turns() -> list[tuple]:
    made = []
    for degrees, scale in ((30.0, 1.0), (-50.0, 0.8), (130.0, 1.4), (-100.0, 0.7)):
        cos, sin = (scale * f(math.radians(degrees)) for f in (math.cos, math.sin))
        made.append((torch.tensor([cos, -sin, 0.2, sin, cos, -0.1], dtype=torch.float64),))
    return made


@function_exercise(
    cases=_turns,
    hints=(
        "θ = [[s cos φ, −s sin φ, …], [s sin φ, s cos φ, …]]: which two of the six tell the angle and not the scale?",
        "Their quotient is tan φ. But the quotient alone cannot tell 130° from −50°.",
        "math.atan2(y, x) can; math.degrees makes degrees of it.",
    ),
    success="Yes, all the way round, and whatever the scale.",
)
def angle(theta):
    return math.degrees(math.atan2(theta[3], theta[0]))


@angle.mistake("that is in radians; expected degrees")
def _(theta):
    return math.atan2(theta[3], theta[0])


@angle.mistake("the sign is wrong: sin φ stands in the second row, −sin φ in the first")
def _(theta):
    return -angle.reference(theta)


@angle.mistake("math.atan knows only the quotient, and cannot tell an angle from the one opposite: use math.atan2")
def _(theta):
    return math.degrees(math.atan(theta[3] / theta[0]))


@angle.mistake("math.acos forgets the sign, and θ's first number has the scale in it: use math.atan2 of two of them")
def _(theta):
    return math.degrees(math.acos(max(-1, min(1, theta[0]))))


@angle.mistake("math.asin cannot tell 130° from 50°, and θ's numbers have the scale in them: use math.atan2 of two")
def _(theta):
    return math.degrees(math.asin(max(-1, min(1, theta[3]))))


@angle.mistake("math.atan2 takes y first, then x: the sine, then the cosine")
def _(theta):
    return math.degrees(math.atan2(theta[0], theta[3]))


@function_exercise(
    cases=lambda: [(26, 52), (3, 3), (0, 5), (8, 2), (1, 0), (40, 61)],
    hints=(
        "Each image that only one of them misreads is the toss of a coin. In n tosses, how likely are exactly k heads?",
        "math.comb(n, k) / 2**n. Add them up for all k up to the smaller of the two counts.",
        "As uneven the other way round would have surprised as much: twice that, but not more than 1.",
    ),
    success="Yes. Two lines, and more honest than two margins.",
)
def by_chance(only_first, only_second):
    n, few = only_first + only_second, min(only_first, only_second)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(few + 1)) / 2**n)


@by_chance.mistake(
    "that counts one way of being uneven; the other network could as well have been the better one: twice"
)
def _(only_first, only_second):
    return sum(math.comb(only_first + only_second, k) for k in range(min(only_first, only_second) + 1)) / 2 ** (
        only_first + only_second
    )


@by_chance.mistake("a probability above 1: where the counts are equal, both tails share the middle")
def _(only_first, only_second):
    n, few = only_first + only_second, min(only_first, only_second)
    return 2 * sum(math.comb(n, k) for k in range(few + 1)) / 2**n


@by_chance.mistake("that is the chance of exactly this outcome; more uneven ones count, too")
def _(only_first, only_second):
    n = only_first + only_second
    return min(1.0, 2 * math.comb(n, min(only_first, only_second)) / 2**n)


@by_chance.mistake("the sum stops one too early: the outcome itself counts, too")
def _(only_first, only_second):
    n, few = only_first + only_second, min(only_first, only_second)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(few)) / 2**n)


@by_chance.mistake("that is a share of the images, not how likely it is")
def _(only_first, only_second):
    return min(only_first, only_second) / (only_first + only_second)


def _splits() -> list[tuple]:
    images = torch.randint(0, 250, (9, 1, 4, 4), generator=torch.Generator().manual_seed(4)).to(torch.uint8)
    images[:, :, 0] = 0  # as in most pictures, the margin is black
    first = images[0]
    alike = torch.stack(  # what one of them has in common with an image, and is another image all the same
        [
            first.flip(2),  # all its grey values, and so their sum and their mean
            first.flip(1),
            first.transpose(1, 2),
            torch.cat((images[2, :, :3], first[:, 3:]), dim=1),  # its last row
            torch.cat((first[:, :3], images[2, :, 3:]), dim=1),  # all but its last row
            first + (torch.arange(16).view(1, 4, 4) == 9).to(torch.uint8),  # all but one shade of one pixel
            first.clone().clamp(max=int(first.max()) - 7),  # nearly
            torch.full_like(first, int(images[3].max())),  # a grey value that occurs
            torch.full_like(first, 255),  # nothing at all
        ]
    )
    return [
        (torch.cat((images[:5], images[1:2], images[1:2])), images[[3, 7, 8, 3, 1]]),
        (images[:4], images[4:]),
        (images[:3], images[:3]),
        (images[:5], torch.cat((alike, images[3:4]))),
    ]


@function_exercise(
    cases=_splits,
    hints=(
        "Every test image has to be looked for among *all* training images, wherever it stands there.",
        "A set answers 'is it in there?' at once. Tensors cannot be put into a set by what they hold; bytes can: "
        "image.numpy().tobytes().",
    ),
    success="Yes. One line, and it should stand in every project.",
)
def shared(train, test):
    known = {image.numpy().tobytes() for image in train}
    return sum(image.numpy().tobytes() in known for image in test)


@shared.mistake("an image may stand at another place in the other split: compare each with all, not with its neighbour")
def _(train, test):
    n = min(len(train), len(test))
    return (train[:n] == test[:n]).flatten(1).all(1).sum()


@shared.mistake("one equal pixel does not make an equal image: the margins are black in nearly all of them")
def _(train, test):
    return (train[:, None] == test[None]).flatten(2).any(2).any(0).sum()


@shared.mistake("each grey value occurs somewhere among the training images; the whole *image* has to")
def _(train, test):
    return torch.isin(test, train).flatten(1).all(1).sum()


@shared.mistake("the same pixels may lie elsewhere: equal sums, means or sorted pixels do not make equal images")
def _(train, test):
    return torch.isin(test.flatten(1).sum(1), train.flatten(1).sum(1)).sum()


@shared.mistake("one equal row does not make an equal image: compare all of them")
def _(train, test):
    return shared.reference(train[:, :, -1], test[:, :, -1])


@shared.mistake("nearly equal is not equal, and whole numbers need no tolerance: compare with ==")
def _(train, test):
    near = (train[:, None].int() - test[None].int()).abs() <= 8
    return near.flatten(2).all(2).any(0).sum()


@shared.mistake("this is how many test images there are; expected how many of them are known from training")
def _(train, test):
    return len(test)


@shared.mistake("this counts pairs, or training images; expected how many *test* images are known")
def _(train, test):
    known = {image.numpy().tobytes() for image in test}
    return sum(image.numpy().tobytes() in known for image in train)


@shared.mistake("a tensor is found in a set only if it is the very same object: put its bytes in, .numpy().tobytes()")
def _(train, test):
    known = set(train)
    return sum(image in known for image in test)


@shared.mistake("an image that is there twice counts twice: expected how many of the test images, not how many kinds")
def _(train, test):
    return len({image.numpy().tobytes() for image in train} & {image.numpy().tobytes() for image in test})


def _small_network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        localisation = nn.Sequential(nn.Flatten(), nn.Linear(196, 32), nn.ReLU(), theta_head(32, Affine()))
        classifier = nn.Sequential(nn.Flatten(), nn.Linear(196, 32), nn.ReLU(), nn.Linear(32, 10))
    return STClassifier(SpatialTransformer(localisation), classifier)


def _train(optimizer, model):
    """Three epochs on digits of 14×14 pixels, and what became of θ, of the loss and of the classifier."""
    digits = load_mnist("train", offline=True)
    images = F.avg_pool2d(digits.images.to(next(model.parameters()).dtype) / 255, 2)  # (2000, 1, 14, 14)
    before = parameters_to_vector(model.classifier.parameters()).detach().clone()
    batches = list(zip(images.split(100), digits.labels.split(100)))
    history = fit(model, batches, epochs=3, optimizer=optimizer, progress=False)
    with torch.no_grad():
        away = float((model.spatial_transformer.theta(images[:500]) - Affine().identity()).abs().max())
        moved = float((parameters_to_vector(model.classifier.parameters()) - before).norm() / before.norm())
    stopped = history.stopped is not None  # not a number, and the model is back where it was last sound
    learnt = not stopped and history.column("loss")[-1] < 1
    # One rate that is too large spoils what the other part learns. Seen in some fifty trainings: what fails without
    # its classifier having run away, but with θ far off, fails because of θ.
    too_far = stopped or (not learnt and not moved < 8)
    lost = away >= 1.5 or (not learnt and away > 0.4)
    return {
        "does θ leave the identity (1 = yes)": float(stopped or away > 0.002),
        "does θ stay where there is something to see (1 = yes)": float(too_far or not lost),
        "does the classifier stay within reach (1 = yes)": float(not too_far),
        "does the loss come down below 1 (1 = yes)": float(learnt),
        "does the classifier change (1 = yes)": float(stopped or moved != 0),
    }


@function_exercise(
    cases=lambda: [(_small_network(),)],
    hints=(
        "Which of the two networks cannot stand steps of that size?",
        "A classifier that was pushed too far finds its way back. A transformer that looks beside the picture sees "
        "nothing there, and nothing tells it where to go.",
        'An optimiser takes groups, each with its own rate: [{"params": …, "lr": …}, {"params": …, "lr": …}].',
    ),
    success="Yes: θ stays where there is something to see, and both learn. The course's recipes have two rates, too.",
    observe=_train,
    gives="an optimiser over the model's parameters, such as torch.optim.SGD(model.parameters(), lr=0.1)",
)
def steady(model):
    return torch.optim.SGD(
        [
            {"params": model.spatial_transformer.parameters(), "lr": 0.003},
            {"params": model.classifier.parameters(), "lr": 0.3},
        ],
        momentum=0.9,
    )


@steady.mistake("θ still runs away: the steps of the localisation network are too large")
def _(model):
    return torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)


@steady.mistake("θ stays, but the loss is still above 1: the classifier can take, and needs, larger steps than that")
def _(model):
    return torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)


@steady.mistake("the steps of the classifier are too large: its weights run away, whatever θ does")
def _(model):
    inside, outside = model.spatial_transformer.parameters(), model.classifier.parameters()
    return torch.optim.SGD([{"params": inside, "lr": 0.003}, {"params": outside, "lr": 3}], momentum=0.9)


@steady.mistake("it trains because the transformer does not: its localisation network is to learn, too, only slower")
def _(model):
    return torch.optim.SGD(model.classifier.parameters(), lr=0.1, momentum=0.9)


@steady.mistake("the classifier is not in the optimiser: it stays as it was made")
def _(model):
    return torch.optim.SGD(model.spatial_transformer.parameters(), lr=0.003, momentum=0.9)


def _turned_and_recovered() -> list[tuple]:
    """True turns, and recovered ones that follow them by a share, with a habit of each class and some noise."""
    made = []
    for seed, (share, habit) in enumerate(((0.6, 20.0), (0.9, -35.0), (-0.2, 15.0), (0.0, 25.0))):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(60) % 3
        true = torch.randn(60, generator=generator, dtype=torch.float64) * 25 + 10 * labels
        noise = torch.randn(60, generator=generator, dtype=torch.float64) * 12
        made.append((true, share * true + habit * labels + noise, labels))
    return made


@function_exercise(
    cases=_turned_and_recovered,
    hints=(
        "Compare each digit with its own class: subtract from both the mean of the class.",
        "Then it is the slope of the line through the middle that fits best: Σ t r / Σ t².",
    ),
    success="Yes. A correlation would not have told how much is taken back, only how closely it follows.",
)
def share_taken_back(true, recovered, labels):
    t, r = (
        values - torch.stack([values[labels == label].mean() for label in labels.unique()])[labels]
        for values in (true, recovered)
    )
    return (t * r).sum() / t.square().sum()


def _without_habit(true, recovered, labels):
    return [
        values - torch.stack([values[labels == label].mean() for label in labels.unique()])[labels]
        for values in (true, recovered)
    ]


@share_taken_back.mistake("each class may have a habit of its own: subtract the mean of its class, not that of all")
def _(true, recovered, labels):
    t, r = true - true.mean(), recovered - recovered.mean()
    return (t * r).sum() / t.square().sum()


@share_taken_back.mistake("that line goes through zero, and neither turns nor habits have a mean of zero")
def _(true, recovered, labels):
    return (true * recovered).sum() / true.square().sum()


@share_taken_back.mistake("that is the correlation: it says how closely they follow a line, not how steep it is")
def _(true, recovered, labels):
    return torch.corrcoef(torch.stack(_without_habit(true, recovered, labels)))[0, 1]


@share_taken_back.mistake("that is the slope the other way round: true for each degree recovered. Divide by Σ t²")
def _(true, recovered, labels):
    t, r = _without_habit(true, recovered, labels)
    return (t * r).sum() / r.square().sum()


@share_taken_back.mistake("the spread of one by that of the other has no sign, and takes noise for an answer")
def _(true, recovered, labels):
    t, r = _without_habit(true, recovered, labels)
    return r.std() / t.std()


@share_taken_back.mistake("the mean of r / t is ruled by the digits that were hardly turned: fit one line to all")
def _(true, recovered, labels):
    t, r = _without_habit(true, recovered, labels)
    return (r / t).mean()
