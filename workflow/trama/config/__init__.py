"""The configuration: its model, how it is read, and what of it each stage depends on."""
