"""The figures of the paper, one script each: from result files to a picture, without torch."""
