use super::*;

#[test]
fn urls() {
    let check = |url: &str, expected: std::result::Result<Kind, &str>| match (open(url), expected) {
        (Ok(objects), Ok(kind)) => assert_eq!(objects.kind, kind, "{url}"),
        (Err(error), Err(message)) => assert!(error.to_string().contains(message), "{url}: {error}"),
        (found, expected) => panic!("{url}: {found:?}, expected {expected:?}"),
    };
    check("memory://", Ok(Kind::Memory));
    check("", Err("is empty"));
    check("gs://bucket/x", Err("scheme \"gs\""));
    check("s3:///x", Err("names no bucket"));
    check("s3://key:secret@bucket/x", Err("holds credentials"));
    check("s3://bucket/x?region=y", Err("has a query"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b").display().to_string();
    check(&path, Ok(Kind::Disk));
    check(&format!("file://{path}"), Ok(Kind::Disk));
}

#[test]
fn secrets_are_not_shown() {
    let error = open("s3://key:secret@bucket/x").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[tokio::test]
async fn a_folder_puts_lists_and_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let objects = open(folder.path().to_str().unwrap()).unwrap();
    let store = objects.store;
    probe(store.as_ref(), "folder").await.unwrap();
    let key = Path::from("a/b/c.json");
    let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    store.put_opts(&key, PutPayload::from_static(b"1"), create()).await.unwrap();
    let second = store.put_opts(&key, PutPayload::from_static(b"2"), create()).await;
    assert!(matches!(second, Err(StoreError::AlreadyExists { .. })), "{second:?}");
    store.put(&Path::from("a/d"), PutPayload::from_static(b"3")).await.unwrap();
    let mut upload = store.put_multipart(&Path::from("e/f")).await.unwrap();
    upload.put_part(PutPayload::from_static(b"45")).await.unwrap();
    upload.complete().await.unwrap();
    store.rename(&Path::from("e/f"), &Path::from("g/h")).await.unwrap();
    let found: Vec<_> = store.list(None).map_ok(|m| m.location.to_string()).try_collect().await.unwrap();
    assert_eq!(found, ["a/b/c.json", "a/d", "g/h"]);
    assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), "1");
}

#[tokio::test]
async fn one_of_many_creators_wins() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path().to_str().unwrap()).unwrap().store;
    let puts = (0..16).map(|_| {
        let store = Arc::clone(&store);
        async move {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            store.put_opts(&Path::from("x/y"), PutPayload::from_static(b"1"), options).await.is_ok()
        }
    });
    let wins = futures::future::join_all(puts).await.into_iter().filter(|won| *won).count();
    assert_eq!(wins, 1);
}
