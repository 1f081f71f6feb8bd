"""A game day: experiments in sequence on one deployment, one scorecard."""
