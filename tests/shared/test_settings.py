"""Settings: every fault is one line that names its variable, and no secret is ever shown."""

from __future__ import annotations

import msgspec
import pytest

from shared.errors import ConfigurationError
from shared.protocols import spoken
from shared.setting_values import network
from shared.settings import Settings, load_settings, variable, void_rules


def test_defaults__nothing_set__the_plan_s_values() -> None:
    settings = load_settings({})
    assert settings.port == 8080
    assert (settings.http_max_connections, settings.http_keepalive_connections) == (100, 100)
    assert (settings.http_connect_timeout, settings.http_read_timeout) == (30.0, 60.0)
    assert settings.http_worker_threads == 32
    assert (settings.cache_ttl_index, settings.cache_ttl_versions, settings.cache_ttl_upstream) == (
        300,
        300,
        3600,
    )
    assert settings.database_max_connections == 20 + 30
    assert (settings.database_pool_timeout, settings.database_pool_pre_ping) == (30.0, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORCHARD_PORT", "0"),
        ("ORCHARD_PORT", "http"),
        ("ORCHARD_HTTP_MAX_CONNECTIONS", "-1"),
        ("ORCHARD_HTTP_READ_TIMEOUT", "soon"),
        ("ORCHARD_OFFLINE", "maybe"),
        ("ORCHARD_LOG_LEVEL", "loud"),
        ("ORCHARD_PYPI_UPSTREAM", "ftp://example.com/simple/"),
        ("ORCHARD_MINIMUM_AGE", "-1d"),
        ("ORCHARD_MINIMUM_AGE", "1e9h"),
        ("ORCHARD_MINIMUM_AGE_NPM", "off"),
        ("ORCHARD_NOTHING_AFTER", "yesterday"),
        ("ORCHARD_NOTHING_AFTER", "1970-01-01"),
        ("ORCHARD_NOTHING_AFTER", "9999-12-31T23:59:59-10:00"),
    ],
)
def test_bad_value__one_line_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({name: value})
    assert caught.value.message.startswith(f"{name}: ")
    assert "\n" not in caught.value.message


def test_unknown_name__refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigurationError, match="ORCHARD_PROT: unknown setting; did you mean ORCHARD_PORT"):
        load_settings({"ORCHARD_PROT": "8080"})


def test_several_faults__a_line_each() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"ORCHARD_PORT": "x", "ORCHARD_NONSENSE": "1"})
    assert len(caught.value.message.splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("yes", True), ("off", False), ("no", False)]
)
def test_booleans__usual_spellings(text: str, value: bool) -> None:
    assert load_settings({"ORCHARD_OFFLINE": text}).offline is value


def test_lists__split_at_commas_and_trimmed() -> None:
    found = load_settings(
        {"ORCHARD_PYPI_UPSTREAM": "https://a.example.com/simple/ , https://b.example.com/simple/"}
    )
    assert found.upstreams["pypi"] == ("https://a.example.com/simple/", "https://b.example.com/simple/")


def test_secrets__in_no_message_and_no_repr() -> None:
    secret = "canary-s3cret"
    holders = ["redis_password", "queue_redis_password", "database_url", "pypi_upstream", "http_proxy"]
    environ = {variable(name): f"https://user:{secret}@example.com/" for name in holders}
    settings = load_settings(environ)
    assert secret not in repr(settings)
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"ORCHARD_PYPI_UPSTREAM": f"ftp://user:{secret}@example.com/"})
    assert secret not in caught.value.message


def test_every_field__has_a_default() -> None:
    assert not any(field.required for field in msgspec.structs.fields(Settings))


@pytest.mark.parametrize(
    ("given", "pypi", "npm", "maven"),
    [
        ({}, 10, 55, 55),
        ({"ORCHARD_REQUEST_TIMEOUT": "5"}, 5, 5, 5),
        ({"ORCHARD_MAVEN_REQUEST_TIMEOUT": "300"}, 10, 55, 300),
        ({"ORCHARD_REQUEST_TIMEOUT": "5", "ORCHARD_PYPI_REQUEST_TIMEOUT": "8"}, 8, 5, 5),
    ],
)
def test_request_seconds__by_protocol__its_own_else_the_common_else_what_its_clients_bear(
    given: dict[str, str], pypi: float, npm: float, maven: float
) -> None:
    settings = load_settings(given, protocols=spoken())
    assert [settings.request_seconds(name) for name in ("pypi", "npm", "maven", "")] == [
        pypi,
        npm,
        maven,
        float(given.get("ORCHARD_REQUEST_TIMEOUT", 10)),
    ]


@pytest.mark.parametrize("kind", ["UPSTREAM", "REQUEST_TIMEOUT"])
def test_variable_of_a_protocol__not_spoken__refused_with_the_one_that_is_meant(kind: str) -> None:
    value = "https://a.example.com/" if kind == "UPSTREAM" else "5"
    told = rf"ORCHARD_PYPY_{kind}: unknown setting; did you mean ORCHARD_PYPI_{kind}\?"
    with pytest.raises(ConfigurationError, match=told):
        load_settings({f"ORCHARD_PYPY_{kind}": value}, protocols=spoken())


@pytest.mark.parametrize("name", ["ORCHARD_NUGET_UPSTREAM", "ORCHARD_OCI_REQUEST_TIMEOUT"])
def test_variable_of_a_protocol__that_a_newer_version_speaks__ignored_and_told(name: str) -> None:
    settings = load_settings({name: "anything"}, protocols=spoken())
    assert settings.ignored == (name,) and settings.upstreams == {}


def test_variable_of_a_protocol__spoken_since_today__is_read() -> None:
    given = {"ORCHARD_TOY_UPSTREAM": "https://a.example.com/", "ORCHARD_TOY_REQUEST_TIMEOUT": "7"}
    settings = load_settings(given, protocols={**spoken(), "toy": 20.0})
    assert settings.upstreams == {"toy": ("https://a.example.com/",)}
    assert settings.request_seconds("toy") == 7
    assert load_settings({}, protocols={"toy": 20.0}).request_seconds("toy") == 20


@pytest.mark.parametrize("text", ["0", "-1", "soon"])
def test_timeout_of_a_protocol__no_seconds__refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="ORCHARD_NPM_REQUEST_TIMEOUT: "):
        load_settings({"ORCHARD_NPM_REQUEST_TIMEOUT": text}, protocols=spoken())


def test_edge_purge__without_words_or_a_token_or_with_a_path__refused() -> None:
    edge = {"ORCHARD_EDGE": "true", "ORCHARD_EDGE_TOKEN": "a-token-of-sixteen"}
    purge = "ORCHARD_EDGE_PURGE"
    assert load_settings({**edge, purge: "http://edge:6081,http://[::1]:80/"}).edge
    for bad, named in (
        ({purge: "http://edge:6081", "ORCHARD_EDGE_TOKEN": edge["ORCHARD_EDGE_TOKEN"]}, purge),
        ({purge: "http://edge:6081", "ORCHARD_EDGE": "true"}, "ORCHARD_EDGE_TOKEN"),
        ({**edge, purge: "http://edge:6081/path?token=x"}, purge),
    ):
        with pytest.raises(ConfigurationError, match=named):
            load_settings(bad)


_OF_TYPE = {
    field.name: str(field.type)
    for field in msgspec.structs.fields(Settings)
    if field.name != "client_seconds"
}
_NUMBERS = [name for name, kind in _OF_TYPE.items() if "int" in kind or "float" in kind]
_TEXTS = [name for name, kind in _OF_TYPE.items() if "Annotated" not in kind and "str" in kind]


@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "1e308", "1" + 26 * "0"])
@pytest.mark.parametrize("field", _NUMBERS)
def test_numbers__beyond_what_can_be_meant__refused_of_every_setting(field: str, value: str) -> None:
    name = {"request_timeouts": "ORCHARD_PYPI_REQUEST_TIMEOUT", "minimum_ages": "ORCHARD_MINIMUM_AGE"}
    named = name.get(field, variable(field))
    with pytest.raises(ConfigurationError) as caught:
        load_settings({named: value})
    assert caught.value.message.startswith(f"{named}: ")


@pytest.mark.parametrize("inside", ["\n", "\r", "\0", "\x1b", "\x7f", "\u2028"], ids=ascii)
@pytest.mark.parametrize("field", _TEXTS)
def test_texts__line_breaks_and_control_characters__refused_of_every_setting(field: str, inside: str) -> None:
    named = {"upstreams": "ORCHARD_PYPI_UPSTREAM"}.get(field, variable(field))
    if named in ("ORCHARD_IGNORED", "ORCHARD_REQUEST_TIMEOUTS", "ORCHARD_MINIMUM_AGES"):
        return
    with pytest.raises(ConfigurationError) as caught:
        load_settings({named: f"http://a{inside}b"})
    assert f"{named}: must hold no line break" in caught.value.message


def test_lists__a_line_for_each_part__taken() -> None:
    settings = load_settings({"ORCHARD_PYPI_UPSTREAM": "https://a.example.com/,\n  https://b.example.com/\n"})
    assert settings.upstreams == {"pypi": ("https://a.example.com/", "https://b.example.com/")}


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" 10.0.0.1 ", "10.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("fe80::/10", "fe80::/10"),
        ("::/0", "::/0"),
    ],
)
def test_network__as_it_is_compared(text: str, compared: str) -> None:
    assert network(text) == compared


@pytest.mark.parametrize("text", ["fe80::1%eth0", "fe80::%1/64", "10.0.0.0/33", "localhost", ""])
def test_network__that_no_client_can_be_in__refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"zone|expected an address"):
        network(text)
    if text:
        with pytest.raises(ConfigurationError, match="ORCHARD_TRUSTED_PROXIES"):
            load_settings({"ORCHARD_TRUSTED_PROXIES": text})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ORCHARD_MINIMUM_AGE_PIP": "7d"}, "ORCHARD_MINIMUM_AGE_PIP: no protocol is called so here"),
        (
            {"ORCHARD_OSV_SEVERITY": "high"},
            "ORCHARD_OSV_SEVERITY: counts for nothing without",
        ),
        ({"ORCHARD_GOPHER_UPSTREAM": "https://example.com"}, ""),
        ({"ORCHARD_OSV_SEVERITY": "high", "ORCHARD_OSV_FEEDS": "/feeds", "ORCHARD_MINIMUM_AGE": "7d"}, ""),
    ],
)
def test_setting_that_asks_for_protection_and_gives_none__is_told(given: dict[str, str], told: str) -> None:
    found = void_rules(load_settings(given, protocols=spoken()))
    assert [each for each in found if told and told in each] == found
    assert bool(found) is bool(told)
