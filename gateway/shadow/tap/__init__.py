"""The tap: live requests that become samples, without live traffic noticing."""
