"""What gunicorn loads."""

from church import create_app

app = create_app()
