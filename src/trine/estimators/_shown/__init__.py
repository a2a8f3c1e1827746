"""What a report shows of a fitted estimator: rows, codes, samples over training, translations."""
