"""Web page on this machine that predicts images and shows the results."""
