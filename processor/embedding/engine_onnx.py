"""ONNX Runtime: the vectors of sentence-transformers without torch, for BERT models with mean pooling.

The graph is made from the weights at every start: that takes half a second, and no exported file can fall
behind its weights.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

from processor.embedding.base import Vectors
from processor.embedding.batches import in_order, token_batches
from processor.embedding.bert_graph import bert_graph
from processor.embedding.weights import weights_folder
from processor.settings import EmbeddingSettings


class OnnxEngine:
    """A graph in float32 on the CPU; int8 would change a text's neighbours."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        folder = weights_folder(settings)
        self._settings = settings
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # the file's own limits (128 in all-MiniLM-L6-v2, padded) serve its makers' training
        self._tokenizer.enable_truncation(settings.max_tokens)
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads or os.cpu_count() or 1
        # waiting threads would burn the cores that the stores beside it need: 1.3 x slower when they are busy
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(
            bert_graph(folder).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """See `Engine.vectors`."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        lengths = [len(encoding) for encoding in encodings]
        batches = token_batches(lengths, self._settings.batch_texts, self._settings.batch_tokens)
        return in_order(batches, lambda batch: self._run([encodings[index] for index in batch]))

    def _run(self, encodings: Sequence[Encoding]) -> Vectors:
        vectors: Vectors = self._session.run(["vectors"], _padded(encodings))[0]
        return vectors


def _padded(encodings: Sequence[Encoding]) -> dict[str, Any]:
    shape = (len(encodings), max(map(len, encodings)))
    ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding)] = encoding.ids
        mask[row, : len(encoding)] = 1
    return {"input_ids": ids, "attention_mask": mask}
