"""Draw the README's picture: the network that comes with the course at work on crooked digits that come along too."""

import torch
from stamp import ROOT

from stn_course import plots
from stn_course.data import load_mnist
from stn_course.distortions import RTS
from stn_course.experiments import load_pretrained
from stn_course.files import atomic_write

SEED = 3


def main() -> None:
    digits = load_mnist("test", offline=True)
    rts = RTS()
    theta = rts.sample(len(digits), torch.Generator().manual_seed(SEED))
    crooked = rts.apply(digits.images.float() / 255, theta)
    turned = rts.pose(theta).degrees.abs()
    chosen = [int((turned * (digits.labels == label)).argmax()) for label in (2, 3, 5, 7, 8)]  # the most crooked ones
    figure = plots.learned_transformations(load_pretrained("rts-mnist/st-cnn"), crooked[chosen], digits.labels[chosen])
    with atomic_write(ROOT / "notebooks" / "straightened.png") as part:
        part.write_bytes(figure.png(dpi=90))


if __name__ == "__main__":
    main()
