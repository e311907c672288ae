"""Tests of names, files and lines for addresses."""
