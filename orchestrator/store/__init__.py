"""All that previewd itself keeps: the tables, every write under its lease, every read."""
