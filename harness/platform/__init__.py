"""Where services run: the lab, a cluster or a plain URL, behind one protocol."""
