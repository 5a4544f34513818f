"""What every room may use: errors, clock, ids, secret, money. A closed list, standard library only; never a drawer for the rest."""
