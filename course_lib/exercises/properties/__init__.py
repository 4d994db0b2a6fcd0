"""What must hold for any right answer? Properties that know no solution, with the smallest example of failure."""
