"""What gunicorn serves: ``gunicorn wsgi:app``."""

from coordinator.app import create_app

app = create_app()
