"""The projects: twelve of each ecosystem, of the kinds that people write, small enough that the registries
are asked little. Projects share what they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PYTHON: Mapping[str, Sequence[str]] = {
    "flask-site": ("flask", "flask-wtf", "gunicorn"),
    "django-site": ("django", "whitenoise", "django-environ"),
    "starlette-service": ("starlette", "uvicorn", "httpx"),
    "command-line": ("click", "rich", "platformdirs"),
    "synchroniser": ("platformdirs", "tomli-w", "httpx[http2]"),
    "scraper": ("requests", "beautifulsoup4", "html5lib"),
    "notebook": ("tabulate", "python-dateutil", "openpyxl"),
    "documentation": ("markdown", "pygments", "jinja2"),
    "tests": ("pytest", "pytest-mock", "freezegun"),
    "packaging": ("build", "hatchling", "wheel"),
    "queue-worker": ("celery[redis]", "humanize"),
    "websockets": ("aiosmtpd", "python-multipart", "itsdangerous"),
}
"""Of files for every platform, so without large extensions."""

PYTHON_ONE_PLATFORM: Mapping[str, Sequence[str]] = {
    "fastapi-service": ("fastapi", "uvicorn", "pydantic-settings"),
    "database-tool": ("sqlalchemy", "alembic"),
    "typer-tool": ("typer", "pydantic", "pyyaml"),
}
"""Only for locks that name the files of one platform."""

NODE: Mapping[str, Mapping[str, str]] = {
    "express-service": {"express": "^4.21.0", "cors": "^2.8.5", "morgan": "^1.10.0"},
    "react-front-end": {"react": "^18.3.1", "react-dom": "^18.3.1", "react-router-dom": "^6.26.0"},
    "koa-service": {"koa": "^2.15.0", "@koa/router": "^13.0.0"},
    "command-line": {"commander": "^12.0.0", "chalk": "^4.1.2", "ora": "^5.4.1"},
    "fastify-service": {"fastify": "^4.28.0", "@fastify/cors": "^9.0.0"},
    "tests": {"mocha": "^10.7.0", "chai": "^4.5.0", "sinon": "^18.0.0"},
    "chat": {"socket.io-client": "^4.7.0", "uuid": "^10.0.0"},
    "vue-front-end": {"vue": "^3.5.0", "pinia": "^2.2.0"},
    "styles": {"postcss": "^8.4.0", "postcss-nested": "^6.2.0", "nanoid": "^3.3.7"},
    "documents": {"marked": "^14.0.0", "gray-matter": "^4.0.3", "fast-glob": "^3.3.2"},
    "aliases": {"lodash-four": "npm:lodash@^4.17.21", "ms-two": "npm:ms@^2.1.3", "debug": "^4.3.0"},
    "http-client": {"axios": "^1.7.0", "@types/node": "^20.0.0", "zod": "^3.23.0"},
}

CARGO: Mapping[str, Mapping[str, str]] = {
    "axum-service": {"axum": '"0.7"', "tokio": '{ version = "1", features = ["rt", "macros"] }'},
    "command-line": {"clap": '{ version = "4", features = ["derive"] }', "anyhow": '"1"'},
    "http-client": {"ureq": '{ version = "2", default-features = false }'},
    "json-tool": {"serde": '{ version = "1", features = ["derive"] }', "serde_json": '"1"'},
    "search": {"regex": '"1"', "walkdir": '"2"', "ignore": '"0.4"'},
    "parallel": {"rayon": '"1"', "indicatif": '"0.17"'},
    "logging": {"tracing": '"0.1"', "tracing-subscriber": '"0.3"'},
    "parser": {"nom": '"7"', "logos": '"0.14"'},
    "dates": {"chrono": '{ version = "0.4", default-features = false }', "time": '"0.3"'},
    "random": {"rand": '"0.8"', "rand_chacha": '"0.3"'},
    "configuration": {"toml": '"0.8"', "dirs": '"5"', "thiserror": '"1"'},
    "digests": {"sha2": '"0.10"', "hex": '"0.4"', "base64": '"0.22"', "hmac": '"0.12"'},
}

JAVA: Mapping[str, Sequence[str]] = {
    "spring-boot-service": ("org.springframework.boot:spring-boot-starter-web:2.7.18",),
    "spring-boot-tool": ("org.springframework.boot:spring-boot-starter:2.7.18",),
    "rest-client": ("com.squareup.retrofit2:retrofit:2.11.0", "com.squareup.okhttp3:okhttp:4.12.0"),
    "json-tool": ("com.fasterxml.jackson.core:jackson-databind:2.17.2",),
    "logging": ("org.slf4j:slf4j-api:2.0.16", "ch.qos.logback:logback-classic:1.5.8"),
    "library": ("com.google.guava:guava:33.0.0-jre", "org.apache.commons:commons-lang3:3.17.0"),
    "tests": ("org.junit.jupiter:junit-jupiter:5.11.0", "org.assertj:assertj-core:3.26.3"),
    "mocks": ("org.mockito:mockito-core:5.13.0",),
    "web-server": ("org.eclipse.jetty:jetty-servlet:9.4.56.v20240826",),
    "configuration": ("org.apache.commons:commons-configuration2:2.11.0", "org.yaml:snakeyaml:2.2"),
    "command-line": ("info.picocli:picocli:4.7.6", "org.jline:jline:3.26.3"),
    "http-client": ("org.apache.httpcomponents.client5:httpclient5:5.3.1",),
}
