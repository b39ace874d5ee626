"""The course: setup of a lesson, figures, explorers, and for each lesson its helpers and exercise checks.

setup.py        device, generator and perceptual network of a lesson
figures.py      images and plots in one style, with alternative texts
explorers.py    widgets: a morph, a crossover, an embedding while it runs
checks.py       what the exercise checks share
calls.py        calls of a learner's function: on copies, with errors in the learner's lines only
lesson01.py     anatomy of StyleGAN: forward hooks, what each row of a code changes
lesson02.py     Z, W and W+
lesson03.py     loss design: distortions, feature inversion, LPIPS
lesson04.py     optimization: a face moved in its photo, four faulty runs
lesson05.py     editing: the people of the London Set
"""

from i2s.course.explorers import CrossoverExplorer, EmbedWatcher, MorphExplorer
from i2s.course.figures import bars, plot, plot_history, plot_spread, show, show_maps
from i2s.course.lesson01 import enlarge, feature_maps, layer_effects, layer_groups, stages, trace_layers
from i2s.course.lesson05 import People, fetch_photo, load_people
from i2s.course.setup import Lab, setup

__all__ = [
    "CrossoverExplorer",
    "EmbedWatcher",
    "Lab",
    "MorphExplorer",
    "People",
    "bars",
    "enlarge",
    "feature_maps",
    "fetch_photo",
    "layer_effects",
    "layer_groups",
    "load_people",
    "plot",
    "plot_history",
    "plot_spread",
    "setup",
    "show",
    "show_maps",
    "stages",
    "trace_layers",
]
