"""JSON files that describe a model: read, and each field checked, with errors that name the file and the field."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mdissect.arguments import number, shown, whole_number
from mdissect.models.checkpoints import CheckpointError

LARGEST_BYTES = 4 << 20  # of a file of settings; tokenizers are read by their own library
MOST_WEIGHTS = 4_000_000_000  # more than the text or image tower of any published image-text model has
CODE = ("attn_implementation", "_attn_implementation")  # transformers runs the code of a repository that they name
Check = Callable[[str, object], object]


def read_settings(path: str | Path, advice: str = "fetch it again") -> dict:
    """The JSON object in a file, without settings that name code to be fetched and run (`CODE`), at any depth.

    CheckpointError for another file, or one too large or too deeply nested for settings.
    """
    path = Path(path)
    try:
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise CheckpointError(f"{path} has {size:,} bytes, no settings of a model have so many; {advice}")
        settings = json.loads(path.read_text(encoding="utf-8"), object_hook=_without_code)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); {advice}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is not valid JSON ({error}); {advice}") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path} holds a {type(settings).__name__}, not the settings of a model; {advice}")
    return settings


def _without_code(settings: dict) -> dict:
    return {name: value for name, value in settings.items() if name not in CODE}


def check_fields(settings: object, fields: Mapping[str, Check], source: object, needed: Collection[str] = ()) -> None:
    """Check the fields of a dict of settings, each by its function of name and value; CheckpointError for the first fault.

    `needed` are those that must be there.
    """
    if not isinstance(settings, Mapping):
        raise CheckpointError(f"{source} must hold settings by name, found {shown(settings)}")
    if missing := [name for name in needed if name not in settings]:
        raise CheckpointError(f"{source} has no {', '.join(missing)}; it has {', '.join(map(str, settings)) or 'nothing'}")
    for name, check in fields.items():
        if name in settings:
            try:
                check(name, settings[name])
            except (TypeError, ValueError) as error:
                raise CheckpointError(f"{source}: {error}") from error


def check_transformer(settings: object, source: object, needed: Collection[str] = ()) -> None:
    """Check the fields of a transformer's settings, and that the model is not too large for memory."""
    check_fields(settings, TRANSFORMER, source, needed)
    width, layers = settings.get("hidden_size", 0), settings.get("num_hidden_layers", 0)
    per_layer = 4 * width**2 + 2 * width * settings.get("intermediate_size", 0)
    weights = layers * per_layer + width * (settings.get("vocab_size", 0) + settings.get("max_position_embeddings", 0))
    if weights > MOST_WEIGHTS:
        raise CheckpointError(
            f"{source}: hidden_size={width}, num_hidden_layers={layers} and the rest make {weights:,} weights"
        )


@contextmanager
def building(source: object) -> Iterator[None]:
    """Re-raise errors of building a model from settings as a CheckpointError that names their file."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # the libraries raise whatever their code stumbles over
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"{source}: no model can be built from these settings ({reason})") from error


def one_number_or_list(name: str, value: object, length: int = 3) -> None:
    """Raise ValueError or TypeError unless the value is a finite number or a list of `length` of them."""
    if not isinstance(value, list):
        number(name, value)
        return
    if len(value) != length:
        raise ValueError(f"{name}={shown(value)} must be {length} numbers")
    for one in value:
        number(name, one)


def text_list(name: str, value: object) -> None:
    """Raise TypeError unless the value is a non-empty list of str."""
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise TypeError(f"{name}={shown(value)} must be a list of at least one str")


_positive = partial(whole_number, least=1)
WIDTH, COUNT = partial(_positive, most=65_536), partial(_positive, most=1_000)
# The fields of a transformer's settings, as transformers calls them.
TRANSFORMER: Mapping[str, Check] = {
    "vocab_size": partial(_positive, most=4_000_000),
    "hidden_size": WIDTH,
    "intermediate_size": partial(_positive, most=262_144),
    "num_hidden_layers": COUNT,
    "num_attention_heads": COUNT,
    "max_position_embeddings": partial(_positive, most=1_000_000),
    "image_size": WIDTH,
    "patch_size": WIDTH,
    "layer_norm_eps": partial(number, above=0, most=1),
}
