"""Texts to vectors and scores, whichever library computes them: runs that requests share."""
