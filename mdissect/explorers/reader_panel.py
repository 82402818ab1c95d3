"""The panel in which a reader judges a neuron: initials, progress, own words if the reading is blind, verdict and reasons."""

from collections.abc import Callable

import ipywidgets as widgets

from mdissect.explorers.html import lines_html
from mdissect.explorers.reading_list import Place
from mdissect.explorers.verdicts import Notes
from mdissect.wording import VERDICT_MEANINGS, VERDICTS

NONE = "no verdict"
HIDDEN = "label hidden until you save your own words"
ASK = "What do the images have in common? Write it in your own words; then the label is shown."
BLIND_HELP = "hide labels until your own words are saved"


class VerdictPanel(widgets.VBox):
    """One reader's words, verdict and reasons on one neuron; each change is saved at once, earlier entries are shown.

    `go` is called with the layer and neuron of the next one that the reader has not judged; `redraw` when what may be shown
    has changed, which `hidden` (the label in view) and `blind` (labels that were not judged) say.
    """

    def __init__(self, go: Callable[[str, int], None], redraw: Callable[[], None]):
        self._notes, self._place, self._label, self._showing = None, None, "", False
        self._places: Callable[[str], list[Place]] = lambda _: []
        self._go, self._redraw, self.hidden, self._drawn = go, redraw, False, (False, False)
        self.kept: Callable[[], None] = lambda: None  # called when an entry was saved
        self.reader = widgets.Text(description="reader", placeholder="initials", layout=widgets.Layout(width="170px"))
        self.blind_box = widgets.Checkbox(
            description="blind", indent=False, tooltip=BLIND_HELP, layout=widgets.Layout(width="auto")
        )
        self.following = widgets.Button(description="next unjudged", layout=widgets.Layout(width="auto"))
        self.progress = widgets.HTML()
        self.words = widgets.Textarea(placeholder="your own words", rows=2, layout=widgets.Layout(width="auto"))
        self.reveal = widgets.Button(description="save words, show label", button_style="primary")
        self.reveal.layout = widgets.Layout(width="auto", align_self="flex-start")
        self.own = widgets.HTML()
        self.verdict = widgets.ToggleButtons(
            options=[NONE, *VERDICTS], tooltips=["", *VERDICT_MEANINGS.values()], style={"button_width": "95px"}
        )
        self.text = widgets.Textarea(placeholder="why", rows=2, layout=widgets.Layout(width="auto"))
        self.message = widgets.HTML()
        row = widgets.HBox([self.reader, self.blind_box, self.following, self.progress])
        row.layout.flex_flow, row.layout.align_items = "row wrap", "center"
        self._before = widgets.VBox([widgets.HTML(lines_html([ASK])), self.words, self.reveal])
        self._after = widgets.VBox([self.own, self.verdict, self.text])
        super().__init__([row, self._before, self._after, self.message])
        self.add_class("mdissect-verdict")
        self.reader.observe(lambda _: self._recall(), "value")
        self.blind_box.observe(lambda _: None if self._showing else self._recall(), "value")
        self.following.on_click(lambda _: self._next())
        self.reveal.on_click(lambda _: self._keep(words=self.words.value.strip()))
        self.words.observe(lambda _: self._allow(), "value")
        self.verdict.observe(lambda change: self._keep(verdict="" if change.new == NONE else change.new), "value")
        self.text.observe(lambda change: self._keep(text=change.new), "value")

    @property
    def blind(self) -> bool:
        """Whether labels are hidden until judged."""
        return self.blind_box.value

    def show(self, notes: Notes, layer: str, neuron: int, label: str, places: Callable[[str], list[Place]]) -> None:
        """Show a neuron and its label; `places` gives the study's neurons in a reader's order."""
        self._notes, self._place, self._label, self._places = notes, (layer, neuron), label, places
        self._showing = True
        if notes.blind:
            self.blind_box.value, self.blind_box.disabled = True, True
        self._showing = False
        self._recall(redraw=False)
        self._drawn = (self.hidden, self.blind)

    def _recall(self, redraw: bool = True) -> None:
        """Show this reader's earlier entries on this neuron."""
        self._showing, before = True, {"verdict": "", "text": "", "words": "", "label": ""}
        known, problem, cautions = bool(self.reader.value.strip()), "", []
        try:
            before = self._notes.recall(*self._place, self.reader.value) if known else before
            self._count()
            cautions = self._cautions(before)
        except (OSError, ValueError) as error:
            problem = f"The verdicts cannot be read: {error}"
        try:
            self._fill(before, known and not problem)
            self._say(problem or ("" if known else "Enter your initials to save a verdict."), *cautions)
        finally:
            self._showing = False
        if redraw and self._drawn != (self.hidden, self.blind):
            self._drawn = (self.hidden, self.blind)
            self._redraw()

    def _fill(self, before: dict, known: bool) -> None:
        self.hidden = self.blind and not (before["words"] or before["verdict"])
        self.words.value = before["words"]
        asked = f"Is “{self._label}” right for these images?" if self._label else "This neuron has no label."
        own = f"your own words: {before['words']}" if before["words"] else ""
        self.own.value = "" if self.hidden else lines_html([own, asked])
        self.verdict.value, self.text.value = before["verdict"] or NONE, before["text"]
        self.verdict.disabled = self.text.disabled = self.words.disabled = not known
        self._before.layout.display = None if self.hidden else "none"
        self._after.layout.display = "none" if self.hidden else None
        self._allow()

    def _allow(self) -> None:
        self.reveal.disabled = self.words.disabled or not self.words.value.strip()

    def _cautions(self, before: dict) -> list[str]:
        """What a reader has to know of earlier entries."""
        said = []
        if (before["verdict"] or before["words"]) and before["label"] not in ("", self._label):
            said.append(f"This verdict was given on another label, “{before['label']}”; choose again to judge the one shown.")
        if self.reader.value.strip() and self._place not in self._places(self.reader.value.strip()):
            said.append("This neuron is not among those of the study.")
        if others := self._notes.others:
            said.append(f"{self._notes.path.name} has {others} verdicts on another result of this name; they are kept apart.")
        return said

    def _judged(self) -> set[Place]:
        table, reader = self._notes.table, self.reader.value.strip()
        rows = table[(table.reader == reader) & (table.verdict != "")]
        return set(zip(rows.layer, rows.neuron, strict=True))

    def _count(self) -> None:
        reader = self.reader.value.strip()
        places = self._places(reader)
        done = len(self._judged().intersection(places)) if reader else 0
        self.progress.value = lines_html([f"{done} of {len(places)} judged"], faint=True)
        self.following.disabled = not reader or done == len(places)

    def _next(self) -> None:
        """Go to the next neuron in this reader's order without a verdict, from the one in view on, in a circle."""
        order, judged = self._places(self.reader.value.strip()), self._judged()
        start = order.index(self._place) + 1 if self._place in order else 0
        for place in [*order[start:], *order[:start]]:
            if place not in judged and place != self._place:
                self._go(*place)
                return
        self._say("This is the only one left without a verdict.")

    def _keep(self, **given: str) -> None:
        if self._showing:
            return
        was_hidden = self.hidden
        try:
            self._notes.record(*self._place, self.reader.value, label=self._label, **given)
            if was_hidden:
                self._recall()
            else:
                self._count()
            self.kept()
            self._say(f"kept in {self._notes.path.name}")
        except (OSError, ValueError) as error:
            self._say(f"The verdict could not be kept: {error}")

    def _say(self, *messages: str) -> None:
        self.message.value = lines_html(messages)
