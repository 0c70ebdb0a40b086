"""Requests of api_requests.py about exemplars, the language, names and series; api_requests_queries.py says what a line is."""

EXEMPLARS = """
query=http_requests_total&start=$t-3600&end=$t
query=http_requests_total{code="200"}&start=$t-1800&end=$t-1680
query=rate(http_requests_total[1m]) + on () http_seconds_bucket&start=$t-3600&end=$t
query=histogram_quantile(0.9, rate(http_seconds_bucket{le="0.5"}[5m]))&start=$t-3600&end=$t
query=http_requests_total
query=om_bytes_total
query=absent_series
query={}
query=1
query="x"
query=
query=sum(
start=1&end=2
query=http_requests_total&start=x
query=http_requests_total&end=x
query=http_requests_total&start=5&end=4
query=http_requests_total&start=$r-1800&end=$r-1740
query=http_requests_total&start=&end=
query=http_requests_total&start=$t-1800&end=$t-1800
query=http_requests_total&start=$t-3600&end=$t&limit=x
POST query=http_requests_total&start=$t-3600&end=$t
MULTIPART query=http_requests_total&start=$t-3600&end=$t
query=http_requests_total | Origin: https://a.example
HEAD query=1
DELETE query=1
OPTIONS
"""

# Also for parse_query.
FORMAT = """
query=foo/bar
query=sum by(job,instance)(rate(http_requests_total{job="a",code=~"5.."}[5m] offset 1h))/sum without()(x)
query=a+on(b)group_left(c)d*-e^2
query=x[5m:1m]@1234.5 offset -1m
query=x @ start()
query=x @ end() offset 5m
query=min_over_time(x[1h:])
query={"http.size","a b"!="c"}
query=sum by ("a b") ({"ü"})
query=a{b="c\\n\\"d"}
query='single "quoted"'
query=`raw \\ text`
query=1e3
query=0x1F
query=1_000
query=.5
query=Inf
query=-NaN
query=1h30m
query=5m
query=a == bool b
query=a and b or c unless d
query=(a)
query=((a + b))
query=-a
query=+a
query=-(1)
query=a atan2 b
query=topk(5, a) by (b)
query=topk by (b) (5, a)
query=count_values("x", a)
query=quantile(0.9, a)
query=histogram_quantile(0.9, sum by (le) (rate(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_bucket{bbbbbbbbbbbbbbbbbb="c",d=~"e|f"}[5m])))
query=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{x="yyyyyyyyyyyyyyyyyyy"} + ignoring(a,b) group_right(c) bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
query=a # remark
query=time()
query=label_replace(a, "b", "$1", "c", "(.*)")
query=sum(a) by (b) / ignoring(c) sum(d)
query=a{b=""}
query=a{b!~"c",}
query=a{__name__="b"}
query={__name__="a"}
query={__name__=~"a.*"}
query=a offset 1d12h
query=info(a, {b="c"})
query=a @ 1e9
query=sum(
query=
query=1 +
query=a{b=~"("}
query=a b
query=rate(a)
query={}
query=sum(a[5m])
x=1
query=a&query=b
POST query=foo/bar
POST? query=foo/bar
MULTIPART query=foo/bar
query=a | Origin: https://a.example
HEAD query=a
PUT query=a
OPTIONS
"""

LABELS = """
match[]=http_requests_total
match[]=http_requests_total&match[]={"http.size"}
match[]={job="api"}&start=$t-60&end=$t
match[]=http_requests_total&start=$t-60&end=$t
match[]=old&start=$t-60&end=$t
match[]=old&start=$t-3600&end=$t-3000
match[]=http_requests_total&limit=2
match[]=http_requests_total&limit=5
match[]=http_requests_total&limit=4
match[]=http_requests_total&limit=0
match[]=http_requests_total&limit=-1
match[]=http_requests_total&limit=x
match[]=http_requests_total&start=x
match[]=http_requests_total&end=x
match[]=http_requests_total&start=$t&end=$t-60
match[]=http_requests_total&start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z
match[]=http_requests_total&start=Inf
match[]=absent_series
match[]={job!="api",__name__=~"http.*"}
match[]=
match[]={}
match[]={job=~".*"}
match[]={job=""}
match[]={
match[]=up[5m]
match[]=up offset 5m
match[]=sum(up)
match[]=up&match[]={}
match[]={job=~"("}
match=up&limit=1
limit=1
start=$t-60&end=$t&limit=3
start=1&end=2
POST match[]=http_requests_total
POST? match[]=http_requests_total
MULTIPART match[]=http_requests_total
match[]=http_requests_total | Origin: https://a.example | Accept-Encoding: gzip
limit=x&start=x&match[]={
HEAD match[]=up
PUT match[]=up
OPTIONS
"""

VALUES = """
/instance/values?match[]=http_requests_total
/__name__/values?match[]={job="api"}
/__name__/values?match[]={__name__=~"http.%2B"}
/code/values?match[]=http_requests_total&limit=2
/code/values?match[]=http_requests_total&limit=3
/code/values?match[]=http_requests_total&limit=x
/code/values?match[]=http_requests_total&limit=-5
/job/values?match[]=http_requests_total&match[]=http_inprogress
/job/values?start=$t-120&end=$t-60&match[]=http_requests_total
/job/values?match[]=old&start=$t-60
/job/values?start=x
/job/values?end=x
/job/values?start=1&end=2
/job/values?match[]={}
/job/values?match[]={
/absent/values
/le/values?match[]=http_seconds_bucket
/a%20b/values
/gr%C3%B6%C3%9Fe/values
/größe/values
/U__a_20_b/values
/U__gr_f6__df_e/values
/U__code/values?match[]=http_requests_total
/U__a_zz_b/values
/a.b/values
/0/values
/%ff/values
//values
/%20/values
/a/b/values
/a%2Fb/values
/job
/job/
/job/values/
/job/value
/job/values?match[]=http_requests_total&x=y | Origin: https://a.example
HEAD /job/values
POST /job/values
OPTIONS /job/values
"""

SERIES = """
match[]=http_requests_total
match[]=http_requests_total{code="500"}&match[]=http_inprogress{job="batch"}
match[]=http_inprogress&match[]=http_inprogress
match[]={"http.size"}
match[]={__name__=~"http_in.*"}&start=$t-60&end=$t
match[]=old
match[]=old&start=$t-60&end=$t
match[]=ended&start=$t-60
match[]=http_inprogress&start=$r-60&end=$r
match[]=latency
match[]=absent_series
~ match[]=http_requests_total&limit=2
match[]=http_requests_total&limit=9
match[]=http_requests_total&limit=0
match[]=http_requests_total&limit=-1
match[]=http_requests_total&limit=x
match[]=http_requests_total&start=x
match[]=http_requests_total&end=x
match[]=http_requests_total&start=$t&end=$t-60
match[]=http_requests_total&start=NaN
GET
match=http_requests_total
match[]=
match[]={}
match[]={job=~".*"}
match[]={job=""}
match[]={
match[]=rate(up[5m])
match[]=up[5m]
match[]=up offset 5m
match[]=1
match[]=up{a=~"("}
match[]=http_inprogress&match[]={
limit=x&start=x
POST match[]=http_inprogress
POST? match[]=http_inprogress
POST? match[]=http_inprogress{job="api"} <- match[]=http_inprogress{job="batch"} | Content-Type: application/x-www-form-urlencoded
POST? <- match[]=%zz | Content-Type: application/x-www-form-urlencoded
MULTIPART match[]=http_inprogress
?match[]=http_inprogress&x=%zz
?match%5B%5D=http_inprogress
match[]=http_inprogress | Origin: https://a.example
HEAD match[]=http_inprogress
DELETE match[]=http_inprogress
PUT match[]=http_inprogress
OPTIONS
"""

TABLE = [
    ("main", "/api/v1/query_exemplars", EXEMPLARS), ("main", "/api/v1/format_query", FORMAT), ("main", "/api/v1/parse_query", FORMAT),
    ("main", "/api/v1/labels", LABELS), ("main", "/api/v1/label", VALUES), ("main", "/api/v1/series", SERIES),
]
