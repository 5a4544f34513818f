"""Lists of the fleet that people work off."""
