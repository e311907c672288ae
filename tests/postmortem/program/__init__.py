"""Tests of postmortem.program."""
