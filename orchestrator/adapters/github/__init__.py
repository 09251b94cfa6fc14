"""GitHub's API: pull requests and permissions read, comment, status and deployments written, at its pace."""
