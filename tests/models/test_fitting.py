"""Which part of a checkpoint is the model's: found by structure, chosen by name, refused where it is no weights."""

import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mdissect.models import CheckpointError, load_target, load_weights, read_state_dict


def body() -> nn.Module:
    torch.manual_seed(0)
    parts = {"stem": nn.Conv2d(1, 2, 1), "layer1": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "head": nn.Linear(2, 2)}
    return nn.ModuleDict(parts)


def under(prefix: str, state=None, change: float = 0.0) -> dict:
    state = body().state_dict() if state is None else state
    return {f"{prefix}{name}": value + change if value.is_floating_point() else value for name, value in state.items()}


def loaded(tmp_path, content, module=None, weights=None, **options):
    """The module and all notes, loaded from a file with this content."""
    torch.save(content, tmp_path / "a.pth")
    state, notes = read_state_dict(tmp_path / "a.pth", weights)
    module = body() if module is None else module
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    return module, notes + load_weights(module, state, source=tmp_path / "a.pth", **options)


LOSS = {"criterion.pos_weight": torch.ones(2)}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "prefix",
    [
        *("", "model.", "net.", "backbone.", "image_encoder.", "encoder.image_encoder.", "module.", "model.module."),
        *("_orig_mod.", "module._orig_mod.", "student.", "teacher.backbone.", "0.", "a.b.c.d.e.f."),
    ],
)
def test_any_prefix_is_taken_off_and_a_loss_left_over(tmp_path, prefix, strict):
    module, notes = loaded(tmp_path, under(prefix) | LOSS, strict=strict)
    torch.testing.assert_close(module.state_dict(), body().state_dict())
    assert notes == ["1 weights of the checkpoint not used, of criterion"]


@pytest.mark.parametrize(
    ("beside", "of"),
    [
        ({"loss.centres": torch.ones(3, 3)}, "loss"),
        ({"ema.decay": torch.tensor(0.9)}, "ema"),
        ({"optimizer.state.stem.weight.exp_avg": torch.ones(2)}, "optimizer"),
        ({"projector.0.weight": torch.ones(4, 2), "projector.0.bias": torch.ones(4)}, "projector"),
        ({"model.stem.total_ops": torch.zeros(1), "model.total_params": torch.zeros(1)}, "model.stem, model.total_params"),
        ({"model.layer1.index": torch.arange(4)}, "model.layer1"),
        ({"text_encoder.embeddings.weight": torch.ones(9, 2)}, "text_encoder"),
        ({"queue": torch.ones(2, 4), "queue_ptr": torch.zeros(1, dtype=torch.long)}, "queue, queue_ptr"),
    ],
)
def test_leftovers_of_training_are_named_in_one_note(tmp_path, beside, of):
    module, notes = loaded(tmp_path, under("model.") | beside)
    torch.testing.assert_close(module.state_dict(), body().state_dict())
    assert notes == [f"{len(beside)} weights of the checkpoint not used, of {of}"]


def test_the_module_may_be_wrapped_and_the_file_not(tmp_path):
    for wrapped in (nn.Sequential(body()), nn.ModuleDict({"model": nn.ModuleDict({"net": body()})})):
        _, notes = loaded(tmp_path, under("backbone."), module=wrapped)
        assert notes == []
        assert torch.equal(next(wrapped.parameters()), next(body().parameters()))


TWO_SETS = {
    "two dicts": ({"state_dict": under(""), "state_dict_ema": under("", change=1)}, "'state_dict', 'state_dict_ema'"),
    "moving average": (under("model.") | under("model_ema.module.", change=1), "'model', 'model_ema.module'"),
    "distilled": (under("student.backbone.") | under("teacher.backbone.", change=1), "'student.backbone', 'teacher.backbone'"),
    "online and target": (under("online_encoder.net.") | under("target_encoder.net.", change=1), "'online_encoder.net', 't"),
    "momentum": ({"state_dict": under("module.encoder_q.") | under("module.encoder_k.", change=1)}, "'state_dict.module.en"),
    "top and below": (under("") | under("ema.", change=1), "'', 'ema'"),
    "nested": ({"model": {"a": under(""), "b": under("", change=1)}, "epoch": 3}, "'model.a', 'model.b'"),
    "averaged": ({"model": under(""), "swa": {"module": under("", change=1)}, "best": under("", change=2)}, "3 sets"),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", TWO_SETS)
def test_several_sets_of_weights_are_listed(tmp_path, kind, strict):
    content, candidates = TWO_SETS[kind]
    with pytest.raises(CheckpointError, match=r"a\.pth: \d sets of weights fit ModuleDict.*choose one with weights=") as caught:
        loaded(tmp_path, content, strict=strict)
    assert candidates in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "weights", "change"),
    [
        ("two dicts", "state_dict", 0),
        ("two dicts", "state_dict_ema", 1),
        ("moving average", "model", 0),
        ("moving average", "model_ema", 1),
        ("distilled", "student", 0),
        ("distilled", "teacher.backbone", 1),
        ("online and target", "target_encoder.net", 1),
        ("momentum", "encoder_k", 1),
        ("momentum", "state_dict.module.encoder_q", 0),
        ("top and below", "", 0),
        ("top and below", "ema.", 1),
        ("nested", "model.b", 1),
        ("nested", "a", 0),
        ("averaged", "swa.module", 1),
        ("averaged", "best", 2),
    ],
)
def test_one_of_several_is_chosen_by_name(tmp_path, kind, weights, change):
    module, notes = loaded(tmp_path, TWO_SETS[kind][0], weights=weights)
    torch.testing.assert_close(module.state_dict(), under("", change=change))
    assert "not used" in " ".join(notes)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("ema", r"has no weights 'ema'; it has state_dict, state_dict_ema"),
        ("state_dict_emma", r"it has state_dict_ema, state_dict$"),
        ("stem", r"has several weights 'stem'; it has state_dict\.stem, state_dict_ema\.stem"),
        (3, r"weights=3 must be a str"),
    ],
)
def test_a_name_of_no_weights(tmp_path, weights, message):
    with pytest.raises(CheckpointError, match=message):
        loaded(tmp_path, TWO_SETS["two dicts"][0], weights=weights)


def test_equal_copies_are_no_choice(tmp_path):
    _, notes = loaded(tmp_path, {"model": under(""), "best": under("module.")})
    assert notes == ["11 weights of the checkpoint not used, of best"]


def test_the_state_of_an_optimizer_is_no_candidate(tmp_path):
    _, notes = loaded(tmp_path, {"model": under(""), "optimizer": {"momentum": under("", change=1)}})
    assert notes == ["11 weights of the checkpoint not used, of optimizer"]


@pytest.mark.parametrize("name", ["layer1.2.weight", "layer1.0.gate", "layer2.0.weight", "head2.weight", "stem.scale"])
def test_a_larger_model_of_the_family_is_not_taken_for_this_one(tmp_path, name):
    with pytest.raises(CheckpointError, match=f"1 weights unexpected in the file: {re.escape(name)}"):
        loaded(tmp_path, under("model.") | {f"model.{name}": torch.ones(2, 2)})


def test_another_architecture_is_named_with_its_shapes(tmp_path):
    wide = {name: value.repeat(*[2] * value.ndim) if value.ndim else value for name, value in body().state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"head\.bias \(file \(4,\), model \(2,\)\), .*it belongs to another architecture"
    ):
        loaded(tmp_path, under("model.", wide), strict=True)
    with pytest.raises(
        CheckpointError,
        match=r"do not fit ModuleDict \(0 of 11 do\).*encoder\.embeddings\.weight; it belongs to another architecture",
    ):
        loaded(tmp_path, {"encoder.embeddings.weight": torch.ones(3)}, strict=False)


def test_gaps_under_a_prefix_are_noted_when_not_strict(tmp_path):
    state = under("net.")
    del state["net.head.bias"]
    _, notes = loaded(tmp_path, state | LOSS, strict=False)
    assert notes == [
        "1 weights of the checkpoint not used, of criterion",
        "not loaded: 1 weights missing in the file: head.bias",
    ]


def broken(value) -> dict:
    return under("") | {"head.weight": value}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.tensor([[1.0, float("nan")], [1, 1]]), "is broken: 1 of 4 values are NaN or infinite as float32"),
        (torch.full((2, 2), float("inf")), "is broken: 4 of 4 values"),
        (torch.full((2, 2), float("-inf")).half(), "is broken: 4 of 4 values"),
        (torch.full((2, 2), 1e300, dtype=torch.float64), "is broken: 4 of 4 values are NaN or infinite as float32"),
        (torch.ones(2, 2, dtype=torch.complex64), "holds values of type complex64, float32 is needed;"),
        (torch.ones(2, 2, dtype=torch.int8), r"holds values of type int8, float32 is needed \(a quantised model\?\)"),
        (torch.ones(2, 2, dtype=torch.bool), "holds values of type bool"),
        (torch.ones(2, 2).to_sparse(), "is sparse"),
        (torch.ones(2, 2).to_sparse_csr(), "is sparse"),
        (torch.ones(2, 2, device="meta"), "has a shape but no values"),
        (torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8), "is quantised"),
    ],
    ids=["nan", "inf", "half", "double", "complex", "int8", "bool", "coo", "csr", "meta", "quantised"],
)
def test_values_that_are_no_weights_name_tensor_and_file(tmp_path, value, message, strict):
    with pytest.raises(CheckpointError, match=rf"a\.pth: weight 'head\.weight' {message}"):
        loaded(tmp_path, broken(value), strict=strict)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_other_precisions_are_converted(tmp_path, kind):
    module, notes = loaded(tmp_path, broken(torch.ones(2, 2, dtype=kind)))
    assert notes == []
    assert torch.equal(module["head"].weight, torch.ones(2, 2))


def test_infinite_masks_of_the_module_itself_are_weights_too():
    module = nn.Linear(2, 2)
    module.register_buffer("mask", torch.full((2, 2), float("-inf")).triu(1))
    assert load_weights(module, module.state_dict()) == []


@pytest.mark.parametrize("shape", [(0, 2), (2, 2, 1), (), (2, 3)])
def test_other_shapes_are_named(tmp_path, shape):
    with pytest.raises(CheckpointError, match=rf"head\.weight \(file {re.escape(str(shape))}, model \(2, 2\)\)"):
        loaded(tmp_path, broken(torch.ones(shape)))


def states() -> list[dict]:
    """Two trained copies of a model of timm with three classes."""
    import timm

    torch.manual_seed(1)
    return [timm.create_model("test_resnet", num_classes=3).state_dict() for _ in range(2)]


def test_a_prefix_and_a_loss_around_a_model_of_timm(tmp_path):
    state, _ = states()
    save_file(under("encoder.image_encoder.", state) | LOSS, tmp_path / "a.safetensors")
    target = load_target("timm/test_resnet", checkpoint=tmp_path / "a.safetensors")
    assert target.module.num_classes == 3
    assert torch.equal(target.module.fc.weight, state["fc.weight"])
    assert "1 weights of the checkpoint not used, of criterion" in target.notes


def test_one_of_two_models_of_timm(tmp_path):
    first, second = states()
    torch.save({"state_dict": first, "state_dict_ema": second}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="'state_dict', 'state_dict_ema'; choose one"):
        load_target("timm/test_resnet", checkpoint=tmp_path / "a.pth")
    target = load_target("timm/test_resnet", checkpoint=tmp_path / "a.pth", weights="state_dict_ema")
    assert torch.equal(target.module.fc.weight, second["fc.weight"])
    with pytest.raises(ValueError, match="weights='ema' names the weights in a checkpoint; give checkpoint= too"):
        load_target("timm/test_resnet", weights="ema")
