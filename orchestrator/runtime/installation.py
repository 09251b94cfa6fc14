"""How a command, or a worker that is started by itself, finds the previewd that runs."""

from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError

from orchestrator.preview.errors import ConfigurationError
from orchestrator.runtime.settings import Settings

UP_FILE = "up.env"
"""In DATA_DIR: `previewd up` writes down, in dotenv form, where the servers are that it embeds."""

PREFIX = Settings.model_config["env_prefix"]


def load_settings() -> Settings:
    """The settings, with what is not set taken from the `previewd up` that runs in DATA_DIR.

    Raises ConfigurationError when no database is known.
    """
    settings = Settings.load()
    if settings.database_url.get_secret_value():
        return settings
    file = settings.data_dir / UP_FILE
    found = _completed(settings, file)
    if not found.database_url.get_secret_value():
        raise ConfigurationError(
            f"no database is known: PREVIEWD_DATABASE_URL is not set, and {file} does not say",
            "set it, or start `previewd up`, or set PREVIEWD_DATA_DIR to the directory in which it runs",
        )
    return found


def _completed(settings: Settings, file: Path) -> Settings:
    """Take from the file what neither the environment nor .env says."""
    if not file.exists():
        return settings
    named = {name.removeprefix(PREFIX).lower(): value for name, value in dotenv_values(file, interpolate=False).items()}
    missing = {name: value for name, value in named.items() if value and name not in settings.model_fields_set}
    known = {name: value for name, value in missing.items() if name in Settings.model_fields}
    try:
        return Settings(**known)  # type: ignore[arg-type]
    except ValidationError as error:
        names = ", ".join(sorted({PREFIX + str(fault["loc"][0]).upper() for fault in error.errors()}))
        raise ConfigurationError(f"{file}: wrong: {names}", "start `previewd up` again, which writes it") from None
