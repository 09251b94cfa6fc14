"""POST /webhooks/github: signature, event and body read, the delivery recorded, 202."""
