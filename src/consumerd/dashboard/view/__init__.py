"""How it looks: templates rendered, charts drawn, numbers and texts written."""
