"""What the notebooks share: set-up, pictures and plots in one style, and the explorers."""

from i2s.course.anatomy import enlarged, feature_maps, stages
from i2s.course.explorers import CrossoverExplorer, EmbedWatcher, MorphExplorer
from i2s.course.figures import bars, plot, plot_history, plot_spread, show, show_maps
from i2s.course.setup import Lab, setup

__all__ = [
    "CrossoverExplorer", "EmbedWatcher", "Lab", "MorphExplorer",
    "bars", "enlarged", "feature_maps", "plot", "plot_history", "plot_spread", "setup", "show", "show_maps", "stages",
]  # fmt: skip
