"""Loaders by name, and the folders' public names."""

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable

import pytest

import mdissect
from mdissect.registry import Registry, hand_on

FOLDERS = ["mdissect", *(one.name for one in pkgutil.walk_packages(mdissect.__path__, "mdissect.") if one.ispkg)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_hands_on_what_it_names(folder):
    face = importlib.import_module(folder)
    assert len(face.__doc__.strip().splitlines()) >= 2
    for name in getattr(face, "__all__", ()):
        value = getattr(face, name)
        assert isinstance(value, Callable) or name.isupper() or value.__name__ == f"{folder}.{name}", name


def test_names_are_imported_on_first_use_and_listed():
    code = (
        "import sys, mdissect; assert 'mdissect.dissection' not in sys.modules; assert 'Dissection' in dir(mdissect);"
        "mdissect.Dissection; assert 'mdissect.dissection' in sys.modules and 'Dissection' in vars(mdissect)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_a_folder_does_not_have():
    find, _, public = hand_on("mdissect.models", {"target": "Target freeze"}, modules=("load",))
    assert public == ["Target", "freeze", "load"]
    with pytest.raises(AttributeError, match=r"module 'mdissect.models' has no attribute 'Tarjet'"):
        find("Tarjet")


def test_a_loader_is_imported_when_it_is_needed():
    known = {"demo": ("mdissect.models.demo:load_demo_target", "demo/<name>"), "gone": ("mdissect.nowhere:load", "gone")}
    registry = Registry("target", "or an nn.Module", known)
    assert registry.options("demo/mammo") == {"layers": None}
    assert registry.options("strange") == {}
    with pytest.raises(ModuleNotFoundError):
        registry.load("gone", {})


def test_loaders_of_ones_own_stand_beside_the_others():
    registry = Registry("target", "or an nn.Module", {"demo": ("mdissect.models.demo:load_demo_target", "demo/<name>")})

    @registry.register("mine", usage="mine/<name>")
    def load(rest, *, layers=None):
        return rest, layers

    assert registry.load("mine/one", {"layers": ["a"]}) == ("one", ["a"])
    with pytest.raises(ValueError, match="target 'demo' is registered already, as demo/<name>"):
        registry.register("demo", usage="demo")(load)
