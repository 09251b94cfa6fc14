"""All that previewd itself keeps: the tables, every read, every write; who acts on a preview holds its lease."""
