// Grafana's packages as one file that node loads. They are written for a browser; what only draws is left out by `overrides` of
// package.json, and a stand-in takes any use of it.
import { build } from 'esbuild';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const require = createRequire(import.meta.url);

// Whatever is read of it, called or constructed is itself again.
const STAND_IN = `
  const nothing = new Proxy(function () {}, {
    get: (_, name) => (name === '__esModule' ? true : name === Symbol.toPrimitive ? () => '' : nothing),
    apply: () => nothing,
    construct: () => nothing,
  });
  module.exports = Object.create(nothing);`;

const COMPLETION =
  './node_modules/@grafana/prometheus/dist/esm/components/monaco-query-field/monaco-completion-provider';
const ENTRY = `
  export { buildVisualQueryFromString, PrometheusDatasource, PromVariableQueryType } from '@grafana/prometheus';
  export { config, setBackendSrv, setDataSourceSrv, setTemplateSrv } from '@grafana/runtime';
  export { initializeLoggersRegistry } from '@grafana/runtime/unstable';
  export { CoreApp, dateTime, rangeUtil } from '@grafana/data';
  export { Observable } from 'rxjs';
  // What the query editor offers while one types; the package does not export it.
  export { getCompletions } from '${COMPLETION}/completions.mjs';
  export { DataProvider } from '${COMPLETION}/data_provider.mjs';
  export { getSituation } from '${COMPLETION}/situation.mjs';`;

/** The exports of Grafana's packages that the tests use. Globals of a browser have to be there before. */
export async function grafana() {
  const absent = [...Object.keys(require('./package.json').overrides), '@grafana/assistant'];
  const filter = new RegExp(`^(${absent.map((name) => name.replaceAll('.', '\\.')).join('|')})(/|$)`);
  const outfile = join(HERE, 'node_modules/.cache/grafana.cjs');
  await build({
    stdin: { contents: ENTRY, resolveDir: HERE },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node18',
    mainFields: ['module', 'main'],
    logLevel: 'error',
    plugins: [
      {
        name: 'absent',
        setup(build) {
          build.onResolve({ filter }, () => ({ path: 'absent', namespace: 'absent' }));
          build.onLoad({ filter: /./, namespace: 'absent' }, () => ({ contents: STAND_IN, loader: 'js' }));
        },
      },
    ],
  });
  return require(outfile);
}
