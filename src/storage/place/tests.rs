use super::*;

#[test]
fn locations() {
    let folder = |text: &str, path: &str| {
        assert_eq!(location(text).unwrap(), Location::Folder(PathBuf::from(path)), "{text}");
    };
    folder("./data", "./data");
    folder("data/", "data/");
    folder("/srv/data", "/srv/data");
    folder("/srv/a:b", "/srv/a:b");
    folder("./a:b", "./a:b");
    folder("./~", "./~");
    folder("x~", "x~");
    folder("s3", "s3");
    folder("s3/x", "s3/x");
    folder("/s3//x", "/s3//x");
    folder("./a://b", "./a://b");
    folder("file:///srv/data", "/srv/data");
    folder("FILE:///srv/a%20b", "/srv/a b");
    assert_eq!(location("memory://").unwrap(), Location::Memory);
    for bucket in ["s3://bucket/prefix", "S3://bucket/prefix"] {
        assert_eq!(location(bucket).unwrap(), Location::Bucket(Url::parse("s3://bucket/prefix").unwrap()));
    }
}

#[test]
fn almost_urls_are_refused() {
    let check = |text: &str, part: &str| {
        let error = location(text).expect_err(text);
        assert!(error.message.contains(part), "{text}: {error}");
        assert!(!error.message.contains("secret"), "{text}: {error}");
    };
    check("", "is empty");
    check(" ./data", "a space");
    check("./data\n", "a line end");
    check("s3:/bucket", "starts with \"s3:\"");
    check("s3:bucket/x", "starts with \"s3:\"");
    check("s3:key:secret@bucket", "starts with \"s3:\"");
    check("S3:/bucket", "starts with \"S3:\"");
    check("s3//bucket", "starts with \"s3//\"");
    check("file:/x", "starts with \"file:\"");
    check("file:x", "starts with \"file:\"");
    check("memory:", "starts with \"memory:\"");
    check("http:/x", "starts with \"http:\"");
    check("arn:aws:s3:::bucket", "starts with \"arn:\"");
    check("localhost:9000/bucket", "starts with \"localhost:\"");
    check("127.0.0.1:9000/bucket", "starts with \"127.0.0.1:\"");
    check("C:\\data", "starts with \"C:\"");
    check(":/x", "starts with \":\"");
    check("~", "starts with \"~\"");
    check("~/x", "starts with \"~\"");
    check("~user/x", "starts with \"~user\"");
    check("$HOME/x", "starts with \"$HOME\"");
    check("${DATA}", "starts with \"${DATA}\"");
    check("http://key:secret@host/bucket", "AWS_ENDPOINT_URL");
    check("https://bucket.s3.amazonaws.com/x", "AWS_ENDPOINT_URL");
    check("s3a://bucket/x", "s3://bucket/prefix");
    check("gs://bucket/x", "scheme \"gs\"");
    check("://x", "scheme \"\"");
    check("memory://x", "nothing behind it");
    check("file://relative/x", "names no absolute path");
    check("file:///x?y", "a query");
    let error = Place::of_tsdb_path("~/x").unwrap_err();
    assert!(error.message.starts_with("--storage.tsdb.path starts with \"~\""), "{error}");
}

const ULID: &str = "01HQ7ZC3V9D2M4K8N5P6R7S8T9";

/// Where the lake is when the named folder `D` holds this, by `--storage.url` and by `--storage.tsdb.path`: the path
/// below the folder, and whether a TSDB or an earlier lake is told of.
fn check(files: &[&str], url: (&str, &str), tsdb_path: Result<(&str, &str), &str>) {
    let dir = tempfile::tempdir().unwrap();
    let named = dir.path().join("D");
    for file in files {
        let path = named.join(file);
        match file.strip_suffix('/') {
            Some(_) => std::fs::create_dir_all(&path).unwrap(),
            None => {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "x").unwrap();
            }
        }
    }
    let text = named.to_str().unwrap();
    let shown = |place: Place| {
        assert_eq!(place.folder.as_deref(), Some(Path::new(&place.url)));
        let below = Path::new(&place.url).strip_prefix(&named).unwrap().to_str().unwrap().to_string();
        let found = match &place.found {
            Found::Nothing => "",
            Found::Tsdb(folder) | Found::EarlierLake(folder) if *folder != named => panic!("{place:?}"),
            Found::Tsdb(_) => "tsdb",
            Found::EarlierLake(_) => "earlier lake",
        };
        (below, found.to_string())
    };
    let owned = |(below, found): (&str, &str)| (below.to_string(), found.to_string());
    assert_eq!(shown(Place::of_url(text).unwrap()), owned(url), "url, {files:?}");
    match (Place::of_tsdb_path(text), tsdb_path) {
        (Ok(place), Ok(expected)) => assert_eq!(shown(place), owned(expected), "tsdb.path, {files:?}"),
        (Err(error), Err(part)) => assert!(error.message.contains(part), "{error}"),
        (found, expected) => panic!("{files:?}: {found:?}, expected {expected:?}"),
    }
}

#[test]
fn a_tsdb_is_never_written_into() {
    let (below, tsdb) = (("promlake", ""), ("promlake", "tsdb"));
    check(&[], ("", ""), Ok(below));
    check(&["other/", "01HXX/", "notes.txt"], ("", ""), Ok(below));
    check(&["wal/00000001"], tsdb, Ok(tsdb));
    check(&["chunks_head/"], tsdb, Ok(tsdb));
    check(&["queries.active"], tsdb, Ok(tsdb));
    check(&[&format!("{ULID}/meta.json")], tsdb, Ok(tsdb));
    check(&["wal/", "promlake/samples/_delta_log/"], tsdb, Ok(tsdb));
}

#[test]
fn a_lake_is_found_again() {
    // Of a version that laid it into the folder itself.
    let earlier = ("", "earlier lake");
    check(&["samples/_delta_log/0.json", "_wal/", "queries.active"], ("", ""), Ok(earlier));
    check(&["_wal/main/1.arrow"], ("", ""), Ok(earlier));
    check(&["samples/_delta_log/", "wal/", &format!("{ULID}/")], ("", ""), Ok(earlier));
    // The TSDB it was laid beside is gone meanwhile.
    check(&["promlake/samples/_delta_log/"], ("promlake", ""), Ok(("promlake", "")));
    // Two of them: one is named by its own path, never guessed.
    check(&["samples/_delta_log/", "promlake/samples/_delta_log/"], ("", ""), Err("--storage.url"));
}

#[test]
fn other_places_are_as_given() {
    for url in ["s3://bucket/prefix", "memory://"] {
        let place = Place::of_url(url).unwrap();
        assert_eq!((place.url.as_str(), place.folder, place.found), (url, None, Found::Nothing));
        assert!(Place::of_tsdb_path(url).unwrap_err().message.contains("--storage.url"));
    }
    assert!(Place::of_tsdb_path("file:///x").unwrap_err().message.contains("--storage.url"));
}
