from consent.admin import campaigns, ledgers, notices, people, reconciliations

__all__ = ["campaigns", "ledgers", "notices", "people", "reconciliations"]
