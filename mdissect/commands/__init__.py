"""The commands of ``python -m mdissect``, a module each."""
