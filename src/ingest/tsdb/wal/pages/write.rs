//! Segments for tests.

use crate::ingest::tsdb::crc32c;

const PAGE: usize = 32 << 10;

/// Records with the flags of their compression, cut into fragments at the ends of pages.
pub fn pages(records: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (flags, record) in records {
        let mut rest = record.as_slice();
        let mut first = true;
        loop {
            let mut room = PAGE - out.len() % PAGE;
            if room < 8 {
                out.resize(out.len() + room, 0);
                room = PAGE;
            }
            let (fragment, behind) = rest.split_at(rest.len().min(room - 7));
            let kind = match (first, behind.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            out.push(kind | flags);
            out.extend((fragment.len() as u16).to_be_bytes());
            out.extend(crc32c::checksum(fragment).to_be_bytes());
            out.extend(fragment);
            (first, rest) = (false, behind);
            if rest.is_empty() {
                break;
            }
        }
    }
    out
}
