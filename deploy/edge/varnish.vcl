# Varnish (7.1 or newer, with vmod xkey) in front of Orchard's gateways: deploy/edge/README.md.
# Put your gateways into the backends, and their addresses into `gateways`.
vcl 4.1;

import directors;
import std;
import xkey;

probe alive {
    .url = "/health/live";
    .interval = 1s;
    .timeout = 1s;
    .window = 3;
    .threshold = 2;
    .initial = 2;
}

backend gateway_1 { .host = "gateway-1"; .port = "8080"; .probe = alive; .first_byte_timeout = 120s; }
backend gateway_2 { .host = "gateway-2"; .port = "8080"; .probe = alive; .first_byte_timeout = 120s; }

# Who may purge, and then only with ORCHARD_EDGE_TOKEN, which varnishd has in its environment.
acl gateways { "127.0.0.0"/8; "10.0.0.0"/8; "172.16.0.0"/12; "192.168.0.0"/16; }

# Whose X-Forwarded-Proto is believed: what ends TLS in front of this. Nobody's, as it stands.
acl tls { "192.0.2.1"; }

sub vcl_init {
    new gateways_of = directors.round_robin();
    gateways_of.add_backend(gateway_1);
    gateways_of.add_backend(gateway_2);
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ gateways || !std.getenv("ORCHARD_EDGE_TOKEN")
            || req.http.Authorization != "Bearer " + std.getenv("ORCHARD_EDGE_TOKEN")) {
            return (synth(403, "Forbidden"));
        }
        set req.http.X-Purged = xkey.purge(req.http.Surrogate-Key);
        return (synth(200, "Purged " + req.http.X-Purged));
    }
    # For operators, inside only: they tell of stores, queues and upstreams. Prometheus asks each process itself;
    # /health/live is for probes. No first segment of Orchard's needs an escape, so none may hide these names.
    if (req.url ~ "^/+(?!health/live(\?|$))(metrics|health)(/|\?|$)" || req.url ~ "^/+[^/?]*%") {
        return (synth(404, "Not Found"));
    }
    # Pages hold the address that clients use. Only the key (vcl_hash) may say which, or one client would
    # choose it for all.
    unset req.http.X-Forwarded-Host;
    if (client.ip !~ tls || req.http.X-Forwarded-Proto != "https") {
        set req.http.X-Forwarded-Proto = "http";
    }
    # Whoever shows a token is answered by Orchard alone (the built-in rules pass Authorization and Cookie
    # too); other origins get CORS headers there, and no-cache means what it says, but for Maven's clients,
    # which always say it.
    set req.backend_hint = gateways_of.backend();
    if (req.http.Authorization || req.http.Cookie || req.http.Origin
        || (req.http.Cache-Control ~ "(?i)no-cache" && req.url !~ "^/maven/")
        || req.url ~ "^/(api|ui|health)(/|\?|$)") {
        return (pass);
    }
    # Three kinds of readers; with http_gzip_support=off each has bodies of its own, and none is unpacked for it.
    if (req.http.Accept-Encoding !~ "(?i)(^|[ ,])gzip(?! *; *q=0(\.0*)?( *,| *$))") {
        unset req.http.Accept-Encoding;
    } elsif (req.http.Accept-Encoding ~ "(?i)(^|[ ,])zstd(?! *; *q=0(\.0*)?( *,| *$))") {
        set req.http.Accept-Encoding = "zstd, gzip";
    } else {
        set req.http.Accept-Encoding = "gzip";
    }
    if (std.healthy(req.backend_hint)) {
        set req.grace = 10s;  # stale-while-revalidate; all of stale-if-error while no gateway is well
    }
}

sub vcl_hash {
    hash_data(req.http.X-Forwarded-Proto);  # beside the built-in URL and Host
}

sub vcl_miss {
    # A GET of the whole in their place would have Orchard download the whole file.
    if (req.method == "HEAD" || req.http.Range) {
        return (pass);
    }
}

sub vcl_backend_response {
    if (beresp.status >= 500 && bereq.is_bgfetch) {
        return (abandon);
    }
    # Clients are told what they are told without an edge; how long this may keep it is known by now.
    set beresp.http.Cache-Control = regsuball(beresp.http.Cache-Control, ",? *(s-maxage|stale-while-revalidate|stale-if-error)=[0-9]+", "");
    if (beresp.http.Cache-Control == "") {
        unset beresp.http.Cache-Control;
    }
    # Kept is only what Orchard can call back, and nothing that somebody's token opened.
    if (!beresp.http.Surrogate-Key || bereq.http.Authorization
        || beresp.http.Cache-Control ~ "(?i)private|no-store"
        || std.integer(beresp.http.Content-Length, 0) > 134217728) {
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
        return (deliver);
    }
    set beresp.http.xkey = beresp.http.Surrogate-Key;
    unset beresp.http.Surrogate-Key;
    set beresp.grace = 1d;
    set beresp.keep = 1d;
}

sub vcl_deliver {
    unset resp.http.xkey;
    unset resp.http.Surrogate-Key;
    unset resp.http.X-Varnish;
    if (obj.hits > 0) {
        unset resp.http.X-Request-Id;  # another request's
        set resp.http.X-Edge = "HIT";
    } else {
        set resp.http.X-Edge = "MISS";
    }
}
