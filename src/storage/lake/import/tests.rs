use super::*;
use crate::model::labels::Labels;
use crate::storage::object;
use crate::storage::types::Run;

const NOW_MS: i64 = 1_700_000_000_000;
const DAY: i32 = 19_600;

async fn open() -> (object::Objects, Lake) {
    let objects = object::open("memory://").unwrap();
    let lake = Lake::open(&objects, "import", Arc::new(|| NOW_MS)).await.unwrap();
    (objects, lake)
}

fn done(application: &str, number: u64) -> Done {
    Done { application: application.to_string(), number }
}

/// One series with one sample.
async fn write(lake: &Lake, value: f64, done: &[Done]) -> Result<Option<DayWritten>> {
    let mut import = lake.import_day(DAY);
    let labels = Labels::from_pairs([("__name__", "a")]);
    import.list(Series { id: labels.hash_id(), labels: labels.clone() }).await?;
    let run = Run { timestamps: vec![i64::from(DAY) * DAY_MS], values: vec![value], ..Run::default() };
    import.push("a", labels.hash_id(), (&run).into()).await?;
    import.commit(&[], done).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_committed_once() {
    let (_, lake) = open().await;
    assert_eq!(lake.imported("import-a").await.unwrap(), 0);
    let written = write(&lake, 1.0, &[done("import-a", 5), done("import-b", 7)]).await.unwrap().unwrap();
    assert_eq!((written.files, written.new_series), (1, 1));
    let numbers = (lake.imported("import-a").await.unwrap(), lake.imported("import-b").await.unwrap());
    assert_eq!(numbers, (5, 7));
    // Again, earlier, and a part of it with something else.
    assert_eq!(write(&lake, 2.0, &[done("import-a", 5), done("import-b", 7)]).await.unwrap(), None);
    assert_eq!(write(&lake, 2.0, &[done("import-a", 4)]).await.unwrap(), None);
    let error = write(&lake, 2.0, &[done("import-a", 5), done("import-c", 1)]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_eq!(lake.files().samples.len(), 1);
    write(&lake, 3.0, &[done("import-a", 6)]).await.unwrap().unwrap();
    assert_eq!(lake.files().samples.len(), 2);
    assert!(lake.files().samples.iter().all(|file| file.commit == 0));
}

/// A lake that was opened before notices too, at the latest when it commits.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_one_committed_counts() {
    let (objects, first) = open().await;
    let second = Lake::open(&objects, "import", Arc::new(|| NOW_MS)).await.unwrap();
    write(&first, 1.0, &[done("import-a", 5)]).await.unwrap().unwrap();
    assert_eq!(write(&second, 1.0, &[done("import-a", 5)]).await.unwrap(), None);
    assert!(second.refresh_samples().await.is_ok());
    assert_eq!(second.files().samples.len(), 1);
}

#[test]
fn numbers_of_days() {
    for day in [-700_000, -1, 0, 20_000, 2_900_000] {
        let number = number_of(day).unwrap();
        assert_eq!(day_of_number(number), Some(day));
        assert!(0 < number && number < ALL_DAYS);
    }
    assert!(number_of(i32::MIN).is_err());
    assert_eq!(day_of_number(0), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_there_stays() {
    let (_, lake) = open().await;
    let metadata = |help: &str| Metadata { help: help.to_string(), ..Metadata::default() };
    let first = BTreeMap::from([("a".to_string(), metadata("first"))]);
    assert_eq!(lake.import_metadata(&first).await.unwrap(), 1);
    let second = BTreeMap::from([("a".to_string(), metadata("second")), ("b".to_string(), metadata("new"))]);
    assert_eq!(lake.import_metadata(&second).await.unwrap(), 1);
    let helps: Vec<String> = lake.read_metadata().await.unwrap().into_iter().map(|(_, m)| m.help).collect();
    assert_eq!(helps, ["first", "new"]);
}
