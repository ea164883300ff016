"""Every call that the clients offer, as a function from typed arguments to a value, with the types of its answer.

Types name what clients use; what else an answer has is left unread, so that a newer daemon is understood too.
"""
