"""A network as an ONNX file, by torch's exporter, checked by ONNX's own reference evaluator."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from skeletons.errors import ExportError
from skeletons.networks.plain import plain_layers
from skeletons.networks.same import demand_same
from skeletons.store import artifacts

NEEDED = ("onnx", "onnxscript")
INSTALL = "pip install 'skeletons-on-rashomon-ridge[onnx]'"


def write(network: nn.Module, images: Tensor, path: Path) -> float:
    """Write a network as ONNX, with a batch of any size, and check it.

    Args:
        network: as `networks.build.build` makes it.
        images: uint8, on which the file and the network must agree.
        path: of the file to write.

    Returns:
        The largest difference of a logit.

    Raises:
        ExportError: the packages for it are not installed, or the network cannot be exported.
        DifferenceError: the file computes something else.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"ONNX files need the package {missing[0]}; install it with {INSTALL}.")
    import onnx
    from onnx.reference import ReferenceEvaluator

    made = plain_layers(network).eval()
    batch = torch.export.Dim("batch", min=1)
    with artifacts.atomic(path) as temporary:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    made,
                    (images[:2].float(),),
                    temporary,
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                    input_names=["images"],
                    output_names=["logits"],
                    dynamic_shapes=({0: batch},),
                )
        except Exception as error:
            why = str(error).strip().splitlines()[0].rstrip(".")
            raise ExportError(f"The network cannot be written as ONNX: {why}.") from None
        evaluator = ReferenceEvaluator(onnx.load(temporary))
        (found,) = evaluator.run(None, {"images": images.float().numpy()})
        logits = torch.as_tensor(found)
        return demand_same(network, images, logits, path.name)
