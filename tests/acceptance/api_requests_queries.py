"""Requests of api_requests.py about samples, series and the language. A line is a request:

    [METHOD] PARAMETERS [<- BODY] [ | HEADER: VALUE]...

PARAMETERS are as in a URL, but not encoded; of POST they are a form in the body, of `POST?` they are in the URL, of MULTIPART and JSON
in a body of that kind; those that begin with `/` or `?` follow the path as they stand. BODY is a text, or one of the data's
after `@`. `$t` is the time of the last sample, `$r` the same in RFC 3339, `$n` now, all with an offset in seconds (`$t-60`).
`~` in front: shapes are compared, not values; `~~`: not even these. `#` begins a remark.
"""

QUERY = """
query=http_inprogress&time=$t
query=http_inprogress&time=$r
query=http_requests_total{code="500"}&time=$t-7.5
query=http_requests_total{code=~"4..|5.."}&time=$t
query=http_requests_total{code!~"2.*",job!="api"}&time=$t
query={__name__=~"http_(req|inp).*",instance="h1:80"}&time=$t
query={"http.size"}&time=$t
query={"http.size","a b"=~".+"}&time=$t
query=odd_values&time=$t
query=odd_values[30s]&time=$t
query=http_requests_total{instance="h3:80"}[5m]&time=$t
query=http_requests_total{code="500"}[1m] offset 10m&time=$t
query=http_inprogress[2m:30s]&time=$t
query=max_over_time(http_inprogress[10m:1m] offset 1m)&time=$t
query=http_inprogress @ $t-600&time=$t
query=http_inprogress @ start()&time=$t
query=http_inprogress offset -5m&time=$t-900
query=sum by (code) (rate(http_requests_total[5m]))&time=$t
query=histogram_quantile(0.9, sum by (le) (rate(http_seconds_bucket[5m])))&time=$t
query=histogram_quantile(0.9, custom)&time=$t
query=latency&time=$t
query=latency[31s]&time=$t
query=queue_depth&time=$t
query=custom&time=$t
query=mixed[10m]&time=$t
query=histogram_fraction(0, 1, latency)&time=$t
query=histogram_count(custom)&time=$t
query=ended&time=$t
query=ended[1h]&time=$t
query=paused[20m]&time=$t
query=old&time=$t
query=old&time=$t-1800
query=behind[20m]&time=$t
query=absent_series&time=$t
query=absent(absent_series{a="b"})&time=$t
query=1&time=$t
query=-1.5e300*1e300&time=$t
query=0/0&time=$t
query=1e-7&time=$t
query=1234567890123456789&time=$t
query="text"&time=$t
query='it''s'&time=$t
query=`raw\\n`&time=$t
query="é\\n\\u00e9\\x41"&time=$t
query=scalar(http_seconds_count)&time=$t
query=vector(1)&time=$t
query=time()&time=$t.125
query=timestamp(http_inprogress)&time=$t
query=sort_desc(http_inprogress)&time=$t
query=sort_by_label(http_inprogress, "instance")&time=$t
query=topk(2, http_inprogress)&time=$t
query=count_values("v", http_requests_total)&time=$t
query=label_replace(http_inprogress, "x", "$1", "instance", "(.*):.*")&time=$t
query=http_inprogress * on (instance) group_left (kernel) machine_info&time=$t
query=http_inprogress > bool 5&time=$t
query=http_inprogress and on (instance) machine_info{role="db"}&time=$t
query=info(http_inprogress)&time=$t
query=quantile_over_time(0.5, http_inprogress[5m])&time=$t
query=quantile(2, http_inprogress)&time=$t
query=limitk(2, http_inprogress)&time=$t
query=double_exponential_smoothing(http_inprogress[5m], 0.5, 0.5)&time=$t
query=mad_over_time(http_inprogress[5m])&time=$t
query=rate(http_inprogress[5m])&time=$t
query=rate(latency[5m]) + rate(http_seconds_count[5m])&time=$t
query=sum(latency) + 1&time=$t
query=sum({__name__=~"latency|http_inprogress"})&time=$t
query=histogram_quantile(7, http_seconds_bucket)&time=$t
query=histogram_quantile(0.5, http_inprogress)&time=$t
query=page_requests_total&time=$n
query=page_other&time=$n
query=om_bytes_total&time=$n
query={"http.metric"}&time=$n
query=up&time=$n
query=scrape_samples_scraped{job!~"self.*"}&time=$n
query=page_seconds{job="custom buckets"}&time=$n
query=count({__name__=~"rule:.+"})&time=$n
query=ALERTS{alertname="Firing"}&time=$n
~ query=ALERTS_FOR_STATE&time=$n
~ query=live_requests
~ query=count(live_requests)&time=
~ query=time()
# Times.
query=vector(1)&time=0
query=vector(1)&time=-1
query=vector(1)&time=-1.5
query=vector(1)&time=1434000000.0105
query=vector(1)&time=1434000000.9996
query=vector(1)&time=1.434e9
query=vector(1)&time=1E3
query=vector(1)&time=+5
query=vector(1)&time=.5
query=vector(1)&time=5.
query=vector(1)&time=0x10
query=vector(1)&time=0x1p4
query=vector(1)&time=1_000
query=vector(1)&time=2015-06-03T13:21:58.555Z
query=vector(1)&time=2015-06-03T13:21:58.123456789Z
query=vector(1)&time=2015-06-03T14:21:58.5+01:00
query=vector(1)&time=2015-06-03T13:21:58,5Z
query=vector(1)&time=2015-06-03T13:21:58
query=vector(1)&time=2015-06-03 13:21:58Z
query=vector(1)&time=2015-06-03t13:21:58z
query=vector(1)&time=2015-06-03T24:00:00Z
query=vector(1)&time=2015-06-03T13:21:60Z
query=vector(1)&time=2015-13-03T13:21:58Z
query=vector(1)&time=2015-06-03
query=vector(1)&time=9999-12-31T23:59:59Z
query=vector(1)&time=0000-01-01T00:00:00Z
query=vector(1)&time=-292273086-05-16T16:47:06Z
query=vector(1)&time=292277025-08-18T07:12:54.999999999Z
query=vector(1)&time=-9223372036854775.808
query=vector(1)&time=9223372036854775.807
query=vector(1)&time=Inf
query=vector(1)&time=-inf
query=vector(1)&time=NaN
query=vector(1)&time=1e308
query=vector(1)&time=1e400
query=vector(1)&time=now
query=vector(1)&time=30s
?query=vector(1)&time=%205
?query=vector(1)&time=5%20
query=vector(1)&time=5;6
query=http_inprogress&time=1e12
query=http_inprogress&time=253402300800
# Errors of the language.
query=
query
time=$t
?query=%20&time=5
query=sum(&time=$t
query=http_inprogress{&time=$t
query=http_inprogress{job=~"("}&time=$t
query={}&time=$t
query={job=""}&time=$t
query={job=~".*"}&time=$t
query={__name__="a",__name__="b"}&time=$t
query=a{__name__="b"}&time=$t
query=foo bar&time=$t
query=1 +&time=$t
query=1 and 2&time=$t
query=sum(1)&time=$t
query=rate(http_inprogress)&time=$t
query=rate(http_inprogress[5m], 1)&time=$t
query=nosuch(1)&time=$t
query=http_inprogress[5m] offset&time=$t
query=http_inprogress[0s]&time=$t
query=http_inprogress[5x]&time=$t
query=http_inprogress[5m][5m]&time=$t
query=http_inprogress offset 1m offset 2m&time=$t
query=http_inprogress @ Inf&time=$t
query=http_inprogress @ 1e400&time=$t
query="unclosed&time=$t
query="bad \\q"&time=$t
query=0x&time=$t
query=1m30&time=$t
query=http_inprogress{job="a" instance="b"}&time=$t
query=http_inprogress{job=5}&time=$t
query=sum by (http.size) (x)&time=$t
query=label_replace(http_inprogress, "a b", "x", "job", ".*")&time=$t
query=label_replace(http_inprogress, "", "x", "job", ".*")&time=$t
query=label_replace(http_inprogress, "x", "x", "job", "(")&time=$t
query=count_values("", http_inprogress)&time=$t
query=label_join(http_inprogress, "x", "-", "")&time=$t
query=live_pair + on () live_pair&time=$t
query=http_inprogress * on (instance) http_requests_total&time=$t
query=label_replace(with_dup, "b", "", "b", ".*")&time=$t
query=sum without (b) (with_dup) or label_replace(with_dup, "b", "", "b", ".*")&time=$t
query=http_inprogress > "x"&time=$t
query="a" + "b"&time=$t
query=-"a"&time=$t
query=bool 1&time=$t
query=1 == 1&time=$t
query=1 > bool 1&time=$t
query=topk(NaN, http_inprogress)&time=$t
query=topk(1e30, http_inprogress)&time=$t
query=topk(-1, http_inprogress)&time=$t
query=limit_ratio(2, http_inprogress)&time=$t
query=absent()&time=$t
query=time(1)&time=$t
query=http_inprogress anchored&time=$t
query=((((((((((1))))))))))&time=$t
query=1 # remark&time=$t
?query=sum%09(%0Ahttp_inprogress%0D%0A)&time=5
# Parameters.
query=http_requests_total&time=$t&limit=0
query=sort(http_requests_total)&time=$t&limit=2
query=http_requests_total&time=$t&limit=9
query=http_requests_total&time=$t&limit=10
query=sort(http_requests_total)&time=$t&limit=1&limit=x
query=1&time=$t&limit=1
query=http_requests_total&time=$t&limit=-1
query=http_requests_total&time=$t&limit=x
query=http_requests_total&time=$t&limit=1.5
query=http_requests_total&time=$t&limit=1e2
query=sort(http_requests_total)&time=$t&limit=+3
query=http_requests_total&time=$t&limit=
query=http_requests_total&time=$t&limit=99999999999999999999
query=old&time=$t&lookback_delta=1h
query=old&time=$t&lookback_delta=3000
query=http_inprogress&time=$t+20&lookback_delta=10s
query=http_inprogress&time=$t&lookback_delta=0
query=http_inprogress&time=$t&lookback_delta=-1
query=http_inprogress&time=$t&lookback_delta=x
query=http_inprogress&time=$t&lookback_delta=1e308
query=http_inprogress&time=$t&lookback_delta=0.0001
query=http_inprogress&time=$t&timeout=10s
query=http_inprogress&time=$t&timeout=1e9
query=http_inprogress&time=$t&timeout=0
query=http_inprogress&time=$t&timeout=-1
query=http_inprogress&time=$t&timeout=x
query=http_inprogress&time=$t&timeout=1h1h
query=http_inprogress&time=$t&timeout=148966367200372
query=http_requests_total&time=$t&stats=true
query=http_requests_total&time=$t&stats=all
query=rate(http_requests_total[5m])&time=$t&stats=all
query=1&time=$t&stats=all
query=http_requests_total&time=$t&stats=yes
query=http_requests_total&time=$t&stats=
query=1&query=2&time=$t
query=1&time=$t&time=0
query=1&time=$t&unknown=x&another
query=1&time=$t&&&
limit=x&time=x&query=sum(
time=x&query=sum(&timeout=x
timeout=x&lookback_delta=x&query=sum(&time=$t
# Bodies and encodings.
POST query=http_inprogress&time=$t
POST? query=http_inprogress&time=$t
POST query=1&time=$t | Content-Type: application/x-www-form-urlencoded; charset=utf-8
POST query=1&time=$t | Content-Type: Application/X-WWW-Form-URLencoded
POST query=1&time=$t | Content-Type: text/plain
POST query=1&time=$t | Content-Type:
POST? query=1&time=$t <- query=2 | Content-Type: application/x-www-form-urlencoded
POST? time=$t <- query=2&limit=%zz | Content-Type: application/x-www-form-urlencoded
POST? time=$t <- query=2;limit=3 | Content-Type: application/x-www-form-urlencoded
MULTIPART query=http_inprogress&time=$t
MULTIPART query=1&query=2&time=$t
MULTIPART query=
POST? time=$t <- --x no parts | Content-Type: multipart/form-data; boundary=x
POST? time=$t <- nothing | Content-Type: multipart/form-data
JSON query=1&time=$t
POST? query=3&time=$t <- {"query": "1"} | Content-Type: application/json
POST? <- @11 MB | Content-Type: application/x-www-form-urlencoded
POST? time=$t <- @1 MB | Content-Type: application/x-www-form-urlencoded
POST? time=$t <- @20 kB | Content-Type: application/x-www-form-urlencoded
POST? time=$t <- @form gzip | Content-Type: application/x-www-form-urlencoded | Content-Encoding: gzip
GET query=1&time=$t <- query=2 | Content-Type: application/x-www-form-urlencoded
?query=1%2B1&time=5
?query=1+1&time=5
?query=1%20%2b%201&time=5
?query=%zz&time=5
?query=1&time=5&x=%
?query=1;time=5
~ ?query=1&time=5;limit=3
?query=%22%ff%22&time=5
?query=%00&time=5
?query=1%00&time=5
??query=1&time=5
/?query=1&time=5
# Headers.
query=1&time=$t | Origin: https://a.example
query=1&time=$t | Origin: null
query=x{&time=$t | Origin: https://a.example
query=1&time=$t | Origin:
POST query=1&time=$t | Origin: https://a.example
query=http_requests_total&time=$t | Accept-Encoding: gzip
query=http_requests_total&time=$t | Accept-Encoding: deflate
query=http_requests_total&time=$t | Accept-Encoding: br, zstd
query=http_requests_total&time=$t | Accept-Encoding: deflate, gzip
query=http_requests_total&time=$t | Accept-Encoding: gzip;q=0
query=http_requests_total&time=$t | Accept-Encoding: *
query=1&time=$t | Accept-Encoding: gzip
query=x{&time=$t | Accept-Encoding: gzip
query=1&time=$t | Accept: text/html
query=1&time=$t | Accept: application/json;q=0
query=1&time=$t | Accept: ;;;
query=1&time=$t | Host: evil.example
query=1&time=$t | Host: localhost:1
query=1&time=$t | If-None-Match: * | Range: bytes=0-3
# Methods.
HEAD query=1&time=$t
PUT query=1&time=$t
DELETE query=1&time=$t
PATCH query=1&time=$t
OPTIONS
OPTIONS | Origin: https://a.example | Access-Control-Request-Method: POST
BREW query=1&time=$t
"""

RANGE = """
query=http_inprogress&start=$t-60&end=$t&step=15
query=http_inprogress&start=$r-60&end=$r&step=15s
query=http_inprogress&start=$t-60.5&end=$t&step=7.25
query=sum by (job) (rate(http_requests_total[2m]))&start=$t-600&end=$t&step=1m
query=latency&start=$t-60&end=$t&step=30
query=mixed&start=$t-600&end=$t&step=45
query=custom&start=$t-60&end=$t&step=30
query=histogram_quantile(0.5, latency)&start=$t-3600&end=$t&step=10m
query=paused&start=$t-3600&end=$t&step=2m
query=ended&start=$t-3600&end=$t&step=5m
query=old&start=$t-3600&end=$t&step=5m
query=odd_values&start=$t&end=$t&step=1
query=http_requests_total&start=$t-3600&end=$t-3500&step=20
query=http_inprogress @ end()&start=$t-60&end=$t&step=30
query=http_inprogress @ start()&start=$t-60&end=$t&step=30
query=max_over_time(rate(http_requests_total{code="200"}[1m])[5m:20s])&start=$t-60&end=$t&step=30
query=time()&start=1&end=2&step=0.25
query=1&start=$t&end=$t&step=15
query=1&start=$t-60&end=$t&step=1.025
query=1&start=0&end=3&step=1.0005
query=1&start=0&end=0.01&step=0.001
query=1&start=0&end=1&step=0.0001
query=time()&start=1.0005&end=1.0025&step=0.001
query=1&start=0&end=1&step=1e-1
query=vector(2)&start=$t-60&end=$t&step=1h
query=absent_series&start=$t-60&end=$t&step=15
query=absent(http_inprogress{job="x"})&start=$t-60&end=$t&step=30
query=sort(http_inprogress)&start=$t-60&end=$t&step=30
query=topk(1, http_inprogress)&start=$t-600&end=$t&step=60
query=rate(http_inprogress[1m])&start=$t-60&end=$t&step=30
query=live_pair + on () live_pair&start=$t-60&end=$t&step=30
query=label_replace(with_dup, "b", "", "b", ".*")&start=$t-60&end=$t&step=30
query="text"&start=$t-60&end=$t&step=15
query=http_inprogress[5m]&start=$t-60&end=$t&step=15
query=sum(&start=$t-60&end=$t&step=15
query=&start=$t-60&end=$t&step=15
start=$t-60&end=$t&step=15
query=1&end=$t&step=15
query=1&start=$t&step=15
query=1&start=$t-60&end=$t
query=1
query=1&start=x&end=$t&step=15
query=1&start=$t&end=x&step=15
query=1&start=$t-60&end=$t&step=x
query=1&start=$t&end=$t-1&step=15
query=1&start=$t&end=$t-0.001&step=15
query=1&start=$t-60&end=$t&step=0
query=1&start=$t-60&end=$t&step=-5
query=1&start=$t-60&end=$t&step=0s
query=1&start=$t-60&end=$t&step=1e-10
query=1&start=$t-60&end=$t&step=0.0005
query=1&start=$t-60&end=$t&step=Inf
query=1&start=$t-60&end=$t&step=NaN
query=1&start=$t-60&end=$t&step=5m30s
query=1&start=$t-60&end=$t&step=1d1w
query=1&start=$t-60&end=$t&step=1h1h
query=1&start=$t-60&end=$t&step=1.5m
query=1&start=$t-60&end=$t&step=500ms
query=1&start=$t-60&end=$t&step=292y
query=1&start=$t-60&end=$t&step=293y
query=1&start=$t-60&end=$t&step=9223372036
query=1&start=$t-60&end=$t&step=9223372037
query=1&start=0&end=11000&step=1
query=1&start=0&end=11001&step=1
query=1&start=0&end=11000.9&step=1
query=1&start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z&step=1
query=1&start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z&step=292y
query=1&start=-1e300&end=1e300&step=1
query=http_inprogress&start=$t-60&end=$t&step=15&limit=1
query=http_inprogress&start=$t-60&end=$t&step=15&limit=3
query=http_inprogress&start=$t-60&end=$t&step=15&limit=x
query=http_inprogress&start=$t-60&end=$t&step=15&limit=-2
query=http_inprogress&start=$t-60&end=$t&step=30&stats=true
query=rate(http_requests_total[1m])&start=$t-60&end=$t&step=30&stats=all
query=http_inprogress&start=$t-60&end=$t&step=30&stats=x
query=old&start=$t-60&end=$t&step=30&lookback_delta=1h
query=old&start=$t-60&end=$t&step=30&lookback_delta=
query=old&start=$t-60&end=$t&step=30&lookback_delta=y
query=1&start=$t-60&end=$t&step=30&timeout=1m
query=http_inprogress&start=$t-60&end=$t&step=30&timeout=0
query=1&start=$t-60&end=$t&step=30&timeout=x
limit=x&start=x&end=x&step=x
start=$t&end=0&step=x
POST query=http_inprogress&start=$t-60&end=$t&step=15
POST? query=http_inprogress&start=$t-60&end=$t&step=15
POST? query=1&start=$t-60&end=$t&step=30 <- query=2&step=15 | Content-Type: application/x-www-form-urlencoded
MULTIPART query=http_inprogress&start=$t-60&end=$t&step=15
query=http_requests_total&start=$t-600&end=$t&step=15 | Accept-Encoding: gzip | Origin: https://a.example
HEAD query=1&start=$t-60&end=$t&step=15
PUT query=1
OPTIONS
"""

TABLE = [("main", "/api/v1/query", QUERY), ("main", "/api/v1/query_range", RANGE)]
