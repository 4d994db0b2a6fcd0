"""What must hold for any right answer? Properties that know no solution, each with the smallest example that breaks it."""
