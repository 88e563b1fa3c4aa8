"""What the parties decide: rules, states and records. No Flask and no RQ below this line."""
