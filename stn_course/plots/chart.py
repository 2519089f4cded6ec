"""A patient's chart: the loss, the frame, the pull on it, and a few pictures with what was made of them."""

import torch

from stn_course.clinic import Chart
from stn_course.palette import BASELINE, GRADIENT, SOURCE, TARGET
from stn_course.plots.curves import draw_curves
from stn_course.plots.figure import Figure, styled
from stn_course.plots.frames import draw_border
from stn_course.plots.images import show_image

SHOWN = 3  # pictures


@styled
def chart(kept: Chart, name: str = "") -> Figure:
    """Draw a chart that `clinic.follow` has kept; the border of the frame is that of the end.

    Built in: 11, "Does the loss say what is wrong?".

    Example:
        >>> from stn_course.clinic import follow
        >>> from stn_course.exercises.patients import admit
        >>> print(chart(follow(*admit("D"), steps=4), "patient D").alt)
        patient D: after 4 steps 100% of the output lies outside; the pull on the frame is 0
    """
    pull = "0" if kept.pull[-1] == 0 else f"{kept.pull[-1]:.2g}"
    words = f"after {len(kept.loss)} steps {kept.outside[-1]:.0%} of the output lies outside"
    figure = Figure(f"{name}: {words}; the pull on the frame is {pull}", 9.6, 2.6)
    pictures = [[f"{row}{n}" for n in range(SHOWN)] for row in ("input", "output")]
    ratios = {"width_ratios": [3, 3, 3, *[1.4] * SHOWN]}
    axes = figure.subplot_mosaic([["loss", "frame", "pull", *row] for row in pictures], gridspec_kw=ratios)
    steps = torch.arange(1, len(kept.loss) + 1)
    draw_curves(axes["loss"], steps, {"loss": kept.loss}, legend=None, title=f"{name}\nloss", xlabel="step")
    frame = {"area": torch.tensor(kept.area).clamp(-2, 2), "outside": kept.outside}
    colours = {"area": SOURCE, "outside": BASELINE}
    draw_curves(axes["frame"], steps, frame, colours, title="mean frame", xlabel="step", ylim=(-2.1, 2.1))
    draw_curves(axes["pull"], steps, {"pull": kept.pull}, GRADIENT, legend=None, title="pull on it", xlabel="step")
    axes["pull"].set_ylim(bottom=0)
    low, high = kept.images.min(), kept.images.max()
    for n in range(SHOWN):
        show_image(axes[f"input{n}"], (kept.images[n] - low) / (high - low))
        draw_border(axes[f"input{n}"], kept.affine[n].flatten().float())
        show_image(axes[f"output{n}"], (kept.warped[n] - low) / (high - low))
        axes[f"output{n}"].spines[:].set(visible=True, color=TARGET)
    return figure
