"""The network: encoders, decoder, gates, HGM-Net, and the model folder."""
