"""The panel of an explorer in which a reader gives a verdict on the neuron in view."""

from html import escape

import ipywidgets as widgets

from mdissect.explorer_views import TEXT
from mdissect.notes import VERDICTS, Notes

NONE = "no verdict"


class VerdictPanel(widgets.VBox):
    """Initials, verdict and free text on one neuron; each change is kept at once, what was given before is shown again.

    Parameters
    ----------
    notes : Notes
        Others may be set in their place.
    """

    def __init__(self, notes: Notes):
        self.notes, self._place, self._label, self._showing = notes, None, "", False
        self.reader = widgets.Text(description="reader", placeholder="initials", layout=widgets.Layout(width="170px"))
        self.verdict = widgets.ToggleButtons(options=[NONE, *VERDICTS], style={"button_width": "95px"})
        self.text = widgets.Textarea(placeholder="why", rows=2, layout=widgets.Layout(flex="1 1 auto", width="auto"))
        self.message = widgets.HTML()
        super().__init__([widgets.HBox([self.reader, self.verdict]), widgets.HBox([self.text]), self.message])
        self.reader.observe(lambda _: self._recall(), "value")
        self.verdict.observe(lambda change: self._keep(verdict="" if change.new == NONE else change.new), "value")
        self.text.observe(lambda change: self._keep(text=change.new), "value")

    def show(self, layer: str, neuron: int, label: str) -> None:
        """Turn to a neuron and what it is called."""
        self._place, self._label = (layer, neuron), label
        self._recall()

    def _recall(self) -> None:
        """Show what this reader said of this neuron before."""
        self._showing = True
        try:
            known = bool(self.reader.value.strip())
            before = self.notes.recall(*self._place, self.reader.value) if known else {"verdict": "", "text": ""}
            self.verdict.value, self.text.value = before["verdict"] or NONE, before["text"]
            self.verdict.disabled = self.text.disabled = not known
            self._tell("" if known else "Give your initials to keep a verdict.")
        except (OSError, ValueError) as error:
            self._tell(f"The verdicts cannot be read: {error}")
        finally:
            self._showing = False

    def _keep(self, **given: str) -> None:
        if self._showing:
            return
        try:
            self.notes.record(*self._place, self.reader.value, label=self._label, **given)
            self._tell(f"kept in {self.notes.path.name}")
        except (OSError, ValueError) as error:
            self._tell(f"The verdict could not be kept: {error}")

    def _tell(self, message: str) -> None:
        self.message.value = f'<div style="{TEXT}">{escape(message)}</div>'
