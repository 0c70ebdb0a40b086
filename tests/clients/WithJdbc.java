import java.io.*;
import java.sql.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.Callable;
import org.postgresql.PGConnection;

/** pgjdbc, which Metabase, DBeaver, DataGrip and Tableau use: values, fetch sizes, its metadata calls, COPY, cancel. */
public class WithJdbc {
    static int failed = 0;
    static String url;
    static final OffsetDateTime T0 = OffsetDateTime.of(2026, 1, 1, 0, 0, 0, 0, ZoneOffset.UTC);
    static final String ENDLESS =
        "SELECT count(*) FROM generate_series(1, 10000000000) AS a(n) WHERE n % 7 = 8";

    static void tell(String name, String problem) {
        if (problem != null) failed++;
        System.out.println(problem == null ? "ok   " + name : "FAIL " + name + ": " + problem.replaceAll("\\s+", " "));
    }

    /** What is asked for gives what is wanted. */
    static void same(String name, Object wanted, Callable<Object> ask) {
        try {
            Object got = ask.call();
            tell(name, Objects.equals(got, wanted) ? null : got + ", not " + wanted);
        } catch (Exception error) {
            tell(name, (error instanceof SQLException sql ? sql.getSQLState() + " " : "") + error);
        }
    }

    static void raises(String name, String state, Callable<Object> ask) {
        try {
            tell(name, "no error but " + ask.call());
        } catch (SQLException error) {
            tell(name, state.equals(error.getSQLState()) ? null : error.getSQLState() + " and not " + state + ": " + error.getMessage());
        } catch (Exception error) {
            tell(name, error.toString());
        }
    }

    static List<List<Object>> rows(ResultSet found, String... columns) throws SQLException {
        List<List<Object>> rows = new ArrayList<>();
        int width = found.getMetaData().getColumnCount();
        while (found.next()) {
            List<Object> row = new ArrayList<>();
            if (columns.length > 0) for (String column : columns) row.add(found.getObject(column));
            else for (int at = 1; at <= width; at++) row.add(found.getObject(at));
            rows.add(row);
        }
        return rows;
    }

    static List<List<Object>> ask(Connection connection, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int at = 0; at < values.length; at++) statement.setObject(at + 1, values[at]);
            return rows(statement.executeQuery());
        }
    }

    static List<Object> row(Object... values) {
        return Arrays.asList(values);
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[1]);
        boolean promlake = arguments[3].equals("promlake");
        url = "jdbc:postgresql://127.0.0.1:" + port + "/promlake?user=promlake";
        for (String mode : new String[] {"extended", "simple", "extendedCacheEverything"}) {
            System.out.println("-- " + mode);
            try (Connection connection = DriverManager.getConnection(url + "&preferQueryMode=" + mode)) {
                values(connection);
                errors(connection);
            }
        }
        System.out.println("-- binary from the first time on");
        try (Connection connection = DriverManager.getConnection(url + "&prepareThreshold=-1&binaryTransfer=true")) {
            values(connection);
        }
        try (Connection connection = DriverManager.getConnection(url)) {
            metadata(connection);
            work(connection);
            if (promlake) {
                same("promql", List.of(row("hall", 31.5)), () -> ask(connection,
                    "SELECT room, value FROM promql(?, ?)", "clients_temperature{room=\"hall\"}", T0.plusMinutes(50)));
            }
        }
        System.exit(failed == 0 ? 0 : 1);
    }

    static void values(Connection connection) {
        same("a metric", List.of(row(Timestamp.from(T0.toInstant()), 18.0, "bath", null)),
            () -> ask(connection, "SELECT timestamp, value, room, level FROM clients_temperature ORDER BY room, timestamp LIMIT 1"));
        same("groups", List.of(row("bath", 61L, 25.5), row("hall", 61L, 26.5), row("kitchen", 61L, 27.5)),
            () -> ask(connection, "SELECT room, count(*), avg(value) FROM clients_temperature GROUP BY room ORDER BY room"));
        same("odd numbers", "[[Infinity], [-Infinity], [1.0E300], [-0.0], [NaN], [0.1], [4.9E-324]]",
            () -> ask(connection, "SELECT value FROM clients_odd ORDER BY kind").toString());
        same("types", List.of(row(1, 2L, 1.5f, 2.5, new java.math.BigDecimal("12.30"), true, "x", null)),
            () -> ask(connection, "SELECT 1, 2::int8, 1.5::float4, 2.5::float8, 12.30::numeric, true, 'x'::text, NULL"));
        same("times", "[2026-02-28, 2026-02-28 12:34:56.789012, 12:34:56, 0 years 0 mons 1 days 2 hours 3 mins 4.0 secs]", () -> ask(connection,
            "SELECT DATE '2026-02-28', TIMESTAMP '2026-02-28 12:34:56.789012', TIME '12:34:56', INTERVAL '1 day 02:03:04'").get(0).toString());
        same("a time with its zone", T0, () -> {
            ResultSet found = connection.createStatement().executeQuery("SELECT min(timestamp) FROM clients_temperature");
            found.next();
            return found.getObject(1, OffsetDateTime.class);
        });
        same("arrays", "[1, 2, null] [a, b,\"c, null]", () -> {
            ResultSet found = connection.createStatement().executeQuery("SELECT ARRAY[1, 2, NULL], ARRAY['a', 'b,\"c', NULL]");
            found.next();
            return Arrays.toString((Object[]) found.getArray(1).getArray()) + " " + Arrays.toString((Object[]) found.getArray(2).getArray());
        });
        same("values", List.of(row(11L)), () -> ask(connection,
            "SELECT count(*) FROM clients_temperature WHERE room = ? AND timestamp BETWEEN ? AND ?", "bath", T0, T0.plusMinutes(10)));
        same("a Timestamp", List.of(row(11L)), () -> ask(connection,
            "SELECT count(*) FROM clients_temperature WHERE room = ? AND timestamp <= ?", "bath", Timestamp.from(T0.plusMinutes(10).toInstant())));
        same("LIMIT of a value", List.of(row(18.0)), () -> ask(connection, "SELECT value FROM clients_temperature ORDER BY value, room LIMIT ?", 1));
        same("= ANY of an array", List.of(row(122L)), () -> ask(connection,
            "SELECT count(*) FROM clients_temperature WHERE room = ANY(?)", connection.createArrayOf("text", new Object[] {"bath", "hall"})));
        same("seven times, then named on the server", 427L, () -> {
            long sum = 0;
            try (PreparedStatement statement = connection.prepareStatement("SELECT count(*) FROM clients_temperature WHERE room = ?")) {
                for (int at = 0; at < 7; at++) {
                    statement.setString(1, "bath");
                    ResultSet found = statement.executeQuery();
                    found.next();
                    sum += found.getLong(1);
                }
            }
            return sum;
        });
    }

    static void errors(Connection connection) {
        String[][] errors = {{"SELECT * FROM nope", "42P01"}, {"SELECT nope FROM clients_temperature", "42703"}, {"SELEC 1", "42601"},
            {"SELECT 1 / 0", "22012"}, {"SELECT 'a'::int", "22P02"}, {"SELECT nope(1)", "42883"}};
        for (String[] error : errors) raises(error[0], error[1], () -> ask(connection, error[0]));
    }

    static void metadata(Connection connection) throws SQLException {
        System.out.println("-- metadata");
        DatabaseMetaData told = connection.getMetaData();
        same("product and version", "PostgreSQL true", () -> told.getDatabaseProductName() + " " + (told.getDatabaseMajorVersion() >= 15));
        same("catalogs", List.of(row("promlake")), () -> rows(told.getCatalogs()).stream().filter(r -> r.contains("promlake")).toList());
        same("schemas", true, () -> rows(told.getSchemas(), "TABLE_SCHEM").contains(row("public")));
        same("tables", List.of(row("clients_empty", "TABLE"), row("clients_many", "TABLE"), row("clients_odd", "TABLE"), row("clients_temperature", "TABLE")),
            () -> rows(told.getTables(null, "public", "clients\\_%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME", "TABLE_TYPE"));
        same("the remark of a table", true, () -> String.valueOf(rows(told.getTables(null, "public", "clients_temperature", null), "REMARKS").get(0).get(0)).startsWith("How warm a room is."));
        same("kinds of tables", true, () -> rows(told.getTableTypes()).contains(row("TABLE")));
        same("columns", Set.of(row("timestamp", Types.TIMESTAMP, "timestamptz", 0), row("value", Types.DOUBLE, "float8", 1), row("room", Types.VARCHAR, "text", 1),
            row("level", Types.VARCHAR, "text", 1)), () -> {
            Set<Object> found = new HashSet<>();
            for (List<Object> one : rows(told.getColumns(null, "public", "clients_temperature", null), "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "NULLABLE")) {
                found.add(row(one.get(0), ((Number) one.get(1)).intValue(), one.get(2), ((Number) one.get(3)).intValue()));
            }
            return found;
        });
        same("columns in mixed case", true, () -> rows(told.getColumns(null, null, "Clients_Mixed", "Zone"), "COLUMN_NAME").equals(List.of(row("Zone"))));
        same("no keys", "[] [] [] []", () -> rows(told.getPrimaryKeys(null, "public", "clients_temperature")) + " "
            + rows(told.getImportedKeys(null, "public", "clients_temperature")) + " " + rows(told.getExportedKeys(null, "public", "clients_temperature"))
            + " " + rows(told.getIndexInfo(null, "public", "clients_temperature", false, true)));
        same("types", true, () -> rows(told.getTypeInfo(), "TYPE_NAME").contains(row("timestamptz")));
        same("functions", true, () -> !rows(told.getFunctions(null, null, "date_trunc")).isEmpty());
        same("columns of functions", true, () -> rows(told.getFunctionColumns(null, null, "date_trunc", null)).size() > 2);
        same("procedures, privileges, versions, best rows", true, () -> rows(told.getProcedures(null, null, "x")).isEmpty()
            & rows(told.getTablePrivileges(null, "public", "clients_temperature")).size() >= 0
            & rows(told.getColumnPrivileges(null, "public", "clients_temperature", "value")).size() >= 0
            & rows(told.getVersionColumns(null, "public", "clients_temperature")).size() >= 0
            & rows(told.getBestRowIdentifier(null, "public", "clients_temperature", 0, true)).size() >= 0
            & rows(told.getUDTs(null, null, null, null)).size() >= 0 & rows(told.getClientInfoProperties()).size() >= 0);
        same("key words and functions", true, () -> told.getSQLKeywords().length() > 50 && told.getMaxColumnNameLength() == 63);
        same("of a result", "timestamp timestamptz java.sql.Timestamp clients_temperature 0", () -> {
            ResultSetMetaData of = connection.createStatement().executeQuery("SELECT timestamp FROM clients_temperature LIMIT 0").getMetaData();
            return of.getColumnName(1) + " " + of.getColumnTypeName(1) + " " + of.getColumnClassName(1) + " " + ((org.postgresql.PGResultSetMetaData) of).getBaseTableName(1)
                + " " + of.isNullable(1);
        });
        same("of values", "text timestamptz", () -> {
            ParameterMetaData of = connection.prepareStatement("SELECT 1 FROM clients_temperature WHERE room = ? AND timestamp < ?").getParameterMetaData();
            return of.getParameterTypeName(1) + " " + of.getParameterTypeName(2);
        });
    }

    static void work(Connection connection) {
        System.out.println("-- work");
        same("by a fetch size", "60000 1.79997E9", () -> {
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(7000);
                ResultSet found = statement.executeQuery("SELECT timestamp, value FROM clients_many");
                int count = 0;
                double sum = 0;
                while (found.next()) {
                    count++;
                    sum += found.getDouble(2);
                }
                return count + " " + sum;
            } finally {
                connection.commit();
                connection.setAutoCommit(true);
            }
        });
        same("the most rows", 10, () -> {
            try (Statement statement = connection.createStatement()) {
                statement.setMaxRows(10);
                return rows(statement.executeQuery("SELECT value FROM clients_many")).size();
            }
        });
        same("a result that scrolls", "999.0 0.0", () -> {
            try (Statement statement = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY)) {
                ResultSet found = statement.executeQuery("SELECT value FROM clients_many WHERE n = '0' ORDER BY timestamp");
                found.last();
                String last = String.valueOf(found.getDouble(1));
                found.first();
                return last + " " + found.getDouble(1);
            }
        });
        same("COPY TO", 183, () -> {
            StringWriter out = new StringWriter();
            connection.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY clients_temperature TO STDOUT (FORMAT csv)", out);
            return out.toString().split("\n").length;
        });
        same("COPY FROM", "2 [[2, 3.0]]", () -> {
            String lines = "2026-01-01 00:00:00+00,1,jdbc\n2026-01-01 00:01:00+00,2,jdbc\n";
            long count = connection.unwrap(PGConnection.class).getCopyAPI()
                .copyIn("COPY clients_empty (timestamp, value, host) FROM STDIN (FORMAT csv)", new StringReader(lines));
            return count + " " + ask(connection, "SELECT count(*), sum(value) FROM clients_empty WHERE host = 'jdbc'");
        });
        same("a batch", "[[3, 6.0]]", () -> {
            try (PreparedStatement statement = connection.prepareStatement("INSERT INTO clients_empty (timestamp, value, host) VALUES (?, ?, 'batch')")) {
                for (int at = 0; at < 3; at++) {
                    statement.setObject(1, T0.plusMinutes(at));
                    statement.setDouble(2, at + 1);
                    statement.addBatch();
                }
                statement.executeBatch();
            }
            return ask(connection, "SELECT count(*), sum(value) FROM clients_empty WHERE host = 'batch'").toString();
        });
        same("a transaction with a savepoint", "22012 25P02 [[2]]", () -> {
            connection.setAutoCommit(false);
            Savepoint point = connection.setSavepoint("a");
            String states = "";
            for (String sql : new String[] {"SELECT 1 / 0", "SELECT 1"}) {
                try {
                    ask(connection, sql);
                } catch (SQLException error) {
                    states += error.getSQLState() + " ";
                }
            }
            connection.rollback(point);
            Object after = ask(connection, "SELECT 2");
            connection.rollback();
            connection.setAutoCommit(true);
            return states + after;
        });
        same("a read-only connection at a level", "[[1]]", () -> {
            try (Connection other = DriverManager.getConnection(url + "&readOnly=true&ApplicationName=checks&currentSchema=public&options=-c%20TimeZone=UTC")) {
                other.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
                return other.isValid(5) ? ask(other, "SELECT 1").toString() : "not valid";
            }
        });
        raises("cancel", "57014", () -> {
            try (Statement statement = connection.createStatement()) {
                new Timer(true).schedule(new TimerTask() {
                    @Override
                    public void run() {
                        try {
                            statement.cancel();
                        } catch (SQLException error) {
                            System.out.println(error);
                        }
                    }
                }, 500);
                return rows(statement.executeQuery(ENDLESS));
            }
        });
        raises("a timeout", "57014", () -> {
            try (Statement statement = connection.createStatement()) {
                statement.setQueryTimeout(1);
                return rows(statement.executeQuery(ENDLESS));
            }
        });
        same("alive afterwards", "[[1]]", () -> ask(connection, "SELECT 1").toString());
    }
}
