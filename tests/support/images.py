"""Images that tests may use. The set-up has them on the Engine before the first test runs."""

BASE_IMAGE = "python:3.11-slim"
