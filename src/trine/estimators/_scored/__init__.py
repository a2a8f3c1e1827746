"""How good what was learned is, of what has no target: samples, answers to pictures, translations; and their judges."""
