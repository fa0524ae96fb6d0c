"""What the scenarios are made of: who produces, who answers, who looks on from outside."""
