"""HTTP: rate, errors and duration of every route, and what the processes need for it."""

from __future__ import annotations

from ops.grafana.parts import Board, graph, number
from ops.grafana.queries import Query, busiest, each, most, one, quantile, rate, share, site, spread, total

FAILED = 'status_code=~"5.."'
STARTED = 'outcome="started"'
VISITORS = 'route!~"/health|/ready|/metrics"'

_requests = total(rate("http_requests_total"))
_failed = total(rate("http_requests_total", FAILED))
_timed = "http_request_duration_seconds"
_quick = total(rate(f"{_timed}_bucket", VISITORS, 'le="0.3"'))
_all = total(rate(f"{_timed}_count", VISITORS))

NOW = (
    number("Requests", "Requests answered, a second, on all chosen instances.", "reqps", Query(_requests)),
    number(
        "Errors",
        "Share of all requests that ended in 5xx. None is shown while nothing is asked for.",
        "percentunit",
        Query(share(_failed, _requests)),
        steps=((0.005, "yellow"), (0.02, "red")),
        empty="no requests",
        decimals=2,
    ),
    number(
        "Within 0.3 s",
        "Share of requests, those of probes and scrapes left out, that were answered to the last byte in 0.3 s; the"
        " bound of a bucket, so exact.",
        "percentunit",
        Query(share(_quick, _all)),
        start="red",
        steps=((0.9, "yellow"), (0.95, "green")),
        empty="no requests",
        decimals=2,
    ),
    number(
        "In flight", "Requests being answered at this moment.", "none", Query(total(site("http_requests_in_flight")))
    ),
    number(
        "Hosts",
        "Instances that were scraped the last time they were asked.",
        "none",
        Query(total(site("up"))),
        start="red",
        steps=((1, "green"),),
    ),
    number(
        "Database and store",
        "The worst of all instances: 1 while the database and the shared store answer.",
        "bool_yes_no",
        Query(f"min({site('database_up')})", "database"),
        Query(f"min({site('store_up')})", "store"),
        start="red",
        steps=((1, "green"),),
    ),
)
RED = (
    graph(
        "Requests by route",
        "A second, the ten busiest; _unmatched is what no route fits.",
        "reqps",
        busiest("route", "http_requests_total"),
        stacked=True,
    ),
    graph(
        "Requests by status",
        "A second, by the status that they were answered with.",
        "reqps",
        each("status_code", "http_requests_total"),
        stacked=True,
    ),
    graph(
        "Errors by route",
        "Requests a second that ended in 5xx. A flat line at zero is a site without errors.",
        "reqps",
        Query(f"{total(rate('http_requests_total', FAILED), 'route')} or vector(0)", "{{route}}"),
    ),
    graph(
        "Latency",
        "Half, 95 and 99 of 100 requests were answered to the last byte in less. A dot is a sampled request: it leads"
        " to its trace.",
        "s",
        *spread(_timed, VISITORS),
        Query(quantile(0.99, _timed, VISITORS), "99 of 100", exemplar=True),
    ),
    graph(
        "Latency by route",
        "95 of 100 requests of the route were answered in less; the ten slowest routes.",
        "s",
        Query(most(quantile(0.95, _timed, VISITORS, by="route")), "{{route}}"),
    ),
    graph(
        "Bytes sent by route",
        "Bodies of answers a second, before any proxy; the ten largest.",
        "Bps",
        busiest("route", "http_response_bytes_total"),
        stacked=True,
    ),
)
PROCESSES = (
    graph(
        "CPU",
        "Cores that each host's processes use, the worker process included.",
        "none",
        each("instance", "process_cpu_seconds_total"),
        width=8,
    ),
    graph(
        "Memory",
        "Resident memory of all processes of a host; pages that they share count in each.",
        "bytes",
        Query(total(site("process_resident_memory_bytes"), "instance"), "{{instance}}"),
        width=8,
    ),
    graph(
        "Workers",
        "Live gunicorn workers of each host, and how many were started anew in what is shown.",
        "none",
        Query(f"min by (instance) ({site('gunicorn_workers')})", "{{instance}}"),
        Query(
            f"sum by (instance) (changes({site('process_start_time_seconds')}[$__rate_interval]))",
            "{{instance}} started anew",
        ),
        width=8,
    ),
    graph(
        "Calls that left the process",
        "95 of 100 calls to Stripe, the mail server and the video bucket took less.",
        "s",
        Query(quantile(0.95, "outbound_request_duration_seconds", by="service"), "{{service}}"),
        width=8,
    ),
    graph(
        "Disk",
        "Free space below the site's folders, on the host that has least.",
        "bytes",
        Query(f"min by (path) ({site('disk_free_bytes')})", "{{path}}"),
        width=8,
    ),
    graph(
        "Queue",
        "Jobs that wait, jobs that gave up, and mails that wait: rows of the database.",
        "none",
        Query(f"sum({one(site('jobs_pending'), 'kind')})", "jobs that wait"),
        Query(f"sum({one(site('jobs_dead'), 'kind')}) or vector(0)", "jobs that gave up"),
        Query(one(site("mail_pending")), "mails that wait"),
        width=8,
    ),
)
VIDEOS = (
    graph(
        "Playbacks",
        "Videos that somebody began to watch, and streams that were refused, a second.",
        "ops",
        each("outcome", "video_streams_total"),
        width=8,
    ),
    graph(
        "Playbacks by video",
        "The ten that are watched most.",
        "ops",
        busiest("video_id", "video_streams_total", STARTED),
        width=8,
    ),
    graph(
        "Video bytes",
        "Sent a second by the site itself; what nginx or a bucket sends is not known here.",
        "Bps",
        Query(total(rate("video_bytes_total")), "sent"),
        width=8,
    ),
)
TELEMETRY = (
    graph(
        "Scrapes",
        "Time that 99 of 100 scrapes took to be put together.",
        "s",
        Query(quantile(0.99, "telemetry_scrape_duration_seconds"), "99 of 100"),
        width=8,
    ),
    graph(
        "Dropped telemetry",
        "Metrics, records and spans a second that were given up so that a request could go on.",
        "ops",
        each("part", "telemetry_errors_total"),
        width=8,
    ),
    graph(
        "Damaged files, refused series",
        "Both should stay at zero: a slot file that was damaged, a label set that was one too many.",
        "ops",
        Query(total(rate("telemetry_corrupt_files_total")), "damaged files"),
        Query(total(rate("telemetry_series_dropped_total")), "refused series"),
        width=8,
    ),
)
BOARD = Board(
    "church-http",
    "Church: HTTP",
    "Rate, errors and duration of the site's requests, and what its processes need.",
    (("Now", NOW), ("Requests", RED), ("Hosts", PROCESSES), ("Videos", VIDEOS), ("Telemetry", TELEMETRY)),
    logs='| event="http.request"',
    traces='{resource.service.name="church"}',
)
