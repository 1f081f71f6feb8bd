"""What breaks: experiments, the ledger of faults, the canary and the run of an experiment."""
