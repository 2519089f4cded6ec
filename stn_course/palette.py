"""The colours of the course, in every figure and every explorer; each always means the same.

The target (output) and its regular grid are blue. The source side, the sampling grid and the border where the network
looks are vermillion. Gradients are green. A network without a transformer is grey. They are of the Okabe–Ito palette,
which colour-blind readers can tell apart.
"""

TARGET = "#0072B2"
SOURCE = "#D55E00"
GRADIENT = "#009E73"
BASELINE = "#7F7F7F"
INK = "#222222"

PAPER = "white"
OUTSIDE = "#E9E9E9"
"""What lies around an image: there are no pixels there."""
FAINT = "#9A9A9A"
"""Lines that stand back."""
QUIET = "#666666"
"""Words that stand back, and have to be read."""
