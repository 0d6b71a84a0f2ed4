"""nginx twice: as the loopback upstream that everybody asks, and as the caching peer."""

from __future__ import annotations

import os
from pathlib import Path

_COMMON = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 8192;
pid {work}/nginx.pid;
error_log {work}/error.log warn;
{user}
events {{ worker_connections 4096; }}
http {{
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_requests 1000000;
  access_log {access_log};
  client_body_temp_path {work}/tmp-body;
  proxy_temp_path {work}/tmp-proxy;
  fastcgi_temp_path {work}/tmp-f;
  uwsgi_temp_path {work}/tmp-u;
  scgi_temp_path {work}/tmp-s;
"""

_UPSTREAM = (
    _COMMON
    + """
  log_format times '$msec $request_time $uri';
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    access_log {access_log};
    access_log {work}/times.log times;
    root {root};
    location /simple/ {{
      gzip_static on;
      gzip_vary on;
      etag on;
      default_type application/vnd.pypi.simple.v1+json;
      rewrite ^/simple/$ /simple/index.json break;
      rewrite ^/simple/([^/]+)/$ /simple/$1/index.json break;
      types {{ }}
    }}
    location /files/ {{ limit_rate {limit_rate}; }}
    location /npm/ {{
      gzip_static on;
      gzip_vary on;
      default_type application/json;
      rewrite ^/npm/([^/]+)$ /npm/$1/index.json break;
      types {{ application/octet-stream tgz; }}
    }}
    location /maven/ {{ types {{ application/xml xml pom; application/java-archive jar; }} }}
  }}
}}
"""
)

_CACHE = (
    _COMMON
    + """
  proxy_cache_path {work}/cache levels=1:2 keys_zone=all:64m max_size=20g inactive=1d use_temp_path=off;
  upstream registry {{ server 127.0.0.1:{upstream_port}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_cache all;
    proxy_cache_lock on;
    proxy_cache_use_stale updating error timeout;
    add_header X-Cache $upstream_cache_status;
    location /simple/ {{ proxy_pass http://registry; proxy_cache_valid 200 300s; }}
    location /files/ {{ proxy_pass http://registry; proxy_cache_valid 200 1d; }}
    location /npm/ {{ proxy_pass http://registry; proxy_cache_valid 200 300s; }}
    location /maven/ {{ proxy_pass http://registry; proxy_cache_valid 200 1d; }}
  }}
}}
"""
)


# An S3 server as far as this benchmark needs one: signatures are not looked at, a list is empty.
_STORE = (
    _COMMON
    + """
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    client_max_body_size 0;
    location / {{
      root {work}/objects;
      dav_methods PUT DELETE;
      create_full_put_path on;
    }}
    location = /orchard {{ return 200 "<ListBucketResult/>"; }}
  }}
}}
"""
)

_PROXY = (
    _COMMON
    + """
  proxy_cache_path {work}/cache levels=1:2 keys_zone=all:64m max_size=20g inactive=1d use_temp_path=off;
  upstream store {{ server {target}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://store;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host {target};
      {caching}
    }}
  }}
}}
"""
)


def store_config(work: Path, *, port: int) -> Path:
    """A stand-in for an S3 server that is not the limit: files by sendfile, PUT and DELETE."""
    (work / "objects").mkdir(parents=True, exist_ok=True)
    return _write(work, _STORE.format(work=work, port=port, access_log="off", user=_user()))


def proxy_config(work: Path, *, port: int, target: str, cached: bool = False) -> Path:
    """proxy_pass with kept connections to `target` (host:port), otherwise as nginx comes; or proxy_cache."""
    caching = "proxy_cache all; proxy_cache_valid 200 1d;" if cached else ""
    text = _PROXY.format(
        work=work, port=port, target=target, caching=caching, access_log=f"{work}/access.log", user=_user()
    )
    return _write(work, text)


def upstream_config(work: Path, *, root: Path, port: int, limit_rate: str = "0") -> Path:
    """A static registry: PEP 691 pages, files; `limit_rate` in nginx's terms ("4m") per connection."""
    text = _UPSTREAM.format(
        work=work, root=root, port=port, limit_rate=limit_rate, access_log=f"{work}/access.log", user=_user()
    )
    return _write(work, text)


def cache_config(work: Path, *, port: int, upstream_port: int) -> Path:
    """proxy_cache in front of the upstream, access log at its default (on)."""
    text = _CACHE.format(
        work=work, port=port, upstream_port=upstream_port, access_log=f"{work}/access.log", user=_user()
    )
    return _write(work, text)


def _write(work: Path, text: str) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    path = work / "nginx.conf"
    path.write_text(text)
    return path


def _user() -> str:
    """As root, nginx would drop to an account that may not read the working folder."""
    return "user root;" if os.geteuid() == 0 else ""
