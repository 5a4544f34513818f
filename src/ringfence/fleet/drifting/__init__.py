"""What of all that is wanted is not so, kept for people and for the next Inform."""
