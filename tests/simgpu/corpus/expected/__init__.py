"""What the kernels of each source must give."""
