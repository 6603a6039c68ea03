"""Tests on real market data, which lies beside the project and never in it; they skip where it is absent."""
