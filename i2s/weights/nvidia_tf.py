"""Networks from the pickles of the TensorFlow repositories: StyleGAN and StyleGAN2.

Such a file is a 3-tuple of networks (G, D, Gs), the last with averaged weights. A network is a name, its settings, a
list of variables, and component networks (mapping, synthesis). Convolution kernels lie as [height, width, in, out],
matrices as [in, out].
"""

from collections.abc import Mapping

from torch import Tensor

from i2s.errors import WeightFileError
from i2s.generators import layers
from i2s.generators.base import Generator, check_resolution, shown
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.weights.kwargs import Settings, settings_of_a_file
from i2s.weights.limits import printable
from i2s.weights.load_state import Entry, assemble, tensor_of
from i2s.weights.object_graph import TFNetwork

VERSIONS = {"G_style": (2, 3), "G_main": (4, 5)}  # StyleGAN; StyleGAN2 and its ADA branch
SYNTHESIS = {"G_style": ("G_synthesis",), "G_main": ("G_synthesis_stylegan2", "G_synthesis")}


def convert(networks: tuple) -> Generator:
    """The generator `Gs` of an unpickled 3-tuple; WeightFileError when it is none, or not as its settings say."""
    if len(networks) != 3 or not all(isinstance(network, TFNetwork) for network in networks):
        raise WeightFileError("it does not hold the three networks (G, D, Gs) of a TensorFlow file")
    top = networks[2]
    components = _field(top, "components", Mapping)
    if set(components) != {"mapping", "synthesis"}:
        raise WeightFileError("its network Gs does not consist of mapping and synthesis: it is no StyleGAN generator")
    mapping, synthesis = components["mapping"], components["synthesis"]
    name = _field(top, "build_func_name", str)
    if name not in VERSIONS:
        raise WeightFileError(f"its network Gs is a '{printable(name, 40)}': i2s reads 'G_style' and 'G_main'")
    for network, functions in ((top, (name,)), (mapping, ("G_mapping",)), (synthesis, SYNTHESIS[name])):
        if not isinstance(network, TFNetwork):
            raise WeightFileError("a component of its network Gs is not a network")
        version, function = _field(network, "version", int), _field(network, "build_func_name", str)
        if version not in VERSIONS[name]:
            known = " and ".join(map(str, VERSIONS[name]))
            raise WeightFileError(f"its networks are of version {shown(version)}: i2s reads {known} of this kind")
        if function not in functions:
            raise WeightFileError(f"it has a component '{printable(function, 40)}': i2s reads {functions[0]!r} there")
    variables = _variables(top, "") | _variables(mapping, "mapping/") | _variables(synthesis, "synthesis/")
    settings = Settings(_merged(top, mapping, synthesis), "the generator")
    return (_stylegan1 if name == "G_style" else _stylegan2)(settings, variables)


def _field(network: TFNetwork, name: str, kind: type) -> object:
    value = network.state.get(name) if isinstance(network.state, Mapping) else None
    if not isinstance(value, kind):
        raise WeightFileError(f"the field {name} of a network is missing or of a wrong type")
    return value


def _variables(network: TFNetwork, prefix: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for pair in _field(network, "variables", list):
        named = isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str)
        if not named or prefix + pair[0] in found:
            raise WeightFileError("the variables of a network are not a list of different names with their values")
        found[prefix + pair[0]] = pair[1]
    return found


def _merged(*networks: TFNetwork) -> dict[str, object]:
    """The settings of all three; what two of them say must agree."""
    merged: dict[str, object] = {}
    for network in networks:
        for name, value in Settings(_field(network, "static_kwargs", Mapping), "a network"):
            known = merged.setdefault(name, value)
            if type(known) is not type(value) or known != value:
                raise WeightFileError(f"the setting {printable(name, 40)} differs between the networks of the file")
    return merged


def _common(settings: Settings, fmap_base: int) -> dict[str, object]:
    """What both architectures share."""
    if settings.take("label_size", 0) != 0:
        raise WeightFileError("the network is conditional (it wants class labels): i2s reads unconditional ones only")
    settings.expect("num_channels", 3)
    settings.expect("dtype", "float32")
    settings.expect("normalize_latents", True)
    settings.expect("mapping_nonlinearity", "lrelu")
    settings.expect("nonlinearity", "lrelu")
    settings.expect("use_noise", True)
    settings.expect("fmap_decay", 1.0, 1)
    settings.ignore("truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val")
    settings.ignore("randomize_noise", "style_mixing_prob", "dlatent_avg_beta", "w_avg_beta", "label_fmaps")
    settings.ignore("impl", "is_training", "is_validation", "is_template_graph", "force_clean_graph", "return_dlatents")
    common = {"resolution": settings.take("resolution", 1024)}
    common |= {"z_dim": settings.take("latent_size", 512), "w_dim": settings.take("dlatent_size", 512)}
    common["mapping_layers"] = settings.take("mapping_layers", 8)
    common["mapping_lr_mul"] = settings.take("mapping_lrmul", 0.01)
    base, largest = settings.take_size("fmap_base", fmap_base), settings.take_size("fmap_max", 512)
    smallest = settings.take_size("fmap_min", 1)
    with settings_of_a_file():
        blocks = check_resolution(common["resolution"])
    common["channels"] = [max(min(base // 2 ** (k + 1), largest), smallest) for k in range(blocks)]
    settings.expect("dlatent_broadcast", None, 2 * blocks)
    return common


def _mapping_entries(count: int) -> dict[str, Entry | Tensor]:
    entries: dict[str, Entry | Tensor] = {"mapping.w_mean": Entry("dlatent_avg")}
    for k in range(count):
        entries[f"mapping.layers.{k}.weight"] = Entry(f"mapping/Dense{k}/weight", "io->oi")
        entries[f"mapping.layers.{k}.bias"] = Entry(f"mapping/Dense{k}/bias")
    return entries


def _flipped(kernel: Tensor) -> Tensor:
    return kernel.flip(2, 3)


def _stylegan1(settings: Settings, variables: dict[str, object]) -> Generator:
    common = _common(settings, fmap_base=8192)
    common["mapping_width"] = settings.take("mapping_fmaps", 512)
    fused = settings.take("fused_scale", "auto")
    if fused != "auto" and not isinstance(fused, bool):
        raise WeightFileError("the setting fused_scale is none that is known")
    for name in ("use_wscale", "use_styles", "const_input_layer", "use_instance_norm", "use_truncation"):
        settings.expect(name, True)
    settings.expect("use_pixel_norm", False)
    settings.expect("blur_filter", [1, 2, 1])
    settings.ignore("structure")  # ways of drawing the graph that are the same once training has reached full size
    settings.finish()
    with settings_of_a_file():
        config = StyleGAN1Config(**common)
    for name in ("lod", "synthesis/lod"):
        if name in variables and tensor_of(variables[name], name).ne(0).any():
            raise WeightFileError("it was saved while the network was still growing (lod is not 0): use a later one")
    readouts = [f"synthesis/ToRGB_lod{k}/{part}" for k in range(1, 11) for part in ("weight", "bias")]
    unused = ["lod", "synthesis/lod", *readouts]
    return assemble(StyleGAN1, config, variables, _stylegan1_entries(config, fused), unused)


def _stylegan1_entries(config: StyleGAN1Config, fused: str | bool) -> dict[str, Entry | Tensor]:
    entries = _mapping_entries(config.mapping_layers)
    entries["synthesis.const"] = Entry("synthesis/4x4/Const/const", "1chw->chw")
    entries["synthesis.fir"] = layers.fir_kernel((1, 2, 1))
    for k in range(len(config.channels)):
        r = 4 * 2**k
        names = ("Const", "Conv") if k == 0 else ("Conv0_up", "Conv1")
        # From 128 px upsampling and convolution are one transposed convolution, whose kernel is the other way round.
        flip = _flipped if fused is True or (fused == "auto" and r >= 128) else None
        for j, name in enumerate(names):
            there, here = f"synthesis/{r}x{r}/{name}", f"synthesis.blocks.{k}.layer{j}"
            if name != "Const":
                then = flip if name == "Conv0_up" else None
                entries[f"{here}.conv.weight"] = Entry(f"{there}/weight", "hwio->oihw", then)
            entries[f"{here}.noise_strength"] = Entry(f"{there}/Noise/weight")
            entries[f"{here}.bias"] = Entry(f"{there}/bias")
            entries[f"{here}.affine.weight"] = Entry(f"{there}/StyleMod/weight", "io->oi")
            entries[f"{here}.affine.bias"] = Entry(f"{there}/StyleMod/bias")
            entries[f"{here}.noise"] = Entry(f"synthesis/noise{2 * k + j}", "11hw->hw")
    entries["synthesis.to_rgb.weight"] = Entry("synthesis/ToRGB_lod0/weight", "hwio->oihw")
    entries["synthesis.to_rgb.bias"] = Entry("synthesis/ToRGB_lod0/bias")
    return entries


def _stylegan2(settings: Settings, variables: dict[str, object]) -> Generator:
    common = _common(settings, fmap_base=16384)
    if common["mapping_layers"] != 1 and settings.take("mapping_fmaps", 512) not in (None, common["w_dim"]):
        raise WeightFileError("its mapping network is of another width than w: i2s reads those of equal width only")
    settings.expect("resample_kernel", [1, 3, 3, 1])
    settings.expect("mapping_func", "G_mapping")
    settings.expect("synthesis_func", "G_synthesis_stylegan2", "G_synthesis")
    settings.ignore("fused_modconv", "num_fp16_res", "structure")
    common["architecture"] = settings.take("architecture", "skip")
    common["conv_clamp"] = settings.take("conv_clamp", None)
    settings.finish()
    with settings_of_a_file():
        config = StyleGAN2Config(**common)
    return assemble(StyleGAN2, config, variables, _stylegan2_entries(config), unused=["lod", "synthesis/lod"])


def _stylegan2_entries(config: StyleGAN2Config) -> dict[str, Entry | Tensor]:
    entries = _mapping_entries(config.mapping_layers)
    entries["synthesis.const"] = Entry("synthesis/4x4/Const/const", "1chw->chw")
    entries["synthesis.fir"] = layers.fir_kernel()
    last = len(config.channels) - 1
    for k in range(last + 1):
        there, here = f"synthesis/{4 * 2**k}x{4 * 2**k}", f"synthesis.blocks.{k}"
        convs = {"conv1": "Conv"} if k == 0 else {"conv0": "Conv0_up", "conv1": "Conv1"}
        for ours, theirs in convs.items():
            # their up-convolution is a correlation after inserting zeros; ours is a transposed convolution
            then = _flipped if theirs == "Conv0_up" else None
            entries |= _modulated(f"{here}.{ours}", f"{there}/{theirs}", then)
            entries[f"{here}.{ours}.noise_strength"] = Entry(f"{there}/{theirs}/noise_strength")
            noise = 0 if k == 0 else 2 * k - 1 + (ours == "conv1")
            entries[f"{here}.{ours}.noise"] = Entry(f"synthesis/noise{noise}", "11hw->hw")
        if config.architecture == "skip" or k == last:
            entries |= _modulated(f"{here}.to_rgb", f"{there}/ToRGB", None)
        if config.architecture == "resnet" and k > 0:
            entries[f"{here}.residual.weight"] = Entry(f"{there}/Skip/weight", "hwio->oihw")
    return entries


def _modulated(here: str, there: str, then) -> dict[str, Entry]:
    """A modulated convolution; the bias of the style's affine layer is kept as its distance from 1."""
    return {
        f"{here}.weight": Entry(f"{there}/weight", "hwio->oihw", then),
        f"{here}.bias": Entry(f"{there}/bias"),
        f"{here}.affine.weight": Entry(f"{there}/mod_weight", "io->oi"),
        f"{here}.affine.bias": Entry(f"{there}/mod_bias", "", lambda bias: bias + 1),
    }
