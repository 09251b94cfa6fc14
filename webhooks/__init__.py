"""Door one, the web process: hears GitHub, records, answers; API, dashboard and router."""
