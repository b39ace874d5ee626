"""What the notebooks share: set-up, pictures and plots in one style, and the explorers."""

from i2s.course.explorers import EmbedWatcher, MorphExplorer
from i2s.course.figures import plot_history, show
from i2s.course.setup import Lab, setup

__all__ = ["EmbedWatcher", "Lab", "MorphExplorer", "plot_history", "setup", "show"]
