"""Integration circles: one host, several patients online, and nobody's record in anybody else's sight (DOMAIN 1)."""
