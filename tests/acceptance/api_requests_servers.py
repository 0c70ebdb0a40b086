"""Requests of api_requests.py about pages, about what a flag allows, of agents and below a prefix; api_requests_queries.py says what a
line is.

Servers: `main` has everything that a flag can allow, `bare` no such flag and origins for CORS, `agent` is an agent, and `prefix` is
at /inner with an external URL at /outer.
"""

PAGES = """
/
HEAD /
POST /
/?a=b
/graph
/graph?g0.expr=up&g0.tab=1
~~ /query
~~ /query?g0.expr=up
~~ /targets
~~ /alerts
~~ /rules
~~ /config
~~ /flags
~~ /status
~~ /tsdb-status
~~ /service-discovery
~~ /alertmanager-discovery
~~ /agent
/classic/graph
/new
~~ /favicon.ico
~~ /favicon.svg
~~ /manifest.json
/assets/absent.js
/static/absent.js
/consoles/absent.html
/consoles/
/consoles
/user/hello.txt
HEAD /user/hello.txt
POST /user/hello.txt
/user/absent.txt
/user/../prometheus.yml
/user/%2e%2e/prometheus.yml
/user/
/user
/debug/pprof
~~ /debug/pprof/
~~ /debug/pprof/cmdline
/debug/absent
/absent
POST /absent
OPTIONS /absent
/api
/api/
/api/v1
/api/v1/
/api/v2/query?query=1
/api/v1/absent
POST /api/v1/absent
OPTIONS /api/v1/absent
OPTIONS /api/v1/absent | Origin: https://a.example
/API/v1/query?query=1
//api/v1/query?query=1&time=5
/api/v1/./query?query=1&time=5
/api/v1/x/../query?query=1&time=5
/api/v1/targets/
/federate/
~ /version
POST /version
HEAD /version
/-/healthy
HEAD /-/healthy
POST /-/healthy
OPTIONS /-/healthy
/-/healthy | Origin: https://a.example
/-/ready
HEAD /-/ready
PUT /-/ready
/-/absent
/-/reload
/-/quit
DELETE /-/reload
DELETE /-/quit
~~ /metrics
~~ /metrics | Accept: application/openmetrics-text;version=1.0.0
~~ /metrics | Accept: application/json
~~ /metrics | Accept-Encoding: gzip
~~ HEAD /metrics
POST /metrics
"""

ADMIN = """
POST? match[]=with_dup{b="y"}&start=x
POST? match[]=with_dup{b="y"}&end=x
POST? match[]={
POST? match[]=sum(x)
POST?
GET match[]=with_dup
OPTIONS
POST? match[]=with_dup{b="y"}
PUT? match[]=with_dup{b="y"}&start=$t-60&end=$t
POST match[]=with_dup{b="y"}
"""

TOMBSTONES = """
GET
POST
PUT
OPTIONS
"""

SNAPSHOT = """
GET
POST? skip_head=x
~ POST? skip_head=true
~ POST?
OPTIONS
"""

# What changes something comes last.
CHANGING = """
POST /-/reload
PUT /-/reload
POST /-/reload | Origin: https://a.example
POST /-/reload | Sec-Fetch-Site: cross-site
POST /-/quit
"""

# Everything that a flag allows.
DENIED = """
POST /-/reload
PUT /-/quit
/-/reload
POST /api/v1/admin/tsdb/delete_series?match[]=up
POST /api/v1/admin/tsdb/delete_series
PUT /api/v1/admin/tsdb/clean_tombstones
POST /api/v1/admin/tsdb/snapshot
POST /api/v1/admin/tsdb/snapshot?skip_head=x
/api/v1/admin/tsdb/snapshot
POST /api/v1/write
/user/hello.txt
/api/v1/query?query=1&time=5 | Origin: https://good.example
/api/v1/query?query=1&time=5 | Origin: https://bad.example
/api/v1/query?query=1&time=5 | Origin: https://good.example.evil
/api/v1/query?query=1&time=5
/api/v1/status/walreplay | Origin: https://good.example
OPTIONS /api/v1/query | Origin: https://bad.example
/api/v1/targets
/api/v1/scrape_pools
/api/v1/rules
/api/v1/alerts
/api/v1/alertmanagers
/api/v1/metadata
/api/v1/targets/metadata
/api/v1/labels
/api/v1/label/a/values
/api/v1/series?match[]=a
/api/v1/query?query=up&time=5
/api/v1/query_exemplars?query=up
/api/v1/status/config
"""

AGENT = """
/
/graph
~~ /agent
/-/healthy
/-/ready
/api/v1/query?query=1
POST /api/v1/query
HEAD /api/v1/query
/api/v1/query?query=sum(
/api/v1/query | Origin: https://a.example
/api/v1/query | Accept-Encoding: gzip
/api/v1/query_range?query=1
/api/v1/query_exemplars?query=1
/api/v1/format_query?query=1
/api/v1/parse_query?query=1
/api/v1/labels
/api/v1/label/a/values
/api/v1/series?match[]=a
/api/v1/rules
/api/v1/alerts
/api/v1/alertmanagers
/api/v1/status/tsdb
POST /api/v1/admin/tsdb/delete_series?match[]=up
POST /api/v1/admin/tsdb/clean_tombstones
PUT /api/v1/admin/tsdb/snapshot
/api/v1/targets
/api/v1/scrape_pools
/api/v1/metadata?metric=page_seconds
/api/v1/targets/metadata?metric=page_seconds
/api/v1/status/config
~ /api/v1/status/buildinfo
~ /api/v1/status/runtimeinfo
/api/v1/status/walreplay
/federate?match[]=up
POST /api/v1/read
POST /api/v1/write
OPTIONS /api/v1/query
/absent
~~ /metrics
"""

PREFIX = """
/
/inner
/inner/
/inner/graph?g0.expr=up
~~ /inner/query
/outer/
/outer/query
/graph
/query
/metrics
~~ /inner/metrics
/-/healthy
/inner/-/healthy
/inner/-/ready
/inner/-/reload
/api/v1/query?query=1&time=5
/inner/api/v1/query?query=1&time=5
/inner/api/v1/query/?query=1&time=5
/inner/api/v1/absent
/inner/absent
/absent
/inner/federate
/inner/user/hello.txt
/user/hello.txt
OPTIONS /inner/api/v1/query
/inner/api/v1/targets?scrapePool=files
/inner/api/v1/alerts
~ /inner/api/v1/status/flags
/innerapi
//inner/-/healthy
"""

TABLE = [
    ("main", "", PAGES), ("bare", "", DENIED), ("agent", "", AGENT), ("prefix", "", PREFIX),
    ("main", "/api/v1/admin/tsdb/delete_series", ADMIN), ("main", "/api/v1/admin/tsdb/clean_tombstones", TOMBSTONES),
    ("main", "/api/v1/admin/tsdb/snapshot", SNAPSHOT), ("main", "", CHANGING),
]
