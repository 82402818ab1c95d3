"""``python -m mdissect doctor``: what is installed, which device, which data and weights are found, what to do next."""

import importlib.metadata
import platform

LIBRARIES = ("torch", "torchvision", "timm", "transformers", "numpy", "pandas", "matplotlib", "zarr", "jupyterlab", "papermill")


def report() -> int:
    """Print the state of this installation; returns 0 when the demo can run, else 1."""
    steps: list[str] = []
    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for line in (*_libraries(steps), _device(), *_concepts(steps), *_models(steps)):
        print(line)
    print("next:" if steps else "next: nothing is missing for the demo; `make figures` or `make lab`")
    for step in steps:
        print(f"  - {step}")
    return 1 if steps else 0


def _libraries(steps: list[str]) -> list[str]:
    lines = []
    for name in LIBRARIES:
        try:
            lines.append(f"  {name:13} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"  {name:13} missing")
            steps.append(f"install {name} (pip install -e . brings all)")
    return lines


def _device() -> str:
    import torch

    from mdissect.embed import resolve_device

    device = resolve_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return f"device: {device.type} ({name})"


def _concepts(steps: list[str]) -> list[str]:
    from mdissect.concepts import load_concepts

    try:
        concepts = load_concepts("mammography")
    except (OSError, ValueError) as error:
        steps.append(f"restore data/concepts/mammography.csv: {error}")
        return ["concepts: mammography missing or damaged"]
    return [f"concepts: mammography, {len(concepts)}"]


def _models(steps: list[str]) -> list[str]:
    from mdissect.models import load_dissector

    lines = []
    for name in ("demo/general", "demo/mammo", "demo/clip"):
        try:
            model = load_dissector(name)
            lines.append(
                f"{name}: found, weights {model.image_fingerprint[:12]}, {'aligned' if model.aligned else 'not aligned'}"
            )
        except (OSError, ValueError) as error:
            lines.append(f"{name}: not usable: {error}")
            steps.append(f"restore data/demo, or train it: python -m mdissect.phantom.train {name.removeprefix('demo/')}")
    return lines
