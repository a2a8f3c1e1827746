"""trine: learning = a model f(x, θ) + a differentiable criterion L(f) + a procedure that solves θ* = argmin L(f)."""
