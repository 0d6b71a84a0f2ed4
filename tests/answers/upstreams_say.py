"""What an upstream can answer, and what each client shall see of it: the rows of the table."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.upstream import Fault

WORDS = "quarantined by rule 17"


@dataclass(frozen=True)
class Answer:
    """One answer of an upstream. `page`, `file`: the status that Orchard gives for each kind."""

    fault: Fault
    page: int
    file: int
    words: str = ""  # what of the upstream's own words the client shall read


def _says(status: int, body: bytes = b"", content_type: str = "text/plain", **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status=status, body=body, content_type=content_type, headers=named)


def _refusal(status: int, body: bytes, content_type: str) -> Answer:
    return Answer(_says(status, body, content_type), 424, 403, WORDS)


LOGIN = b"<html><head><title>Log in</title></head><body><form><input name=user></form></body></html>"
JSON, PROBLEM, HTML = "application/json", "application/problem+json", "text/html; charset=utf-8"

ANSWERS: dict[str, Answer] = {
    "200": Answer(Fault(), 200, 200),
    "200 a login page": Answer(Fault(body=LOGIN, content_type=HTML), 424, 403),
    "200 nothing": Answer(Fault(body=b""), 424, 403),
    "202": Answer(_says(202), 503, 503),
    "203": Answer(Fault(status=203), 200, 200),
    "204": Answer(_says(204), 424, 403),
    "206 not asked for": Answer(Fault(not_asked_206=True), 424, 403),
    "300": Answer(_says(300), 424, 403),
    "302 to nowhere": Answer(_says(302), 424, 403),
    "302 to a private address": Answer(Fault(redirect="http://169.254.169.254/latest"), 424, 403),
    "304 not asked for": Answer(_says(304), 424, 403),
    "400": _refusal(400, b'{"error": "quarantined by rule 17"}', JSON),
    "401": _refusal(401, b'{"errors": [{"code": 401, "message": "quarantined by rule 17"}]}', JSON),
    "402": _refusal(402, b'{"error": {"message": "quarantined by rule 17"}}', JSON),
    "403": _refusal(403, b'{"title": "No", "detail": "quarantined by rule 17"}', PROBLEM),
    "403 a page": _refusal(403, b"<html><title>quarantined by&#32;rule <b>17</b></title></html>", HTML),
    "403 text": _refusal(403, b"\n quarantined\tby\r\nrule 17 \x1b[0m", "text/plain; charset=utf-8"),
    "403 silent": Answer(_says(403), 424, 403),
    "404": Answer(_says(404, b"no"), 404, 404),
    "407": _refusal(407, b"quarantined by rule 17", "text/plain"),
    "408": Answer(_says(408), 503, 503),
    "410": Answer(_says(410, b"no"), 404, 404),
    "418": _refusal(418, b"quarantined by rule 17", "text/plain"),
    "421": Answer(_says(421), 503, 503),
    "425": Answer(_says(425), 503, 503),
    "429": Answer(_says(429, retry_after="1"), 503, 503),
    "451": _refusal(451, b'{"reason": "quarantined by rule 17"}', JSON),
    "500": Answer(_says(500), 503, 503),
    "501": _refusal(501, b"quarantined by rule 17", "text/plain"),
    "502": Answer(_says(502), 503, 503),
    "503": Answer(_says(503, retry_after="1"), 503, 503),
    "504": Answer(_says(504), 503, 503),
    "511": _refusal(511, b"quarantined by rule 17", "text/plain"),
    "520": Answer(_says(520), 503, 503),
    "reset": Answer(Fault(cut_at=0, reset=True), 503, 503),
    "no HTTP": Answer(Fault(headers={"content-length": "abc"}), 424, 403),
}
