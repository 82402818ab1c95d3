"""A picture that no saved state of a notebook holds."""

from pathlib import Path

import anywidget

HERE = Path(__file__).parent


class PassingPicture(anywidget.AnyWidget):
    """A JPEG that is sent to the browser as a message, also to one that opens later, and kept in memory alone."""

    _esm = HERE / "passing_picture.js"

    def __init__(self):
        super().__init__()
        self.jpeg, self.words = b"", ""
        self.on_msg(lambda *_: self._pass_on())

    def show(self, jpeg: bytes, words: str) -> None:
        """Show a picture, and say in words what it is; nothing for no words."""
        self.jpeg, self.words = jpeg, words
        self._pass_on()

    def _pass_on(self) -> None:
        self.send({"words": self.words}, [self.jpeg])
