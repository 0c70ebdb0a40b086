use super::*;
use crate::storage::object;

#[tokio::test]
async fn a_folder_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let root = object::open(folder.path().to_str().unwrap()).unwrap();
    let objects = Objects::new(root.store.clone(), "n").unwrap();
    let other = Objects::new(root.store.clone(), "m").unwrap();
    let claim = Claim::take(&root, &objects, 1, 0).await.unwrap();
    let error = Claim::take(&root, &objects, 2, 0).await.unwrap_err();
    assert!(error.message.contains(&format!("process {}", std::process::id())), "{error}");
    assert!(error.message.contains("--storage.node"), "{error}");
    Claim::take(&root, &other, 2, 0).await.unwrap();
    drop(claim);
    Claim::take(&root, &objects, 3, 0).await.unwrap();
}

fn bucket() -> (Root, Objects) {
    let root = Root { kind: Kind::Bucket, ..object::open("memory://").unwrap() };
    let objects = Objects::new(root.store.clone(), "n").unwrap();
    (root, objects)
}

async fn lease(root: &Root, objects: &Objects, writer: u64, epoch: u64, now_ms: i64) -> Lease {
    let mut claim = Claim::take(root, objects, writer, now_ms).await.unwrap();
    claim.announce(epoch, now_ms).await.unwrap();
    claim.lease().unwrap()
}

async fn refused(root: &Root, objects: &Objects, now_ms: i64) -> String {
    Claim::take(root, objects, 9, now_ms).await.unwrap_err().message
}

#[tokio::test]
async fn a_live_process_keeps_its_lease() {
    let (root, objects) = bucket();
    let lease = lease(&root, &objects, 1, 1, 0).await;
    assert!(refused(&root, &objects, 1_000).await.contains(&format!("process {}", std::process::id())));
    // It lives and has not renewed the lease for long: it is stopped, and its epoch will end when it goes on.
    Claim::take(&root, &objects, 2, 31_000).await.unwrap();
    assert!(lease.renew(31_500).await.unwrap());
    lease.release().await.unwrap();
    Claim::take(&root, &objects, 2, 32_000).await.unwrap();
}

#[tokio::test]
async fn a_later_epoch_takes_the_lease_for_good() {
    let (root, objects) = bucket();
    let first = lease(&root, &objects, 1, 1, 0).await;
    let second = lease(&root, &objects, 2, 2, 40_000).await;
    assert!(!first.renew(41_000).await.unwrap());
    assert!(second.renew(41_000).await.unwrap());
    first.release().await.unwrap();
    assert!(refused(&root, &objects, 42_000).await.contains("in use"));
}

/// A process that has ended on this machine is not waited for.
#[tokio::test]
async fn a_dead_process_leaves_at_once() {
    let (root, objects) = bucket();
    let mut lease = lease(&root, &objects, 1, 1, 0).await;
    lease.holder.started += 1;
    assert!(lease.renew(1_000).await.unwrap());
    let begun = tokio::time::Instant::now();
    Claim::take(&root, &objects, 2, 2_000).await.unwrap();
    assert!(begun.elapsed() < LEASE);
}

/// Of a process on another machine only the renewals tell.
#[tokio::test]
async fn a_process_elsewhere_is_watched() {
    let (root, objects) = bucket();
    let mut lease = lease(&root, &objects, 1, 1, 0).await;
    lease.holder.boot = "another machine".to_string();
    assert!(lease.renew(1_000).await.unwrap());
    let time = Duration::from_millis(300);
    let starting = Lease { objects: objects.clone(), holder: Holder::me(2), epoch: 0 };
    let begun = tokio::time::Instant::now();
    starting.wait_for_others(2_000, "x", time).await.unwrap();
    assert!(begun.elapsed() >= time);
    let renewing = async {
        tokio::time::sleep(time / 3).await;
        lease.renew(50_000).await.unwrap()
    };
    let (outcome, renewed) = tokio::join!(starting.wait_for_others(3_000, "x", time), renewing);
    assert!(renewed && outcome.unwrap_err().message.contains("in use"));
}
