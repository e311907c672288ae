"""What one process is made of, from bytes that the tests lay out themselves."""
