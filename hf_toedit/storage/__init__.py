"""Atomic file operations, on this machine and in remote storage."""
