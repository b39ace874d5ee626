"""What the notebooks share: set-up, pictures and plots in one style, and the explorers."""

from i2s.course.anatomy import adain_layer, enlarged, feature_maps, layers_at_work, stages
from i2s.course.explorers import CrossoverExplorer, EmbedWatcher, MorphExplorer
from i2s.course.figures import bars, plot, plot_history, plot_spread, show, show_maps
from i2s.course.originals import fetch_original
from i2s.course.people import People, load_people
from i2s.course.setup import Lab, setup

__all__ = [
    "CrossoverExplorer", "EmbedWatcher", "Lab", "MorphExplorer", "People",
    "adain_layer", "bars", "enlarged", "feature_maps", "fetch_original", "layers_at_work", "load_people",
    "plot", "plot_history", "plot_spread", "setup", "show", "show_maps", "stages",
]  # fmt: skip
