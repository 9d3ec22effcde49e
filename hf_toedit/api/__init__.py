"""What the commands and Python programs call: runs from their plan to the Hub, and editors by the name of a prior."""
