"""Tables for people: the model-risk page, and what changed from one table to the next."""
