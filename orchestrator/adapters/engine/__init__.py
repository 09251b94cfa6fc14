"""The Docker Engine: its calls, whose fault a refusal is, its streams, credentials for registries, builds."""
