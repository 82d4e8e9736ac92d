"""The name that every attack uses."""

CANARY = "canary-5f1c"
"""A file of this name where it does not belong, or this text where secrets are looked for, is a hole."""
