# RPostgreSQL, R's driver in Debian: values and types as R has them, fetching in parts, tables, errors.
suppressPackageStartupMessages(library(RPostgreSQL))
arguments <- commandArgs(trailingOnly = TRUE)
port <- as.integer(arguments[2])
promlake <- arguments[4] == "promlake"
failed <- 0

same <- function(name, wanted, ask) {
  got <- tryCatch(suppressWarnings(ask), error = function(error) paste("error:", conditionMessage(error)))
  right <- isTRUE(all.equal(got, wanted, check.attributes = FALSE))
  if (!right) failed <<- failed + 1
  detail <- function(value) gsub("\\s+", " ", paste(deparse(value), collapse = " "))
  cat(if (right) paste0("ok   ", name) else paste0("FAIL ", name, ": ", detail(got), ", not ", detail(wanted)), "\n", sep = "")
}

con <- dbConnect(PostgreSQL(), host = "127.0.0.1", port = port, user = "promlake", dbname = "promlake")
ask <- function(sql) dbGetQuery(con, sql)

frame <- ask("SELECT timestamp, value, room, level FROM clients_temperature ORDER BY room, timestamp")
same("rows", c(183, 4), dim(frame))
same("a time", 1767225600, as.numeric(frame$timestamp[1]))
same("types", c("POSIXct", "numeric", "character"), c(class(frame$timestamp)[1], class(frame$value), class(frame$room)))
same("a label that is missing", c(122L, 61L), c(sum(is.na(frame$level)), sum(frame$level == "1", na.rm = TRUE)))
same("groups", list(c("bath", "hall", "kitchen"), c(61, 61, 61), c(25.5, 26.5, 27.5)),
  as.list(ask("SELECT room, count(*), avg(value) FROM clients_temperature GROUP BY room ORDER BY room")))
same("aggregated in R", c(25.5, 26.5, 27.5), aggregate(value ~ room, frame, mean)$value)
same("odd numbers", c(Inf, -Inf, 1e300, 0, NaN, 0.1, 5e-324), ask("SELECT value FROM clients_odd ORDER BY kind")$value)
same("small types", list(1L, 2.5, TRUE, "x", NA_integer_), unname(as.list(ask("SELECT 1, 2.5::float8, true, 'x'::text, NULL::int"))))
same("names in mixed case", "Nürn\"b'erg", ask('SELECT "Zone" FROM "Clients_Mixed"')$Zone)
same("values", 61, ask(sqlInterpolate(con, "SELECT count(*) FROM clients_temperature WHERE room = ?room", room = "bath"))[[1]])
same("values of the server", 61, dbGetQuery(con, "SELECT count(*) FROM clients_temperature WHERE room = $1", "bath")[[1]])
same("tables", c("Clients_Mixed", "clients_empty", "clients_many", "clients_odd", "clients_temperature"), sort(grep("lients", dbListTables(con), value = TRUE), method = "radix"))
same("a table that is there, and one that is not", c(TRUE, FALSE), c(dbExistsTable(con, "clients_temperature"), dbExistsTable(con, "nope")))
same("columns", c("level", "room", "timestamp", "value"), sort(dbListFields(con, "clients_temperature")))
same("a whole table", 183L, nrow(dbReadTable(con, "clients_temperature")))
same("in parts", c(7000, 53000), {
  result <- dbSendQuery(con, "SELECT timestamp, value FROM clients_many")
  first <- nrow(fetch(result, n = 7000))
  rest <- nrow(fetch(result, n = -1))
  dbClearResult(result)
  c(first, rest)
})
same("a transaction", 2, {
  dbBegin(con)
  found <- ask("SELECT 2")[[1]]
  dbCommit(con)
  found
})
same("an error", TRUE, tryCatch(
  { suppressWarnings(dbSendQuery(con, "SELECT nope FROM clients_temperature")); FALSE },
  error = function(error) grepl('column "nope" does not exist', conditionMessage(error))
))
if (promlake) {
  same("promql", 31.5, ask("SELECT value FROM promql('clients_temperature{room=\"hall\"}', '2026-01-01T00:50:00Z')")$value)
}
invisible(dbDisconnect(con))
quit(status = if (failed > 0) 1 else 0)
