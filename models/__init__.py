"""What is controlled: preferences, intensities, flows, price dynamics, horizons; and the problem."""
