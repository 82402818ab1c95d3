"""What pytest loads wherever it is started: outputs of notebooks are compared by tests/notebook_outputs.py."""

pytest_plugins = ["notebook_outputs"]
