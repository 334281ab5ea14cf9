"""What `deploy/run-image` is made of: the image, the networks, the services beside it, and the containers that compose.yaml describes."""
