"""Federated learning on surrogate stores: hospitals that share weights, never a store."""
