"""Scripts that run in a reader's browser, shared by the explorers (as widgets) and the atlas (inlined)."""
