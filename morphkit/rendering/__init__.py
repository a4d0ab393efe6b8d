"""Differentiable rendering: one contract, several backends."""
