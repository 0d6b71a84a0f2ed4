"""In the gateway's place."""

from shared.settings import load_settings
from tests.services.standalone.fakes.http import serve

serve("gateway", load_settings().port)
