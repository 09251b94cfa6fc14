"""`python -m orchestrator.cli`, which is what the command `previewd` runs."""

from orchestrator.cli import main

if __name__ == "__main__":
    main()
