"""Pages as exporters write them and should not: what the lexers of Prometheus take, refuse and read otherwise than one would think.

A page is a content type, the bodies it gives one after the other (the last one again and again), and what its job says besides."""

import math
import struct

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


class Page:
    def __init__(self, bodies, content_type=TEXT, job="", native=False):
        bodies = bodies if isinstance(bodies, list) else [bodies]
        self.bodies = [b.encode() if isinstance(b, str) else b for b in bodies]
        self.content_type, self.job, self.native = content_type, job, native


# --- Protobuf, as much of it as client_model needs


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def integer(number, value):
    return varint(number << 3) + varint(value)


def zigzag(number, value):
    return integer(number, (value << 1) ^ (value >> 63))


def double(number, value):
    return varint(number << 3 | 1) + struct.pack("<d", value)


def message(number, *parts):
    body = b"".join(p.encode() if isinstance(p, str) else p for p in parts)
    return varint(number << 3 | 2) + varint(len(body)) + body


def label(name, value, number=1):
    return message(number, message(1, name), message(2, value))


def labels(**pairs):
    return b"".join(label(name, value) for name, value in pairs.items())


def stamp(number, seconds, nanos=0):
    return message(number, integer(1, seconds), integer(2, nanos))


def exemplar(number, value, *parts, **pairs):
    return message(number, labels(**pairs), double(2, value), *parts)


def span(number, offset, length):
    return message(number, zigzag(1, offset), integer(2, length))


def bucket(bound, count, *parts):
    return message(3, integer(1, count), double(2, bound), *parts)


def family(name, kind, *metrics, help="", unit=""):
    body = message(1, name) + (message(2, help) if help else b"") + integer(3, kind)
    body += b"".join(message(4, m) for m in metrics) + (message(5, unit) if unit else b"")
    return varint(len(body)) + body


COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM, GAUGE_HISTOGRAM = range(6)


def counter(value, *parts, **pairs):
    return labels(**pairs) + message(3, double(1, value), *parts)


def gauge(value, **pairs):
    return labels(**pairs) + message(2, double(1, value))


def untyped(value, **pairs):
    return labels(**pairs) + message(5, double(1, value))


def summary(count, total, quantiles, **pairs):
    parts = [message(3, double(1, q), double(2, v)) for q, v in quantiles]
    return labels(**pairs) + message(4, integer(1, count), double(2, total), *parts)


def classic(count, total, buckets, *parts, **pairs):
    return labels(**pairs) + message(7, integer(1, count), double(2, total), *[bucket(*b) for b in buckets], *parts)


def native(count, total, deltas, *parts, schema=3, zero=0, zero_threshold=0.001, first=0, **pairs):
    fields = [integer(1, count), double(2, total), zigzag(5, schema), double(6, zero_threshold), integer(7, zero)]
    if deltas:
        fields += [span(12, first, len(deltas)), message(13, *[varint((d << 1) ^ (d >> 63)) for d in deltas])]
    return labels(**pairs) + message(7, *fields, *parts)


def native_float(count, total, counts, *parts, schema=2, zero=0.0, **pairs):
    fields = [double(4, count), double(2, total), zigzag(5, schema), double(6, 0.001), double(8, zero)]
    fields += [span(12, -2, len(counts)), message(14, *[struct.pack("<d", c) for c in counts])]
    return labels(**pairs) + message(7, *fields, *parts)


EVERYTHING = (
    family("p_total", COUNTER, counter(5, a="1"), counter(7, a="2"), help="a counter\nof two lines")
    + family("p_seconds", GAUGE, gauge(1.5), gauge(math.nan, b="é"), help="unit", unit="seconds")
    + family("p_untyped", UNTYPED, untyped(-2.25, c=""))
    + family("p_summary", SUMMARY, summary(3, 6.5, [(0.5, 2), (0.99, math.nan), (1, 4)], d="x"))
    + family("p_empty_summary", SUMMARY, summary(3, 6.5, []))
    + family("p_hist", HISTOGRAM, classic(7, 9.5, [(0.1, 1), (1, 3), (1000000, 5)], e="y"))
    + family("p_inf", HISTOGRAM, classic(7, 9.5, [(0.1, 1), (math.inf, 6)]))
    + family("p_gauge_hist", GAUGE_HISTOGRAM, classic(2, 3, [(1, 1)]))
    + family("p_none", COUNTER, help="nothing in it")
)

CLASSIC_TEXT = """# TYPE h histogram
h_bucket{a="1",le="0.5"} 1
h_bucket{a="1",le="1"} 4
h_bucket{a="1",le="+Inf"} 6
h_sum{a="1"} 7.5
h_count{a="1"} 6
h_bucket{a="2",le="0.5"} 0
h_bucket{a="2",le="+Inf"} 2
h_sum{a="2"} 3
h_count{a="2"} 2
# TYPE g gauge
g 1
"""

PAGES = {
    # Blanks and line ends.
    "leading blanks": Page("  a 1\n\t b{x=\"y\"} 2\n   {\"c.d\"} 3\n   # HELP a text\n"),
    "only blanks": Page("   \n\t\n\n"),
    "no line feed": Page("a 1"),
    "nothing": Page(""),
    "blanks everywhere": Page('a { x = "1" , y = "2" , }  3   \nb\t4\t\n'),
    "nothing between": Page('a{x="1"y="2"}3\nb{x="1"\ty="2" z="3"}4\n'),
    "value at once": Page("a+5\nb-1.5\nc.5\n"),
    "value and time at once": Page("a+5 @NOW@\n"),
    "two braces": Page('a{x="1"}{y="2"} 3\n'),
    "brace behind value": Page("a 1{\n"),
    "carriage return in help": Page("# HELP a text\r\n# note\r\na 1\n"),
    "carriage return in type": Page("# TYPE a gauge\r\na 1\n"),
    "carriage return alone": Page("\r\na 1\n"),
    "form feed": Page("a\f1\n"),
    "no-break space": Page("a\u00a01\n"),
    # Commas.
    "trailing comma": Page('a{x="1",} 1\nb{"c",} 2\n{"d",} 3\n'),
    "two commas": Page('a{x="1",,} 1\n'),
    "comma first": Page('a{,x="1"} 1\n'),
    "only a comma": Page("a{,} 1\n"),
    "empty braces": Page("a{} 1\nb{ } 2\n"),
    # Names.
    "quoted": Page('{"a.b","c.d"="e",f="g"} 1\n{"x"} 2\n{h="i","k l"} 3\n{"two\\nlines \\"q\\" \\\\"="v","m"} 4\n'),
    "quoted then none": Page('{"a" x="1"} 1\n'),
    "quoted name twice": Page('{"a","b"} 1\n'),
    "both names": Page('a{"b"} 1\n'),
    "name as a label": Page('a{__name__="b"} 1\n'),
    "name only as a label": Page('{__name__="b"} 1\n'),
    "no name": Page('{x="1"} 1\n'),
    "empty name": Page('{""} 1\n'),
    "empty label name": Page('a{""="1"} 1\n'),
    "colons": Page(":a: 1\na:b{x=\"1\"} 2\n"),
    "colon in a label": Page('a{x:y="1"} 1\n'),
    "digit first": Page("1a 1\n"),
    "digit first in a label": Page('a{1x="1"} 1\n'),
    "dotted": Page("a.b 1\n"),
    "dashed": Page('a-b{x="1"} 1\n'),
    "utf-8 name": Page("é 1\n"),
    "utf-8 label name": Page('a{é="1"} 1\n'),
    "utf-8 value": Page('a{x="é 漢 🎉"} 1\n'),
    "bad utf-8 in a name": Page(b'{"a\xff"} 1\n'),
    "bad utf-8 in a label name": Page(b'a{"x\xff"="1"} 1\n'),
    "bad utf-8 in a value": Page(b'a{x="\xff"} 1\n'),
    "bad utf-8 in a help": Page(b"# HELP a \xff\na 1\n"),
    "bad utf-8 in a comment": Page(b"# a \xff\na 1\n"),
    "legacy names": Page('{"a.b"} 1\n', job="metric_name_validation_scheme: legacy, metric_name_escaping_scheme: underscores"),
    "legacy leading blank": Page(" a 1\n", job="metric_name_validation_scheme: legacy, metric_name_escaping_scheme: underscores"),
    "single quotes": Page("a{x='1'} 1\n"),
    "no quotes": Page("a{x=1} 1\n"),
    "no value": Page("a{x} 1\n"),
    "no end of braces": Page('a{x="1" 1\n'),
    "line feed in braces": Page('a{x="1",\ny="2"} 1\n'),
    "line feed in a name": Page('{"a\nb"} 1\n{"c","d\ne"="f"} 2\n'),
    "escaped line feed": Page('a{x="1\\\n2"} 1\n'),
    # Escapes.
    "escapes": Page('a{a="\\"",b="\\\\",c="\\n",d="\\t",e="\\\\n",f="\\é"} 1\n'),
    "open string": Page('a{x="1\\"} 1\n'),
    # Bytes of 0.
    "zero byte first": Page(b"a 1\n\0b 2\nc{\n"),
    "zero byte behind blanks": Page(b"a 1\n  \0b 2\n"),
    "zero byte in a value": Page(b'a{x="1\x002"} 1\n'),
    "zero byte in a name": Page(b'{"a\0"} 1\n'),
    "zero byte in a number": Page(b"a 1\0\n"),
    "zero byte in a help": Page(b"# HELP a b\0c\na 1\n"),
    "zero byte in a comment": Page(b"# a\0b\nc 1\n"),
    "zero byte in a glued comment": Page(b"a 1\n#a\0b\nc 1\nd{\n"),
    # Comments.
    "glued comments": Page('#TYPE h histogram\n#HELP h text\n#\n#a\n##\n#!x\nh_bucket{le="1"} 1\n'),
    "comments": Page("# \n#\t\n# a b\n# TYPEa b\n# HELPa b\n# TYPE\n# HELP\n# type a gauge\n# UNIT a b\n# EOF\na 1\n"),
    "type without a name": Page("# TYPE \na 1\n"),
    "help without a name": Page("# HELP \na 1\n"),
    "type without a type": Page("# TYPE a\na 1\n"),
    "help without a text": Page("# HELP a\n# HELP b \n# HELP c  \n# HELP d  two\na 1\n"),
    "two blanks before a name": Page("#  TYPE   a gauge\n#\tHELP\ta\ttext\na 1\n"),
    "two blanks before a type": Page("# TYPE a  gauge\na 1\n"),
    "tab before a type": Page("# TYPE a\tgauge\na 1\n"),
    "blank behind a type": Page("# TYPE a gauge \na 1\n"),
    "types": Page("# TYPE a counter\n# TYPE b gauge\n# TYPE c histogram\n# TYPE d summary\n# TYPE e untyped\na 1\n"),
    "type of openmetrics": Page("# TYPE a unknown\na 1\n"),
    "type info": Page("# TYPE a info\na 1\n"),
    "help of odd names": Page('# HELP nginx-vts text\n# HELP a.b c\n# HELP d{e="f"} g\n# HELP h,i\nm 1\n'),
    "type of an odd name": Page("# TYPE a.b gauge\nm 1\n"),
    "help of a name in digits": Page("# HELP 1a text\nm 1\n"),
    "help in quotes": Page('# HELP "a.b" text\n# TYPE "a.b" gauge\n# HELP "c\\"d" e\n{"a.b"} 1\n'),
    "help in quotes over lines": Page('# HELP "a\nb" text\nm 1\n'),
    "help escapes": Page('# HELP a \\\\ \\n \\" \\t\na 1\n'),
    "metadata changes": Page(["# HELP a one\n# TYPE a gauge\na 1\n", "# HELP a two\na 1\n", "# TYPE a counter\na 1\n"]),
    "types again": Page("# TYPE a gauge\na 1\n# TYPE a counter\nb 2\n"),
    # Numbers.
    "numbers": Page("a 0x10\n"),
    "hexadecimal": Page("a 0x1p4\n"),
    "underscore": Page("a 1_000\n"),
    "comma in a number": Page("a 1,5\n"),
    "signed nan": Page("a -NaN\n"),
    "special": Page('a{x="1"} +infinity\na{x="2"} -Inf\na{x="3"} NAN\na{x="4"} 1e-999\na{x="5"} +1.\n'),
    "too large": Page("a -1e999\n"),
    "long digits": Page("a 123456789012345678901234567890\nb 0.1234567890123456789012345678901234567890\nc 9007199254740993\n"),
    "true": Page("a true\n"),
    "no number": Page("a\n"),
    "only a name and blanks": Page("a  \n"),
    "unit behind": Page("a 1ms\n"),
    # Times.
    "times": Page("a 1 @NOW-1000@\nb 2 @NOW@ \nc 3\t@NOW@\n"),
    "negative time": Page("a 1 -1\nb 2\n"),
    "plus time": Page("a 1 +1\nb 2\n"),
    "time of zero": Page("a 1 0\nb 2\n"),
    "time of one": Page("a 1 1\nb 2\n"),
    "seconds": Page("a 1 @NOW_S@\nb 2\n"),
    "time with a point": Page("a 1 1.5\n"),
    "time in words": Page("a 1 now\n"),
    "time in the future": Page("a 1 @NOW+700000@\nb 2 @NOW+300000@\nc 3\n"),
    "time too large": Page("a 1 99999999999999999999\n"),
    "time of the end": Page("a 1 9223372036854775807\nb 2\n"),
    "more behind the time": Page("a 1 @NOW@ 3\n"),
    "times not honored": Page("a 1 @NOW-60000@\nb 2 1\n", job="honor_timestamps: false"),
    "times tracked": Page(["a 1 @NOW@\nb 2 @NOW@\n", "b 3 @NOW@\n"], job="track_timestamps_staleness: true"),
    "times not tracked": Page(["a 1 @NOW@\nb 2 @NOW@\n", "b 3 @NOW@\n"]),
    "a time comes": Page(["a 1\nb 1\n", "a 2 @NOW-10@\nb 2\n"]),
    "out of order": Page(["a 1 @NOW@\n", "a 2 @NOW-5000@\nb 1\n"]),
    # Series.
    "same series, other value": Page("a 1\na 2\nb 3\n"),
    "same series, same value": Page("a 1\na 1\n"),
    "two spellings": Page('a{x="1",y="2"} 1\na{y="2",x="1"} 2\na{x="1", y="2"} 1\n'),
    "label twice": Page('a{x="1",x="1"} 1\n'),
    "label twice, one empty": Page('a{x="",x="1"} 1\n'),
    "label twice, dropped": Page(
        'a{x="1",x="2"} 1\nb 2\n', job="metric_relabel_configs: [{source_labels: [__name__], regex: a, action: drop}]"
    ),
    "bounds": Page('# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="1.0"} 2\nh_bucket{le="1e6"} 3\nh_bucket{le="inf"} 4\nh_bucket{le="x"} 5\nh_bucket{le="0x1p3"} 6\n'),
    "quantiles": Page('# TYPE s summary\ns{quantile="0"} 1\ns{quantile="1"} 2\ns{quantile="0.50"} 3\ns{le="1"} 4\n'),
    "bounds of a gauge": Page('# TYPE h gauge\nh_bucket{le="1"} 1\n'),
    "bounds untyped": Page('h_bucket{le="1"} 1\n'),
    "labels of the target": Page('a{job="x",instance="y"} 1\nb{job=""} 2\nc{exported_job="z",job="x"} 3\n'),
    "labels honored": Page('a{job="x",instance="y"} 1\nb{job=""} 2\nc 3\n', job="honor_labels: true"),
    "internal labels": Page('a{__x__="1",__y="2"} 1\n'),
    # What changes and fails.
    "series go": Page(["a 1\nb 1\n", "a 2\n"]),
    "cut off": Page(["a 1\nb 1\nc 1\n", "a 2\nb 2\nc{"]),
    "fails at once": Page(["a 1\nb 1\n", "{"]),
    "becomes nothing": Page(["a 1\n", ""]),
    "becomes html": Page(["a 1\n", "<html>\n"]),
    # Limits.
    "sample limit": Page("a 1\nb 2\nc 3\nd 4\n", job="sample_limit: 2"),
    "sample limit kept": Page("a 1\nb 2\nb 2\n", job="sample_limit: 2"),
    "sample limit, dropped": Page(
        "a 1\nb 2\nc 3\n", job="sample_limit: 2, metric_relabel_configs: [{source_labels: [__name__], regex: a, action: drop}]"
    ),
    "label limit": Page('a{x="1"} 1\n', job="label_limit: 3"),
    "body limit": Page("a 1\n", job="body_size_limit: 4B"),
    "body under the limit": Page("a 1\n", job="body_size_limit: 5B"),
    # Content types.
    "type blank": Page("a 1\n", ""),
    "type blank, fallback": Page("a 1\n", "", job="fallback_scrape_protocol: PrometheusText0.0.4"),
    "type html, fallback": Page("a 1\n# EOF\n", "text/html", job="fallback_scrape_protocol: OpenMetricsText1.0.0"),
    "type html and nothing": Page("", "text/html"),
    "type bare": Page("a 1\n", "text/plain"),
    "type with a semicolon": Page("a 1\n", "text/plain;"),
    "type with odd parameters": Page("a 1\n", "text/plain; charset"),
    "type with a parameter twice": Page("a 1\n", "text/plain; version=0.0.4; version=0.0.4"),
    "type with a quoted parameter": Page("a 1\n", 'text/plain; version="0.0.4"; a="b\\"c;d"'),
    "type with an open quote": Page("a 1\n", 'text/plain; version="0.0.4'),
    "type in capitals": Page("a 1\n", "TEXT/PLAIN;VERSION=9"),
    "type with a blank": Page("a 1\n", "text /plain"),
    "type json": Page("a 1\n", "application/json"),
    "two types": Page("a 1\n", "text/plain, text/html"),
    "version 1.0.0": Page('{"a.b"} 1\n', "text/plain; version=1.0.0; escaping=allow-utf-8"),
    # OpenMetrics.
    "om": Page(
        '# HELP a_seconds about \\"a\\" \\n\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n'
        'a_seconds_total{b="c"} 1 @NOW_S@.5\na_seconds_created{b="c"} 1.5e9\n# EOF\n',
        OPENMETRICS,
    ),
    "om without a last line feed": Page("a 1\n# EOF", OPENMETRICS),
    "om text behind eof": Page("a 1\n# EOF x\n", OPENMETRICS),
    "om line feed behind eof": Page("a 1\n# EOF\n\n", OPENMETRICS),
    "om cut off": Page("a 1\n", OPENMETRICS),
    "om cut off in a line": Page("a 1", OPENMETRICS),
    "om comment": Page("# note\na 1\n# EOF\n", OPENMETRICS),
    "om glued": Page("#TYPE a gauge\na 1\n# EOF\n", OPENMETRICS),
    "om empty": Page("# EOF\n", OPENMETRICS),
    "om nothing": Page("", OPENMETRICS),
    "om blank between labels": Page('a{x="1", y="2"} 1\n# EOF\n', OPENMETRICS),
    "om no comma": Page('a{x="1"y="2"} 1\n# EOF\n', OPENMETRICS),
    "om trailing comma": Page('a{x="1",} 1\n{"b.c",} 2\n# EOF\n', OPENMETRICS),
    "om line feed in a value": Page('a{x="1\n2"} 1\n# EOF\n', OPENMETRICS),
    "om line feed in a name": Page('{"a\nb"} 1\n# EOF\n', OPENMETRICS),
    "om two blanks": Page("a  1\n# EOF\n", OPENMETRICS),
    "om tab": Page("a\t1\n# EOF\n", OPENMETRICS),
    "om blank behind": Page("a 1 \n# EOF\n", OPENMETRICS),
    "om blank first": Page(" a 1\n# EOF\n", OPENMETRICS),
    "om types": Page(
        "".join(f"# TYPE t{i} {t}\n" for i, t in enumerate("counter gauge histogram gaugehistogram summary info stateset unknown".split()))
        + "t1 1\n# EOF\n",
        OPENMETRICS,
    ),
    "om untyped": Page("# TYPE a untyped\na 1\n# EOF\n", OPENMETRICS),
    "om type in capitals": Page("# TYPE a Gauge\na 1\n# EOF\n", OPENMETRICS),
    "om blank behind a type": Page("# TYPE a gauge \na 1\n# EOF\n", OPENMETRICS),
    "om help without a text": Page("# HELP a \na 1\n# EOF\n", OPENMETRICS),
    "om unit that is none": Page("# UNIT a_b s\na_b 1\n# EOF\n", OPENMETRICS),
    "om unit": Page("# UNIT _s s\n# UNIT b_s s\n# UNIT c \n# UNIT \"d.e_s\" s\nb_s 1\n# EOF\n", OPENMETRICS),
    "om unit is the name": Page("# UNIT s s\ns 1\n# EOF\n", OPENMETRICS),
    "om exemplars": Page(
        '# TYPE c counter\nc_total 3 # {id="x"} 0.5 @NOW_S@\nc2_total 4 @NOW_S@ # {} 1\nc3_total 5 # {a="b",} 1\n# EOF\n', OPENMETRICS
    ),
    "om exemplar without braces": Page("a 1 # x\n# EOF\n", OPENMETRICS),
    "om exemplar with a name": Page('a 1 # {"x"} 1\n# EOF\n', OPENMETRICS),
    "om exemplar without a value": Page('a 1 # {x="y"}\n# EOF\n', OPENMETRICS),
    "om exemplar with blanks": Page('a 1 # {x="y", z="1"} 1\n# EOF\n', OPENMETRICS),
    "om exemplar with a bad time": Page('a 1 # {x="y"} 1 NaN\n# EOF\n', OPENMETRICS),
    "om exemplar too long": Page('a 1 # {x="%s"} 1\n# EOF\n' % ("y" * 200), OPENMETRICS),
    "om exemplar twice": Page('a 1 # {x="y"} 1 # {x="z"} 2\n# EOF\n', OPENMETRICS),
    "om time": Page("a 1 @NOW_S@.25\nb 2 @NOW_S@\nc 3 1e9\n# EOF\n", OPENMETRICS),
    "om bad time": Page("a 1 NaN\n# EOF\n", OPENMETRICS),
    "om time in words": Page("a 1 x\n# EOF\n", OPENMETRICS),
    "om bounds": Page('# TYPE h histogram\nh_bucket{le="1"} 1\n# TYPE i gaugehistogram\ni_bucket{le="1"} 1\n# EOF\n', OPENMETRICS),
    "om bad utf-8": Page(b'a{x="\xff"} 1\n# EOF\n', OPENMETRICS),
    "om zero byte": Page(b"a 1\n\0# EOF\n", OPENMETRICS),
    "om quoted": Page('# TYPE "a.b" gauge\n{"a.b","c.d"="e"} 1\n{f="g","h"} 2\n# EOF\n', OPENMETRICS),
    # Protobuf.
    "pb everything": Page(EVERYTHING, PROTOBUF),
    "pb plain type": Page(EVERYTHING, "application/vnd.google.protobuf"),
    "pb nothing": Page(b"", PROTOBUF),
    "pb cut off": Page(EVERYTHING[:-30], PROTOBUF),
    "pb text": Page("a 1\nb 2\n", PROTOBUF),
    "pb bad utf-8": Page(family("a", GAUGE, gauge(1, x="y").replace(b"y", b"\xff")), PROTOBUF),
    "pb no name": Page(family("", GAUGE, gauge(1)), PROTOBUF),
    "pb odd name": Page(family("a.b c", GAUGE, gauge(1, **{"d.e": "f"})), PROTOBUF),
    "pb bad type": Page(family("a", 9, gauge(1)), PROTOBUF),
    "pb other message": Page(family("a", COUNTER, gauge(1)), PROTOBUF),
    "pb empty label name": Page(family("a", GAUGE, label("", "x") + gauge(1)), PROTOBUF),
    "pb label twice": Page(family("a", GAUGE, label("x", "1") + gauge(1, x="2")), PROTOBUF),
    "pb labels behind": Page(family("a", GAUGE, gauge(1) + label("x", "1"), gauge(2) + label("x", "2")), PROTOBUF),
    "pb unknown fields": Page(family("a", GAUGE, gauge(1, x="1") + integer(99, 5) + message(98, "abc") + double(97, 1)), PROTOBUF),
    "pb times": Page(family("a", GAUGE, gauge(1) + integer(6, 0), gauge(2, x="1") + integer(6, 1)), PROTOBUF),
    "pb native": Page(
        family("n", HISTOGRAM, native(6, 12.5, [1, 1, -1, 1], zero=-0 + 0), native(9, 3.5, [2, 1], zero=4, a="1"), help="native"),
        PROTOBUF,
        native=True,
    ),
    "pb native floats": Page(family("n", HISTOGRAM, native_float(6.5, 12.5, [1.5, 0, 3], zero=2)), PROTOBUF, native=True),
    "pb native gauge": Page(family("n", GAUGE_HISTOGRAM, native(3, 1, [1, 1])), PROTOBUF, native=True),
    "pb native, no observations": Page(family("n", HISTOGRAM, native(0, 0, [], span(12, 0, 0), zero_threshold=0.0)), PROTOBUF, native=True),
    "pb native and classic": Page(
        family("n", HISTOGRAM, native(6, 12.5, [1, 1, -1, 1], bucket(1, 2), bucket(2, 5), a="1"), native(6, 1, [6], bucket(1, 6), a="2")),
        PROTOBUF,
        native=True,
    ),
    "pb native and always classic": Page(
        family("n", HISTOGRAM, native(6, 12.5, [1, 1, -1, 1], bucket(1, 2), bucket(2, 5), a="1")),
        PROTOBUF,
        job="always_scrape_classic_histograms: true",
        native=True,
    ),
    "pb native not wanted": Page(
        family("n", HISTOGRAM, native(6, 12.5, [1, 1, -1, 1], bucket(1, 2), bucket(2, 5), a="1")), PROTOBUF
    ),
    "pb native of wrong count": Page(family("n", HISTOGRAM, native(99, 12.5, [1, 1, -1, 1])), PROTOBUF, native=True),
    "pb native of negative count": Page(family("n", HISTOGRAM, native(1, 12.5, [1, -2, 2])), PROTOBUF, native=True),
    "pb native of missing buckets": Page(
        family("n", HISTOGRAM, native(1, 1, [], span(12, 0, 3), message(13, varint(2)))), PROTOBUF, native=True
    ),
    "pb native of fine schema": Page(family("n", HISTOGRAM, native(4, 1, [1, 0, 0, 0], schema=8, first=5)), PROTOBUF, native=True),
    "pb native of unknown schema": Page(family("n", HISTOGRAM, native(4, 1, [1, 0, 0, 0], schema=-7)), PROTOBUF, native=True),
    "pb native over its limit": Page(
        family("n", HISTOGRAM, native(8, 1, [1, 0, 0, 0, 0, 0, 0, 0])), PROTOBUF, job="native_histogram_bucket_limit: 3", native=True
    ),
    "pb native hopelessly over its limit": Page(
        family("n", HISTOGRAM, native(2, 1, [1], span(12, 900000, 1), message(13, varint(0)))),
        PROTOBUF,
        job="native_histogram_bucket_limit: 1",
        native=True,
    ),
    "pb native of coarse buckets": Page(
        family("n", HISTOGRAM, native(8, 1, [1, 0, 0, 0, 0, 0, 0, 0])), PROTOBUF, job="native_histogram_min_bucket_factor: 1.3", native=True
    ),
    "pb native exemplars": Page(
        family("n", HISTOGRAM, native(6, 12.5, [1, 1, -1, 1], exemplar(16, 2, stamp(3, 1), x="y"), exemplar(16, 3, x="z"))),
        PROTOBUF,
        native=True,
    ),
    "pb native goes": Page(
        [family("n", HISTOGRAM, native(2, 1, [1, 0])) + family("a", GAUGE, gauge(1)), family("a", GAUGE, gauge(1))], PROTOBUF, native=True
    ),
    # Classic histograms to such with custom buckets.
    "nhcb": Page(CLASSIC_TEXT, job="convert_classic_histograms_to_nhcb: true"),
    "nhcb and classic": Page(CLASSIC_TEXT, job="convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true"),
    "nhcb om": Page(CLASSIC_TEXT + "# EOF\n", OPENMETRICS, job="convert_classic_histograms_to_nhcb: true"),
    "nhcb pb": Page(EVERYTHING.replace(b"", b""), PROTOBUF, job="convert_classic_histograms_to_nhcb: true"),
    "nhcb pb and classic": Page(
        family("h", HISTOGRAM, classic(7, 9.5, [(0.1, 1), (1, 3)], a="1"), classic(7, 9.5, [(0.1, 1), (1, 3)], a="2")),
        PROTOBUF,
        job="convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true",
    ),
    "nhcb pb of native": Page(
        family("n", HISTOGRAM, native(6, 12.5, [1, 1, -1, 1], bucket(1, 2), bucket(2, 5), a="1")),
        PROTOBUF,
        job="convert_classic_histograms_to_nhcb: true",
        native=True,
    ),
    "nhcb pb of falling counts": Page(
        family("h", HISTOGRAM, classic(7, 9.5, [(0.1, 3), (1, 1)])), PROTOBUF, job="convert_classic_histograms_to_nhcb: true"
    ),
    "nhcb of floats": Page(
        '# TYPE h histogram\nh_bucket{le="1"} 1.5\nh_bucket{le="+Inf"} 2.5\nh_count 2.5\nh_sum 1\n', job="convert_classic_histograms_to_nhcb: true"
    ),
    "nhcb without infinity": Page(
        '# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="2"} 2\nh_sum 1\nh_count 3\n', job="convert_classic_histograms_to_nhcb: true"
    ),
    "nhcb without a count": Page('# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="2"} 2\n', job="convert_classic_histograms_to_nhcb: true"),
    "nhcb of sum and count": Page("# TYPE h histogram\nh_sum 1\nh_count 3\n", job="convert_classic_histograms_to_nhcb: true"),
    "nhcb of wrong counts": Page(
        '# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 1\nh_count 3\n', job="convert_classic_histograms_to_nhcb: true"
    ),
    "nhcb of falling counts": Page(
        '# TYPE h histogram\nh_bucket{le="1"} 4\nh_bucket{le="+Inf"} 2\nh_sum 1\nh_count 2\n', job="convert_classic_histograms_to_nhcb: true"
    ),
    "nhcb in disorder": Page(
        '# TYPE h histogram\nh_sum{a="1"} 1\nh_bucket{a="1",le="+Inf"} 4\nh_bucket{le="2",a="1"} 3\nh_count{a="1"} 4\nh_bucket{a="1",le="1"} 1\n',
        job="convert_classic_histograms_to_nhcb: true",
    ),
    "nhcb with a comment within": Page(
        '# TYPE h histogram\nh_bucket{le="1"} 1\n# note\nh_bucket{le="+Inf"} 2\nh_count 2\n', job="convert_classic_histograms_to_nhcb: true"
    ),
    "nhcb with others within": Page(
        '# TYPE h histogram\nh_bucket{le="1"} 1\nx 5\nh_created 7\nh_bucket{le="+Inf"} 2\nh_count 2\nh_bucket 9\nh_bucket{le="x"} 9\n',
        job="convert_classic_histograms_to_nhcb: true",
    ),
    "nhcb of empty buckets": Page(
        '# TYPE h histogram\nh_bucket{le="1"} 0\nh_bucket{le="2"} 0\nh_bucket{le="3"} 0\nh_bucket{le="4"} 0\nh_bucket{le="5"} 2\nh_bucket{le="+Inf"} 2\nh_sum 1\nh_count 2\n',
        job="convert_classic_histograms_to_nhcb: true",
    ),
    "nhcb cut off": Page('# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le=\n', job="convert_classic_histograms_to_nhcb: true"),
    "nhcb twice": Page(
        '# TYPE h histogram\nh_bucket{le="+Inf"} 2\nh_count 2\n# TYPE h histogram\nh_bucket{le="+Inf"} 3\nh_count 3\n',
        job="convert_classic_histograms_to_nhcb: true",
    ),
}
