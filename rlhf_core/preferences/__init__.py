"""Rankings, labelled pairs and spot checks made from judgements."""
