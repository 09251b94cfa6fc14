from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

import migrations
from orchestrator.store.revision import newest_revision


def test_the_newest_revision_is_the_one_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert newest_revision() == ScriptDirectory.from_config(config).get_current_head()
