// postgres.js: statements prepared and pipelined by itself, its question about array types, cursors, COPY, savepoints, cancel.
import postgres from 'postgres'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ENDLESS, ERRORS, T0, end, isPromlake, minutes, port, raises, same } from './checks.mjs'

const place = { host: '127.0.0.1', port, user: 'promlake', database: 'promlake', max: 2, onnotice: () => {} }
const sql = postgres(place)
const plain = (rows) => rows.map((row) => ({ ...row }))

await same('a metric', [{ timestamp: T0, value: 18, room: 'bath', level: null }], async () =>
  plain(await sql`SELECT timestamp, value, room, level FROM clients_temperature ORDER BY room, timestamp LIMIT 1`))
await same('groups', [{ room: 'bath', count: '61', avg: 25.5 }, { room: 'hall', count: '61', avg: 26.5 }, { room: 'kitchen', count: '61', avg: 27.5 }], async () =>
  plain(await sql`SELECT room, count(*), avg(value) FROM clients_temperature GROUP BY room ORDER BY room`))
await same('odd numbers', [Infinity, -Infinity, 1e300, -0, NaN, 0.1, 5e-324], async () => (await sql`SELECT value FROM clients_odd ORDER BY kind`).map((row) => row.value))
await same('values typed by their places', '11', async () =>
  (await sql`SELECT count(*) FROM clients_temperature WHERE room = ${'bath'} AND timestamp BETWEEN ${T0} AND ${minutes(10)}`)[0].count)
await same('a list', '122', async () => (await sql`SELECT count(*) FROM clients_temperature WHERE room IN ${sql(['bath', 'hall'])}`)[0].count)
await same('= ANY of a list', '122', async () => (await sql`SELECT count(*) FROM clients_temperature WHERE room = ANY(${['bath', 'hall']})`)[0].count)
// It has NULL in an array of texts as the word.
await same('arrays', [{ a: [1, 2, null], b: ['x', 'y,"z', 'NULL'] }], async () => plain(await sql`SELECT ARRAY[1, 2, NULL] AS a, ARRAY['x', 'y,"z', NULL] AS b`))
await same('arrays as values', [{ a: [1, 2], b: ['x', 'y'] }], async () => plain(await sql`SELECT ${sql.array([1, 2])}::int[] AS a, ${sql.array(['x', 'y'])}::text[] AS b`))
await same('jsonb', [{ j: { a: [1, null] } }], async () => plain(await sql`SELECT ${sql.json({ a: [1, null] })}::jsonb AS j`))
await same('LIMIT of a value', 18, async () => (await sql`SELECT value FROM clients_temperature ORDER BY value, room LIMIT ${1}`)[0].value)
await same('parts of statements', '61', async () => {
  const where = sql`WHERE ${sql('room')} = ${'hall'}`
  return (await sql`SELECT count(*) FROM ${sql('clients_temperature')} ${where}`)[0].count
})
await same('names and types of columns', [['timestamp', 1184], ['value', 701], ['room', 25]], async () =>
  (await sql`SELECT timestamp, value, room FROM clients_temperature LIMIT 0`).columns.map((column) => [column.name, column.type]))
await same('describe', [[25], ['count']], async () => {
  const told = await sql`SELECT count(*) FROM clients_temperature WHERE room = ${'bath'}`.describe()
  return [told.types, told.columns.map((column) => column.name)]
})
await same('a cursor', [60_000, 9], async () => {
  let count = 0
  let parts = 0
  for await (const rows of sql`SELECT timestamp, value FROM clients_many`.cursor(7000)) {
    count += rows.length
    parts++
  }
  return [count, parts]
})
await same('forEach', 60_000, async () => {
  let count = 0
  await sql`SELECT value FROM clients_many`.forEach(() => count++)
  return count
})
await same('many at once', Array(20).fill('61'), async () =>
  (await Promise.all(Array.from({ length: 20 }, () => sql`SELECT count(*) FROM clients_temperature WHERE room = ${'bath'}`))).map((rows) => rows[0].count))
await same('the simple protocol', [[{ a: 1 }], [{ b: 2 }]], async () => (await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b').simple()).map(plain))
await same('COPY TO', 183, async () => {
  let text = ''
  for await (const part of await sql`COPY clients_temperature TO STDOUT`.readable()) text += part
  return text.trimEnd().split('\n').length
})
await same('COPY FROM', [{ count: '2', sum: 3 }], async () => {
  const lines = Readable.from(['2026-01-01 00:00:00+00\t1\tpostgres.js\n', '2026-01-01 00:01:00+00\t2\tpostgres.js\n'])
  await pipeline(lines, await sql`COPY clients_empty (timestamp, value, host) FROM STDIN`.writable())
  return plain(await sql`SELECT count(*), sum(value) FROM clients_empty WHERE host = 'postgres.js'`)
})
await same('inserted from objects', [{ count: '2', sum: 3 }], async () => {
  const rows = [1, 2].map((value) => ({ timestamp: minutes(value), value, host: 'objects' }))
  await sql`INSERT INTO clients_empty ${sql(rows, 'timestamp', 'value', 'host')}`
  return plain(await sql`SELECT count(*), sum(value) FROM clients_empty WHERE host = 'objects'`)
})
for (const [name, [text, state]] of Object.entries(ERRORS)) await raises(name, state, () => sql.unsafe(text))
await same('a transaction with a savepoint', 2, () =>
  sql.begin(async (inner) => {
    await inner.savepoint((deeper) => deeper`SELECT 1 / 0`).catch(() => {})
    return (await inner`SELECT 2 AS n`)[0].n
  }))
await raises('cancel', '57014', async () => {
  const query = sql.unsafe(ENDLESS)
  setTimeout(() => query.cancel(), 500)
  return await query
})
if (isPromlake) {
  await same('promql', [{ room: 'hall', value: 31.5 }], async () => plain(await sql`SELECT room, value FROM promql(${'clients_temperature{room="hall"}'}, ${minutes(50)})`))
}
await sql.end()
end()
