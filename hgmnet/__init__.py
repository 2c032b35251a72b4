"""HGM-Net: two U-Nets, the first gating the second; images in, findings out."""
