"""What the language allows, and a tree in its long form."""
