"""The network: encoders, decoder, gates, HGM-Net, and its folder on disk.

Imports only config.
"""
