"""What is drawn can be read: letters large enough, words dark enough, and lines that grey alone tells apart.

Alternative text, keyboard and labels are tested where they are made: in `test_plots`, `test_notebooks` and the browser.
"""

import functools
import sys

import pytest
import torch
from live import EXAMPLES
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import ImageDraw

from stn_course import palette, plots
from stn_course.clinic import follow
from stn_course.data import load_mnist
from stn_course.distortions import RTS
from stn_course.drawing import panel
from stn_course.exercises import patients
from stn_course.models import STCNN

SMALLEST = 11  # pixels of the screen
COLUMN = 900  # pixels of the screen that a figure may count on; a wider one is shown smaller


def luminance(colour) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b) -> float:
    """From 1 to 21; WCAG 2 asks for 4.5 of words, and for 3 of lines and marks."""
    bright, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_wcag():
    assert contrast("white", "black") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", ["TARGET", "SOURCE", "GRADIENT", "BASELINE", "INK"])
def test_every_colour_that_means_something_is_seen_on_paper(name):
    assert contrast(getattr(palette, name), palette.PAPER) >= 3


@pytest.fixture
def words(monkeypatch):
    """The (size, colour, background) of all words that the widgets draw; the background None where it varies."""
    found, panel_text, draw_text = [], panel.Panel.text, ImageDraw.ImageDraw.text

    def on_panel(self, point, text, colour, size, anchor="mm", halo=None):
        found.append((size, colour, halo))
        return panel_text(self, point, text, colour, size, anchor, halo)

    def on_picture(self, xy, text, fill=None, font=None, *arguments, **options):
        if fill != 255:  # a mask, for a panel
            found.append((font.size, fill, palette.PAPER))
        return draw_text(self, xy, text, fill, font, *arguments, **options)

    for name in [name for name in sys.modules if name.startswith("stn_course.drawing.")]:
        for kept in vars(sys.modules[name]).values():  # what an earlier test has drawn is drawn again
            getattr(kept, "cache_clear", lambda: None)()
    monkeypatch.setattr(panel.Panel, "text", on_panel)
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", on_picture)
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_words_in_what_can_be_dragged_are_large_and_dark(name, words):
    names = {"torch": torch}
    exec(EXAMPLES[name].source, names)
    names["explorer"].compose(**names["explorer"].state())
    assert words
    assert min(size for size, _, _ in words) >= SMALLEST
    for _, colour, background in words:  # on a panel dark words stand on paper, and bright ones on dark pixels
        backgrounds = [background] if background else [palette.PAPER, "black"]
        assert max(contrast(colour, each) for each in backgrounds) >= 4.5


@functools.cache
def digits():
    data = load_mnist("test", offline=True)[:6]
    return RTS()(data.images.float() / 255, torch.Generator().manual_seed(0)), data.labels


def some_poses():
    rts = RTS()
    return rts.pose(rts.sample(50, torch.Generator().manual_seed(0)))


THETA = torch.tensor([0.6, -0.3, 0.1, 0.3, 0.6, -0.1])
NETWORKS = [f"{kind} {i}" for kind in ("CNN", "STN") for i in range(3)]
HISTORY = [{"epoch": epoch, "loss": 1 / epoch, "accuracy": 1 - 1 / epoch} for epoch in range(1, 21)]
FIGURES = {
    "image_grid": lambda: plots.image_grid(digits()[0].repeat(4, 1, 1, 1), ["a title"] * 24),
    "warping": lambda: plots.warping(digits()[0][0], THETA, digits()[0][0]),
    "learning_curves": lambda: plots.learning_curves(
        {f"{kind} {i}": HISTORY for kind in ("CNN", "STN") for i in range(3)}
    ),
    "chart": lambda: plots.chart(follow(*patients.admit("K"), steps=4), "patient K"),
    "learned_transformations": lambda: plots.learned_transformations(STCNN().eval(), *digits()),
    "moved_frames": lambda: plots.moved_frames({"a title": torch.eye(3)}, "a frame"),
    "recovered_poses": lambda: plots.recovered_poses(some_poses(), some_poses()),
}


def test_every_figure_is_looked_at():
    makers = {n for n, f in vars(plots).items() if getattr(f, "__annotations__", {}).get("return") is plots.Figure}
    assert makers == FIGURES.keys()


@pytest.mark.parametrize("name", FIGURES)
def test_words_in_figures_are_large_and_dark(name):
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    dpi = 110
    shown = min(1, COLUMN / (figure.get_figwidth() * dpi))  # wider than the column, it is shown smaller
    words = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert words
    for text in words:
        assert text.get_fontsize() * dpi / 72 * shown >= SMALLEST, text
        assert contrast(text.get_color(), "white") >= 4.5, text


def test_curves_are_told_apart_without_colour():
    lines = FIGURES["learning_curves"]().axes[0].lines
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == len(lines) == 6
