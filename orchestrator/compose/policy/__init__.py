"""One word for every key of the language, and one grammar for its values."""
