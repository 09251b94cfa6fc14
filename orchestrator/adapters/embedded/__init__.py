"""The servers that `previewd up` runs when no URL for one is set, and who keeps them.

Only the programs inside the wheels are used. The wheels' own Python interfaces create accounts, change the modes of
directories that are not theirs, and let everybody in without a password.
"""
