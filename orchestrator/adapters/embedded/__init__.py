"""The servers that `previewd up` brings along: Postgres and Redis, as parts for the supervisor.

Only the programs inside the wheels are used. The wheels' own Python interfaces create accounts, change the modes of
directories that are not theirs, and let everybody in without a password.
"""
