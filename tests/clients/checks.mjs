// What the clients of Node.js have in common: how an answer is compared, and the lines that are printed of it.
import assert from 'node:assert/strict'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { port: { type: 'string' }, server: { type: 'string', default: 'promlake' } } })
export const port = Number(values.port)
export const isPromlake = values.server === 'promlake'
export const T0 = new Date('2026-01-01T00:00:00Z')
export const minutes = (n) => new Date(T0.getTime() + 60_000 * n)

let failed = 0
const tell = (name, problem) => {
  failed += problem === undefined ? 0 : 1
  console.log(problem === undefined ? `ok   ${name}` : `FAIL ${name}: ${String(problem).replace(/\s+/g, ' ').slice(0, 600)}`)
}

// `ask()` gives what is wanted, in the same types.
export async function same(name, wanted, ask) {
  try {
    assert.deepStrictEqual(await ask(), wanted)
    tell(name)
  } catch (error) {
    tell(name, error.code === 'ERR_ASSERTION' ? `${JSON.stringify(error.actual)}, not ${JSON.stringify(wanted)}` : `${error.code} ${error.message}`)
  }
}

// `ask()` fails with this SQLSTATE.
export async function raises(name, state, ask) {
  try {
    tell(name, `no error but ${JSON.stringify(await ask())}`)
  } catch (error) {
    tell(name, error.code === state ? undefined : `${error.code} and not ${state}: ${error.message}`)
  }
}

export const end = () => process.exit(failed ? 1 : 0)

export const ERRORS = {
  'no such table': ['SELECT * FROM nope', '42P01'],
  'no such column': ['SELECT nope FROM clients_temperature', '42703'],
  syntax: ['SELEC 1', '42601'],
  'division by zero': ['SELECT 1 / 0', '22012'],
}
export const ENDLESS =
  'SELECT count(*) FROM generate_series(1, 10000000000) AS a(n) WHERE n % 7 = 8'
