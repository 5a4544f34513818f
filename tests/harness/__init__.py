"""What tests share: real engines on private ports and in temporary folders. No fake of our own code."""
