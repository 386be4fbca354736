"""What auditors ask of the past, and the proofs they take away."""
