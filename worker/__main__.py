"""`python -m worker`, which is what `previewd worker` runs."""

import sys

from orchestrator.cli.connection import load_settings

from orchestrator.errors import PreviewdError
from worker.main import run

if __name__ == "__main__":
    try:
        run(load_settings())
    except PreviewdError as error:
        sys.exit(f"error: {error.message}\n→ {error.remedy}")
