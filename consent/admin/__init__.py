from consent.admin import campaigns, ledgers, notices, people

__all__ = ["campaigns", "ledgers", "notices", "people"]
