// node-postgres: simple and prepared statements, its cursors and streams, COPY, a pool, cancel.
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { from, to } from 'pg-copy-streams'
import { ENDLESS, ERRORS, T0, end, isPromlake, minutes, port, raises, same } from './checks.mjs'

const place = { host: '127.0.0.1', port, user: 'promlake', database: 'promlake' }
const client = new pg.Client(place)
await client.connect()
const ask = async (text, values, more) => (await client.query({ text, values, rowMode: 'array', ...more })).rows

await same('a metric', [[T0, 18, 'bath', null]], () => ask('SELECT timestamp, value, room, level FROM clients_temperature ORDER BY room, timestamp LIMIT 1'))
await same('groups', [['bath', '61', 25.5], ['hall', '61', 26.5], ['kitchen', '61', 27.5]], () =>
  ask('SELECT room, count(*), avg(value) FROM clients_temperature GROUP BY room ORDER BY room'))
await same('odd numbers', [Infinity, -Infinity, 1e300, -0, NaN, 0.1, 5e-324], async () => (await ask('SELECT value FROM clients_odd ORDER BY kind')).flat())
await same('values', [[1, 'it’s', null, true, T0, [1, 2], { a: [1] }]], () =>
  ask('SELECT $1::int, $2::text, $3::text, $4::bool, $5::timestamptz, $6::int[], $7::jsonb', [1, 'it’s', null, true, T0, [1, 2], { a: [1] }]))
await same('values typed by their places', [['11']], () =>
  ask('SELECT count(*) FROM clients_temperature WHERE room = $1 AND timestamp BETWEEN $2 AND $3', ['bath', T0, minutes(10)]))
await same('= ANY of a list', [['122']], () => ask('SELECT count(*) FROM clients_temperature WHERE room = ANY($1)', [['bath', 'hall']]))
await same('LIMIT of a value', [[18]], () => ask('SELECT value FROM clients_temperature ORDER BY value, room LIMIT $1', [1]))
await same('a statement with a name, twice', [[['61']], [['61']]], async () => {
  const once = () => ask('SELECT count(*) FROM clients_temperature WHERE room = $1', ['hall'], { name: 'of-room' })
  return [await once(), await once()]
})
await same('in binary', [[1, 2.5, 'bath']], () => ask("SELECT 1, 2.5::float8, 'bath'::text", [], { binary: true }))
await same('names and types of columns', [['timestamp', 1184], ['value', 701], ['room', 25]], async () =>
  (await client.query('SELECT timestamp, value, room FROM clients_temperature LIMIT 0')).fields.map((field) => [field.name, field.dataTypeID]))
await same('two statements in one', [[{ a: 1 }], [{ b: 2 }]], async () => (await client.query('SELECT 1 AS a; SELECT 2 AS b')).map((result) => result.rows))
await same('a cursor', [7000, 7000], async () => {
  const cursor = client.query(new Cursor("SELECT timestamp, value FROM clients_many WHERE value >= $1", [0]))
  const counts = [(await cursor.read(7000)).length, (await cursor.read(7000)).length]
  await cursor.close()
  return counts
})
await same('a stream', 60_000, async () => {
  let count = 0
  for await (const _ of client.query(new QueryStream('SELECT value FROM clients_many', [], { batchSize: 7000 }))) count++
  return count
})
await same('COPY TO', 183, async () => {
  let text = ''
  for await (const part of client.query(to('COPY clients_temperature TO STDOUT'))) text += part
  return text.trimEnd().split('\n').length
})
await same('COPY FROM', [['2', 3]], async () => {
  const lines = Readable.from(['2026-01-01 00:00:00+00,1,node\n', '2026-01-01 00:01:00+00,2,node\n'])
  await pipeline(lines, client.query(from('COPY clients_empty (timestamp, value, host) FROM STDIN (FORMAT csv)')))
  return ask("SELECT count(*), sum(value) FROM clients_empty WHERE host = 'node'")
})
for (const [name, [sql, state]] of Object.entries(ERRORS)) {
  await raises(name, state, () => client.query(sql))
  await raises(`${name}, prepared`, state, () => client.query(sql, []))
}
await same('where an error is', '8', () => client.query('SELECT nope FROM clients_temperature').catch((error) => error.position))
await same('a transaction that failed', ['25P02', 'ROLLBACK'], async () => {
  await client.query('BEGIN')
  await client.query('SELECT 1 / 0').catch(() => {})
  const state = await client.query('SELECT 1').catch((error) => error.code)
  return [state, (await client.query('COMMIT')).command]
})
await raises('statement_timeout', '57014', async () => {
  const other = new pg.Client({ ...place, statement_timeout: 500 })
  await other.connect()
  try {
    return await other.query(ENDLESS)
  } finally {
    await other.end()
  }
})
await same('cancel by another connection', ['57014', 'soon'], async () => {
  const [[pid]] = await ask('SELECT pg_backend_pid()')
  const other = new pg.Client(place)
  await other.connect()
  await client.query('SET statement_timeout = 10000')
  const began = Date.now()
  const asked = new Promise((resolve) => setTimeout(() => resolve(other.query('SELECT pg_cancel_backend($1)', [pid])), 500))
  const state = await client.query(ENDLESS).catch((error) => error.code)
  const took = Date.now() - began
  await asked
  await client.query('RESET statement_timeout')
  await other.end()
  return [state, took < 5000 ? 'soon' : `after ${took} ms`]
})
await same('a pool', ['61', '61', '61', '61'], async () => {
  const pool = new pg.Pool({ ...place, max: 2 })
  const results = await Promise.all([1, 2, 3, 4].map(() => pool.query("SELECT count(*) AS n FROM clients_temperature WHERE room = $1", ['bath'])))
  await pool.end()
  return results.map((result) => result.rows[0].n)
})
if (isPromlake) {
  await same('promql', [['hall', 31.5]], () => ask('SELECT room, value FROM promql($1, $2)', ['clients_temperature{room="hall"}', minutes(50)]))
}
await client.end()
end()
