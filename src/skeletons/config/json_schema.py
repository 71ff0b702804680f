"""The JSON Schema of the configuration, for editors.

`python -m skeletons.config.json_schema PATH` writes it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from skeletons.config.sections import Config
from skeletons.store import artifacts


def json_schema() -> dict[str, Any]:
    """The JSON Schema that editors use to check and complete a configuration."""
    schema = Config.model_json_schema()
    schema["title"] = "Configuration of Skeletons on Rashomon Ridge"
    return schema


def text() -> str:
    """The content of the schema's file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    artifacts.write_text(sys.argv[1], text())
