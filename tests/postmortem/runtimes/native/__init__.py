"""Tests of postmortem.runtimes.native."""
