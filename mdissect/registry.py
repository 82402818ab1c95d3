"""Loaders by name: "demo/mammo" finds the loader registered for "demo" and passes it "mammo".

Also the public names of a folder, each imported when it is first used.
"""

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from types import ModuleType
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A loader, or its place ("module:function", imported when it is first needed), and how its names read in messages."""

    loader: Callable | str
    usage: str


class Registry:
    """Loaders of one kind, by name.

    >>> registry = Registry("target", "or an nn.Module")
    >>> @registry.register("demo", usage="demo/<name>")
    ... def load(rest, *, layers=None):
    ...     return rest, layers
    >>> registry.load("demo/mammo", {"layers": ["bn2"]})
    ('mammo', ['bn2'])

    `kind` and `other` (what may be given in place of a name) are for messages; `known` maps names to (place, usage) of
    loaders. `parted` names are "<prefix>/<rest>" and call loader(rest, **options); others are whole.
    """

    def __init__(self, kind: str, other: str, known: Mapping[str, tuple[str, str]] | None = None, parted: bool = True):
        self.kind, self.other, self.parted = kind, other, parted
        self.entries = {name: Entry(*entry) for name, entry in (known or {}).items()}

    def register(self, prefix: str, usage: str) -> Callable[[Callable], Callable]:
        """Decorator: "<prefix>/<rest>" calls the function as loader(rest, **options).

        `usage` is how such a name reads in messages, for instance "timm/<name>".
        """

        def add(loader: Callable) -> Callable:
            if prefix in self.entries:
                raise ValueError(f"{self.kind} {prefix!r} is registered already, as {self.entries[prefix].usage}")
            self.entries[prefix] = Entry(loader, usage)
            return loader

        return add

    def loader(self, prefix: str) -> Callable:
        """The loader of a name that is known."""
        loader = self.entries[prefix].loader
        if isinstance(loader, str):
            module, _, function = loader.partition(":")
            loader = getattr(importlib.import_module(module), function)
        return loader

    def options(self, spec: str) -> dict[str, Any]:
        """The options that the loader of a name takes, with their defaults; none where there is no such loader."""
        prefix = spec.partition("/")[0]
        known = inspect.signature(self.loader(prefix)).parameters.values() if prefix in self.entries else ()
        return {one.name: one.default for one in list(known)[1 if self.parted else 0 :]}

    def load(self, spec: str, options: dict) -> Any:
        """Call the loader of a name; ValueError lists the known and closest names, TypeError says which option does not fit."""
        known = f"known: {', '.join(sorted(entry.usage for entry in self.entries.values()))}, {self.other}"
        if not isinstance(spec, str):
            raise TypeError(f"a {self.kind} is named by a string, found {type(spec).__name__}; {known}")
        prefix, _, rest = spec.partition("/") if self.parted else (spec, "", "")
        if prefix not in self.entries:
            close = difflib.get_close_matches(prefix.lower(), self.entries, n=1, cutoff=0.5)
            hint = f"; did you mean {self.entries[close[0]].usage}?" if close else ""
            raise ValueError(f"unknown {self.kind} {spec!r}; {known}{hint}")
        return call(self.loader(prefix), f"{self.kind} {spec!r}", options, *([rest] if self.parted else []))


def call(loader: Callable, what: str, options: Mapping[str, Any], *arguments: Any) -> Any:
    """loader(*arguments, **options), by its annotations; options that are unknown or missing are an error that lists all."""
    parameters = list(inspect.signature(loader).parameters.values())[len(arguments) :]
    takes = {one.name: one for one in parameters if one.kind is not one.VAR_KEYWORD}
    unknown = [name for name in options if name not in takes] if len(takes) == len(parameters) else []
    missing = [name for name, one in takes.items() if one.default is one.empty and name not in options]
    if unknown or missing:
        faults = [f"{fault}: {', '.join(names)}" for fault, names in (("unknown", unknown), ("missing", missing)) if names]
        raise TypeError(f"options of the {what} ({', '.join(takes) or 'none'}): {'; '.join(faults)}")
    from mdissect.signatures import validated  # imports numpy, which the names of a folder do without

    checked = loader if hasattr(loader, "plain") else validated()(loader)
    return checked(*arguments, **options)


def hand_on(package: str, homes: Mapping[str, str], modules: Sequence[str] = ()) -> tuple[Callable, Callable, list[str]]:
    """``__getattr__, __dir__, __all__`` of a folder's ``__init__.py``, which import its public names when they are first used.

    `homes` maps modules of the folder `package` (its ``__name__``) to their public names, separated by spaces; `modules` are
    public themselves. A function may bear the name of its module: importing that module leaves the function in its place.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}
    public = sorted([*home_of, *modules])
    namesakes = {name for name, home in home_of.items() if name == home}
    if namesakes:
        sys.modules[package].__class__ = _keeping(namesakes)

    def find(name: str):
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return find, lambda: sorted({*vars(sys.modules[package]), *public}), public


def _keeping(functions: Set[str]) -> type[ModuleType]:
    """A kind of folder where a module, once it is imported, does not take the place of the function of its name."""

    class Folder(ModuleType):
        def __setattr__(self, name: str, value: object) -> None:
            taken = name in functions and isinstance(value, ModuleType)
            super().__setattr__(name, getattr(value, name) if taken else value)

    return Folder
