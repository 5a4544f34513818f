"""The process that keeps SIP edges in agreement with the record of blocks."""
