"""What makes two crashes one."""
