"""In the fetcher's and the extractor's place."""

from shared.settings import load_settings
from tests.services.standalone.fakes.http import serve

serve("worker", load_settings().worker_port)
