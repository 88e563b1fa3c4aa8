"""Keys and everything sealed with them: patient data keys, encrypted columns, blind indexes, envelopes to a party."""
