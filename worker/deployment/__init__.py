"""One attempt to bring one commit up: gate, journal, the stack read, the images' recipes."""
