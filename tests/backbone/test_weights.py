from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import nn
from torchvision.transforms.v2 import functional

from tunesmith.backbone.sources import find_package, read_package
from tunesmith.backbone.timm.timm import Timm
from tunesmith.backbone.weights import content_hash, load_weights
from tunesmith.contract.protocols import Weights
from tunesmith.errors import WeightsError

LITE0_HASH = "6b121d4aa3d555fb8b711d3133450cf1"


def make_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), bn=nn.BatchNorm2d(4)))


@pytest.fixture
def tensors():
    return make_net(seed=1).state_dict()


@pytest.fixture
def save(tmp_path):
    def save(tensors, name="w.pth"):
        path = tmp_path / name
        save_file(tensors, path) if name.endswith("safetensors") else torch.save(tensors, path)
        return str(path)

    return save


def assert_loaded(net, tensors):
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name


def test_null_keeps_the_random_weights():
    net, same = make_net(), make_net()
    assert load_weights(net, None) == Weights()
    assert_loaded(net, same.state_dict())


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_state_dict_loads_whole(save, tensors, name):
    net = make_net()
    source = save(tensors, name)
    weights = load_weights(net, source)
    assert_loaded(net, tensors)
    assert weights == Weights(source, content_hash(tensors), matched=7)


def test_the_hash_is_of_the_content_alone(save, tensors):
    hashes = {load_weights(make_net(), save(tensors, n)).hash for n in ("a.pth", "b.safetensors")}
    hashes.add(load_weights(make_net(), "pretrained", pretrained=lambda: tensors).hash)
    assert len(hashes) == 1
    assert content_hash(dict(reversed(tensors.items()))) in hashes
    nhwc = {n: t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for n, t in tensors.items()}
    assert content_hash(nhwc) in hashes


def test_the_hash_sees_every_change(tensors):
    before = content_hash(tensors)
    one_bit = {**tensors, "conv.bias": tensors["conv.bias"].nextafter(torch.tensor(9.0))}
    renamed = {("x" if n == "conv.bias" else n): t for n, t in tensors.items()}
    reshaped = {**tensors, "conv.bias": tensors["conv.bias"].reshape(2, 2)}
    retyped = {**tensors, "conv.bias": tensors["conv.bias"].view(torch.int32)}
    assert before not in {content_hash(t) for t in (one_bit, renamed, reshaped, retyped)}


@pytest.mark.parametrize("prefix", ["module.", "model.", "model.module."])
def test_a_prefix_of_every_name_is_taken_off(save, tensors, prefix):
    net = make_net()
    wrapped = {prefix + n: t for n, t in tensors.items()} | {prefix + "fc.bias": torch.zeros(2)}
    weights = load_weights(net, save({"state_dict": wrapped}))
    assert_loaded(net, tensors)
    assert weights.ignored == ("fc.bias",)


@pytest.mark.parametrize("classifier", ["fc", "classifier", "head"])
def test_the_old_classifier_is_passed_over_and_recorded(save, tensors, classifier):
    extra = {f"{classifier}.weight": torch.zeros(5, 4), f"{classifier}.bias": torch.zeros(5)}
    weights = load_weights(make_net(), save({**tensors, **extra}))
    assert weights.ignored == tuple(extra)
    assert weights.matched == 7


def test_old_checkpoints_without_counters_load(save, tensors):
    del tensors["bn.num_batches_tracked"]
    weights = load_weights(make_net(), save(tensors))
    assert (weights.matched, weights.missing) == (6, ())


def test_half_precision_files_load(save, tensors):
    net = make_net()
    load_weights(net, save({n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}))
    assert net.conv.weight.dtype == torch.float32
    assert torch.equal(net.conv.weight, tensors["conv.weight"].half().float())


def test_surplus_missing_and_renamed_are_refused_by_name(save, tensors):
    surplus = {**tensors, "neck.weight": torch.zeros(1)}
    missing = {n: t for n, t in tensors.items() if n != "bn.weight"}
    renamed = {n.replace("conv.bias", "convolution.bias"): t for n, t in tensors.items()}
    for content, words in [
        (surplus, ["1 unknown (neck.weight)"]),
        (missing, ["1 missing (bn.weight)"]),
        (renamed, ["1 unknown (convolution.bias)", "1 missing (conv.bias)"]),
    ]:
        net, same = make_net(), make_net()
        with pytest.raises(WeightsError) as caught:
            load_weights(net, save(content))
        assert all(w in str(caught.value) for w in [*words, "backbone.strict=false"])
        assert_loaded(net, same.state_dict())  # refused means untouched


def test_not_strict_loads_what_fits_and_reports_the_rest(save, tensors):
    net = make_net()
    del tensors["bn.weight"]
    weights = load_weights(net, save({**tensors, "neck.weight": torch.zeros(1)}), strict=False)
    assert (weights.matched, weights.ignored, weights.missing) == (6, ("neck.weight",), ("bn.weight",))
    assert torch.equal(net.conv.weight, tensors["conv.weight"])


@pytest.mark.parametrize("strict", [True, False])
def test_another_shape_is_always_refused(save, tensors, strict):
    tensors["conv.weight"] = torch.zeros(4, 3, 5, 5)
    with pytest.raises(WeightsError, match=r"conv.weight \(4, 3, 5, 5\) for \(4, 3, 3, 3\)") as caught:
        load_weights(make_net(), save(tensors), strict=strict)
    assert "strict" not in str(caught.value)


def test_a_file_of_which_nothing_fits_is_always_refused(save):
    with pytest.raises(WeightsError, match=r"none of them"):
        load_weights(make_net(), save({"encoder.weight": torch.zeros(2)}), strict=False)


def test_long_lists_are_cut_short(save, tensors):
    surplus = {f"neck.{i}": torch.zeros(1) for i in range(9)}
    with pytest.raises(WeightsError, match=r"9 unknown \(neck.0, neck.1, neck.2, …\)"):
        load_weights(make_net(), save({**tensors, **surplus}))


def test_the_packaged_lite0_loads_by_position():
    weights = Timm("tf_efficientnet_lite0", weights="package:efficientnet_lite0").weights
    assert weights == Weights(
        "package:efficientnet_lite0", LITE0_HASH, matched=294, ignored=("_fc.weight", "_fc.bias"), missing=()
    )


@torch.no_grad()
def test_the_packaged_lite0_knows_a_palace_when_it_sees_one():
    """Weights in the wrong places of the right shapes would load too; a photograph's class shows where they are."""
    tensors = read_package(find_package("package:efficientnet_lite0"))
    backbone = Timm("tf_efficientnet_lite0", weights="package:efficientnet_lite0").eval()
    photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None] / 255
    photo = functional.resize(photo, [224], interpolation=functional.InterpolationMode.BICUBIC)
    features = backbone((functional.center_crop(photo, [224]) - 0.5) / 0.5).pooled
    outputs = features @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    assert outputs.argmax() == 698  # "palace" of ImageNet


@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet18", "mobilenetv2_050"])
def test_the_packaged_lite0_fits_nothing_else(name):
    with pytest.raises(WeightsError, match=r"backbone=timm backbone.name=tf_efficientnet_lite0"):
        Timm(name, weights="package:efficientnet_lite0")
