"""What the theorems say, and simulations of what they speak of: numbers in, numbers out, numpy only."""
