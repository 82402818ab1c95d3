"""Replacements for the classes in a pickle of weights, so that none of their own code is run."""

import math
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_PLAIN = re.compile(r"[fiuc]\d{1,2}|b1")


class Inert:
    """Replaces a harmless object that is not a weight (training arguments, a metric): accepts anything, keeps nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


class ArrayType:
    """Replaces numpy.dtype: its letter and size, such as "f4", and its byte order."""

    def __init__(self, code: object = "", *_):
        self.code, self.order = str(code), "="

    def __setstate__(self, state: Sequence):
        self.order = state[1] if len(state) > 1 and state[1] in ("<", ">") else "="

    def plain(self) -> np.dtype | None:
        """The numpy type, where it is one of numbers."""
        return np.dtype(self.code).newbyteorder(self.order) if _PLAIN.fullmatch(self.code) else None


class Array:
    """Replaces numpy.ndarray: the bytes of an array and how to read them."""

    def __init__(self, *_):
        self.state: tuple = ()

    def __setstate__(self, state: Sequence):
        self.state = tuple(state)

    def tensor(self) -> Tensor | None:
        """The array as a tensor; None where it holds no plain numbers."""
        try:
            _, shape, kind, by_columns, content = self.state
            kind = kind.plain()
            if kind is None or len(content) != math.prod(shape) * kind.itemsize:
                return None
            values = np.frombuffer(content, kind).reshape(shape, order="F" if by_columns else "C")
            return torch.from_numpy(values.astype(kind.newbyteorder("="), order="C"))
        except (AttributeError, TypeError, ValueError):
            return None


def array(*_) -> Array:
    """Replaces the function that numpy's pickles begin an array with."""
    return Array()


def plain_dict(*_) -> dict:
    """Replaces collections.defaultdict."""
    return {}


# Objects that often stand beside weights: arguments, numpy metrics, configurations of hydra (omegaconf) and the types and
# paths that these mention.
INERT_NAMES = (
    "argparse.Namespace",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.InterpolationResultNode",
    "pathlib.PosixPath",
    "typing.Any",
    *(f"omegaconf.base.{name}" for name in ("ContainerMetadata", "Metadata", "UnionNode")),
    *(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "Boolean", "Bytes", "Enum", "Float", "Integer", "Path", "String")),
    *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "str", "tuple")),
)
# As torch.serialization.safe_globals takes them: what is called, and in place of which name.
STAND_INS = (
    (plain_dict, "collections.defaultdict"),
    (Array, "numpy.ndarray"),
    (ArrayType, "numpy.dtype"),
    (array, "numpy.core.multiarray._reconstruct"),
    (array, "numpy._core.multiarray._reconstruct"),
    *((Inert, name) for name in INERT_NAMES),
)
