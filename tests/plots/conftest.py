import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

mpl.use("Agg")


@pytest.fixture
def ax():
    return Figure(figsize=(6, 4)).add_subplot()


@pytest.fixture
def figure():
    return Figure(figsize=(12, 6), layout="constrained")
