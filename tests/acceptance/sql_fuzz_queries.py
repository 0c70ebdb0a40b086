"""Random queries of PostgreSQL's dialect over three small tables, each built by type, so that most of them are valid.

What is left out on purpose, since README says that it differs: doubles divided by zero or out of range, and numbers with a point that
are no doubles."""
import random

FLOAT, INT, TEXT, TIME, LOCAL, DATE, INTERVAL, BOOL = "float", "int", "text", "time", "local", "date", "interval", "bool"
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]
TABLES = ["fuzz_a", "fuzz_b", "fuzz_c"]
COLUMNS = [("timestamp", TIME), ("value", FLOAT), ("host", TEXT), ("zone", TEXT)]
UNITS = ["minute", "hour", "day", "week", "month", "quarter", "year"]
FIELDS = ["epoch", "hour", "minute", "day", "dow", "doy", "isodow", "week", "month", "quarter", "year"]
PATTERNS = ["YYYY-MM-DD HH24:MI:SS", "Dy DD Mon YYYY", "HH12:MI AM", "IYYY-IW", "FMDay, FMMonth", "DDD Q J"]
COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]


class Scope:
    """Columns that may be named, and those of the queries around."""

    def __init__(self, columns, outer=()):
        self.columns, self.outer = columns, list(outer)

    def of(self, kind, r):
        own = [name for name, of in self.columns if of == kind]
        outer = [name for name, of in self.outer if of == kind]
        if outer and (not own or r.random() < 0.3):
            return r.choice(outer)
        return r.choice(own) if own else None


class Queries:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.names = 0

    def pick(self, *options):
        return self.r.choice(options)

    def name(self):
        self.names += 1
        return f"t{self.names}"

    # Expressions

    def expr(self, kind, scope, depth):
        """An expression of a type, of at most so many levels."""
        if depth <= 0 or self.r.random() < 0.25:
            return (self.r.random() < 0.8 and scope.of(kind, self.r)) or self.literal(kind)
        if self.r.random() < 0.15:
            return self.common(kind, scope, depth)
        return getattr(self, f"{kind}_expr")(scope, depth - 1)

    def literal(self, kind):
        if self.r.random() < 0.05:
            return f"NULL::{CASTS[kind]}"
        return getattr(self, f"{kind}_literal")()

    def common(self, kind, scope, depth):
        one, two = (self.expr(kind, scope, depth - 1) for _ in range(2))
        condition = self.expr(BOOL, scope, depth - 1)
        return self.pick(
            f"CASE WHEN {condition} THEN {one} ELSE {two} END",
            f"CASE WHEN {condition} THEN {one} END",
            f"coalesce({one}, {two})",
            f"nullif({one}, {two})",
            f"({one})",
            f"greatest({one}, {two})" if kind != BOOL else one,
            f"least({one}, {two})" if kind != BOOL else two,
        )

    def float_literal(self):
        return self.pick("0", "1", "-1", "0.5", "2.25", "100", "'NaN'", "'Infinity'", "'-Infinity'", "1e10", "-0.001") + "::float8"

    def int_literal(self):
        return str(self.r.choice([0, 1, 2, 3, 5, 7, 10, 60]))

    def text_literal(self):
        return self.pick("''", "'a'", "'b'", "'A%'", "'ab_c'", "'é'", "'web-1'", "'x y'", "'10'")

    def time_literal(self):
        return self.pick("'2026-03-29 01:30:00+00'", "'2026-03-28 12:00'", "'2026-10-25 00:30:00+02'", "'2026-01-01'", "'2024-02-29 23:59:59.5'") + "::timestamptz"

    def local_literal(self):
        return self.pick("'2026-03-29 02:30:00'", "'2026-01-31 12:00'", "'2025-12-31 23:59:59.25'") + "::timestamp"

    def date_literal(self):
        return self.pick("'2026-03-29'", "'2026-01-31'", "'2024-02-29'") + "::date"

    def interval_literal(self):
        return self.pick("'1 day'", "'36 hours'", "'1 month'", "'-15 minutes'", "'1 day 02:03:04'", "'1 year 2 mons'", "'90 seconds'", "'00:00:00.5'", "'0'") + "::interval"

    def bool_literal(self):
        return self.pick("true", "false")

    def float_expr(self, scope, depth):
        one, two = self.expr(FLOAT, scope, depth), self.expr(FLOAT, scope, depth)
        return self.pick(
            f"({one} + {two})", f"({one} - {two})", f"({one} * {two})", f"({one} / nullif({two}, 0))", f"(- {one})",
            f"abs({one})", f"ceil({one})", f"floor({one})", f"round({one})", f"trunc({one})", f"sign({one})", f"sqrt(abs({one}))",
            f"ln(abs({one}) + 1)", f"({self.expr(INT, scope, depth)})::float8",
            f"extract({self.pick(*FIELDS)} FROM {self.expr(self.pick(TIME, LOCAL), scope, depth)})::float8",
            f"extract(epoch FROM {self.expr(INTERVAL, scope, depth)})::float8",
        )

    def int_expr(self, scope, depth):
        one, two = self.expr(INT, scope, depth), self.expr(INT, scope, depth)
        return self.pick(
            f"({one} + {two})", f"({one} - {two})", f"({one} * {two})", f"({one} / nullif({two}, 0))", f"({one} % nullif({two}, 0))",
            f"abs({one})", f"length({self.expr(TEXT, scope, depth)})", f"strpos({self.expr(TEXT, scope, depth)}, {self.text_literal()})",
            f"extract({self.pick(*FIELDS[1:])} FROM {self.expr(TIME, scope, depth)})::int",
            f"least(greatest({self.expr(FLOAT, scope, depth)}, -1000), 1000)::int",
            f"({self.expr(DATE, scope, depth)} - {self.expr(DATE, scope, depth)})",
            f"ascii({self.expr(TEXT, scope, depth)})",
        )

    def text_expr(self, scope, depth):
        one, two = self.expr(TEXT, scope, depth), self.expr(TEXT, scope, depth)
        low, high = self.r.randint(-2, 4), self.r.randint(0, 4)
        kind = self.pick(FLOAT, INT, TIME, LOCAL, DATE, INTERVAL, BOOL)
        return self.pick(
            f"({one} || {two})", f"upper({one})", f"lower({one})", f"initcap({one})", f"reverse({one})", f"substr({one}, {low}, {high})",
            f"substring({one} FROM {max(low, 1)} FOR {high})", f"left({one}, {low})", f"right({one}, {low})",
            f"replace({one}, {self.text_literal()}, {two})", f"trim({one})", f"ltrim({one}, 'ab')", f"concat({one}, {two})",
            f"concat_ws('-', {one}, {two})", f"split_part({one}, '-', {self.pick(1, 2, -1)})", f"lpad({one}, {high}, '*')",
            f"translate({one}, 'abc', 'xy')", f"repeat({one}, {high})", f"md5({one})", f"({self.expr(kind, scope, depth)})::text",
            f"to_char({self.expr(self.pick(TIME, LOCAL), scope, depth)}, '{self.pick(*PATTERNS)}')", f"({one})::varchar({high + 1})",
        )

    def time_expr(self, scope, depth):
        return self.pick(
            f"({self.expr(TIME, scope, depth)} {self.pick('+', '-')} {self.expr(INTERVAL, scope, depth)})",
            f"date_trunc('{self.pick(*UNITS)}', {self.expr(TIME, scope, depth)})",
            f"date_trunc('{self.pick(*UNITS)}', {self.expr(TIME, scope, depth)}, '{self.pick(*ZONES)}')",
            f"({self.expr(LOCAL, scope, depth)})::timestamptz", f"({self.expr(DATE, scope, depth)})::timestamptz",
            f"({self.expr(LOCAL, scope, depth)} AT TIME ZONE '{self.pick(*ZONES)}')",
            f"to_timestamp({self.pick('0', '1.5', '1774747800', '-86400')})",
            f"date_bin('{self.pick('15 minutes', '6 hours', '2 days')}', {self.expr(TIME, scope, depth)}, '2026-01-01 00:00:00+00')",
        )

    def local_expr(self, scope, depth):
        return self.pick(
            f"({self.expr(TIME, scope, depth)} AT TIME ZONE '{self.pick(*ZONES)}')", f"({self.expr(TIME, scope, depth)})::timestamp",
            f"date_trunc('{self.pick(*UNITS)}', {self.expr(LOCAL, scope, depth)})",
            f"({self.expr(LOCAL, scope, depth)} + {self.expr(INTERVAL, scope, depth)})",
            f"({self.expr(DATE, scope, depth)} + {self.expr(INTERVAL, scope, depth)})", f"({self.expr(DATE, scope, depth)})::timestamp",
        )

    def date_expr(self, scope, depth):
        return self.pick(
            f"({self.expr(TIME, scope, depth)})::date", f"({self.expr(LOCAL, scope, depth)})::date",
            f"({self.expr(DATE, scope, depth)} + {self.int_literal()})", f"({self.expr(DATE, scope, depth)} - {self.int_literal()})",
        )

    def interval_expr(self, scope, depth):
        one = self.expr(INTERVAL, scope, depth)
        return self.pick(
            f"({self.expr(TIME, scope, depth)} - {self.expr(TIME, scope, depth)})", f"({one} + {self.expr(INTERVAL, scope, depth)})",
            f"({one} * {self.int_literal()})", f"({one} / 2)", f"(- {one})", f"({one} - {self.expr(INTERVAL, scope, depth)})",
            f"({self.expr(LOCAL, scope, depth)} - {self.expr(LOCAL, scope, depth)})",
        )

    def bool_expr(self, scope, depth):
        kind = self.pick(FLOAT, FLOAT, INT, TEXT, TEXT, TIME, LOCAL, DATE, INTERVAL)
        one, two, three = (self.expr(kind, scope, depth) for _ in range(3))
        text, a, b = self.expr(TEXT, scope, depth), self.expr(BOOL, scope, depth), self.expr(BOOL, scope, depth)
        op, negated = self.pick(*COMPARISONS), self.pick("", "", "NOT ")
        return self.pick(
            f"({one} {op} {two})", f"({one} {op} {two})", f"({a} AND {b})", f"({a} OR {b})", f"(NOT {a})",
            f"({one} {negated}BETWEEN {two} AND {three})", f"({one} {negated}IN ({two}, {three}, NULL))", f"({one} {negated}IN ({two}, {three}))",
            f"({one} IS {negated}NULL)", f"({one} IS {negated}DISTINCT FROM {two})", f"({a} IS {negated}{self.pick('TRUE', 'FALSE', 'UNKNOWN')})",
            f"({text} {negated}{self.pick('LIKE', 'ILIKE')} {self.pick(chr(39) + 'a%' + chr(39), chr(39) + '%_b%' + chr(39), chr(39) + 'A' + chr(39))})",
            f"({text} {negated}SIMILAR TO '(a|b)%')", f"({text} {self.pick('~', '!~', '~*')} '^[a-f]+')", self.subquery_test(scope, depth, kind),
        )

    def subquery_test(self, scope, depth, kind):
        if depth <= 0:
            return self.bool_literal()
        one, op = self.expr(kind, scope, 0), self.pick(*COMPARISONS)
        query = self.subquery([kind], scope, depth - 1)
        return self.pick(
            f"{self.pick('', 'NOT ')}EXISTS ({query})", f"({one} {self.pick('', 'NOT ')}IN ({query}))",
            f"({one} {op} {self.pick('ANY', 'ALL', 'SOME')} ({query}))", f"({one} {op} ({self.scalar_query(kind, scope)}))",
        )

    def subquery(self, kinds, outer, depth):
        scope, source = self.source(outer, depth)
        where = f" WHERE {self.expr(BOOL, scope, depth)}" if self.r.random() < 0.8 else ""
        return f"SELECT {', '.join(self.expr(kind, scope, depth) for kind in kinds)} FROM {source}{where}"

    def scalar_query(self, kind, outer):
        scope, source = self.source(outer, 0)
        of = f"count(*)::{CASTS[kind]}" if kind in (FLOAT, INT) and self.r.random() < 0.3 else f"{self.pick('min', 'max')}({self.expr(kind, scope, 1)})"
        return f"SELECT {of} FROM {source} WHERE {self.expr(BOOL, scope, 1)}"

    # Sources

    def source(self, outer=None, depth=1):
        """A FROM clause of one or two parts, and what it has."""
        around = outer.columns + outer.outer if outer else ()
        columns, text = self.part(depth)
        if self.r.random() < 0.35:
            other, other_text = self.part(depth)
            join = self.pick("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN")
            both = Scope(columns + other, around)
            left, right = (next((name for name, of in part if of == TEXT), None) for part in (columns, other))
            if join == "CROSS JOIN":
                text = f"{text} CROSS JOIN {other_text}"
            elif join == "FULL JOIN" or self.r.random() < 0.6:
                on = f"{left} = {right}" if left and right else "true"
                text = f"{text} {'JOIN' if on == 'true' else join} {other_text} ON {on}"
            else:
                text = f"{text} {join} {other_text} ON {self.expr(BOOL, both, 1)}"
            columns = columns + other
        return Scope(columns, around), text

    def part(self, depth):
        alias = self.name()
        chance = self.r.random()
        if chance < 0.75 or depth <= 0:
            return [(f"{alias}.{name}", kind) for name, kind in COLUMNS], f"{self.pick(*TABLES)} {alias}"
        if chance < 0.83:
            return [(f"{alias}.n", INT)], f"generate_series(1, {self.r.randint(1, 6)}) AS {alias}(n)"
        if chance < 0.88:
            rows = ", ".join(f"({self.int_literal()}, {self.text_literal()})" for _ in range(self.r.randint(1, 3)))
            return [(f"{alias}.n", INT), (f"{alias}.w", TEXT)], f"(VALUES {rows}) AS {alias}(n, w)"
        query, kinds = self.select(depth - 1)
        return [(f"{alias}.c{at}", kind) for at, kind in enumerate(kinds)], f"({query}) AS {alias}"

    # Queries

    def query(self):
        """A statement, and whether the order of its rows is given."""
        query, kinds = self.select(self.r.randint(1, 3))
        if self.r.random() < 0.15:
            other, _ = self.select(1, kinds)
            query = f"({query}) {self.pick('UNION', 'UNION ALL', 'INTERSECT', 'INTERSECT ALL', 'EXCEPT', 'EXCEPT ALL')} ({other})"
        ordered = self.r.random() < 0.4
        if ordered:
            keys = [f"{at + 1}{self.pick('', ' DESC', ' ASC NULLS FIRST', ' DESC NULLS LAST')}" for at in range(len(kinds))]
            query = f"SELECT * FROM ({query}) q ORDER BY {', '.join(keys)}"
            if self.r.random() < 0.4:
                query += f" LIMIT {self.r.randint(0, 9)}" + (f" OFFSET {self.r.randint(0, 5)}" if self.r.random() < 0.5 else "")
        return query, ordered

    def select(self, depth, kinds=None):
        kinds = kinds or [self.pick(FLOAT, FLOAT, INT, TEXT, TEXT, TIME, LOCAL, DATE, INTERVAL, BOOL) for _ in range(self.r.randint(1, 3))]
        form = self.r.random()
        scope, source = self.source(None, depth)
        where = f" WHERE {self.expr(BOOL, scope, depth)}" if self.r.random() < 0.6 else ""
        naming = lambda at: f" AS c{at}"  # noqa: E731
        if form < 0.45:
            distinct = "DISTINCT " if self.r.random() < 0.2 else ""
            parts = [self.expr(kind, scope, depth) if self.r.random() < 0.85 else self.window(kind, scope) for kind in kinds]
            return f"SELECT {distinct}{', '.join(part + naming(at) for at, part in enumerate(parts))} FROM {source}{where}", kinds
        groups = [self.expr(self.pick(TEXT, TEXT, FLOAT, DATE, BOOL, INTERVAL), scope, 1) for _ in range(self.r.randint(0, 2))]
        # A constant in GROUP BY is something else.
        groups = [group for group in groups if "." in group.replace("0.", "").replace(".5", "").replace(".25", "") and " IN (SELECT" not in group and "EXISTS" not in group]
        parts = [self.aggregate(kind, scope) for kind in kinds]
        query = f"SELECT {', '.join(part + naming(at) for at, part in enumerate(parts))} FROM {source}{where}"
        if groups:
            query += f" GROUP BY {', '.join(groups)}"
        if self.r.random() < 0.2:
            query += f" HAVING {self.aggregate(INT, scope)} {self.pick(*COMPARISONS)} {self.int_literal()}"
        return query, kinds

    def aggregate(self, kind, scope):
        one = self.expr(kind, scope, 1)
        within = f" FILTER (WHERE {self.expr(BOOL, scope, 1)})" if self.r.random() < 0.2 else ""
        if kind == INT:
            other = self.expr(self.pick(FLOAT, TEXT, TIME, INTERVAL), scope, 1)
            return "(" + self.pick("count(*)", f"count({other})", f"count(DISTINCT {other})", f"sum({one})", f"max({one})", f"min({one})") + within + ")::int"
        if kind == FLOAT:
            return f"{self.pick('sum', 'avg', 'min', 'max', 'min', 'max')}({one}){within}"
        if kind == TEXT:
            return self.pick(f"min({one})", f"max({one})", f"string_agg({one}, ',' ORDER BY {one})") + within
        if kind == BOOL:
            return f"{self.pick('bool_and', 'bool_or', 'every')}({one}){within}"
        return f"{self.pick('min', 'max')}({one}){within}"

    def window(self, kind, scope):
        key, order = self.expr(TEXT, scope, 0), self.expr(self.pick(FLOAT, TIME, TEXT), scope, 0)
        over = f"OVER (PARTITION BY {key} ORDER BY {order}{self.pick('', ' DESC')})"
        one = self.expr(kind, scope, 1)
        if kind == INT:
            return self.pick(f"(rank() {over})::int", f"(dense_rank() {over})::int", f"(count(*) {over})::int", f"(count({one}) {over})::int")
        if kind in (TEXT, FLOAT, TIME, DATE, INTERVAL, LOCAL):
            return f"{self.pick('min', 'max')}({one}) {over}"
        return one


CASTS = {FLOAT: "float8", INT: "int", TEXT: "text", TIME: "timestamptz", LOCAL: "timestamp", DATE: "date", INTERVAL: "interval", BOOL: "boolean"}
