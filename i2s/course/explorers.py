"""Widgets for looking: plain classes over ipywidgets, one `Image` updated in place.

Only widgets common to ipywidgets 7 and 8 are used, and no `Output` widget, which would break strict notebook tests.
"""

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from i2s.course.figures import COLOURS, Sheet, encoded, show
from i2s.edits import crossover, morph
from i2s.embedding import Step
from i2s.errors import LatentError, SettingsError
from i2s.generators.base import Generator
from i2s.images import to_pil


def frame(image: Tensor, size: int) -> Image.Image:
    """One image [3, H, W] in [-1, 1] as a PIL picture of `size` px, enlarged without smoothing."""
    return to_pil(image).resize((size, size), Image.Resampling.NEAREST)


def named(codes: list[Tensor], names: list[str] | None, what: str) -> list[str]:
    """A name for each of at least two codes: those given, else "code 1", "code 2" ... LatentError, SettingsError."""
    if len(codes) < 2:
        raise LatentError(f"{what} needs at least two codes: give a list of two or more, each [num_ws, w_dim].")
    names = [f"code {k + 1}" for k in range(len(codes))] if names is None else list(names)
    if len(names) != len(codes):
        raise SettingsError(f"There are {len(names)} names for {len(codes)} codes: give one for each.")
    return names


def picture(width: int, height: int):
    """An Image widget that can take a title, see `say`. Its format is JPEG.

    JupyterLab asks a widget with a title for its description, which an Image does not have: without the empty one here
    it shows an error in place of the picture.
    """
    import ipywidgets as widgets
    from traitlets import Unicode

    class Picture(widgets.Image):
        description = Unicode("").tag(sync=True)

    return Picture(format="jpeg", width=width, height=height)


def say(image, text: str) -> None:
    """Give the Image widget a text for who cannot see it: its title, since it has no `alt`, from ipywidgets 8 on.

    Version 7 has no place for it; there the line under the picture says the same.
    """
    if image.has_trait("tooltip"):
        image.tooltip = text


class MorphExplorer:
    """A slider along the line between codes: w = lambda w1 + (1 - lambda) w2 (Image2StyleGAN: morphing).

    codes: two or more W+ codes, each [num_ws, w_dim]; with more than two, each whole number of the slider is a code.
    names: of the codes, for the status line. size: of the picture, in px.
    `widget` is what a cell shows; `slider` moves it, `play` lets it run; `snapshot()` is a static sheet for print.
    Errors: LatentError for fewer than two codes, SettingsError for too few names; later ones stand in the status line.
    """

    def __init__(self, generator: Generator, codes: list[Tensor], size: int = 256, names: list[str] | None = None):
        import ipywidgets as widgets

        self.names = named(codes, names, "A morph")
        self.generator, self.codes, self.size = generator, list(codes), size
        self.image = picture(size, size)
        self.slider = widgets.FloatSlider(
            value=0.0, min=0.0, max=float(len(codes) - 1), step=0.02, description="morph", continuous_update=True
        )
        self.play = widgets.Play(value=0, min=0, max=50 * (len(codes) - 1), interval=120, description="play the morph")
        self.status = widgets.Label("")
        self.slider.observe(lambda _: self.update(), names="value")
        self.play.observe(lambda change: self._play(change.new), names="value")
        self.widget = widgets.VBox([self.image, widgets.HBox([self.slider, self.play]), self.status])
        self.update()

    def code_at(self, position: float) -> Tensor:
        """The W+ code at a place of the slider: 0 is the first code, 1 the second."""
        first = min(int(position), len(self.codes) - 2)
        return morph(self.codes[first + 1], self.codes[first], position - first)

    def render(self, position: float) -> Tensor:
        """The image [3, R, R] there."""
        with torch.no_grad():
            return self.generator.synthesis(self.code_at(position)[None].to(self.generator.device))[0].cpu()

    def update(self) -> None:
        """Draw the image of the slider's place; what is shown, or what goes wrong, is said in the status line."""
        try:
            self.image.value = encoded(frame(self.render(self.slider.value), self.size))
            self.status.value = self.said(self.slider.value)
            say(self.image, f"Morph, {self.status.value}")
        except Exception as error:  # a widget has no other place to say it
            self.status.value = f"{type(error).__name__}: {error}"

    def said(self, position: float) -> str:
        """A place of the slider in words: how much of which code."""
        first = min(int(position), len(self.codes) - 2)
        lam = first + 1 - position
        return f"lambda {lam:.2f}: {lam:.2f} x {self.names[first]} + {1 - lam:.2f} x {self.names[first + 1]}"

    def _play(self, tick: int) -> None:
        """50 ticks lead from one code to the next."""
        self.slider.value = tick / 50

    def snapshot(self, count: int = 7) -> Sheet:
        """The same as a static sheet: `count` places from the first code to the last."""
        places = torch.linspace(0, len(self.codes) - 1, count).tolist()
        labels = [f"{p:.2f}" for p in places]
        alt = f"Morph from {' to '.join(self.names)}, in {count} pictures"
        return show([self.render(p) for p in places], labels=labels, columns=count, alt=alt)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)


class CrossoverExplorer:
    """Style transfer by crossover: the first rows of one code, the last rows of another (as in Image2StyleGAN).

    codes: two or more W+ codes [num_ws, w_dim], chosen by name as content and as style. `split` says how many rows come
    from the content; each of the `toggles`, one for each row, moves that row alone to the other side. `snapshot()` is a
    static sheet for print and GitHub. Errors: as for `MorphExplorer`.
    """

    def __init__(self, generator: Generator, codes: list[Tensor], names: list[str] | None = None, size: int = 256):
        import ipywidgets as widgets

        self.names, rows = named(codes, names, "A crossover"), generator.num_ws
        self.generator, self.codes, self.size = generator, list(codes), size
        options = [(name, k) for k, name in enumerate(self.names)]
        self.image = picture(size, size)
        self.content = widgets.Dropdown(options=options, value=0, description="content")
        self.style = widgets.Dropdown(options=options, value=1, description="style")
        self.split = widgets.IntSlider(
            value=rows // 2, min=0, max=rows, description="split", continuous_update=True
        )
        narrow = widgets.Layout(width="44px", min_width="44px")
        self.toggles = [
            widgets.ToggleButton(description=str(k), tooltip=f"move row {k} to the other side", layout=narrow)
            for k in range(rows)
        ]
        self.status = widgets.Label("")
        for control in (self.content, self.style, self.split, *self.toggles):
            control.observe(lambda _: self.update(), names="value")
        layers = widgets.HBox([widgets.Label("moved rows"), *self.toggles], layout=widgets.Layout(flex_flow="row wrap"))
        self.widget = widgets.VBox([self.image, self.content, self.style, self.split, layers, self.status])
        self.update()

    def style_rows(self) -> list[int]:
        """The rows that come from the style: those from the split on, and with a toggle the other way round."""
        return [k for k, toggle in enumerate(self.toggles) if (k >= self.split.value) != toggle.value]

    def code(self) -> Tensor:
        """The W+ code [num_ws, w_dim] that is shown."""
        return crossover(self.codes[self.content.value], self.codes[self.style.value], layers=self.style_rows())

    def render(self, code: Tensor) -> Tensor:
        """The image [3, R, R] of a code."""
        with torch.no_grad():
            return self.generator.synthesis(code[None].to(self.generator.device))[0].cpu()

    def update(self) -> None:
        """Draw what the controls say; what is shown, or what goes wrong, is said in the status line."""
        try:
            self.image.value = encoded(frame(self.render(self.code()), self.size))
            rows = self.style_rows()
            self.status.value = f"rows of the style: {', '.join(map(str, rows)) or 'none'}"
            say(self.image, f"{self.content.label} with the style of {self.style.label}, {self.status.value}")
        except Exception as error:  # a widget has no other place to say it
            self.status.value = f"{type(error).__name__}: {error}"

    def snapshot(self, splits: list[int] | None = None) -> Sheet:
        """The same as a static sheet: content, style, and the crossover at several splits, the toggles aside."""
        content, style = self.codes[self.content.value], self.codes[self.style.value]
        rows = self.generator.num_ws
        splits = list(range(rows, -1, -2)) if splits is None else splits
        images = [self.render(content), self.render(style)]
        images += [self.render(crossover(content, style, layers=list(range(k, rows)))) for k in splits]
        labels = ["content", "style"] + [f"split {k}" for k in splits]
        alt = f"Crossover of {self.content.label} and {self.style.label}: {', '.join(labels)}"
        return show(images, labels=labels, columns=len(images), size=128, alt=alt)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)


class EmbedWatcher:
    """Shows an embedding while it runs: photo, image so far, and the loss; give it to `embed(callback=...)`.

    Every `every` steps one JPEG frame is drawn in place.
    """

    def __init__(self, target: Tensor, every: int = 20, size: int = 192):
        import ipywidgets as widgets

        self.target, self.every, self.size = target.reshape(-1, *target.shape[-2:]), every, size
        self.losses: list[float] = []
        self.image = picture(4 * size, size)
        self.label = widgets.Label("photo | image so far | loss (logarithmic)")
        self.widget = widgets.VBox([self.image, self.label])

    def __call__(self, step: Step) -> None:
        self.losses.append(float(sum(step.terms.values())[0]))
        if step.step % self.every == 0 or step.step == step.steps:
            self.image.value = encoded(self.draw(step))
            self.label.value = f"photo | image at step {step.step} of {step.steps} | loss {self.losses[-1]:.3f}"
            say(self.image, f"Side by side: {self.label.value}")

    def draw(self, step: Step) -> Image.Image:
        """Photo, image and loss curve side by side."""
        picture = Image.new("RGB", (4 * self.size, self.size), "white")
        picture.paste(frame(self.target, self.size), (0, 0))
        picture.paste(frame(step.image[0].cpu(), self.size), (self.size, 0))
        picture.paste(self._curve(step.steps), (2 * self.size, 0))
        return picture

    def _curve(self, steps: int) -> Image.Image:
        width, height, margin = 2 * self.size, self.size, 12
        curve = Image.new("RGB", (width, height), "white")
        pen = ImageDraw.Draw(curve)
        logs = torch.tensor(self.losses).clamp_min(1e-8).log()
        low, high = min(float(logs.min()), float(logs[0]) - 1), float(logs.max())
        x = torch.arange(len(logs)) / max(steps, 1) * (width - 2 * margin) + margin
        y = (high - logs) / max(high - low, 1e-8) * (height - 2 * margin) + margin
        pen.line([(margin, margin), (margin, height - margin), (width - margin, height - margin)], fill="#888888")
        if len(logs) > 1:
            pen.line(torch.stack([x, y], dim=1).flatten().tolist(), fill=COLOURS[0], width=3)
        return curve

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)
