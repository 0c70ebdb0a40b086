"""Requests of api_requests.py about everything else; api_requests_queries.py says what a line is."""

METADATA = """
~ limit=1000
metric=page_requests_total
metric=page_seconds
metric=om_bytes
metric=om_bytes_total
metric=page_untyped
metric=http.metric
metric=absent
metric=page_requests_total&limit_per_metric=1000
metric=page_requests_total&limit_per_metric=0
metric=page_requests_total&limit_per_metric=-1
metric=page_requests_total&limit_per_metric=x
metric=page_seconds&limit=0
metric=page_seconds&limit=-1
metric=page_seconds&limit=x
metric=page_seconds&limit=1.5
metric=page_seconds&limit=+5
limit=0
metric=page_seconds&metric=page_rpc
metric=page_seconds&unknown=x | Origin: https://a.example
POST metric=page_seconds
HEAD metric=page_seconds
OPTIONS
"""

TARGETS_METADATA = """
~ limit=1000
match_target={job="pages"}
match_target={job="pages",instance="page-plain"}&metric=page_requests_total
match_target={job="openmetrics"}
metric=page_requests_total
metric=absent
metric=http.metric
match_target={job="absent"}
match_target={job=~"o.*"}&metric=om_bytes
match_target={
match_target={}
match_target=up
match_target=up[5m]
match_target={job=~"("}
match_target={job="pages"}&limit=0
match_target={job="pages"}&limit=-1
match_target={job="pages"}&limit=x
match_target=
POST metric=page_seconds
OPTIONS
"""

TARGETS = """
GET
state=active
state=dropped
state=any
state=ANY
state=Dropped
state=x
state=
scrapePool=pages
scrapePool=pages&state=dropped
scrapePool=all dropped
scrapePool=files&state=active
scrapePool=down
scrapePool=broken
scrapePool=missing
scrapePool=untyped
scrapePool=limited
scrapePool=honored
scrapePool=größe.x
scrapePool=absent
scrapePool=
scrapePool=pages&scrapePool=down
state=active&state=dropped
scrapePool=down | Origin: https://a.example | Accept-Encoding: gzip
POST state=active
HEAD state=active
OPTIONS
"""

POOLS = """
GET
x=y
GET | Origin: https://a.example
POST
HEAD
OPTIONS
"""

RULES = """
GET
type=alert
type=record
type=ALERT
type=alerts
type=
exclude_alerts=true
exclude_alerts=1&type=alert
exclude_alerts=T
exclude_alerts=false&rule_group[]=alerts
exclude_alerts=yes
exclude_alerts=
rule_name[]=Firing
rule_name[]=Firing&rule_name[]=rule:one
rule_name[]=absent
rule_name[]=
rule_name=Firing&type=alert
rule_group[]=alerts
rule_group[]=größe "x"
rule_group[]=absent
file[]=$folder/rules/one.yml
file[]=$folder/rules/two.yml&rule_group[]=alerts&rule_name[]=Firing
file[]=one.yml
file[]=rules/one.yml
match[]={severity="page"}
match[]={severity=~"page|mail"}&type=alert
match[]={kind="sum"}&match[]={severity="info"}
match[]={of="group"}
match[]={text="{{ $labels.instance }}"}
match[]={severity!="page"}&type=alert
match[]=Firing
match[]={}
match[]=
match[]={
match[]={severity=~"("}
match[]=up[5m]
group_limit=1
group_limit=2
group_limit=100
group_limit=0
group_limit=-1
group_limit=x
group_limit=1.5
group_limit=+2
group_limit=2147483648
group_limit=99999999999999999999
group_limit=
group_limit=1&group_next_token=x
group_next_token=x
group_limit=&group_next_token=
group_limit=1&rule_group[]=limited
group_limit=1&type=alert&exclude_alerts=true
type=x&exclude_alerts=x&group_limit=x
match[]={&type=x
?type=alert&x=%zz
unknown=x&type=record | Origin: https://a.example
POST type=alert
HEAD
OPTIONS
"""

ALERTS = """
GET
x=y
GET | Accept-Encoding: gzip | Origin: https://a.example
POST
HEAD
PUT
OPTIONS
"""

SMALL = """
GET
x=y | Origin: https://a.example
POST
HEAD
OPTIONS
"""

SHAPES = """
~ GET
~ x=y | Origin: https://a.example
POST
~~ HEAD
OPTIONS
"""

TSDB = """
~ GET
~ limit=1
~ limit=10000
limit=0
limit=-1
limit=x
limit=1.5
~ limit=
POST
OPTIONS
"""

FEDERATE = """
match[]=http_inprogress
match[]=http_requests_total{code="500"}&match[]=machine_info
match[]={"http.size"}
match[]=ended
match[]=latency
match[]=custom
match[]=odd_values
~~ match[]={job="pages"}
match[]=absent
GET
match[]=
match[]={}
match[]={
match[]=up[5m]
match[]=sum(up)
match[]={job=~"("}
match[]=live_pair&match[]={
match[]=http_inprogress | Accept: application/openmetrics-text
match[]=machine_info | Accept: text/plain;version=1.0.0
match[]={"http.size"} | Accept: text/plain;version=1.0.0;escaping=allow-utf-8
match[]={"http.size"} | Accept: text/plain;escaping=dots
match[]={"http.size"} | Accept: text/plain;version=0.0.4;escaping=values
match[]=live_pair | Accept: application/json
match[]=live_pair | Accept-Encoding: gzip
match[]=live_pair | Origin: https://a.example
POST match[]=live_pair
POST? match[]=live_pair
HEAD match[]=live_pair
OPTIONS match[]=live_pair
"""

WRITE = """
POST? <- @write | $version_1
POST? <- @same again | $version_1
POST? <- @other value | $version_1
POST? <- @empty write | $version_1
POST? <- @nothing | $version_1
POST? <- @not snappy | $version_1
POST? <- @not protobuf | $version_1
POST? <- @short | $version_1
POST? <- @claims 1 GB | $version_1
POST? <- @huge | $version_1
POST? <- @no name | $version_1
POST? <- @no labels | $version_1
POST? <- @label twice | $version_1
POST? <- @empty label name | $version_1
POST? <- @bad utf-8 | $version_1
POST? <- @utf-8 name | $version_1
POST? <- @too old | $version_1
POST? <- @ahead | $version_1
POST? <- @write
POST? <- @write | Content-Type: application/x-protobuf
POST? <- @write | Content-Type: application/x-protobuf;proto=prometheus.WriteRequest | Content-Encoding: snappy
POST? <- @write | Content-Type: application/x-protobuf;proto=nonsense | Content-Encoding: snappy
POST? <- @write | Content-Type: application/x-protobuf; charset=utf-8 | Content-Encoding: snappy
POST? <- @write | Content-Type: application/x-protobuf;proto=prometheus.WriteRequest;x | Content-Encoding: snappy
POST? <- @write | Content-Type: text/plain | Content-Encoding: snappy
POST? <- @write | Content-Type: application/x-protobuf | Content-Encoding: identity
POST? <- @gzipped | Content-Type: application/x-protobuf | Content-Encoding: gzip
POST? <- @write | Content-Type: application/x-protobuf | Content-Encoding: SNAPPY
POST? <- @write 2 | $version_2
POST? <- @write 2 nothing in it | $version_2
POST? <- @write 2 empty | $version_2
POST? <- @write 2 bad reference | $version_2
POST? <- @write 2 odd references | $version_2
POST? <- @write 2 no first symbol | $version_2
POST? <- @write 2 both | $version_2
POST? <- @write 2 | $version_1
POST? <- @write | $version_2
POST? <- @write | $version_1 | Origin: https://a.example
POST? <- @write | $version_1 | Sec-Fetch-Site: cross-site
GET
HEAD
PUT <- @write | $version_1
OPTIONS
"""

READ = """
POST? <- @read | $snappy
POST? <- @read two | $snappy
POST? <- @read nothing | $snappy
POST? <- @read bad | $snappy
POST? <- @read kind | $snappy
~~ POST? <- @read chunks | $snappy
POST? <- @read external | $snappy
POST? <- @read backwards | $snappy
POST? <- @read
POST? <- @not snappy | $snappy
POST? <- @not protobuf | $snappy
POST? <- @nothing | $snappy
POST? <- @read | $snappy | Origin: https://a.example
GET
PUT <- @read | $snappy
OPTIONS
"""

TABLE = [
    ("main", "/api/v1/metadata", METADATA), ("main", "/api/v1/targets/metadata", TARGETS_METADATA), ("main", "/api/v1/targets", TARGETS),
    ("main", "/api/v1/scrape_pools", POOLS), ("main", "/api/v1/rules", RULES), ("main", "/api/v1/alerts", ALERTS),
    ("main", "/api/v1/alertmanagers", ALERTS), ("main", "/api/v1/status/config", SMALL), ("main", "/api/v1/status/flags", SHAPES),
    ("main", "/api/v1/status/runtimeinfo", SHAPES), ("main", "/api/v1/status/buildinfo", SHAPES),
    ("main", "/api/v1/status/walreplay", SHAPES), ("main", "/api/v1/status/tsdb", TSDB), ("main", "/api/v1/notifications", SMALL),
    ("main", "/federate", FEDERATE), ("main", "/api/v1/read", READ), ("main", "/api/v1/write", WRITE),
]
