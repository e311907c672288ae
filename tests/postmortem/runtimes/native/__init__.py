"""Tests of postmortem/native."""
