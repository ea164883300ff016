"""Turns a Job into Events. Knows models and processors; knows no HTTP, no peers, no database."""
