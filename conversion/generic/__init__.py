"""Any model of transformers, ours included: adapters are merged into it key by key."""
