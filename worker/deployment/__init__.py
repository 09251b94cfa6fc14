"""One attempt to bring one commit up: gate, journal, the stack read, the images' recipes.

A named context of a build is an image: a folder is built `FROM scratch`, a service's is its own. Both are addressed
like any other image, and shared by all that need them.
"""
