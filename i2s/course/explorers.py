"""Widgets for exploring: plain classes over ipywidgets, one `Image` updated in place.

Only widgets common to ipywidgets 7 and 8 are used, and no `Output` widget, which would break strict notebook tests.
"""

import math
from html import escape
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from i2s.course.figures import (
    COLOURS,
    DPI,
    NotebookImage,
    encode_image,
    in_course_style,
    new_axes,
    rasterize,
    set_log_scale,
    show,
)
from i2s.edits import crossover, morph
from i2s.embedding import Step
from i2s.errors import LatentError, SettingsError
from i2s.generators.base import Generator
from i2s.images import centre_crop, photo_list, to_pil

if TYPE_CHECKING:  # ipywidgets is needed in a notebook alone
    from IPython.display import DisplayHandle
    from ipywidgets import Image as ImageWidget
    from ipywidgets import Widget


def to_thumbnail(image: Tensor, size: int) -> Image.Image:
    """Convert the central square of an image, as for `to_pil`, to PIL, resized to `size` px."""
    return centre_crop(to_pil(image)).resize((size, size), Image.Resampling.BICUBIC)


def check_names(codes: list[Tensor], names: list[str] | None, what: str) -> list[str]:
    """Return a name for each of at least two codes: those given, else "code 1", "code 2" ...

    Raises:
        LatentError: There are fewer than two codes.
        SettingsError: There are more or fewer names than codes.
    """
    if len(codes) < 2:
        raise LatentError(f"{what} needs at least two codes: give a list of two or more, each [num_ws, w_dim].")
    names = [f"code {k + 1}" for k in range(len(codes))] if names is None else list(names)
    if len(names) != len(codes):
        raise SettingsError(f"There are {len(names)} names for {len(codes)} codes: give one for each.")
    return names


def image_widget(width: int, height: int) -> "ImageWidget":
    """Create an Image widget for JPEG data that can take an alternative text, see `set_alt`.

    JupyterLab asks a widget with a tooltip for its description, which an Image does not have: without the empty one
    here it shows an error in place of the image.
    """
    import ipywidgets as widgets
    from traitlets import Unicode

    class DescribedImage(widgets.Image):
        description = Unicode("").tag(sync=True)

    return DescribedImage(format="jpeg", width=width, height=height)


def set_alt(image: "ImageWidget", text: str) -> None:
    """Set the alternative text of an Image widget: its tooltip, since it has no `alt`, from ipywidgets 8 on.

    Version 7 has no place for it; there the line under the image says the same.
    """
    if image.has_trait("tooltip"):
        image.tooltip = text


def view_of(widget: "Widget") -> dict[str, Any]:
    """Return the display data of a widget, which `display` can replace later with any version of ipywidgets."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view, "text/plain": type(widget).__name__}


class StatusLine:
    """A line of text under an image, read out by screen readers when it changes (an ARIA live region).

    `widget` is what is shown, `value` the text.
    """

    def __init__(self, text: str = "") -> None:
        import ipywidgets as widgets

        self.widget = widgets.HTML()
        self.value = text

    @property
    def value(self) -> str:
        return self._text

    @value.setter
    def value(self, text: str) -> None:
        self._text = text
        self.widget.value = f'<span role="status" aria-live="polite">{escape(text)}</span>'


class MorphExplorer:
    """A slider along the line between codes: w = lambda w1 + (1 - lambda) w2 (Image2StyleGAN: morphing).

    `widget` is what a cell shows; `slider` moves it, `play` animates it; `snapshot()` is a contact sheet for print.
    Errors after the construction stand in the status line.

    Args:
        generator: Draws the images.
        codes: Two or more W+ codes, each [num_ws, w_dim]; each whole number of the slider is one of them.
        size: Width of the image, px.
        names: Of the codes, for the status line.

    Raises:
        LatentError: There are fewer than two codes.
        SettingsError: There are more or fewer names than codes.
    """

    def __init__(
        self, generator: Generator, codes: list[Tensor], size: int = 256, names: list[str] | None = None
    ) -> None:
        import ipywidgets as widgets

        self.names = check_names(codes, names, "A morph")
        self.generator = generator
        self.codes = list(codes)
        self.size = size
        # Widgets
        last = len(codes) - 1
        self.image = image_widget(size, size)
        self.slider = widgets.FloatSlider(
            value=0.0, min=0.0, max=float(last), step=0.02, description="morph", continuous_update=True
        )
        self.play = widgets.Play(value=0, min=0, max=50 * last, interval=120, description="play the morph")
        self.status = StatusLine()
        self.widget = widgets.VBox([self.image, widgets.HBox([self.slider, self.play]), self.status.widget])
        # Events; 50 ticks of `play` lead from one code to the next
        self.slider.observe(lambda _: self.update(), names="value")
        self.play.observe(lambda change: setattr(self.slider, "value", change.new / 50), names="value")
        self.slider.observe(lambda change: setattr(self.play, "value", round(change.new * 50)), names="value")
        self.update()

    def code_at(self, position: float) -> Tensor:
        """Return the W+ code at a position of the slider: 0 is the first code, 1 the second."""
        first = min(int(position), len(self.codes) - 2)
        return morph(self.codes[first + 1], self.codes[first], position - first)

    def render(self, position: float) -> Tensor:
        """Return the image [3, R, R] at a position."""
        with torch.no_grad():
            return self.generator.synthesis(self.code_at(position)[None].to(self.generator.device))[0].cpu()

    def update(self) -> None:
        """Draw the image at the slider's position; the status line describes it, or the error."""
        try:
            self.image.value = encode_image(to_thumbnail(self.render(self.slider.value), self.size))
            self.status.value = self.describe(self.slider.value)
            set_alt(self.image, f"Morph, {self.status.value}")
        except Exception as error:  # a widget has no other place for it
            self.status.value = f"{type(error).__name__}: {error}"

    def describe(self, position: float) -> str:
        """Describe a position: how much of which code."""
        first = min(int(position), len(self.codes) - 2)
        lam = first + 1 - position
        return f"lambda {lam:.2f}: {lam:.2f} x {self.names[first]} + {1 - lam:.2f} x {self.names[first + 1]}"

    def snapshot(self, count: int = 7) -> NotebookImage:
        """Return a contact sheet of `count` positions from the first code to the last."""
        positions = torch.linspace(0, len(self.codes) - 1, count).tolist()
        labels = [f"{position:.2f}" for position in positions]
        alt = f"Morph from {' to '.join(self.names)}, in {count} images"
        return show([self.render(position) for position in positions], labels=labels, columns=count, alt=alt)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)


class CrossoverExplorer:
    """Style transfer by crossover: the first rows of one code, the last rows of another (as in Image2StyleGAN).

    `content` and `style` choose the codes by name. `split` says how many rows come from the content; each of the
    `toggles`, one for each row, moves that row alone to the other side. `snapshot()` is a contact sheet for print.

    Args:
        generator: Draws the images.
        codes: Two or more W+ codes, each [num_ws, w_dim].
        names: Of the codes.
        size: Width of the image, px.

    Raises:
        LatentError: There are fewer than two codes.
        SettingsError: There are more or fewer names than codes.
    """

    def __init__(
        self, generator: Generator, codes: list[Tensor], names: list[str] | None = None, size: int = 256
    ) -> None:
        import ipywidgets as widgets

        self.names = check_names(codes, names, "A crossover")
        self.generator = generator
        self.codes = list(codes)
        self.size = size
        # Widgets
        rows = generator.num_ws
        options = [(name, k) for k, name in enumerate(self.names)]
        self.image = image_widget(size, size)
        self.content = widgets.Dropdown(options=options, value=0, description="content")
        self.style = widgets.Dropdown(options=options, value=1, description="style")
        self.split = widgets.IntSlider(value=rows // 2, min=0, max=rows, description="split", continuous_update=True)
        narrow = widgets.Layout(width="44px", min_width="44px")
        self.toggles = [
            widgets.ToggleButton(description=str(k), tooltip=f"move row {k} to the other side", layout=narrow)
            for k in range(rows)
        ]
        self.status = StatusLine()
        wrap = widgets.Layout(flex_flow="row wrap")
        layers = widgets.HBox([widgets.Label("moved rows"), *self.toggles], layout=wrap)
        self.widget = widgets.VBox([self.image, self.content, self.style, self.split, layers, self.status.widget])
        # Events
        for control in (self.content, self.style, self.split, *self.toggles):
            control.observe(lambda _: self.update(), names="value")
        self.update()

    def style_rows(self) -> list[int]:
        """Return the rows that come from the style: those from the split on; a toggle inverts its row."""
        return [k for k, toggle in enumerate(self.toggles) if (k >= self.split.value) != toggle.value]

    def code(self) -> Tensor:
        """Return the W+ code [num_ws, w_dim] that is shown."""
        return crossover(self.codes[self.content.value], self.codes[self.style.value], layers=self.style_rows())

    def render(self, code: Tensor) -> Tensor:
        """Return the image [3, R, R] of a code."""
        with torch.no_grad():
            return self.generator.synthesis(code[None].to(self.generator.device))[0].cpu()

    def update(self) -> None:
        """Draw the image of the controls; the status line describes it, or the error."""
        try:
            self.image.value = encode_image(to_thumbnail(self.render(self.code()), self.size))
            rows = self.style_rows()
            self.status.value = f"rows of the style: {', '.join(map(str, rows)) or 'none'}"
            set_alt(self.image, f"{self.content.label} with the style of {self.style.label}, {self.status.value}")
        except Exception as error:  # a widget has no other place for it
            self.status.value = f"{type(error).__name__}: {error}"

    def snapshot(self, splits: list[int] | None = None) -> NotebookImage:
        """Return a contact sheet of content, style and the crossover at several splits, without the toggles."""
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
    """A callback of `embed` that shows the photo, the current image and the loss, as one JPEG updated in place.

    When the cell has ended, the last frame stays as a still image. Of several photos, the first is shown. Errors after
    the construction stand in the label.

    Args:
        target: The photo, [3, R, R] or [N, 3, R, R] in [-1, 1], or what else `embed` takes, a list of it included.
        every: Steps between two updates.
        size: Width of photo and image, px.
    """

    def __init__(self, target: Any, every: int = 20, size: int = 192) -> None:
        import ipywidgets as widgets

        first = photo_list(target)[0]
        self.target = first[0] if isinstance(first, Tensor) and first.ndim == 4 else first
        self.every = int(every)
        self.size = int(size)
        self.losses: list[float] = []
        self.image = image_widget(4 * self.size, self.size)
        self.label = StatusLine("photo | current image | loss (logarithmic) against step")
        self.widget = widgets.VBox([self.image, self.label.widget])
        self.frame: Image.Image | None = None  # drawn last
        self.display: DisplayHandle | None = None  # the output that shows the watcher

    def __call__(self, step: Step) -> None:
        # a step that comes again takes its place, so that step 0 begins a new curve; a resumed run has a gap
        del self.losses[step.step :]
        self.losses += [math.nan] * (step.step - len(self.losses))
        self.losses.append(float(sum(step.terms.values())[0]))
        if step.step == 0:
            self.show_live()
        if step.step % self.every and step.step != step.steps:
            return
        try:
            self.frame = self.draw(step)
            self.image.value = encode_image(self.frame)
            photo = "photo" if len(step.w_plus) == 1 else f"photo 1 of {len(step.w_plus)}"
            self.label.value = f"{photo} | image at step {step.step} of {step.steps} | loss {self.losses[-1]:.3f}"
            set_alt(self.image, f"Side by side: {self.label.value}")
        except Exception as error:  # the embedding goes on
            self.label.value = f"{type(error).__name__}: {error}"

    def draw(self, step: Step) -> Image.Image:
        """Draw photo, current image and loss curve side by side."""
        image = Image.new("RGB", (4 * self.size, self.size), "white")
        image.paste(to_thumbnail(self.target, self.size), (0, 0))
        image.paste(to_thumbnail(step.image[0].cpu(), self.size), (self.size, 0))
        image.paste(self.draw_curve(step.steps), (2 * self.size, 0))
        return image

    @in_course_style
    def draw_curve(self, steps: int) -> Image.Image:
        """Plot the losses so far, on an axis of all planned steps."""
        figure, axes = new_axes((2 * self.size / DPI, self.size / DPI))
        axes.plot([max(loss, 1e-8) for loss in self.losses], color=COLOURS[0], linewidth=1.8)
        axes.set(xlabel="step", ylabel="loss", xlim=(0, max(steps, 1)))
        set_log_scale(axes)
        return rasterize(figure).convert("RGB").resize((2 * self.size, self.size))  # of this size but for rounding

    def show_live(self) -> None:
        """Show the widget until the running cell ends, then the last frame as a still image.

        A notebook that is opened without a kernel has the still image; of a widget it would show an error.
        """
        from IPython import get_ipython

        shell = get_ipython()
        if shell is None or self.display is None:
            return

        def settle(*_: object) -> None:
            shell.events.unregister("post_run_cell", settle)
            if self.frame is not None:
                self.display.update(NotebookImage(self.frame, alt=f"Side by side: {self.label.value}"))

        self.display.update(view_of(self.widget), raw=True)
        shell.events.register("post_run_cell", settle)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        self.display = display(view_of(self.widget), raw=True, display_id=True)
