"""How is a class graded? Every notebook handed in is run shut away, and judged outside by the master's own checks.

submissions: which files are whose, and for which exercise. reading: what a file says. papers: what a master asks.
judging: the verdicts on one notebook. engine: all of them, in processes of their own. results, table, autograded,
feedback, summary: what the instructor and the students get.
"""
