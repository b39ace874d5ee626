"""Generators from NVIDIA's TensorFlow pickles: StyleGAN and StyleGAN2.

Such a file is a 3-tuple of networks (G, D, Gs); Gs has the moving average of the weights. A network is a name, its
settings, a list of variables, and component networks (mapping, synthesis). Convolution kernels are [height, width, in,
out], matrices [in, out].
"""

from collections.abc import Mapping

from torch import Tensor

from i2s.errors import WeightFileError, printable
from i2s.generators import layers
from i2s.generators.base import Generator, check_resolution, shown
from i2s.generators.file import config_errors
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.weights.kwargs import Settings
from i2s.weights.load_state import Source, grey_as_rgb, load_state, tensor_of
from i2s.weights.object_graph import TFNetwork

VERSIONS = {"G_style": (2, 3), "G_main": (4, 5)}  # StyleGAN; StyleGAN2 and its ADA branch
COLOURS = {"weight": 3, "bias": 0}  # axis of the colours in the tensors of a toRGB layer
SYNTHESIS = {"G_style": ("G_synthesis",), "G_main": ("G_synthesis_stylegan2", "G_synthesis")}


def convert(networks: tuple) -> Generator:
    """Convert the three networks of a file to the generator `Gs`.

    Raises:
        WeightFileError: Gs is no such generator, or does not fit its settings.
    """
    if len(networks) != 3 or not all(isinstance(network, TFNetwork) for network in networks):
        raise WeightFileError("The file does not hold the three networks (G, D, Gs) of a TensorFlow file.")
    top = networks[2]
    components = _field(top, "components", Mapping)
    if set(components) != {"mapping", "synthesis"}:
        raise WeightFileError("Network Gs does not consist of mapping and synthesis: it is no StyleGAN generator.")
    mapping, synthesis = components["mapping"], components["synthesis"]
    name = _field(top, "build_func_name", str)
    if name not in VERSIONS:
        raise WeightFileError(f"Network Gs is a '{printable(name, 40)}': i2s reads 'G_style' and 'G_main'.")
    for network, functions in ((top, (name,)), (mapping, ("G_mapping",)), (synthesis, SYNTHESIS[name])):
        if not isinstance(network, TFNetwork):
            raise WeightFileError("A component of network Gs is not a network: the file is damaged.")
        version, function = _field(network, "version", int), _field(network, "build_func_name", str)
        if version not in VERSIONS[name]:
            known = " and ".join(map(str, VERSIONS[name]))
            raise WeightFileError(f"The networks have version {shown(version)}: i2s reads {known} of this kind.")
        if function not in functions:
            raise WeightFileError(
                f"Network Gs has a component '{printable(function, 40)}': i2s reads {functions[0]!r} there."
            )
    variables = _variables(top, "") | _variables(mapping, "mapping/") | _variables(synthesis, "synthesis/")
    settings = Settings(_merged(top, mapping, synthesis), "the generator")
    return (_stylegan1 if name == "G_style" else _stylegan2)(settings, variables)


def _field(network: TFNetwork, name: str, kind: type) -> object:
    value = network.state.get(name) if isinstance(network.state, Mapping) else None
    if not isinstance(value, kind):
        raise WeightFileError(f"Field {name} of a network is missing or of a wrong type: the file is damaged.")
    return value


def _variables(network: TFNetwork, prefix: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for pair in _field(network, "variables", list):
        named = isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str)
        if not named or prefix + pair[0] in found:
            raise WeightFileError(
                "The variables of a network are not pairs of a unique name and a value: the file is damaged."
            )
        found[prefix + pair[0]] = pair[1]
    return found


def _merged(*networks: TFNetwork) -> dict[str, object]:
    """Merge the settings of networks; what two of them say must agree."""
    merged: dict[str, object] = {}
    for network in networks:
        for name, value in Settings(_field(network, "static_kwargs", Mapping), "a network"):
            known = merged.setdefault(name, value)
            if type(known) is not type(value) or known != value:
                raise WeightFileError(f"Setting {printable(name, 40)} differs between the networks of the file.")
    return merged


def _common(settings: Settings, fmap_base: int) -> dict[str, object]:
    """Take the settings that both architectures share."""
    if settings.take("label_size", 0) != 0:
        raise WeightFileError(
            "The network is conditional (it needs class labels): i2s reads conditional ones of the torch repositories "
            "(StyleGAN2-ADA, StyleGAN3) only."
        )
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
    with config_errors():
        blocks = check_resolution(common["resolution"])
    common["channels"] = [max(min(base // 2 ** (k + 1), largest), smallest) for k in range(blocks)]
    settings.expect("dlatent_broadcast", None, 2 * blocks)
    return common


def _mapping_entries(count: int) -> dict[str, Source | Tensor]:
    entries: dict[str, Source | Tensor] = {"mapping.w_mean": Source("dlatent_avg")}
    for k in range(count):
        entries[f"mapping.layers.{k}.weight"] = Source(f"mapping/Dense{k}/weight", "io->oi")
        entries[f"mapping.layers.{k}.bias"] = Source(f"mapping/Dense{k}/bias")
    return entries


def flipped(kernel: Tensor) -> Tensor:
    return kernel.flip(2, 3)


def plus_one(bias: Tensor) -> Tensor:
    return bias + 1


def _stylegan1(settings: Settings, variables: dict[str, object]) -> Generator:
    grey = settings.take_channels("num_channels") == 1
    common = _common(settings, fmap_base=8192)
    common["mapping_width"] = settings.take("mapping_fmaps", 512)
    fused = settings.take("fused_scale", "auto")
    if fused != "auto" and not isinstance(fused, bool):
        raise WeightFileError("Setting fused_scale has an unknown value: i2s does not read this variant.")
    for name in ("use_wscale", "use_styles", "const_input_layer", "use_instance_norm", "use_truncation"):
        settings.expect(name, True)
    settings.expect("use_pixel_norm", False)
    settings.expect("blur_filter", [1, 2, 1])
    settings.ignore("structure")  # ways to build the graph that are equal once training has reached full resolution
    settings.finish()
    with config_errors():
        config = StyleGAN1Config(**common)
    for name in ("lod", "synthesis/lod"):
        if name in variables and tensor_of(variables[name], name).ne(0).any():
            raise WeightFileError(
                "The network was saved while it was still growing (lod is not 0): use a later snapshot."
            )
    if grey:
        axes = {f"synthesis/ToRGB_lod0/{part}": axis for part, axis in COLOURS.items()}
        variables = grey_as_rgb(variables, axes)
    readouts = [f"synthesis/ToRGB_lod{k}/{part}" for k in range(1, 11) for part in ("weight", "bias")]
    unused = ["lod", "synthesis/lod", *readouts]
    return load_state(StyleGAN1, config, variables, stylegan1_entries(config, fused), unused)


def stylegan1_entries(config: StyleGAN1Config, fused: str | bool) -> dict[str, Source | Tensor]:
    entries = _mapping_entries(config.mapping_layers)
    entries["synthesis.const"] = Source("synthesis/4x4/Const/const", "1chw->chw")
    entries["synthesis.fir"] = layers.fir_kernel((1, 2, 1))
    for k in range(len(config.channels)):
        r = 4 * 2**k
        names = ("Const", "Conv") if k == 0 else ("Conv0_up", "Conv1")
        # From 128 px upsampling and convolution are one transposed convolution, whose kernel is the other way round.
        flip = flipped if fused is True or (fused == "auto" and r >= 128) else None
        for j, name in enumerate(names):
            there, here = f"synthesis/{r}x{r}/{name}", f"synthesis.blocks.{k}.layer{j}"
            if name != "Const":
                then = flip if name == "Conv0_up" else None
                entries[f"{here}.conv.weight"] = Source(f"{there}/weight", "hwio->oihw", then)
            entries[f"{here}.noise_strength"] = Source(f"{there}/Noise/weight")
            entries[f"{here}.bias"] = Source(f"{there}/bias")
            entries[f"{here}.affine.weight"] = Source(f"{there}/StyleMod/weight", "io->oi")
            entries[f"{here}.affine.bias"] = Source(f"{there}/StyleMod/bias")
            entries[f"{here}.noise"] = Source(f"synthesis/noise{2 * k + j}", "11hw->hw")
    entries["synthesis.to_rgb.weight"] = Source("synthesis/ToRGB_lod0/weight", "hwio->oihw")
    entries["synthesis.to_rgb.bias"] = Source("synthesis/ToRGB_lod0/bias")
    return entries


def _stylegan2(settings: Settings, variables: dict[str, object]) -> Generator:
    grey = settings.take_channels("num_channels") == 1
    common = _common(settings, fmap_base=16384)
    common["mapping_width"] = settings.take_hidden_width("mapping_fmaps", 512, common)
    settings.expect("resample_kernel", [1, 3, 3, 1])
    settings.expect("mapping_func", "G_mapping")
    settings.expect("synthesis_func", "G_synthesis_stylegan2", "G_synthesis")
    settings.ignore("fused_modconv", "num_fp16_res", "structure")
    common["architecture"] = settings.take("architecture", "skip")
    common["conv_clamp"] = settings.take("conv_clamp", None)
    settings.finish()
    with config_errors():
        config = StyleGAN2Config(**common)
    if grey:
        paths = [f"synthesis/{4 * 2**k}x{4 * 2**k}/ToRGB" for k in range(len(config.channels))]
        variables = grey_as_rgb(variables, {f"{path}/{part}": axis for path in paths for part, axis in COLOURS.items()})
    return load_state(StyleGAN2, config, variables, stylegan2_entries(config), unused=["lod", "synthesis/lod"])


def stylegan2_entries(config: StyleGAN2Config) -> dict[str, Source | Tensor]:
    entries = _mapping_entries(config.mapping_layers)
    entries["synthesis.const"] = Source("synthesis/4x4/Const/const", "1chw->chw")
    entries["synthesis.fir"] = layers.fir_kernel()
    last = len(config.channels) - 1
    for k in range(last + 1):
        there, here = f"synthesis/{4 * 2**k}x{4 * 2**k}", f"synthesis.blocks.{k}"
        convs = {"conv1": "Conv"} if k == 0 else {"conv0": "Conv0_up", "conv1": "Conv1"}
        for ours, theirs in convs.items():
            # their up-convolution is a correlation after inserting zeros; ours is a transposed convolution
            then = flipped if theirs == "Conv0_up" else None
            entries |= _modulated(f"{here}.{ours}", f"{there}/{theirs}", then)
            entries[f"{here}.{ours}.noise_strength"] = Source(f"{there}/{theirs}/noise_strength")
            noise = 0 if k == 0 else 2 * k - 1 + (ours == "conv1")
            entries[f"{here}.{ours}.noise"] = Source(f"synthesis/noise{noise}", "11hw->hw")
        if config.architecture == "skip" or k == last:
            entries |= _modulated(f"{here}.to_rgb", f"{there}/ToRGB", None)
        if config.architecture == "resnet" and k > 0:
            entries[f"{here}.residual.weight"] = Source(f"{there}/Skip/weight", "hwio->oihw")
    return entries


def _modulated(here: str, there: str, then) -> dict[str, Source]:
    """Entries of a modulated convolution; the file has the bias of the affine layer minus 1."""
    return {
        f"{here}.weight": Source(f"{there}/weight", "hwio->oihw", then),
        f"{here}.bias": Source(f"{there}/bias"),
        f"{here}.affine.weight": Source(f"{there}/mod_weight", "io->oi"),
        f"{here}.affine.bias": Source(f"{there}/mod_bias", "", plus_one),
    }
