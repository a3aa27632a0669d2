"""What a visitor sees, in a real Chromium before real workers. A package, so that its browser ends with it."""
