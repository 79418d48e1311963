"""A BERT sentence model as an ONNX graph, made from its safetensors weights without torch.

Devlin et al. 2018 (arXiv:1810.04805) with the pooling of Reimers and Gurevych 2019 (arXiv:1908.10084):
embeddings -> layers of self-attention and feed-forward -> mean over the tokens -> unit length. It holds the
same operations as the model in `transformers`, so the vectors agree to the rounding of float32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from processor.errors import ConfigurationError

OPSET: Final = 20  # the first with Gelu
IR_VERSION: Final = 10
REQUIRED: Final = {
    "model_type": {"bert"},
    "hidden_act": {"gelu"},
    "position_embedding_type": {"absolute"},
    "modules": {"Pooling, Transformer"},  # a Dense layer, for one, is not in the graph
    "pooling": {"mean", "pooling_mode_mean_tokens"},
}


def bert_graph(folder: Path) -> ModelProto:
    """The graph: input_ids and attention_mask, both int64 [batch, tokens] -> `vectors`, float32 [batch, dim].

    Args:
        folder: config.json, model.safetensors and 1_Pooling/config.json as sentence-transformers stores them.

    Raises:
        ConfigurationError: another architecture, or another pooling than the mean.
    """
    config = _config(folder)
    graph = _Graph(load_file(folder / "model.safetensors"), float(config["layer_norm_eps"]))
    hidden = _embeddings(graph)
    bias = _mask_bias(graph)
    for number in range(config["num_hidden_layers"]):
        hidden = _layer(graph, f"encoder.layer.{number}", hidden, bias, config["num_attention_heads"])
    _pooled(graph, hidden)
    return graph.model(dim=config["hidden_size"])


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = {"position_embedding_type": "absolute", **_json(folder / "config.json")}
    pooling = _json(folder / "1_Pooling" / "config.json")
    modules = {module["type"].rsplit(".")[-1] for module in _json(folder / "modules.json")}
    config["modules"] = ", ".join(sorted(modules - {"Normalize"}))
    # one text since sentence-transformers 6, a flag for each mode before
    flags = [name for name, value in pooling.items() if name.startswith("pooling_mode_") and value is True]
    config["pooling"] = pooling.get("pooling_mode") or ", ".join(flags)
    wrong = [
        f"{name} {config.get(name)}" for name, value in REQUIRED.items() if config.get(name) not in value
    ]
    if wrong:
        raise ConfigurationError(
            f"EMBEDDING_ENGINE=onnx cannot run the model in {folder}: {'; '.join(wrong)}",
            hint="make torch, and EMBEDDING_ENGINE=sentence-transformers",
        )
    return config


def _json(file: Path) -> Any:
    return json.loads(file.read_text())


class _Graph:
    """Nodes in the making; every value has a name, `add` and the like return that of their result."""

    def __init__(self, weights: dict[str, NDArray[Any]], epsilon: float) -> None:
        self._weights = weights
        self._epsilon = epsilon
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, inputs, [name], **attributes))
        return name

    def constant(self, name: str, value: NDArray[Any]) -> str:
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def integers(self, *values: int) -> str:
        return self.constant(f"i{values}", np.array(values, dtype=np.int64))

    def number(self, value: float) -> str:
        return self.constant(f"f{value}", np.array(value, dtype=np.float32))

    def weight(self, name: str) -> str:
        return self.constant(name, self._weights[name].astype(np.float32))

    def linear(self, name: str, value: str) -> str:
        """torch keeps [out, in]; MatMul wants [in, out]."""
        matrix = self.constant(f"{name}.T", self._weights[f"{name}.weight"].astype(np.float32).T)
        return self.add("Add", self.add("MatMul", value, matrix), self.weight(f"{name}.bias"))

    def normed(self, name: str, value: str) -> str:
        scale, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", value, scale, shift, axis=-1, epsilon=self._epsilon)

    def width(self, name: str) -> int:
        return int(self._weights[f"{name}.weight"].shape[0])

    def model(self, dim: int) -> ModelProto:
        self._nodes.append(helper.make_node("Identity", [self._nodes[-1].output[0]], ["vectors"]))
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask")
        ]
        outputs = [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", dim])]
        graph = helper.make_graph(self._nodes, "bert", inputs, outputs, list(self._constants.values()))
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)


def _embeddings(graph: _Graph) -> str:
    words = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids")
    tokens = graph.add("Shape", "input_ids", start=1, end=2)
    table = graph.weight("embeddings.position_embeddings.weight")
    positions = graph.add("Slice", table, graph.integers(0), tokens, graph.integers(0))
    types = graph.add("Gather", graph.weight("embeddings.token_type_embeddings.weight"), graph.integers(0))
    summed = graph.add("Add", graph.add("Add", words, types), positions)
    return graph.normed("embeddings.LayerNorm", summed)


def _mask_bias(graph: _Graph) -> str:
    """[batch, 1, 1, tokens]: 0 for tokens, and for padding what leaves nothing of it after softmax."""
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    padding = graph.add("Sub", graph.number(1.0), graph.add("Unsqueeze", mask, graph.integers(1, 2)))
    return graph.add("Mul", padding, graph.number(float(np.finfo(np.float32).min)))


def _layer(graph: _Graph, name: str, hidden: str, bias: str, heads: int) -> str:
    attended = graph.linear(f"{name}.attention.output.dense", _attention(graph, name, hidden, bias, heads))
    hidden = graph.normed(f"{name}.attention.output.LayerNorm", graph.add("Add", attended, hidden))
    inner = graph.add("Gelu", graph.linear(f"{name}.intermediate.dense", hidden))
    outer = graph.linear(f"{name}.output.dense", inner)
    return graph.normed(f"{name}.output.LayerNorm", graph.add("Add", outer, hidden))


def _attention(graph: _Graph, name: str, hidden: str, bias: str, heads: int) -> str:
    def split(part: str, order: list[int]) -> str:
        value = graph.linear(f"{name}.attention.self.{part}", hidden)
        return graph.add(
            "Transpose", graph.add("Reshape", value, graph.integers(0, 0, heads, -1)), perm=order
        )

    query, value = split("query", [0, 2, 1, 3]), split("value", [0, 2, 1, 3])
    key = split("key", [0, 2, 3, 1])
    size = graph.width(f"{name}.attention.self.query") // heads
    scores = graph.add("Mul", graph.add("MatMul", query, key), graph.number(size**-0.5))
    shares = graph.add("Softmax", graph.add("Add", scores, bias), axis=-1)
    mixed = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[0, 2, 1, 3])
    return graph.add("Reshape", mixed, graph.integers(0, 0, -1))


def _pooled(graph: _Graph, hidden: str) -> str:
    mask = graph.add(
        "Unsqueeze", graph.add("Cast", "attention_mask", to=TensorProto.FLOAT), graph.integers(2)
    )
    summed = graph.add("ReduceSum", graph.add("Mul", hidden, mask), graph.integers(1), keepdims=0)
    count = graph.add("ReduceSum", mask, graph.integers(1), keepdims=0)
    return graph.add("LpNormalization", graph.add("Div", summed, count), axis=-1, p=2)
