"""Hostile input: mutants of real cores, logs, reports and modules, and inputs crafted against the source."""
