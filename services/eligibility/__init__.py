"""Whether the treatment may be offered: the facts of a case, the rules over them, reviews and decisions."""
