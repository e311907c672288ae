"""Tests of postmortem/fault."""
