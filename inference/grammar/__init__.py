"""What an answer may look like: JSON schemas as llama.cpp's grammars (GBNF), and the check of grammars that users send.

Pure and light: the daemon imports it to refuse what cannot work before anything runs.
"""
