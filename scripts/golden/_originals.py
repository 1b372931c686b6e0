"""auto-gptq 0.7.1 and autoawq 0.2.9, module by module: their solvers, quantizers and packers are plain torch.

Neither package can be imported whole (both want CUDA extensions and older transformers), so single modules are loaded
from the archives that pip fetches into target/originals. What they import without needing it here is an empty module.
"""
import importlib.util
import logging
import pathlib
import subprocess
import sys
import tarfile
import types
import zipfile

HERE = pathlib.Path(__file__).resolve()
FETCHED = HERE.parents[2] / "target" / "originals"
logging.disable(logging.WARNING)


def fetched(package, version):
    """The unpacked archive of a package; pip fetches it the first time. A source archive needs wheel and setuptools."""
    root = FETCHED / f"{package}-{version}"
    if not root.exists():
        FETCHED.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation",
                        f"{package}=={version}", "-d", str(FETCHED)], check=True)
        archive = next(f for f in FETCHED.iterdir() if f.name.replace("_", "-").startswith(f"{package}-{version}"))
        if archive.suffix == ".whl":
            zipfile.ZipFile(archive).extractall(root)
        else:
            tarfile.open(archive).extractall(FETCHED)
    return root


def module(name, file):
    spec = importlib.util.spec_from_file_location(name, file)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def empty(name, **members):
    """A module of nothing but the members that an import statement asks for."""
    stub = types.ModuleType(name)
    stub.__dict__.update(members)
    stub.__path__ = []
    sys.modules[name] = stub


class Unused:
    """Stands for a class that is imported and never used here."""


def auto_gptq():
    """(quantization.gptq, quantization.quantizer, qlinear_cuda) of auto-gptq."""
    import torch
    root = fetched("auto-gptq", "0.7.1") / "auto_gptq"
    torch.cuda.synchronize = torch.cuda.empty_cache = lambda: None
    empty("auto_gptq")
    empty("auto_gptq.quantization")
    quantizer = module("auto_gptq.quantization.quantizer", root / "quantization" / "quantizer.py")
    gptq = module("auto_gptq.quantization.gptq", root / "quantization" / "gptq.py")
    return gptq, quantizer, module("auto_gptq_qlinear_cuda", root / "nn_modules" / "qlinear" / "qlinear_cuda.py")


def autoawq():
    """(quantize.quantizer, quantize.scale, modules.linear.gemm, utils.packing_utils) of autoawq."""
    root = fetched("autoawq", "0.2.9") / "awq"
    for package in ("awq", "awq.quantize", "awq.utils", "awq.modules", "awq.modules.linear", "awq.modules.triton"):
        empty(package)
    empty("awq.utils.calib_data", get_calib_dataset=None)
    module("awq.utils.utils", root / "utils" / "utils.py")
    module("awq.utils.module", root / "utils" / "module.py")
    packing = module("awq.utils.packing_utils", root / "utils" / "packing_utils.py")
    module("awq.modules.act", root / "modules" / "act.py")
    import transformers.activations as activations
    for name in ("NewGELUActivation", "PytorchGELUTanh", "GELUActivation"):
        if not hasattr(activations, name):
            setattr(activations, name, Unused)
    for path, name in (("bloom.modeling_bloom", "BloomGelu"), ("cohere.modeling_cohere", "CohereLayerNorm")):
        loaded = importlib.import_module("transformers.models." + path)
        if not hasattr(loaded, name):
            setattr(loaded, name, Unused)
    gemm = module("awq.modules.linear.gemm", root / "modules" / "linear" / "gemm.py")
    empty("awq.modules.linear", WQLinear_GEMM=gemm.WQLinear_GEMM, WQLinear_GEMV=None, WQLinear_Marlin=None,
          WQLinear_GEMVFast=None)
    scale = module("awq.quantize.scale", root / "quantize" / "scale.py")
    return module("awq.quantize.quantizer", root / "quantize" / "quantizer.py"), scale, gemm, packing


def awq_llama():
    """autoawq's class for Llama, of which get_layers_for_scaling is used; autoawq() first."""
    root = fetched("autoawq", "0.2.9") / "awq"
    empty("awq.models")
    empty("awq.models.base", BaseAWQForCausalLM=object)
    for name, member in (("block", "LlamaLikeBlock"), ("model", "LlamaLikeModel"), ("norm", "FasterTransformerRMSNorm")):
        empty(f"awq.modules.fused.{name}", **{member: Unused})
    empty("awq.modules.fused")
    empty("awq.utils.fused_utils", fuse_qkv=None)
    return module("awq.models.llama", root / "models" / "llama.py").LlamaAWQForCausalLM
