"""What runs this project elsewhere than in a checkout."""
