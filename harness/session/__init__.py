"""How every run is made: what it is asked for, where it takes place, its load and its record."""
