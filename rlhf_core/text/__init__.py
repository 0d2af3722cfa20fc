"""Reading texts: sentences, numbers, thoughts, overlap with a reference, answers that decline."""
