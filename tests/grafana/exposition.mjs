// Prometheus' protobuf exposition and remote write, as far as the tests go: messages of strings, doubles, integers and messages.

const varint = (value) => {
  const bytes = [];
  let rest = BigInt(value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
};
const zigzag = (value) => varint(value < 0 ? -2 * value - 1 : 2 * value);
const tag = (field, wire) => varint((field << 3) | wire);
const bytes = (field, body) => Buffer.concat([tag(field, 2), varint(body.length), body]);
const message = (field, ...parts) => bytes(field, Buffer.concat(parts));
const string = (field, text) => bytes(field, Buffer.from(text));
const integer = (field, value) => Buffer.concat([tag(field, 0), varint(value)]);
const signed = (field, value) => Buffer.concat([tag(field, 0), zigzag(value)]);
const double = (field, value) => {
  const body = Buffer.alloc(8);
  body.writeDoubleLE(value);
  return Buffer.concat([tag(field, 1), body]);
};

const TYPES = { counter: 0, gauge: 1, summary: 2, histogram: 4 };

/** Families of one metric each; those of one name that follow each other are one family of several. */
export function families(list) {
  const byName = new Map();
  for (const each of list) byName.set(each.name, [...(byName.get(each.name) ?? []), each]);
  const bodies = [...byName].map(([name, metrics]) => {
    const { help, type } = metrics[0];
    return Buffer.concat([
      string(1, name),
      string(2, help),
      integer(3, TYPES[type]),
      ...metrics.map((each) => metric(each, type)),
    ]);
  });
  return Buffer.concat(bodies.flatMap((body) => [varint(body.length), body]));
}

function metric({ labels = {}, value, summary, histogram }, type) {
  const parts = Object.entries(labels).map(([name, text]) => message(1, string(1, name), string(2, text)));
  if (value !== undefined) parts.push(message(type === 'counter' ? 3 : 2, double(1, value)));
  if (summary) {
    const quantiles = Object.entries(summary.quantiles).map(([at, each]) =>
      message(3, double(1, Number(at)), double(2, each)),
    );
    parts.push(message(4, integer(1, summary.count), double(2, summary.sum), ...quantiles));
  }
  if (histogram) {
    const { count, sum, schema, zeroThreshold, zeroCount, offset, counts } = histogram;
    const deltas = counts.map((each, at) => signed(13, each - (counts[at - 1] ?? 0)));
    const span = message(12, signed(1, offset), integer(2, counts.length));
    const head = [
      integer(1, count),
      double(2, sum),
      signed(5, schema),
      double(6, zeroThreshold),
      integer(7, zeroCount),
    ];
    parts.push(message(7, ...head, span, ...deltas));
  }
  return message(4, ...parts);
}

/** A remote write request of version 1.0, compressed by Snappy, of one sample a series. */
export function remoteWrite(series) {
  const body = Buffer.concat(
    series.map(({ labels, value, timestamp }) => {
      const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
      return message(
        1,
        ...pairs.map(([name, text]) => message(1, string(1, name), string(2, text))),
        message(2, double(1, value), integer(2, timestamp)),
      );
    }),
  );
  // Snappy's block format with literals alone: the length of all, then pieces of up to 256 bytes.
  const pieces = [varint(body.length)];
  for (let at = 0; at < body.length; at += 256) {
    const piece = body.subarray(at, at + 256);
    pieces.push(Buffer.from([60 << 2, piece.length - 1]), piece);
  }
  return Buffer.concat(pieces);
}
