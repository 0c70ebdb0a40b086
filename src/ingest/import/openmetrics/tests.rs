use super::*;

fn read(text: &[u8]) -> Result<Collected> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.txt");
    std::fs::write(&path, text).unwrap();
    let mut collected = Collected::new(Arc::new(Added::default()), 1 << 20);
    Reader::open(&path)?.read(&mut collected)?;
    Ok(collected)
}

fn samples(collected: &Collected) -> Vec<String> {
    let mut all: Vec<String> = collected
        .slots()
        .map(|slot| {
            let mut run = crate::storage::types::Run::default();
            collected
                .read_slot(slot.slot, crate::model::sample::TimeRange::ALL, &mut Vec::new(), &mut run)
                .unwrap();
            let samples = run.timestamps.iter().zip(&run.values).map(|(t, v)| format!("{v}@{t}"));
            format!("{} {}", slot.labels, samples.collect::<Vec<_>>().join(" "))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn series_metadata_and_exemplars() {
    let collected = read(
        b"# TYPE a counter\n# HELP a what\n# UNIT b seconds\na_total{x=\"1\"} 1 10\na_total{x=\"1\"} 2 20.5 # {t=\"y\"} 0.5 20\n\
          # TYPE h histogram\nh_bucket{le=\"1\"} 3 10\nh_bucket{le=\"1.0\"} 4 11\n# EOF\n",
    );
    // A unit is a suffix of its family.
    assert!(collected.unwrap_err().to_string().contains("line 3: unit"));
    let collected = read(
        b"# TYPE a counter\n# HELP a what\na_total{x=\"1\"} 1 10\na_total{x=\"1\"} 2 20.5 # {t=\"y\"} 0.5 20\n\
          # TYPE h histogram\nh_bucket{le=\"1\"} 3 10\nh_bucket{le=\"1.0\"} 4 11\n# EOF\n",
    )
    .unwrap();
    assert_eq!(samples(&collected), [r#"a_total{x="1"} 1@10000 2@20500"#, r#"h_bucket{le="1.0"} 3@10000 4@11000"#]);
    assert_eq!(collected.metadata["a"].help, "what");
    assert_eq!(collected.metadata["h"].kind, MetricType::Histogram);
    assert_eq!((collected.exemplars.len(), collected.exemplars[0].timestamp), (1, 20_000));
}

/// A file of many pieces is read as one; the type of a family reaches over the border.
#[test]
fn files_of_many_pieces() {
    let mut text = b"# TYPE h histogram\n".to_vec();
    let count = 300_000i64;
    for at in 0..count {
        text.extend(format!("h_bucket{{le=\"{}\"}} {at} {at}\n", at % 3).as_bytes());
    }
    assert!(text.len() > 2 * PIECE_BYTES - (3 << 20), "{}", text.len());
    text.extend(b"# EOF\n");
    let collected = read(&text).unwrap();
    let found: Vec<(String, u64)> = collected.slots().map(|s| (s.labels.to_string(), s.samples)).collect();
    assert_eq!(found, (0..3).map(|le| (format!("h_bucket{{le=\"{le}.0\"}}"), 100_000)).collect::<Vec<_>>());
    let at = text.len() - 6;
    text.splice(at..at, b"h_bucket{le=\"1\"} 5\n".iter().copied());
    let error = read(&text).unwrap_err().to_string();
    assert!(error.contains("line 300002: expected timestamp for series h_bucket{le=\"1.0\"}, got none"), "{error}");
}

#[test]
fn what_is_refused() {
    let check = |text: &[u8], part: &str| {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    check(b"", "# EOF");
    check(b"a 1 1\n", "line 2: data does not end with # EOF");
    check(b"a 1\n# EOF\n", "line 1: expected timestamp for series a, got none");
    check(b"a 1 1\n# EOF\nb 1 1\n", "data after # EOF");
    check(b"a 1 1\n# EOF\nb 1 1\n# EOF\n", "data after # EOF");
    check(b"a 1 1\nb{ 1 1\n# EOF\n", "line 2:");
    assert_eq!(samples(&read(b"# EOF\n").unwrap()), Vec::<String>::new());
    assert_eq!(samples(&read(b"a 1 1\n# EOF").unwrap()), ["a 1@1000"]);
}

/// The same file is the same source; with other labels it is another one.
#[test]
fn what_stands_for_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let application = |labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let range = crate::model::sample::TimeRange::ALL;
        source(&path, &Wanted { labels, range, memory_bytes: 1 }).unwrap().application
    };
    std::fs::write(&path, "a 1 1\n# EOF\n").unwrap();
    let first = application(&[]);
    assert_eq!(application(&[]), first);
    assert_ne!(application(&[("a", "b")]), first);
    std::fs::write(&path, "a 2 1\n# EOF\n").unwrap();
    assert_ne!(application(&[]), first);
}
